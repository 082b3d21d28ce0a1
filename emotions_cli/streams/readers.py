"""Read rows one after the other, whatever the format: a row maps column names to values."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from emotions_cli.errors import DataError
from emotions_cli.extras import require
from emotions_cli.streams.formats import DELIMITERS, Format

Row = dict[str, Any]

PARQUET_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class RowSource:
    """An open input.

    Attributes:
        name: What to call it in messages: the path, or ``standard input``.
        format: Its format.
        columns: Column names in order; for JSON Lines those of the first row.
        rows: The rows, read as they are asked for.
        schema: The Arrow schema of a Parquet file, else ``None``.
    """

    name: str
    format: Format
    columns: tuple[str, ...]
    rows: Iterator[Row]
    schema: Any = None


@contextmanager
def open_rows(path: Path, file_format: Format) -> Iterator[RowSource]:
    """Open a file of rows.

    Raises:
        DataError: The file is missing, unreadable, empty, or breaks its format; rows raise it as they are read.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"File '{path}' is not there.", "Check the path; it is taken from the working directory.") from None
    except IsADirectoryError:
        raise DataError(f"'{path}' is a folder, not a file.", "Name a file in it.") from None
    except OSError as error:
        raise DataError(f"File '{path}' can't be read: {error.strerror}.", "Check its permissions.") from error
    with stream, read_stream(stream, file_format, str(path)) as source:
        yield source


@contextmanager
def read_stream(stream: IO[bytes], file_format: Format, name: str) -> Iterator[RowSource]:
    """Read rows from an open binary stream, which stays open; see :func:`open_rows`."""
    if file_format is Format.PARQUET:
        yield _parquet(stream, name)
        return
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if file_format in DELIMITERS else "\n")
    try:
        yield _text_source(lines, file_format, name)
    finally:
        lines.detach()


def _text_source(lines: IO[str], file_format: Format, name: str) -> RowSource:
    if file_format is Format.TEXT:
        return RowSource(name, file_format, ("text",), _decoded(_text_rows(lines), name))
    if file_format is Format.JSONL:
        rows = _decoded(_json_rows(lines, name), name)
        first = next(rows, None)
        if first is None:
            raise DataError(f"'{name}' is empty.", "Give it at least one row.")
        return RowSource(name, file_format, tuple(first), itertools.chain([first], rows))
    return _delimited(lines, file_format, name)


def _decoded(rows: Iterator[Row], name: str) -> Iterator[Row]:
    """Turn the decoder's complaint into one that names the input."""
    try:
        yield from rows
    except UnicodeDecodeError as error:
        raise _not_utf8(name, error) from error


def _not_utf8(name: str, error: UnicodeDecodeError) -> DataError:
    first = error.object[error.start]
    # 0xfe and 0xff stand in no UTF-8; UTF-16, as spreadsheets write "Unicode text", begins with them
    encoding = "utf-16" if first in (0xFE, 0xFF) and error.start < 2 else "latin1"
    return DataError(
        f"'{name}' is not UTF-8: byte 0x{first:02x} can't be decoded.",
        f"Convert it first, for example: iconv -f {encoding} -t utf-8 FILE",
    )


def _text_rows(lines: IO[str]) -> Iterator[Row]:
    for line in lines:
        yield {"text": line.rstrip("\r\n")}


def _json_rows(lines: IO[str], name: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"'{name}' line {number} is not JSON: {error}", "Each line holds one JSON object.") from error
        if not isinstance(row, dict):
            raise DataError(f"'{name}' line {number} is not a JSON object.", 'Write rows as {"text": "..."}.')
        yield row


def _delimited(lines: IO[str], file_format: Format, name: str) -> RowSource:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default of 131,072 characters refuses long texts
    # strict: a quote that is never closed would swallow all later rows
    reader = csv.reader(lines, delimiter=DELIMITERS[file_format], strict=True)
    try:
        columns = tuple(next((cells for cells in reader if cells), ()))
    except UnicodeDecodeError as error:
        raise _not_utf8(name, error) from error
    except csv.Error as error:
        raise DataError(f"'{name}' line {reader.line_num}: {error}.", "Check the quotes of that line.") from error
    if not columns:
        raise DataError(f"'{name}' is empty.", "Its first line names the columns, one row a line follows.")
    _refuse_twins(columns, name)
    if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), None)):
        raise DataError(
            f"'{name}' is separated by {other!r}, not by {DELIMITERS[file_format]!r}.", "Save it as comma-separated CSV."
        )
    return RowSource(name, file_format, columns, _decoded(_delimited_rows(reader, columns, name), name))


def _delimited_rows(reader: Any, columns: tuple[str, ...], name: str) -> Iterator[Row]:
    try:
        for cells in reader:
            if not cells:
                # in a file of one column an empty line is an empty text
                if len(columns) > 1:
                    continue
                cells = [""]
            if len(cells) > len(columns):
                raise DataError(
                    f"'{name}' line {reader.line_num} has {len(cells)} cells, its header {len(columns)}.",
                    'Put texts that hold the delimiter in double quotes ("...").',
                )
            yield dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))
    except csv.Error as error:
        raise DataError(f"'{name}' line {reader.line_num}: {error}.", "Check the quotes of that line.") from error


def _parquet(stream: IO[bytes], name: str) -> RowSource:
    require("parquet", "Reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream if stream.seekable() else pa.BufferReader(stream.read()))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"'{name}' is not a Parquet file: {error}", "Check the file, or name its format.") from error
    schema = file.schema_arrow
    _refuse_twins(schema.names, name)
    return RowSource(name, Format.PARQUET, tuple(schema.names), _parquet_rows(file, name), schema)


def _parquet_rows(file: Any, name: str) -> Iterator[Row]:
    import pyarrow as pa

    try:
        for batch in file.iter_batches(PARQUET_ROWS_AT_ONCE):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{name}' is damaged: {error}", "Fetch or write the file again.") from error


def _refuse_twins(columns: Sequence[str], name: str) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise DataError(f"'{name}' has two columns named '{twice}'.", "Rename one of them.")
