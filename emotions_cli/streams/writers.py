"""Write rows as they come, in any format; the columns are known before the first row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
        try:
            yield writer
        except BaseException:
            with suppress(Exception):
                writer.close()
            raise
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
        line = io.StringIO(newline="")
        # with this line end the csv module quotes cells that hold \r, on every version of Python
        writer = csv.writer(line, delimiter=self._delimiter, lineterminator="\r\n")
        lines = []
        for cells in rows:
            writer.writerow(cells)
            lines.append(line.getvalue()[:-2])
            line.seek(0)
            line.truncate()
        # half of a surrogate pair, which JSON may hold, has no UTF-8
        self._stream.write("".join(f"{text}\n" for text in lines).encode("utf-8", "replace"))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


def _cell(value: Any) -> Any:
    """CSV has no lists: JSON stands for them."""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


class _JsonWriter:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        lines = "".join(f"{json.dumps(row, ensure_ascii=False, default=str)}\n" for row in rows)
        # half of a surrogate pair, which JSON may hold, has no UTF-8; written as \\ud83d it is JSON again
        self._stream.write(lines.encode("utf-8", "backslashreplace"))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


def _valid(value: Any) -> Any:
    """Replace what has no UTF-8: Arrow refuses it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) and not value.isascii() else value


class _ParquetWriter:
    def __init__(self, stream: IO[bytes], columns: Sequence[str], schema: Any) -> None:
        self._stream, self._columns, self._given = stream, columns, schema
        self._writer: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        cells = {column: [_valid(row.get(column)) for row in rows] for column in self._columns}
        try:
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._stream, self._schema(cells))
            schema = self._writer.schema
            arrays = [self._array(values, schema.field(column)) for column, values in cells.items()]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"A column does not keep one type, as Parquet demands: {error}", "Write another format: --format jsonl"
            ) from error

    def _schema(self, cells: Mapping[str, list[Any]]) -> Any:
        """Take the types of a Parquet input as they are, infer the others from the first rows."""
        import pyarrow as pa

        known = {field.name: field for field in self._given} if self._given is not None else {}
        fields = []
        for column, values in cells.items():
            inferred = pa.string() if column in known else pa.array(values).type
            fields.append(known.get(column, pa.field(column, pa.string() if pa.types.is_null(inferred) else inferred)))
        return pa.schema(fields)

    def _array(self, values: list[Any], field: Any) -> Any:
        import pyarrow as pa

        if self._given is not None and field.name in self._given.names:
            return pa.array(values, field.type)
        # through its own type: a direct conversion would cut 0.5 to 0 in a column that began with whole numbers
        return pa.array(values).cast(field.type)

    def close(self) -> None:
        if self._writer is None:
            self.write([])
        self._writer.close()
