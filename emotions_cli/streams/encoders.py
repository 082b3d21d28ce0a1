"""Rows and their answers as bytes; where the format stays the same, new cells are put behind the record as it stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from emotions_cli.errors import DataError
from emotions_cli.streams.delimited import LineWriter
from emotions_cli.streams.formats import DELIMITERS, Format
from emotions_cli.streams.jsonl import WrittenFloat, WrittenInt, json_text
from emotions_cli.streams.rows import Answer, Record, RowSource


class RowEncoder(Protocol):
    """Turns rows and the values of their new columns into bytes."""

    def header(self) -> bytes:
        """Return what stands before the first row."""
        ...

    def encode(self, records: Sequence[Record], answers: Sequence[Answer]) -> bytes:
        """Return a chunk of rows; an answer is str, float, int, list[str] or ``None`` for each new column."""
        ...


def row_encoder(
    file_format: Format, source_columns: Sequence[str], new_columns: Sequence[str], *, source: RowSource | None = None
) -> RowEncoder:
    """Return the encoder for a format. Text is UTF-8 with ``\\n`` at row ends on every platform.

    Args:
        file_format: Any format but plain text; for Parquet see :mod:`emotions_cli.streams.arrow`.
        source_columns: Columns of the input. JSON Lines writes every key of a row.
        new_columns: Columns of the answers.
        source: The input, if there is one: of the same format its records are kept as they stand.
    """
    if file_format is Format.PARQUET:
        from emotions_cli.streams.arrow import ArrowEncoder

        return ArrowEncoder(source_columns, new_columns, schema=source and source.schema)
    if file_format is Format.JSONL:
        return _JsonEncoder(new_columns, source)
    return _DelimitedEncoder(file_format, source_columns, new_columns, source)


class _DelimitedEncoder:
    def __init__(
        self, file_format: Format, source_columns: Sequence[str], new_columns: Sequence[str], source: RowSource | None
    ) -> None:
        same = source is not None and source.format is file_format and source.delimiter is not None
        self._delimiter = source.delimiter if same and source and source.delimiter else DELIMITERS[file_format]
        self._appends = source is not None and source.delimiter == self._delimiter
        self._headless = source is not None and source.delimiter is not None and not source.header
        self._header_raw = source.header_raw if source is not None and self._appends else None
        self._old, self._new = list(source_columns), list(new_columns)
        self._known = frozenset(source_columns) if source is not None and source.format is Format.JSONL else None
        self._writer = LineWriter(self._delimiter)

    def header(self) -> bytes:
        if self._headless:
            return b""
        if self._header_raw is not None:
            return _encoded([self._appended(self._header_raw, self._new)])
        return _encoded([self._writer.line([*self._old, *self._new])])

    def encode(self, records: Sequence[Record], answers: Sequence[Answer]) -> bytes:
        lines = []
        for record, answer in zip(records, answers, strict=True):
            if self._known is not None:
                refuse_new_fields(record, self._known)
            new = [cell_text(answer.get(column)) for column in self._new]
            if self._appends and record.raw is not None:
                lines.append(self._appended(record.raw, new))
            else:
                lines.append(self._writer.line([*(cell_text(record.cells.get(column)) for column in self._old), *new]))
        return _encoded(lines)

    def _appended(self, raw: str, new: Sequence[str]) -> str:
        if not new:
            # an only cell that is empty would be a blank line, which is no row
            return raw or '""'
        return f"{raw}{self._delimiter}{self._writer.line(new)}"


def refuse_new_fields(record: Record, known: frozenset[str]) -> None:
    """Raise a :class:`DataError` when a row of JSON Lines has a field that would get no column and so be lost."""
    if record.problem is None and not known.issuperset(record.cells):
        new = next(key for key in record.cells if key not in known)
        raise DataError(
            f"Row {record.number} has a field '{new}', which the first row has not.", "Columns are fixed: write --format jsonl."
        )


def cell_text(value: Any) -> str:
    """Return a value as a cell of CSV: numbers as they were written, nothing for ``None``, lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, WrittenFloat | WrittenInt):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return json_text(value) if isinstance(value, list | dict | tuple) else str(value)


def _encoded(lines: Sequence[str]) -> bytes:
    # half of a surrogate pair, which JSON may hold, has no UTF-8
    return "".join([f"{line}\n" for line in lines]).encode("utf-8", "replace")


class _JsonEncoder:
    def __init__(self, new_columns: Sequence[str], source: RowSource | None) -> None:
        self._new = frozenset(new_columns)
        self._name = "the input" if source is None else f"'{source.name}'"
        self._appends = source is not None and source.format is Format.JSONL

    def header(self) -> bytes:
        return b""

    def encode(self, records: Sequence[Record], answers: Sequence[Answer]) -> bytes:
        lines = [self._line(record, answer) for record, answer in zip(records, answers, strict=True)]
        # half of a surrogate pair, which JSON may hold, has no UTF-8; written as \\ud83d it is JSON again
        return "".join([f"{line}\n" for line in lines]).encode("utf-8", "backslashreplace")

    def _line(self, record: Record, answer: Answer) -> str:
        if not self._new.isdisjoint(record.cells):
            taken = next(key for key in record.cells if key in self._new)
            raise DataError(
                f"{self._name} row {record.number} already has a field '{taken}'.",
                "Name the new ones apart, for example --prefix new_",
            )
        if not self._appends or record.raw is None:
            return json_text({**record.cells, **answer})
        if not answer:
            return record.raw
        end = record.raw.rindex("}")
        comma = ", " if record.cells else ""
        return f"{record.raw[:end]}{comma}{json_text(answer)[1:-1]}{record.raw[end:]}"
