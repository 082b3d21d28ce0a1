"""What reading gives: records, one after the other, and what is known of their source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Format

# column -> value: texts of CSV, TSV and text files; JSON's or Python's values of JSON Lines and Parquet
Row = dict[str, Any]
# new column -> value: str, float, int, list[str] or None
Answer = Mapping[str, Any]

Problem = Literal["undecodable", "unreadable"]


class OnError(StrEnum):
    """What becomes of a row that can't be read."""

    STOP = "stop"
    SKIP = "skip"
    KEEP = "keep"


@dataclass(frozen=True)
class ReadOptions:
    """How an input is read; ``None`` leaves the choice to its name, then to its first bytes.

    Attributes:
        file_format: Its format.
        encoding: Any text encoding Python knows, by name; a byte order mark is no part of the first cell.
        delimiter: The character between the cells of CSV and TSV.
        header: Whether the first row of CSV and TSV names the columns.
        text_column: The column that will be asked for: a first row that holds it is a header.
        on_error: What becomes of a row that can't be decoded or read. ``KEEP`` puts U+FFFD for undecodable bytes and
            ``{"unreadable": line}`` for a line that is no JSON object.
        reject: Called with the bytes of each row that is skipped or kept with a problem, with ``\\n`` at its end. Of an
            encoding that is no superset of ASCII (UTF-16) they are UTF-8, with 0xff for what can't be decoded.
        mend_long: Whether the surplus cells of a CSV row go into its last column; else such a row is an error.
    """

    file_format: Format | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    header: bool | None = None
    text_column: str | None = None
    on_error: OnError = OnError.STOP
    reject: Callable[[bytes], None] | None = None
    mend_long: bool = True


class Record(NamedTuple):
    """One row.

    Attributes:
        number: Which row of its source it is, from 1; the header and blank lines are not counted, skipped rows are.
        cells: Column → value.
        raw: The record as it stood, without its line end, decoded; ``None`` of Parquet and of a mended JSON line.
        problem: Why a row was kept by :attr:`OnError.KEEP`.
        arrow: The Arrow batch of a Parquet file and the row in it, whose types ``cells`` may not tell apart.
    """

    number: int
    cells: Row
    raw: str | None = None
    problem: Problem | None = None
    arrow: tuple[Any, int] | None = None


@dataclass
class Counts:
    """What happened to rows so far.

    Attributes:
        skipped: Rows left out by :attr:`OnError.SKIP`.
        kept: Rows with a problem kept by :attr:`OnError.KEEP`.
        short: CSV rows that were given empty cells.
        long: CSV rows whose surplus cells were joined into the last column.
    """

    skipped: int = 0
    kept: int = 0
    short: int = 0
    long: int = 0

    @property
    def ragged(self) -> int:
        """Rows with fewer or more cells than the header."""
        return self.short + self.long


@dataclass
class RowSource:
    """An open input.

    Attributes:
        name: What to call it in messages: the path, or ``standard input``.
        format: Its format.
        columns: Column names in order; for JSON Lines those of the first row, ``1``, ``2``, … for CSV without a header.
        records: The rows, read as they are asked for.
        delimiter: The character between the cells of CSV and TSV, else ``None``.
        header: Whether a first row names the columns.
        header_raw: That row as it stood, without its line end.
        schema: The Arrow schema of a Parquet file, else ``None``.
        notes: What was found out by looking and is worth saying.
        size: Bytes of the (compressed) file, ``None`` when unknown.
        position: Returns how many of them were read so far.
        counts: What happened to rows so far.
    """

    name: str
    format: Format
    columns: tuple[str, ...]
    records: Iterator[Record]
    delimiter: str | None = None
    header: bool = False
    header_raw: str | None = None
    schema: Any = None
    notes: list[str] = field(default_factory=list)
    size: int | None = None
    position: Callable[[], int] = lambda: 0
    counts: Counts = field(default_factory=Counts)

    @property
    def rows(self) -> Iterator[Row]:
        """The cells of the records that were not yet read."""
        return (record.cells for record in self.records)


@dataclass(frozen=True)
class Refusal:
    """Decides what becomes of rows that can't be read, and counts them."""

    options: ReadOptions
    counts: Counts

    def keeps(self, error: DataError, data: bytes) -> bool:
        """Say whether the row with these bytes is kept.

        Raises:
            DataError: ``error`` itself, when reading stops at the first row that can't be read.
        """
        if self.options.on_error is OnError.STOP:
            raise error
        if self.options.reject is not None:
            self.options.reject(data if data.endswith(b"\n") else data + b"\n")
        if self.options.on_error is OnError.SKIP:
            self.counts.skipped += 1
            return False
        self.counts.kept += 1
        return True


def refuse_twins(columns: tuple[str, ...], name: str) -> None:
    """Raise a :class:`DataError` when two columns share one name."""
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise DataError(f"'{name}' has two columns named '{column}'.", "Rename one of them.")
        seen.add(column)
