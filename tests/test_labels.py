"""Labels have a fixed order and names of their own."""

from __future__ import annotations

import pytest

from emotions_cli.errors import DataError
from emotions_cli.labels import CUSTOMARY_ORDER, LabelSet, Task


def test_a_label_is_known_by_its_place() -> None:
    labels = LabelSet(("b", "a", "c"))
    assert list(labels) == ["b", "a", "c"]
    assert [labels.id_of(name) for name in labels] == [0, 1, 2]
    assert labels.ids() == {"b": 0, "a": 1, "c": 2}
    assert len(labels) == 3
    assert "a" in labels
    assert "d" not in labels
    assert 0 not in labels


def test_an_unknown_name_has_no_id() -> None:
    with pytest.raises(KeyError, match="'d'"):
        LabelSet(("a",)).id_of("d")


@pytest.mark.parametrize("seed", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3)])
def test_well_known_emotions_come_first_and_others_alphabetically(seed: tuple[int, ...]) -> None:
    names = ("zeal", "neutral", "joy", "awe", "sadness")
    assert LabelSet.in_customary_order(names[i] for i in seed).names == ("sadness", "joy", "neutral", "awe", "zeal")


def test_repeated_names_are_one_label() -> None:
    assert LabelSet.in_customary_order(["joy", "fear", "joy"]).names == ("joy", "fear")


def test_the_customary_order_is_kept() -> None:
    assert LabelSet.in_customary_order(reversed(CUSTOMARY_ORDER)).names == CUSTOMARY_ORDER


def test_a_name_can_not_stand_twice() -> None:
    with pytest.raises(DataError, match="'b' stands twice"):
        LabelSet(("b", "a", "b"))


def test_a_name_can_not_be_empty() -> None:
    with pytest.raises(DataError, match="is empty"):
        LabelSet(("a", ""))


def test_sets_with_another_order_differ() -> None:
    assert LabelSet(("a", "b")) == LabelSet(("a", "b"))
    assert LabelSet(("a", "b")) != LabelSet(("b", "a"))


def test_a_task_reads_as_words() -> None:
    assert [str(task) for task in Task] == ["single-label", "multi-label"]
    assert Task("multi-label") is Task.MULTI_LABEL
