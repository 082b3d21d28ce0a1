"""Write rows that are at hand to a file that appears when complete."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from emotions_cli.streams.atomic import storage_errors, whole_file
from emotions_cli.streams.compression import compress, join_frames
from emotions_cli.streams.encoders import RowEncoder, row_encoder
from emotions_cli.streams.formats import Compression, Format, compression_of
from emotions_cli.streams.rows import Record, Row


class RowWriter:
    """Takes rows in chunks and writes each chunk through to its stream."""

    def __init__(self, stream: IO[bytes], encoder: RowEncoder, compression: Compression) -> None:
        self._stream = stream
        self._encoder = encoder
        self._compression = compression
        self._write(encoder.header())

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows; CSV and Parquet take the columns that were announced, JSON Lines every key."""
        records = [Record(number, row) for number, row in enumerate(rows, start=1)]
        self._write(self._encoder.encode(records, [{}] * len(rows)))

    def _write(self, data: bytes) -> None:
        self._stream.write(compress(data, self._compression))
        self._stream.flush()


@contextmanager
def file_writer(path: Path, file_format: Format, columns: Sequence[str]) -> Iterator[RowWriter]:
    """Write rows to a file that appears when complete, compressed when its name ends in ``.gz`` or ``.zst``.

    Raises:
        StorageError: The file can't be written; what stood there before stays.
        DataError: A column can't be stored in Parquet.
    """
    encoder = row_encoder(file_format, columns, [])
    compression = Compression.NONE if file_format is Format.PARQUET else compression_of(path)
    with whole_file(path) as part, storage_errors(path), part.open("wb") as stream:
        if file_format is not Format.PARQUET and compression is not Compression.ZSTD:
            yield RowWriter(stream, encoder, compression)
            return
        with tempfile.TemporaryFile(dir=part.parent) as chunks:
            yield RowWriter(chunks, encoder, compression)
            if file_format is Format.PARQUET:
                from emotions_cli.streams.arrow import write_parquet

                write_parquet(chunks, stream)
            else:
                join_frames(chunks, stream)
