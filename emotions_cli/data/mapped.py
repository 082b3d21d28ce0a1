"""Texts of data sets that are larger than memory: Arrow files on the disk, mapped, and read a piece at a time."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from emotions_cli.errors import DataError
from emotions_cli.extras import require
from emotions_cli.streams.atomic import storage_errors, whole_file
from emotions_cli.streams.hashing import sha256_of
from emotions_cli.streams.locking import open_locked
from emotions_cli.streams.mapped import MappedFile
from emotions_cli.streams.parquet import decoded

# smaller files are read as a whole
LARGE_BYTES, LARGE_ROWS = 64_000_000, 200_000
ROWS_AT_ONCE = 10_000


class MappedTexts(Sequence[str]):
    """Texts in a column of Arrow files; where a file has none, the text is empty.

    Args:
        chunks: The column's pieces, one behind the other.
        files: What the pieces lie in.
        rows: Which texts of the column these are, ascending; ``None`` for all.
    """

    def __init__(self, chunks: Sequence[Any], files: Sequence[MappedFile], rows: NDArray[np.int64] | None = None) -> None:
        self.chunks, self.files = chunks, files
        self._starts = np.cumsum([0, *map(len, chunks)])
        self._rows = rows

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if not isinstance(index, slice):
            if not -len(self) <= index < len(self):
                raise IndexError(index)
            return self._read(self._places(slice(index % len(self), index % len(self) + 1)))[0]
        return self._read(self._places(index))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), ROWS_AT_ONCE):
            yield from self[start : start + ROWS_AT_ONCE]

    def take(self, indices: NDArray[np.int64]) -> MappedTexts:
        """Return some of the texts, without reading them."""
        return MappedTexts(self.chunks, self.files, indices if self._rows is None else self._rows[indices])

    def _places(self, index: slice) -> NDArray[np.int64]:
        return np.arange(*index.indices(len(self))) if self._rows is None else self._rows[index]

    def _read(self, rows: NDArray[np.int64]) -> list[str]:
        import pyarrow as pa

        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        ends = [*(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
        texts: list[str | None] = []
        for begin, end in itertools.pairwise([0, *ends]):
            if begin < end:
                number = numbers[begin]
                texts += self.chunks[number].take(pa.array(rows[begin:end] - self._starts[number])).to_pylist()
        for file in self.files:
            file.release()
        return ["" if text is None else text for text in texts]


def joined(parts: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return texts one behind the other."""
    if len(parts) == 1:
        return parts[0]
    mapped = [part for part in parts if isinstance(part, MappedTexts)]
    if len(mapped) < len(parts):
        return [text for part in parts for text in part]
    return MappedTexts([chunk for part in mapped for chunk in part.chunks], [file for part in mapped for file in part.files])


def mapped_texts(files: Sequence[Path], column: str) -> MappedTexts:
    """Map a column of texts in Arrow files, in the stream format."""
    mapped = [MappedFile(path) for path in files]
    return MappedTexts([chunk for file in mapped for chunk in _table(file).column(column).chunks], mapped)


def column_of(files: Sequence[Path], column: str) -> Iterator[Any]:
    """Read a column of Arrow files, in the stream format, cell by cell."""
    for path in files:
        file = MappedFile(path)
        for chunk in _table(file).column(column).chunks:
            yield from chunk.to_pylist()
            file.release()


def _table(file: MappedFile) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(file.buffer)) as stream:
        return stream.read_all()


def is_large(path: Path) -> bool:
    """Say whether a Parquet file is better not read into memory as a whole; what is no Parquet file is not."""
    require("parquet", "Reading Parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        # whoever reads it says what is wrong, or unpacks it
        return False
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return bool(size >= LARGE_BYTES or metadata.num_rows >= LARGE_ROWS)


def arrow_copy(path: Path, text_column: str, label_column: str, cache: Path) -> Path:
    """Return two columns of a Parquet file as an Arrow file in the stream format; it is made once for every content.

    Raises:
        DataError: The Parquet file is damaged.
        StorageError: The cache can't be written.
    """
    import pyarrow as pa

    columns = [text_column, label_column]
    name = hashlib.sha256("\0".join(columns).encode()).hexdigest()[:8]
    copy = cache / "data" / f"{sha256_of(path)}-{name}.arrow"
    with storage_errors(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
    # all processes of a run want it
    with open_locked(copy.with_suffix(".lock"), wait=True):
        if not _is_whole(copy):
            batches = _batches(path, columns)
            first = next(batches)
            with whole_file(copy) as part, pa.ipc.new_stream(str(part), first.schema) as writer:
                for batch in itertools.chain([first], batches):
                    writer.write_batch(batch)
            with whole_file(_hash_of(copy)) as part:
                part.write_text(sha256_of(copy), encoding="ascii")
    return copy


def _hash_of(copy: Path) -> Path:
    return copy.with_suffix(".sha256")


def _is_whole(copy: Path) -> bool:
    try:
        return _hash_of(copy).read_text(encoding="ascii") == sha256_of(copy)
    except (OSError, ValueError):
        return False


def _batches(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """Read texts and labels of a Parquet file that has rows; texts become strings whatever they were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                batch.validate(full=True)
                texts, labels = (decoded(batch.column(name)) for name in columns)
                if pa.types.is_binary(texts.type) or pa.types.is_large_binary(texts.type):
                    raise DataError(f"'{path}' has texts that are no UTF-8.", "Write them as strings.")
                if not pa.types.is_string(texts.type):
                    texts = pa.array([None if text is None else str(text) for text in texts.to_pylist()], pa.string())
                yield pa.RecordBatch.from_arrays([texts, labels], names=list(columns))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is damaged: {error}", "Fetch or write the file again.") from error
