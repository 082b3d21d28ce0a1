"""Splits, fingerprints and rows held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from emotions_cli.data.dataset import Dataset, Examples, LabelledTexts, hold_out, to_examples
from emotions_cli.errors import DataError
from emotions_cli.labels import LabelSet, Task

LABELS = LabelSet(("joy", "anger", "fear"))


def examples(*rows: tuple[str, str]) -> Examples:
    return to_examples(LabelledTexts.of((text, tuple(labels.split())) for text, labels in rows), LABELS)


def dataset(
    splits: Mapping[str, Examples] | None = None, labels: Sequence[str] = LABELS.names, task: Task = Task.SINGLE_LABEL
) -> Dataset:
    return Dataset("data", LabelSet(tuple(labels)), task, splits or {"train": examples(("a", "joy"), ("b", "fear"))})


def test_rows_become_targets() -> None:
    found = examples(("a", "fear"), ("b", "joy fear"), ("c", ""))
    assert list(found.texts) == ["a", "b", "c"]
    assert found.targets.tolist() == [[False, False, True], [True, False, True], [False, False, False]]
    assert found.support.tolist() == [1, 0, 2]
    assert len(found) == 3


def test_label_ids_are_places_in_the_label_set() -> None:
    assert examples(("a", "fear"), ("b", "joy"), ("c", "anger")).label_ids.tolist() == [2, 0, 1]


def test_rows_are_taken_in_the_order_asked_for() -> None:
    found = examples(("a", "fear"), ("b", "joy"), ("c", "anger")).take(np.array([2, 0]))
    assert list(found.texts) == ["c", "a"]
    assert found.label_ids.tolist() == [1, 2]


def test_a_split_that_is_not_there_is_named() -> None:
    assert len(dataset().split("train")) == 2
    with pytest.raises(DataError, match=r"'data' has no split 'trian' \(it has: train\)\. Did you mean 'train'\?") as caught:
        dataset().split("trian")
    assert "--split" in caught.value.hint


def test_equal_data_has_an_equal_fingerprint() -> None:
    first = dataset({"train": examples(("a", "joy")), "test": examples(("b", "fear"))})
    second = Dataset("elsewhere", LABELS, Task.SINGLE_LABEL, dict(reversed(first.splits.items())), ("a note",))
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint().startswith("sha256:")
    assert len(first.fingerprint()) == len("sha256:") + 64


@pytest.mark.parametrize(
    "other",
    [
        dataset({"train": examples(("a", "joy"), ("b ", "fear"))}),
        dataset({"train": examples(("a", "joy"), ("b", "anger"))}),
        dataset({"train": examples(("b", "fear"), ("a", "joy"))}),
        dataset({"train": examples(("a", "joy"))}),
        dataset({"train": examples(("a", "joy"), ("b", "fear"), ("b", "fear"))}),
        dataset({"train": examples(("ab", "joy"), ("", "fear"))}),
        dataset({"test": examples(("a", "joy"), ("b", "fear"))}),
        dataset({"train": examples(("a", "joy"), ("b", "fear")), "test": examples()}),
        dataset(labels=("joy", "anger", "surprise")),
        dataset(labels=("anger", "joy", "fear")),
        dataset(task=Task.MULTI_LABEL),
    ],
)
def test_any_change_has_another_fingerprint(other: Dataset) -> None:
    assert other.fingerprint() != dataset().fingerprint()


def test_bounds_between_texts_count_for_the_fingerprint() -> None:
    first = dataset({"train": examples(("a\0b", "joy"), ("c", "joy"))})
    second = dataset({"train": examples(("a", "joy"), ("b\0c", "joy"))})
    assert first.fingerprint() != second.fingerprint()


def test_bounds_between_label_names_count_for_the_fingerprint() -> None:
    assert dataset(labels=("joy|anger", "fear", "x")).fingerprint() != dataset(labels=("joy", "anger|fear", "x")).fingerprint()


def test_half_an_emoji_has_a_fingerprint() -> None:
    assert dataset({"train": examples(("\ud83d", "joy"))}).fingerprint().startswith("sha256:")


def many(counts: Mapping[str, int]) -> Examples:
    return examples(*((f"{label} {i}", label) for label, count in counts.items() for i in range(count)))


def test_each_label_is_held_out_in_the_same_proportion() -> None:
    stays, held = hold_out(many({"joy": 100, "anger": 50, "fear": 10}), 0.2, seed=1)
    assert held.support.tolist() == [20, 10, 2]
    assert stays.support.tolist() == [80, 40, 8]


def test_both_sides_together_are_all_rows_in_their_order() -> None:
    whole = many({"joy": 30, "anger": 20})
    stays, held = hold_out(whole, 0.3, seed=1)
    assert sorted([*stays.texts, *held.texts]) == sorted(whole.texts)
    for side in (stays, held):
        assert [whole.texts.index(text) for text in side.texts] == sorted(whole.texts.index(text) for text in side.texts)
        assert all(LABELS.names[i] == text.split()[0] for i, text in zip(side.label_ids, side.texts, strict=True))


def test_a_seed_says_which_rows_are_held_out() -> None:
    whole = many({"joy": 100, "fear": 100})
    assert hold_out(whole, 0.1, seed=7)[1].texts == hold_out(whole, 0.1, seed=7)[1].texts
    assert hold_out(whole, 0.1, seed=7)[1].texts != hold_out(whole, 0.1, seed=8)[1].texts


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_two_rows_of_a_label_stand_on_both_sides(fraction: float) -> None:
    stays, held = hold_out(many({"joy": 2, "anger": 5}), fraction, seed=1)
    assert all(side.support[:2].all() for side in (stays, held))


def test_rare_labels_of_several_a_row_stand_on_both_sides() -> None:
    rows = [(f"common {i}", "joy") for i in range(90)] + [(f"rare {i}", "joy fear") for i in range(10)]
    rows += [(f"none {i}", "") for i in range(20)]
    stays, held = hold_out(examples(*rows), 0.2, seed=1)
    assert held.support.tolist() == [20, 0, 2]
    assert int((~held.targets.any(axis=1)).sum()) == 4
    assert len(stays) + len(held) == 120
