"""Write rows as they come, in any format; the columns are known before the first row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from emotions_cli.errors import DataError
from emotions_cli.extras import require
from emotions_cli.streams.atomic import storage_errors, whole_file
from emotions_cli.streams.formats import DELIMITERS, Format
from emotions_cli.streams.readers import Row


class RowWriter(Protocol):
    """Takes rows in chunks and writes each chunk through to its stream."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


def row_writer(stream: IO[bytes], file_format: Format, columns: Sequence[str], *, schema: Any = None) -> RowWriter:
    """Return a writer on an open binary stream. Text is UTF-8 with ``\\n`` line ends on every platform.

    Args:
        stream: Where the bytes go; the caller closes it.
        file_format: Any format but plain text.
        columns: Columns of CSV, TSV and Parquet, in order. JSON Lines writes every key of a row.
        schema: Arrow schema of the columns that come from a Parquet input, whose types are kept.
    """
    if file_format is Format.PARQUET:
        require("parquet", "Writing Parquet")
        return _ParquetWriter(stream, columns, schema)
    if file_format is Format.JSONL:
        return _JsonWriter(stream)
    return _DelimitedWriter(stream, DELIMITERS[file_format], columns)


@contextmanager
def file_writer(path: Path, file_format: Format, columns: Sequence[str], *, schema: Any = None) -> Iterator[RowWriter]:
    """Write rows to a file that appears when complete; see :func:`row_writer`.

    Raises:
        StorageError: The file can't be written; what stood there before stays.
    """
    with whole_file(path) as part, storage_errors(path), part.open("wb") as stream:
        writer = row_writer(stream, file_format, columns, schema=schema)
        yield writer
        writer.close()


class _DelimitedWriter:
    def __init__(self, stream: IO[bytes], delimiter: str, columns: Sequence[str]) -> None:
        self._stream = stream
        self._delimiter = delimiter
        self._columns = columns
        self._write_cells([columns])

    def write(self, rows: Sequence[Row]) -> None:
        self._write_cells([_cell(row.get(column)) for column in self._columns] for row in rows)

    def _write_cells(self, rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(rows)
        self._stream.write(text.getvalue().encode("utf-8"))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


def _cell(value: Any) -> Any:
    """CSV has no lists and no null: JSON for the first, an empty cell for the second."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


class _JsonWriter:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        self._stream.write("".join(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in rows).encode("utf-8"))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class _ParquetWriter:
    def __init__(self, stream: IO[bytes], columns: Sequence[str], schema: Any) -> None:
        self._stream, self._columns, self._given = stream, columns, schema
        self._writer: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = [{column: row.get(column) for column in self._columns} for row in rows]
        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._stream, self._schema(pa, table))
            self._writer.write_table(pa.Table.from_pylist(table, self._writer.schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(
                f"A column does not keep one type, as Parquet demands: {error}", "Write another format: --format jsonl"
            ) from error

    def _schema(self, pa: Any, rows: list[Row]) -> Any:
        inferred = pa.Table.from_pylist(rows).schema if rows else pa.schema([(column, pa.string()) for column in self._columns])
        known = {field.name: field for field in self._given} if self._given is not None else {}
        return pa.schema([known.get(column, inferred.field(column)) for column in self._columns])

    def close(self) -> None:
        if self._writer is None:
            self.write([])
        self._writer.close()
