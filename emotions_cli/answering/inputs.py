"""Several inputs as one stream of records with the same columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import ReadOptions, open_rows
from emotions_cli.streams.rows import Counts, Record, RowSource


@contextmanager
def open_files(paths: Sequence[Path], options: ReadOptions) -> Iterator[RowSource]:
    """Open files one after the other, as one source with the columns of the first.

    Raises:
        DataError: A file can't be opened, or has other columns than the first; see :func:`open_rows`.
    """
    with ExitStack() as stack:
        first = stack.enter_context(open_rows(paths[0], options))
        if len(paths) == 1:
            yield first
            return
        # rows that can't be read are counted and written down when they are read to be answered
        glance = replace(options, reject=None)
        # a pipe can be read only once: what it holds is seen when its turn comes
        for path in (path for path in paths[1:] if path.is_file() or not path.exists()):
            # before anything is answered: a file that does not fit must not be found after an hour
            with open_rows(path, glance) as other:
                _refuse_others(first, other)
        yield _Chain(first, paths[1:], options).source()


class _Chain:
    def __init__(self, first: RowSource, rest: Sequence[Path], options: ReadOptions) -> None:
        self._first = first
        self._current = first
        self._rest = rest
        self._options = options
        self._finished_bytes = 0
        self._counts = Counts()

    def source(self) -> RowSource:
        sizes = [self._first.size, *(path.stat().st_size if path.is_file() else None for path in self._rest)]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        name = f"{self._first.name} and {len(self._rest)} more"
        return replace(
            self._first,
            name=name,
            records=self._records(),
            size=total,
            position=lambda: self._finished_bytes + self._current.position(),
            counts=self._counts,
        )

    def _records(self) -> Iterator[Record]:
        yield from self._numbered(self._first)
        for path in self._rest:
            self._finished_bytes += self._current.position()
            with open_rows(path, self._options) as source:
                self._current = source
                _refuse_others(self._first, source)
                yield from self._numbered(source)

    def _numbered(self, source: RowSource) -> Iterator[Record]:
        """Yield a source's records; what can't stand beside those of the first as it is, is written anew."""
        same = (source.format, source.delimiter, source.columns) == (
            self._first.format,
            self._first.delimiter,
            self._first.columns,
        )
        before = replace(self._counts)
        try:
            for record in source.records:
                yield record if same else record._replace(raw=None, arrow=None)
        finally:
            for name in ("skipped", "kept", "short", "long"):
                setattr(self._counts, name, getattr(before, name) + getattr(source.counts, name))


def _refuse_others(first: RowSource, other: RowSource) -> None:
    if first.format is other.format is Format.JSONL:
        return  # rows of JSON Lines need not have the same fields
    if set(first.columns) != set(other.columns):
        apart = sorted(set(first.columns) ^ set(other.columns))
        raise DataError(
            f"'{other.name}' has other columns than '{first.name}' ({', '.join(apart[:5])}).",
            "Answer files with different columns one by one.",
        )
    if first.schema is not None and other.schema is not None and not first.schema.equals(other.schema):
        raise DataError(f"'{other.name}' has other types than '{first.name}'.", "Answer them one by one.")
