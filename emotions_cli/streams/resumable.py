"""Output that appears under its name only when whole, and goes on from the last whole chunk after any end."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from emotions_cli.errors import DataError, UsageError
from emotions_cli.streams.atomic import storage_errors
from emotions_cli.streams.compression import compress, join_frames
from emotions_cli.streams.formats import Compression
from emotions_cli.streams.journal import Journal, read_journal, write_journal
from emotions_cli.streams.locking import open_locked
from emotions_cli.streams.rows import Record


class InputDigest:
    """SHA-256 over records as they pass, to find out whether an input is still the one it was."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, record: Record) -> None:
        """Take one more record."""
        content = (repr(record.cells) if record.raw is None else record.raw).encode("utf-8", "surrogatepass")
        # the length keeps neighbours apart: "a", "bc" is not "ab", "c"
        self._hash.update(b"%d %d:%b" % (record.number, len(content), content))

    def hexdigest(self) -> str:
        """Return the digest of the records so far."""
        return self._hash.hexdigest()


class ResumableFile:
    """An output that is written in whole chunks.

    Bytes go to ``.NAME.part`` beside the target, and after each chunk a journal, ``.NAME.part.json``, says how far they
    are; :meth:`finish` moves them into place. Whatever ends the run before, part and journal stay (unless an error came before
    the first row), and a later run with ``resume`` goes on behind the last whole chunk. A device or a pipe, such as
    ``/dev/stdout``, is written to directly.

    Attributes:
        rows: Rows that are written, at first those of the run that is resumed.
        state: What the caller gave to the last :meth:`commit`, at first that of the run that is resumed.
        rejects_bytes: What the caller said there of its rejects, see :class:`~emotions_cli.streams.rejects.RejectsFile`.
        resumed: Whether an earlier run is continued.
        notes: Why it is not, although it was asked for.
    """

    def __init__(self, path: Path, *, request: Mapping[str, Any], resume: bool, parquet: bool, compression: Compression) -> None:
        """Open the part; see :meth:`open`."""
        # /dev/stdout is a link to something that has no path
        device = path.exists() and not path.is_file()
        self._target = path.resolve() if path.is_symlink() and not device else path
        self._parquet = parquet
        # Parquet is compressed inside, and its chunks have to be read again
        self._compression = Compression.NONE if parquet else compression
        self._journal = Journal(request=dict(request))
        self._digest = InputDigest()
        self._open = ExitStack()
        self.notes: list[str] = []
        self.resumed = False
        with storage_errors(path):
            if self._target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self._direct = self._target.exists() and not self._target.is_file()
            if self._direct:
                self._file = self._open_device(resume=resume)
            else:
                self._file = self._open_part(resume=resume)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        request: Mapping[str, Any],
        resume: bool = False,
        parquet: bool = False,
        compression: Compression = Compression.NONE,
    ) -> Self:
        """Begin an output, or go on with one; use it as a context manager.

        Args:
            path: Where it appears at the end.
            request: What decides over the content, as JSON: input, model, options, rows a chunk. A run goes on only
                with the same.
            resume: Go on with an unfinished output if there is one; else it is thrown away.
            parquet: Chunks are Arrow IPC streams, which become one Parquet file at the end.
            compression: What each chunk is packed in, alone: joined they are one stream. With ``parquet`` there is none.

        Raises:
            UsageError: The unfinished output has another request, or a device is to be resumed.
            StorageError: It can't be written, or another process is writing it.
        """
        return cls(path, request=request, resume=resume, parquet=parquet, compression=compression)

    @property
    def rows(self) -> int:
        """Rows that are written."""
        return self._journal.rows

    @property
    def state(self) -> dict[str, Any]:
        """What the caller gave to the last commit."""
        return self._journal.state

    @property
    def rejects_bytes(self) -> int:
        """Bytes of rejects at the last commit."""
        return self._journal.rejects_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # what a full disk did not take would be refused once more
        with suppress(OSError) if error is not None else storage_errors(self._target):
            self._open.close()
        if error is not None and self.rows == 0 and not self._direct:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)
                self._journal_path.unlink(missing_ok=True)

    def drop_done(self, records: Iterator[Record], name: str) -> None:
        """Read over the rows an earlier run wrote.

        Raises:
            DataError: They are not the rows that run read.
        """
        left = self.rows
        while left and (record := next(records, None)) is not None:
            self._digest.update(record)
            left -= 1
        if left or (self.resumed and self._digest.hexdigest() != self._journal.input):
            raise DataError(
                f"'{name}' is not what it was when its first {self.rows:,} rows were answered.", "Start over without --resume."
            )

    def write_header(self, data: bytes) -> None:
        """Write what stands before the first row; an earlier run has done so."""
        if not self.resumed:
            self._append(data, self._journal.state, self.rejects_bytes)

    def commit(
        self, data: bytes, records: Sequence[Record], *, state: Mapping[str, Any] | None = None, rejects_bytes: int = 0
    ) -> None:
        """Write a whole chunk; from here on it need not be computed again.

        Args:
            data: The chunk, encoded.
            records: The rows it holds.
            state: The caller's counters, as JSON, to be given back by :attr:`state`.
            rejects_bytes: Length of the caller's rejects, which are on the disk.

        Raises:
            StorageError: It can't be written.
        """
        for record in records:
            self._digest.update(record)
        self._append(data, dict(state or {}), rejects_bytes, rows=len(records))

    def finish(self) -> None:
        """Put the output in its place and remove what was needed to resume it.

        Raises:
            StorageError: It can't be written.
            DataError: A column can't be stored in Parquet.
        """
        with storage_errors(self._target):
            if self._parquet or (self._compression is Compression.ZSTD and not self._direct):
                self._join()
            elif not self._direct:
                if self._journal.bytes == 0:
                    # no bytes at all are no gzip file
                    self._append(b"", self.state, self.rejects_bytes)
                self._move(self._part)
            if not self._direct:
                self._journal_path.unlink(missing_ok=True)
            self._open.close()

    @property
    def _part(self) -> Path:
        return self._target.with_name(f".{self._target.name}.part")

    @property
    def _journal_path(self) -> Path:
        return self._target.with_name(f".{self._target.name}.part.json")

    def _open_device(self, *, resume: bool) -> IO[bytes]:
        if resume:
            raise UsageError(f"'{self._target}' is no file: there is nothing to resume.", "Leave out --resume.")
        if self._parquet:
            return self._open.enter_context(tempfile.TemporaryFile())
        return self._open.enter_context(self._target.open("wb"))

    def _open_part(self, *, resume: bool) -> IO[bytes]:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opening:
            file = opening.enter_context(open_locked(self._part))
            if resume:
                self._take_up(file)
            if not self.resumed:
                self._note_lost(resume=resume)
                # in this order no journal ever speaks of bytes that are gone
                self._journal_path.unlink(missing_ok=True)
            file.truncate(self._journal.bytes)
            file.seek(self._journal.bytes)
            self._open = opening.pop_all()
        return file

    def _take_up(self, file: IO[bytes]) -> None:
        """Go on with the earlier run, or note why that can't be."""
        length = file.seek(0, os.SEEK_END)
        journal, complaint = read_journal(self._journal_path)
        if journal is not None and length < journal.bytes:
            journal, complaint = None, "its unfinished part is shorter than it should be"
        if journal is None:
            self.notes.append(f"'{self._target}' starts from the first row: {complaint}")
            return
        journal.require_same(self._journal, self._part)
        self._journal = journal
        self.resumed = True

    def _note_lost(self, *, resume: bool) -> None:
        journal, _ = read_journal(self._journal_path)
        if journal is not None and journal.rows and not resume:
            self.notes.append(
                f"starting over: {journal.rows:,} answered rows of a run that was stopped are dropped (--resume keeps them)"
            )

    def _append(self, data: bytes, state: dict[str, Any], rejects_bytes: int, *, rows: int = 0) -> None:
        with storage_errors(self._target):
            packed = compress(data, self._compression)
            self._file.write(packed)
            self._file.flush()
            self._journal.bytes += len(packed)
            self._journal.rows += rows
            self._journal.state = state
            self._journal.rejects_bytes = rejects_bytes
            self._journal.input = self._digest.hexdigest()
            if not self._direct:
                os.fsync(self._file.fileno())
                write_journal(self._journal, self._journal_path)

    def _join(self) -> None:
        """Make one Parquet file of Arrow IPC streams, or one frame of Zstandard frames."""
        if self._direct:
            with self._target.open("wb") as device:
                self._join_to(device)
            return
        joined = self._part.with_suffix(".part.joined")
        try:
            with joined.open("wb") as out:
                self._join_to(out)
                out.flush()
                os.fsync(out.fileno())
            self._move(joined)
            # before the lock goes: later it may be the part of another process
            self._part.unlink()
        finally:
            joined.unlink(missing_ok=True)

    def _join_to(self, out: IO[bytes]) -> None:
        if self._parquet:
            from emotions_cli.streams.arrow import write_parquet

            write_parquet(self._file, out)
        else:
            join_frames(self._file, out)

    def _move(self, whole: Path) -> None:
        if os.name == "nt":
            self._open.close()  # Windows moves no open file
        whole.replace(self._target)
