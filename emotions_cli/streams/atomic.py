"""Files and folders that appear under their name only when they are whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emotions_cli.errors import StorageError

DISK_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; moved into place at the end, removed on any error.

    A link is followed; a device or a pipe, such as ``/dev/stdout``, is written to directly.

    Raises:
        StorageError: The file can't be written.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            yield path
            return
        path = path.resolve() if path.is_symlink() else path
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o666 & ~_umask())
            _sync(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Yield a fresh folder beside ``path`` to fill; it takes the place of ``path`` at the end.

    On any error what stood at ``path`` stays, and the new folder is removed.

    Raises:
        StorageError: The folder can't be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        part.chmod(0o777 & ~_umask())
        try:
            yield part
            for file in part.rglob("*"):
                if file.is_file():
                    file.chmod(0o666 & ~_umask())
                    _sync(file)
            if path.exists():
                # a folder can't be replaced in one step where it is not empty
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
                path.replace(old / path.name)
                try:
                    part.replace(path)
                except OSError:
                    (old / path.name).replace(path)
                    raise
                finally:
                    shutil.rmtree(old, ignore_errors=True)
            else:
                part.replace(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Map the system's refusals to write at ``path`` to :class:`StorageError`; a closed pipe passes through."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in DISK_FULL:
            hint = "Make room on the disk or choose another place; what was saved before is untouched."
        else:
            hint = "Check the folder and its permissions, or choose another place."
        raise StorageError(f"'{path}' can't be written: {error.strerror or error}.", hint) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
