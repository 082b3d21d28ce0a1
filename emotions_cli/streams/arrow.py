"""Rows for Parquet: chunks as Arrow IPC streams that stand for themselves, joined into one file at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

from emotions_cli.errors import DataError
from emotions_cli.extras import require
from emotions_cli.streams.jsonl import json_text
from emotions_cli.streams.rows import Answer, Record

# marks a column of no type because it had no values yet, unlike one whose type in the input is "null"
_UNTYPED = {b"emotions_cli": b"untyped"}


class ArrowEncoder:
    """Turns every chunk into one Arrow IPC stream; chunks can be joined, and :func:`write_parquet` reads them.

    Columns of a Parquet input keep their types; others get the type of their values, chunk by chunk.
    """

    def __init__(self, source_columns: Sequence[str], new_columns: Sequence[str], *, schema: Any = None) -> None:
        require("parquet", "Writing Parquet")
        self._old, self._new = list(source_columns), list(new_columns)
        self._schema = schema

    def header(self) -> bytes:
        """Return a chunk without rows, which keeps the columns when no other follows."""
        return self.encode([], [])

    def encode(self, records: Sequence[Record], answers: Sequence[Answer]) -> bytes:
        """Return one Arrow IPC stream."""
        import pyarrow as pa

        arrays, fields = self._given(records)
        for column in self._new:
            array = _new_array([answer.get(column) for answer in answers])
            arrays.append(array)
            fields.append(_field(column, array))
        schema = pa.schema(fields, None if self._schema is None else self._schema.metadata)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def _given(self, records: Sequence[Record]) -> tuple[list[Any], list[Any]]:
        """Return the columns of the input and their fields."""
        import pyarrow as pa

        if self._schema is not None and all(record.arrow is not None for record in records):
            batches = [batch.slice(start, length) for batch, start, length in _runs(records)]
            table = pa.Table.from_batches(batches, self._schema)
            return list(table.columns), list(self._schema)
        arrays = [_array([record.cells.get(column) for record in records]) for column in self._old]
        return arrays, [_field(column, array) for column, array in zip(self._old, arrays, strict=True)]


def _field(column: str, array: Any) -> Any:
    import pyarrow as pa

    return pa.field(column, array.type, metadata=_UNTYPED if pa.types.is_null(array.type) else None)


def _runs(records: Sequence[Record]) -> Iterator[tuple[Any, int, int]]:
    """Put rows that follow each other in a batch together: batch, first row, number of rows."""
    run: tuple[Any, int, int] | None = None
    for record in records:
        assert record.arrow is not None
        batch, index = record.arrow
        if run is not None and run[0] is batch and index == run[1] + run[2]:
            run = (batch, run[1], run[2] + 1)
        else:
            if run is not None:
                yield run
            run = (batch, index, 1)
    if run is not None:
        yield run


def _new_array(values: list[Any]) -> Any:
    import pyarrow as pa

    first = next((value for value in values if value is not None), None)
    if isinstance(first, str):
        return pa.array([_valid(value) for value in values], pa.string())
    if isinstance(first, list):
        return pa.array(values, pa.list_(pa.string()))
    return pa.array(values)


def _array(values: list[Any]) -> Any:
    """Infer a type; values of several types, or of one that Parquet has not, become texts."""
    import pyarrow as pa

    values = [_valid(value) for value in values]
    try:
        array = pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _texts(values)
    return array if _is_writable(array.type) else _texts(values)


def _texts(values: list[Any]) -> Any:
    import pyarrow as pa

    texts = (value if isinstance(value, str) or value is None else json_text(value) for value in values)
    return pa.array([_valid(text) for text in texts], pa.string())


def _is_writable(kind: Any) -> bool:
    """Say whether Parquet has the type: it knows no struct without fields."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(_is_writable(field.type) for field in kind)
    return _is_writable(kind.value_type) if pa.types.is_list(kind) else True


def _valid(value: Any) -> Any:
    """Replace what has no UTF-8: Arrow refuses it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) and not value.isascii() else value


def write_parquet(ipc_chunks: IO[bytes], out: IO[bytes]) -> None:
    """Join Arrow IPC streams into one Parquet file, a row group for each with rows.

    A column whose type changes from chunk to chunk gets one that holds them all, at last texts.

    Args:
        ipc_chunks: The streams one behind the other, from the first byte on; must be seekable. It is read twice.
        out: Where the file goes.

    Raises:
        DataError: A column has a type that Parquet can't hold.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = None
    for table in _tables(ipc_chunks):
        schema = table.schema if schema is None else _common_schema(schema, table.schema)
    schema = pa.schema([]) if schema is None else _storable_schema(schema)
    try:
        with pq.ParquetWriter(out, schema) as writer:
            for table in _tables(ipc_chunks):
                if table.num_rows:
                    writer.write_table(_fitted(table, schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"Parquet can't hold a column: {error}", "Write another format: --format jsonl") from error


def _tables(ipc_chunks: IO[bytes]) -> Iterator[Any]:
    import pyarrow as pa

    end = ipc_chunks.seek(0, 2)
    ipc_chunks.seek(0)
    while ipc_chunks.tell() < end:
        with pa.ipc.open_stream(ipc_chunks) as reader:
            yield reader.read_all()


def _common_schema(first: Any, second: Any) -> Any:
    """Return a schema whose columns hold the values of both."""
    if first.equals(second):
        return first
    return _with_fields(first, [_common_field(a, b) for a, b in zip(first, second, strict=True)])


def _common_field(first: Any, second: Any) -> Any:
    import pyarrow as pa

    if first.equals(second):
        return first
    try:
        merged = pa.unify_schemas([pa.schema([first]), pa.schema([second])], promote_options="permissive")
    except (pa.ArrowException, ValueError):
        return pa.field(first.name, pa.string())
    return merged.field(0)


def _storable_schema(schema: Any) -> Any:
    """Give columns that never had a value the type of texts."""
    return _with_fields(schema, [_storable_field(field) for field in schema])


def _storable_field(field: Any) -> Any:
    import pyarrow as pa

    if field.metadata != _UNTYPED:
        return field
    return pa.field(field.name, pa.string() if pa.types.is_null(field.type) else field.type)


def _with_fields(schema: Any, fields: Sequence[Any]) -> Any:
    import pyarrow as pa

    return pa.schema(fields, schema.metadata)


def _fitted(table: Any, schema: Any) -> Any:
    import pyarrow as pa

    columns = [_cast(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: Any, kind: Any) -> Any:
    import pyarrow as pa

    if column.type == kind:
        return column
    if kind == pa.string():
        return _texts(column.to_pylist())
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        # structs that gain a field, and whole numbers beyond what a column of fractions tells apart
        return pa.array(column.to_pylist(), kind) if pa.types.is_nested(kind) else column.cast(kind, safe=False)
