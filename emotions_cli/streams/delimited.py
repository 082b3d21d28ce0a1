"""CSV and TSV, read leniently: every record also as it stood, rows of the wrong width mended."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Format
from emotions_cli.streams.lines import Lines, RecordTooLong
from emotions_cli.streams.rows import OnError, Problem, Record, Refusal, RowSource, refuse_twins
from emotions_cli.streams.sniffing import Dialect

_CLOSE_IT = 'Close it, double quotes inside a cell (""), or go on without such rows: --on-error skip.'


class _Echo:
    """A file whose ``write`` returns what it was given; so does a :class:`csv.writer` on it."""

    @staticmethod
    def write(text: str) -> str:
        return text


class LineWriter:
    """Puts cells into one line of CSV, by RFC 4180."""

    def __init__(self, delimiter: str) -> None:
        # with this line end the csv module quotes cells that hold \r, on every version of Python
        self._writer = csv.writer(_Echo(), delimiter=delimiter, lineterminator="\r\n")

    def line(self, cells: Sequence[object]) -> str:
        """Return the line without an end."""
        text: str = self._writer.writerow(cells)
        return text[:-2]


def delimited_source(lines: Lines, file_format: Format, dialect: Dialect, refusal: Refusal) -> RowSource:
    """Read the header; rows follow as they are asked for.

    Raises:
        DataError: There is no row at all, or the header names two columns alike or can't be read.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default of 131,072 characters refuses long texts
    reader = DelimitedReader(lines, dialect.delimiter, refusal)
    if dialect.header:
        columns, raw = reader.header()
        records = reader.records(columns)
    else:
        raw = None
        columns, records = _numbered(reader, lines.name)
    refuse_twins(columns, lines.name)
    return RowSource(
        lines.name,
        file_format,
        columns,
        records,
        delimiter=dialect.delimiter,
        header=dialect.header,
        header_raw=raw,
        counts=refusal.counts,
    )


def _numbered(reader: DelimitedReader, name: str) -> tuple[tuple[str, ...], Iterator[Record]]:
    """Number the columns of an input without a header; its first row says how many there are."""
    first = reader.first_cells()
    if first is None:
        raise DataError(f"'{name}' is empty.", "Give it at least one row.")
    columns = tuple(str(number) for number in range(1, len(first) + 1))
    return columns, reader.records(columns)


