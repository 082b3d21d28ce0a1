"""Files that one process at a time may write."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from emotions_cli.errors import StorageError

# network file systems without locks
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

if sys.platform == "win32":
    import msvcrt

    # locked bytes can't be read by others: one far behind any content
    _FAR = 1 << 40

    def _try_lock(file: IO[bytes]) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


SECONDS_BETWEEN_TRIES = 0.1


@contextmanager
def open_locked(path: Path, *, wait: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for reading and writing, created when it is not there; the lock goes when it is closed.

    Args:
        path: The file.
        wait: Wait until no other process has it locked.

    Raises:
        StorageError: Another process has it locked.
    """
    while True:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b") as file:
            try:
                _try_lock(file)
            except OSError as error:
                if wait and error.errno not in _NO_LOCKS:
                    time.sleep(SECONDS_BETWEEN_TRIES)
                    continue
                if error.errno not in _NO_LOCKS:
                    raise StorageError(
                        f"'{path}' is being written by another process.", "Wait for its end, or stop it."
                    ) from error
            if _is_at(file, path):
                yield file
                return
        # it was finished and moved away between opening and locking: what is locked has another name by now


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
