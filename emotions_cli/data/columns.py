"""Which column holds the texts and which the labels, and what a label cell says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from emotions_cli.errors import DataError, nearest
from emotions_cli.streams.sniffing import TEXT_NAMES

LABEL_NAMES = ("label", "labels", "emotion", "emotions", "sentiment", "category", "target", "class")

# what a label cell holds: the names, or None for a cell that says nothing
LabelParser = Callable[[Any], tuple[str, ...] | None]


@dataclass(frozen=True)
class Columns:
    """The chosen columns, and a sentence for each that was guessed."""

    text: str
    label: str
    notes: tuple[str, ...]


def choose_columns(columns: Sequence[str], name: str, text: str | None, label: str | None) -> Columns:
    """Take the columns that were named, guess the others.

    Raises:
        DataError: A named column is not there, or a guess would be ambiguous.
    """
    if text is not None and text == label:
        raise DataError(f"Column '{text}' can't hold both the texts and the labels.", "Name two columns.")
    free = list(columns) if label is not None else [column for column in columns if column != text]
    label_column, label_note = choose_column(free, name, label, LABEL_NAMES, "label")
    free = list(columns) if text is not None else [column for column in columns if column != label_column]
    text_column, text_note = choose_column(free, name, text, TEXT_NAMES, "text")
    return Columns(text_column, label_column, tuple(note for note in (text_note, label_note) if note))


def choose_column(
    columns: Sequence[str], name: str, wanted: str | None, customary: Sequence[str], role: str, *, only_one: bool = True
) -> tuple[str, str | None]:
    """Return the column for a role, and a note when it was guessed.

    A guess is a column with a customary name (any case) when there is exactly one, the role's own name when there are
    several, or (with ``only_one``) the only column there is.

    Raises:
        DataError: The wanted column is not there, or a guess would be ambiguous.
    """
    hint = f"Name the column with --{role}-column."
    listed = ", ".join(columns)
    if wanted is not None:
        if wanted not in columns:
            raise DataError(f"'{name}' has no column '{wanted}' (it has: {listed}).{nearest(wanted, columns)}", hint)
        return wanted, None
    likely = [column for column in columns if column.strip().lower() in customary]
    exact = [column for column in likely if column.strip().lower() == role]
    if len(likely) > 1 and len(exact) == 1:
        likely = exact
    if not likely and only_one and len(columns) == 1 and role == "text":
        likely = list(columns)
    if len(likely) != 1:
        which = f"several could be it: {', '.join(likely)}" if likely else f"it has: {listed}"
        raise DataError(f"Which column of '{name}' holds the {role}s? ({which})", hint)
    return likely[0], f"{role} column: '{likely[0]}' (guessed)"


def label_parser(first: Any, separator: str | None) -> tuple[LabelParser, bool]:
    """Choose how to read label cells by the first one that says something.

    Lists (of JSON Lines and Parquet), cells with a JSON list, and with a ``separator`` any cell hold several labels.

    Returns:
        The parser, and whether it reads several labels a cell.
    """
    if separator is not None:
        return lambda cell: _names(str(cell).split(separator) if cell not in (None, "") else []), True
    if isinstance(first, list | tuple):
        return lambda cell: _names(cell) if isinstance(cell, list | tuple) else None, True
    if isinstance(first, str) and _json_list(first) is not None:
        return _json_list, True
    return _one_name, False


def _names(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in (str(value).strip() for value in values) if name))


def _json_list(cell: Any) -> tuple[str, ...] | None:
    try:
        values = json.loads(cell)
    except (TypeError, ValueError):
        return None
    return _names(values) if isinstance(values, list) else None


def _one_name(cell: Any) -> tuple[str, ...] | None:
    name = "" if cell is None or isinstance(cell, list | tuple | dict) else str(cell).strip()
    return (name,) if name else None
