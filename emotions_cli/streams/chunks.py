"""Bytes as they arrive: read without waiting for more than is there, looked at before they are used, transcoded."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from emotions_cli.errors import DataError, UsageError

HEAD_BYTES = 1 << 16


class Fault(NamedTuple):
    """A byte that can't be decoded.

    Attributes:
        byte: Its value.
        offset: How many (decompressed) bytes of the input stand before it.
    """

    byte: int
    offset: int


class RawChunks:
    """Chunks of a binary stream, each one as soon as it is there; ``position`` counts the bytes read."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self._name = name
        self.position = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._read(HEAD_BYTES):
                self.position += len(chunk)
                yield chunk
        except OSError as error:
            raise DataError(f"'{self._name}' can't be read: {error.strerror or error}.", "Check the file or the pipe.") from error


class Lookahead:
    """Chunks that can be looked at before they are taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._ahead: deque[bytes] = deque()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._ahead.popleft() if self._ahead else next(self._chunks)

    def head(self, enough: Callable[[bytes], bool]) -> bytes:
        """Return the first bytes: as few chunks as it takes, up to 64 KiB; all there is when the stream ends before."""
        head = b"".join(self._ahead)
        while not (head and enough(head)) and len(head) < HEAD_BYTES:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            head += chunk
        self._ahead = deque([head] if head else [])
        return head


def text_encoding(name: str) -> str:
    """Return the canonical name of an encoding; a byte order mark makes no difference.

    Raises:
        UsageError: Python knows no such text encoding.
    """
    try:
        b"a".decode(name)
        # some codecs, such as punycode, can't say which byte is at fault
        b"\xff".decode(name, "replace")
    except UnicodeDecodeError:
        pass  # one byte is half a character of UTF-16
    except (LookupError, ValueError) as error:
        raise UsageError(f"There is no text encoding named '{name}'.", "For example utf-8, utf-16, cp1252, shift_jis.") from error
    canonical = codecs.lookup(name).name
    return "utf-8" if canonical == "utf-8-sig" else canonical


def keeps_ascii(encoding: str) -> bool:
    """Say whether every byte below 128 means itself, so that line ends can be found before decoding."""
    try:
        return all(bytes([byte]).decode(encoding) == chr(byte) for byte in range(128))
    except UnicodeError:
        return False


class Transcoder:
    """Decode a stream and give it out as UTF-8, with the byte 0xff, which UTF-8 never has, for what can't be decoded.

    Attributes:
        faults: The places of those bytes, in order.
    """

    def __init__(self, chunks: Iterable[bytes], encoding: str, name: str) -> None:
        self._chunks = chunks
        self._name = name
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._read = 0
        self.faults: deque[Fault] = deque()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                if text := self._decoded(chunk, final=False):
                    yield text
            if text := self._decoded(b"", final=True):
                yield text
        except UnicodeError as error:  # no byte is at fault: a byte order mark is missing
            raise DataError(
                f"'{self._name}' is not {self._encoding}: {error}.",
                "Without a byte order mark the order has a name: --encoding utf-16-le, or utf-16-be.",
            ) from error

    def _decoded(self, data: bytes, *, final: bool) -> bytes:
        self._read += len(data)
        pieces = []
        while True:
            try:
                pieces.append(_utf8(self._decoder.decode(data, final)))
                return b"\xff".join(pieces)
            except UnicodeDecodeError as error:
                whole = bytes(error.object)
                self.faults.append(Fault(whole[error.start], self._read - len(whole) + error.start))
                self._forget_pending()
                pieces.append(_utf8(self._decoder.decode(whole[: error.start])))
                self._forget_pending()
                data = whole[error.end :]

    def _forget_pending(self) -> None:
        self._decoder.setstate((b"", self._decoder.getstate()[1]))


def _utf8(text: str) -> bytes:
    # UTF-7 can spell half a surrogate pair
    return text.encode("utf-8", "replace")
