"""Files mapped into memory: read where they lie, and shared by all processes that read them."""

from __future__ import annotations

import mmap
from pathlib import Path


class MappedFile:
    """The content of a file, read-only; the file must not be empty.

    Attributes:
        buffer: Its bytes, taken from the disk when they are looked at.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self.buffer = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    def release(self) -> None:
        """Let go of what was looked at, where the system can: it would count as this process's memory.

        What lies in the buffer stays valid, and is taken from the disk's cache anew.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self.buffer.madvise(mmap.MADV_DONTNEED)
