"""gzip and Zstandard, as chunks of bytes that come and go."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Protocol

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Compression

# four bytes of Zstandard can stand for 128 KiB: small bites keep what comes out at once small
ZSTD_BITE = 4096
GZIP_LEVEL = 6


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def compress(data: bytes, compression: Compression) -> bytes:
    """Return ``data`` as one gzip member or Zstandard frame, which depends on ``data`` alone; members can be joined."""
    if compression is Compression.GZIP:
        return gzip.compress(data, GZIP_LEVEL, mtime=0)
    if compression is Compression.ZSTD:
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return data


def join_frames(frames: IO[bytes], out: IO[bytes]) -> None:
    """Pack Zstandard frames again as a single one: pandas and python-zstandard read no further than the first.

    Args:
        frames: One behind the other, from the first byte on; must be seekable.
        out: Where the frame goes.
    """
    import zstandard

    frames.seek(0)
    chunks = iter(lambda: frames.read(1 << 16), b"")
    with zstandard.ZstdCompressor(write_checksum=True).stream_writer(out, closefd=False) as writer:
        for plain in decompressed(chunks, Compression.ZSTD, "the unfinished part"):
            writer.write(plain)


def decompressed(chunks: Iterable[bytes], compression: Compression, name: str) -> Iterator[bytes]:
    """Unpack a stream of any number of members.

    Raises:
        DataError: It is damaged or cut off.
    """
    if compression is Compression.NONE:
        yield from chunks
        return
    start, errors = _decompressors(compression)
    machine: _Decompressor | None = None
    try:
        for chunk in chunks:
            for bite in _bites(chunk, compression):
                data = bite
                while data:
                    machine = machine or start()
                    plain = machine.decompress(data)
                    data = b""
                    if machine.eof:
                        # gzip files may be padded with zeros
                        data, machine = machine.unused_data.lstrip(b"\0"), None
                    if plain:
                        yield plain
    except errors as error:
        raise DataError(f"'{name}' is damaged: {error} ({compression}).", "Fetch or compress the file again.") from error
    if machine is not None:
        raise DataError(f"'{name}' is cut off: its {compression} data has no end.", "Fetch or compress the file again.")


def _bites(chunk: bytes, compression: Compression) -> Iterable[bytes]:
    if compression is Compression.ZSTD:
        return (chunk[start : start + ZSTD_BITE] for start in range(0, len(chunk), ZSTD_BITE))
    return [chunk]


def _decompressors(compression: Compression) -> tuple[Callable[[], _Decompressor], type[Exception]]:
    if compression is Compression.GZIP:
        return lambda: zlib.decompressobj(wbits=31), zlib.error
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError
