"""Columns are guessed only where there is no doubt, and label cells are read as what they are."""

from __future__ import annotations

from typing import Any

import pytest

from emotions_cli.data.columns import choose_column, choose_columns, label_parser
from emotions_cli.errors import DataError


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        (["text", "label"], "text", "label"),
        (["id", "Review", "EMOTION"], "Review", "EMOTION"),
        (["text", "comment", "label", "category"], "text", "label"),
        (["sentence", " Label "], "sentence", " Label "),
        (["words", "label", "tweet"], "tweet", "label"),
        (["anything", "target"], "anything", "target"),
    ],
)
def test_columns_without_doubt_are_guessed_and_noted(columns: list[str], text: str, label: str) -> None:
    chosen = choose_columns(columns, "data.csv", None, None)
    assert (chosen.text, chosen.label) == (text, label)
    assert chosen.notes == (f"text column: '{text}' (guessed)", f"label column: '{label}' (guessed)")


def test_named_columns_are_taken_without_a_note() -> None:
    chosen = choose_columns(["text", "label", "a", "b"], "data.csv", "a", "b")
    assert (chosen.text, chosen.label, chosen.notes) == ("a", "b", ())


def test_only_the_guessed_column_is_noted() -> None:
    assert choose_columns(["text", "label", "a"], "data.csv", "a", None).notes == ("label column: 'label' (guessed)",)


@pytest.mark.parametrize(
    ("columns", "role", "listed"),
    [
        (["sentence", "review", "label"], "text", "several could be it: sentence, review"),
        (["a", "b", "label"], "text", "it has: a, b"),
        (["text", "emotion", "sentiment"], "label", "several could be it: emotion, sentiment"),
        (["text", "a", "b"], "label", "it has: text, a, b"),
        (["text"], "label", "it has: text"),
    ],
)
def test_in_doubt_the_columns_are_listed_and_the_option_named(columns: list[str], role: str, listed: str) -> None:
    with pytest.raises(DataError, match=f"Which column of 'data.csv' holds the {role}s?") as caught:
        choose_columns(columns, "data.csv", None, None)
    assert listed in caught.value.message
    assert f"--{role}-column" in caught.value.hint


def test_a_column_that_is_not_there_gets_a_suggestion() -> None:
    with pytest.raises(DataError, match=r"has no column 'lable' \(it has: text, label\)\. Did you mean 'label'\?") as caught:
        choose_columns(["text", "label"], "data.csv", None, "lable")
    assert "--label-column" in caught.value.hint


def test_the_text_column_is_no_candidate_for_the_labels() -> None:
    chosen = choose_columns(["emotion", "sentiment"], "data.csv", "emotion", None)
    assert (chosen.text, chosen.label) == ("emotion", "sentiment")


def test_the_only_column_holds_the_texts() -> None:
    assert choose_column(["whatever"], "data.csv", None, ("text",), "text") == ("whatever", "text column: 'whatever' (guessed)")


@pytest.mark.parametrize(
    ("first", "separator", "cell", "names"),
    [
        ("joy", None, " joy ", ("joy",)),
        ("joy", None, "joy, anger", ("joy, anger",)),
        ("joy", None, "", None),
        ("joy", None, None, None),
        (3, None, 0, ("0",)),
        (["joy"], None, ["anger", " joy ", "anger", ""], ("anger", "joy")),
        (["joy"], None, [], ()),
        (["joy"], None, None, None),
        ('["joy"]', None, '["anger", "joy"]', ("anger", "joy")),
        ('["joy"]', None, "[]", ()),
        ('["joy"]', None, '["joy"', None),
        ('["joy"]', None, "joy", None),
        ("joy|fear", "|", "joy| fear ||joy", ("joy", "fear")),
        ("joy|fear", "|", "", ()),
        ("joy|fear", "|", None, ()),
        ("joy", ";", "joy", ("joy",)),
    ],
)
def test_a_label_cell_is_read_by_the_kind_of_the_first(first: Any, separator: str | None, cell: Any, names: Any) -> None:
    parse, several = label_parser(first, separator)
    assert parse(cell) == names
    assert several == (separator is not None or first in (["joy"], '["joy"]'))
