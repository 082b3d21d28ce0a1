"""JSON Lines whose numbers keep the text they were written with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Format
from emotions_cli.streams.lines import Lines, without_end
from emotions_cli.streams.rows import Record, Refusal, RowSource

UNREADABLE = "unreadable"
_BLANK = " \t\r\n"
_PATIENCE = 1000  # unreadable rows before the first one that names the columns


class WrittenFloat(float):
    """A JSON number that Python would write another way: ``1.10``, ``1e5``, ``NaN``, an integer of 5,000 digits."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> WrittenFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


class WrittenInt(int):
    """The one integer that Python would write another way: ``-0``."""

    text = "-0"


def parse_json(text: str) -> Any:
    """Read a JSON value; :func:`json_text` writes its numbers as they stood.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    return _DECODER.decode(text)


def json_text(value: Any) -> str:
    """Write a value as JSON in one line; what JSON does not know, such as a date, as its ``str``.

    Raises:
        DataError: It is nested too deeply.
    """
    try:
        return _text(value)
    except RecursionError:
        raise DataError("A JSON value is nested too deeply to be written again.", "Write --format jsonl.") from None


def _float(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else WrittenFloat(text)


def _int(text: str) -> float:
    if text == "-0":
        return WrittenInt()
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return WrittenFloat(text)


_DECODER = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=WrittenFloat)
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


def _text(value: Any) -> str:
    if isinstance(value, WrittenFloat | WrittenInt):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    return _ENCODER.encode(value)


def _key(key: Any) -> str:
    return _ENCODER.encode(key if isinstance(key, str) else str(key))


def json_source(lines: Lines, refusal: Refusal) -> RowSource:
    """Read the first row, whose keys are the columns; the others follow as they are asked for.

    Raises:
        DataError: There is no row.
    """
    records = json_records(lines, refusal)
    ahead = []
    for record in records:
        ahead.append(record)
        if record.problem != UNREADABLE or len(ahead) == _PATIENCE:
            break
    if not ahead:
        skipped = refusal.counts.skipped > 0
        raise DataError(
            f"'{lines.name}' {'has no row that can be read' if skipped else 'is empty'}.", "Give it at least one row."
        )
    return RowSource(lines.name, Format.JSONL, tuple(ahead[-1].cells), itertools.chain(ahead, records), counts=refusal.counts)


def json_records(lines: Lines, refusal: Refusal) -> Iterator[Record]:
    """Read one object a line; blank lines are no rows."""
    number = 0
    for line in lines:
        raw = without_end(line)
        if raw.strip(_BLANK):
            number += 1
            record = _record(raw, number, lines, refusal)
            if record is not None:
                yield record
        lines.begin()


def _record(raw: str, number: int, lines: Lines, refusal: Refusal) -> Record | None:
    undecodable = lines.fault is not None
    try:
        cells = parse_json(raw)
        error = None if isinstance(cells, dict) else "is not a JSON object."
    except (ValueError, RecursionError) as problem:
        error = f"is not JSON: {problem}"
    if undecodable and not refusal.keeps(lines.undecodable(number), lines.datas[0]):
        return None
    if error is None:
        return Record(number, cells, raw, "undecodable" if undecodable else None)
    complaint = DataError(
        f"'{lines.name}' line {lines.number} {error}",
        'Write rows as {"text": "..."}, one a line, or go on without: --on-error skip.',
    )
    # a row that is kept though it can't be decoded was counted and reported before
    if undecodable or refusal.keeps(complaint, lines.datas[0]):
        return Record(number, {UNREADABLE: raw}, None, "unreadable")
    return None