class DelimitedReader:
    """Reads records from lines."""

    def __init__(self, lines: Lines, delimiter: str, refusal: Refusal) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._refusal = refusal
        self._writer = LineWriter(delimiter)
        self._number = 0

    def header(self) -> tuple[tuple[str, ...], str]:
        """Read the names of the columns, and the record they stand in."""
        lines = self._lines
        try:
            cells = next(filter(None, self._reader()), None)
        except RecordTooLong:
            raise self._unclosed("header") from None
        if cells is None:
            raise DataError(f"'{lines.name}' is empty.", "Its first line names the columns, one row a line follows.")
        if lines.ended:
            raise self._unclosed("header")
        if lines.fault is not None:
            # a row without its names could not be used
            if self._refusal.options.on_error is not OnError.KEEP:
                raise lines.undecodable(None)
            self._refusal.keeps(lines.undecodable(None), b"".join(lines.datas))
        raw = self._raw().lstrip("\r\n")
        lines.begin()
        # spreadsheets write nameless columns; their number stands for a name, as where there is no header
        return tuple(cell if cell.strip() else str(number) for number, cell in enumerate(cells, start=1)), raw

    def first_cells(self) -> list[str] | None:
        """Look at the first record's cells; its lines come once more."""
        lines = self._lines
        try:
            cells = next(filter(None, self._reader()), None)
        except RecordTooLong:
            cells = self._alone(lines.texts[0])
        if cells is not None and lines.ended:
            cells = self._alone(lines.texts[0])
        lines.put_back(list(lines.datas))
        lines.begin()
        return cells

    def records(self, columns: tuple[str, ...]) -> Iterator[Record]:
        """Read the rows below the header."""
        while True:
            with suppress(RecordTooLong):
                yield from self._until_unclosed(columns)
            if not self._lines.datas:
                return
            # the quote swallowed what followed: only its own line is given up, the others are read again
            self._number += 1
            error = self._unclosed(f"row {self._number}")
            data, *others = self._lines.datas
            text = self._lines.texts[0]
            self._lines.put_back(others)
            self._lines.begin()
            if self._refusal.keeps(error, data):
                yield self._mended(self._alone(text), columns, text.rstrip("\r\n"), "unreadable")

    def _until_unclosed(self, columns: tuple[str, ...]) -> Iterator[Record]:
        """Read rows until the input ends; lines of a record that has no end stay in the lines."""
        lines, texts, width = self._lines, self._lines.texts, len(columns)
        for cells in self._reader():
            if lines.ended:
                return
            if len(texts) > 1 and _quote_is_astray(texts, self._delimiter):
                yield self._literal(columns)
            elif len(cells) == width and lines.fault is None:
                self._number += 1
                raw = texts[0] if len(texts) == 1 else "".join(texts)
                yield Record(self._number, dict(zip(columns, cells, strict=True)), raw.rstrip("\r\n"))
            elif cells or width == 1:
                self._number += 1
                problem: Problem | None = None
                if lines.fault is not None:
                    if not self._refusal.keeps(lines.undecodable(self._number), b"".join(lines.datas)):
                        lines.begin()
                        continue
                    problem = "undecodable"
                yield self._mended(cells, columns, self._raw(), problem)
            lines.begin()

    def _literal(self, columns: tuple[str, ...]) -> Record:
        """Take a quote at the beginning of a cell for what it is, and read the lines that it had swallowed once more."""
        self._number += 1
        text = self._lines.texts[0].rstrip("\r\n")
        self._lines.put_back(list(self._lines.datas)[1:])
        cells = next(csv.reader([text], delimiter=self._delimiter, quoting=csv.QUOTE_NONE), [])
        return self._mended(cells, columns, text, None)

    def _mended(self, cells: list[str], columns: tuple[str, ...], raw: str, problem: Problem | None) -> Record:
        """Give a row as many cells as there are columns; a line with exactly these cells stands for it."""
        missing = len(columns) - len(cells)
        counts = self._refusal.counts
        if not cells and len(columns) == 1:
            # in a file of one column an empty line is an empty text
            cells, missing = [""], 0
        if missing > 0:
            counts.short += 1
            cells = cells + [""] * missing
            raw += self._delimiter * missing
        elif missing < 0:
            counts.long += 1
            cells = self._joined(cells, len(columns), raw)
            raw = self._writer.line(cells)
        if problem == "unreadable":
            raw = self._writer.line(cells)
        return Record(self._number, dict(zip(columns, cells, strict=True)), raw, problem)

    def _joined(self, cells: list[str], width: int, raw: str) -> list[str]:
        """Put the surplus cells into the last column as they stand in the record, quotes and delimiters included."""
        if not self._refusal.options.mend_long:
            raise DataError(
                f"'{self._lines.name}' line {self._lines.number} has {len(cells)} cells, its header {width}.",
                'Put texts that hold the delimiter in double quotes ("...").',
            )
        return [*cells[: width - 1], raw[_start_of(width - 1, raw, self._delimiter) :]]

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines, delimiter=self._delimiter)

    def _alone(self, line: str) -> list[str]:
        """Read the cells of one line; a quote that is not closed ends with it."""
        return next(csv.reader([line.rstrip("\r\n")], delimiter=self._delimiter), [])

    def _raw(self) -> str:
        return "".join(self._lines.texts).rstrip("\r\n")

    def _unclosed(self, place: str) -> DataError:
        line = self._lines.number - len(self._lines.datas) + 1
        return DataError(f"'{self._lines.name}' {place} (line {line}) opens a quote that is never closed.", _CLOSE_IT)


def _quote_is_astray(texts: Sequence[str], delimiter: str) -> bool:
    """Say whether a quote that ends several lines further is followed by more of its cell: it was never meant to open one."""
    try:
        next(csv.reader(texts, delimiter=delimiter, strict=True), None)
    except csv.Error:
        return True
    return False


def _start_of(cell: int, raw: str, delimiter: str) -> int:
    """Return where in a record the cell of that number, from 0, begins."""
    at = 0
    for _ in range(cell):
        if raw.startswith('"', at):
            at = raw.index('"', at + 1) + 1
            while raw.startswith('"', at):  # a doubled quote is part of the cell
                at = raw.index('"', at + 1) + 1
        at = raw.index(delimiter, at) + 1
    return at
