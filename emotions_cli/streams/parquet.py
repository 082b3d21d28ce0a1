"""Parquet in batches: rows for Python, and beside them the Arrow batch, whose types Python can't tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from emotions_cli.errors import DataError
from emotions_cli.extras import require
from emotions_cli.streams.formats import Format
from emotions_cli.streams.rows import Record, RowSource, refuse_twins

ROWS_AT_ONCE = 1024


def parquet_source(stream: IO[bytes], name: str, size: int | None = None) -> RowSource:
    """Open a Parquet file, which must be seekable; its position is estimated by rows.

    Raises:
        DataError: It is no Parquet file or holds two columns of one name; rows raise it when pages are damaged.
        DependencyMissing: pyarrow is not installed.
    """
    require("parquet", "Reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{name}' is not a Parquet file: {error}", "Check the file, or name its format.") from error
    schema = file.schema_arrow
    columns = tuple(schema.names)
    refuse_twins(columns, name)
    batches = _Batches(file, name)
    source = RowSource(name, Format.PARQUET, columns, batches.records(columns), header=True, schema=schema, size=size)
    source.position = lambda: batches.share(size or 0)
    return source


class _Batches:
    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name
        self._read = 0

    def share(self, of: int) -> int:
        """Return the part of a whole that the rows read so far are."""
        rows: int = self._file.metadata.num_rows
        return of * self._read // rows if rows else of

    def records(self, columns: tuple[str, ...]) -> Iterator[Record]:
        import pyarrow as pa

        try:
            for batch in self._file.iter_batches(ROWS_AT_ONCE):
                values = [_values(column) for column in batch.columns]
                # a file may have rows without columns
                rows = zip(*values, strict=True) if values else [()] * batch.num_rows
                for index, row in enumerate(rows):
                    self._read += 1
                    yield Record(self._read, dict(zip(columns, row, strict=True)), None, None, (batch, index))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{self._name}' is damaged: {error}", "Fetch or write the file again.") from error


def decoded(column: Any) -> Any:
    """Return a column of bytes as one of strings, where they are UTF-8: some programs write strings so."""
    import pyarrow as pa

    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return column


def _values(column: Any) -> list[Any]:
    """Return Python values; times finer than Python's as texts, inside of lists and structs cut to microseconds."""
    import pyarrow as pa

    column = decoded(column)
    coarse = _coarse(column.type)
    try:
        if coarse == column.type:
            values: list[Any] = column.to_pylist()
        else:
            values = column.cast(coarse).to_pylist()
        return values
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, OverflowError):
        pass
    if pa.types.is_timestamp(column.type) or pa.types.is_time(column.type) or pa.types.is_date(column.type):
        return list(column.cast(pa.string()).to_pylist())
    return list(column.cast(coarse, safe=False).to_pylist())


def _coarse(kind: Any) -> Any:
    """Return an Arrow type with microseconds for nanoseconds, which Python has no values for."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if kind == pa.time64("ns"):
        return pa.time64("us")
    if kind == pa.duration("ns"):
        return pa.duration("us")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarse(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_coarse(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_coarse(kind.value_type)), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_coarse(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_coarse(kind.key_type), _coarse(kind.item_type))
    if pa.types.is_dictionary(kind):
        value = _coarse(kind.value_type)
        return kind if value == kind.value_type else value
    return kind
