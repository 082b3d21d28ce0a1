"""Rows that could not be read, byte for byte, in a file of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from emotions_cli.streams.atomic import storage_errors


class RejectsFile:
    """Takes rejected rows as :attr:`ReadOptions.reject`.

    A run that is resumed reads the rows that were done once more, and so gives their rejects once more: they are in the
    file already and are not written again.
    """

    def __init__(self, stream: IO[bytes], path: Path, done: int) -> None:
        self._stream = stream
        self._path = path
        self._done = done
        self.length = 0

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, done: int = 0) -> Iterator[RejectsFile]:
        """Open the file.

        Args:
            path: Its path.
            done: Bytes in it that a resumed run wrote, :attr:`ResumableFile.rejects_bytes`; what follows is cut off.

        Raises:
            StorageError: It can't be written.
        """
        with storage_errors(path):
            if path.exists() and not path.is_file():
                # a device or a pipe has no beginning to go back to
                with path.open("wb") as stream:
                    yield cls(stream, path, 0)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b") as stream:
                # a shorter one is not the one that was written
                done = done if stream.seek(0, os.SEEK_END) >= done else 0
                stream.truncate(done)
                stream.seek(done)
                yield cls(stream, path, done)

    def write(self, data: bytes) -> None:
        """Append a row.

        Raises:
            StorageError: It can't be written.
        """
        new = max(self.length + len(data) - self._done, 0)
        self.length += len(data)
        if new:
            with storage_errors(self._path):
                self._stream.write(data[-new:])

    def flush(self) -> int:
        """Put everything on the disk; return the length for :meth:`ResumableFile.commit`.

        Raises:
            StorageError: It can't be written.
        """
        with storage_errors(self._path):
            self._stream.flush()
            if self._path.is_file():
                os.fsync(self._stream.fileno())
        return self.length
