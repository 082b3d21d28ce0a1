"""Lines of a byte stream, decoded one by one, so that every broken byte has a line and an offset."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from emotions_cli.errors import DataError
from emotions_cli.streams.chunks import Fault
from emotions_cli.streams.rows import Record, Refusal

LONGEST = 64 << 20  # bytes of a record; more is a quote that was never closed, or no text at all

BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class RecordTooLong(Exception):
    """A record does not end within :data:`LONGEST` bytes."""


class Lines:
    """Iterate over lines with their ends; each iterator goes on where the one before stopped.

    Attributes:
        name: The input's name.
        encoding: What the input is written in.
        texts: The lines handed out since :meth:`begin`, decoded.
        datas: The bytes of these lines.
        fault: The first byte in them that can't be decoded; U+FFFD stands for it.
        ended: Whether a line was asked for when there was none left.
        number: How many lines were handed out.
    """

    def __init__(
        self, chunks: Iterable[bytes], name: str, encoding: str, *, lone_returns: bool, faults: deque[Fault] | None = None
    ) -> None:
        """Read from chunks.

        Args:
            chunks: Bytes of the input, or UTF-8 when it was transcoded.
            name: The input's name.
            encoding: What the input is written in.
            lone_returns: Whether a ``\\r`` without ``\\n`` ends a line, as in CSV.
            faults: Of a transcoded input the places that could not be decoded, in order; 0xff stands there.
        """
        self.name = name
        self.encoding = encoding
        self._faults = faults
        self._codec = encoding if faults is None else "utf-8"
        split = _split_universal if lone_returns else _split_newlines
        self._source: Iterator[bytes] = split(chunks, name)
        self._returned: deque[bytes] = deque()
        self._offset = 0
        self._drop_bom()
        self._start = self._offset
        self.texts: list[str] = []
        self.datas: list[bytes] = []
        self.fault: Fault | None = None
        self.ended = False
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        codec, texts, datas = self._codec, self.texts, self.datas
        while True:
            data = self._returned.popleft() if self._returned else next(self._source, None)
            if data is None:
                break
            self.number += 1
            try:
                text = data.decode(codec)
            except UnicodeDecodeError as error:
                text = self._mended(data, error)
            self._offset += len(data)
            texts.append(text)
            datas.append(data)
            if self._offset - self._start > LONGEST and len(datas) > 1:
                raise RecordTooLong
            yield text
        self.ended = True

    def begin(self) -> None:
        """Forget the lines handed out: a new record begins."""
        self.texts.clear()
        self.datas.clear()
        self.fault = None
        self._start = self._offset

    def put_back(self, datas: Sequence[bytes]) -> None:
        """Let the last lines handed out come once more; when the input had ended, from the next iterator."""
        self._returned.extendleft(reversed(datas))
        self._offset -= sum(map(len, datas))
        self.number -= len(datas)
        self.ended = False

    def undecodable(self, row: int | None) -> DataError:
        """Return the error for :attr:`fault`; ``row`` is ``None`` in a header."""
        assert self.fault is not None
        place = "header" if row is None else f"row {row}"
        encoding = "UTF-8" if self.encoding == "utf-8" else self.encoding
        return DataError(
            f"'{self.name}' {place} (line {self.number}) is not {encoding}: "
            f"byte 0x{self.fault.byte:02x} at offset {self.fault.offset} can't be decoded.",
            "Name its encoding, for example --encoding cp1252, or go on without such rows: --on-error skip.",
        )

    def _mended(self, data: bytes, error: UnicodeDecodeError) -> str:
        fault = Fault(data[error.start], self._offset + error.start)
        if self._faults is not None:
            # lines that were put back have none left
            known = [self._faults.popleft() for _ in range(min(data.count(b"\xff"), len(self._faults)))]
            fault = known[0] if known else fault
        self.fault = self.fault or fault
        return data.decode(self._codec, "replace")

    def _drop_bom(self) -> None:
        first = next(self._source, b"")
        if self._codec == "utf-8" and first.startswith(_UTF_16_BOMS) and self._faults is None:
            raise DataError(
                f"'{self.name}' is not UTF-8: byte 0x{first[0]:02x} at offset 0 can't be decoded.",
                "It begins like UTF-16: --encoding utf-16",
            )
        if self._codec == "utf-8" and first.startswith(BOM):
            first = first[len(BOM) :]
            self._offset = len(BOM)
        if first:
            self._returned.append(first)


def without_end(line: str) -> str:
    """Return a line without its ``\\n`` or ``\\r\\n``."""
    if line.endswith("\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith("\n") else line


def text_records(lines: Lines, refusal: Refusal) -> Iterator[Record]:
    """Take every line as a text."""
    for number, line in enumerate(lines, start=1):
        text = without_end(line)
        if lines.fault is None:
            yield Record(number, {"text": text}, text)
        elif refusal.keeps(lines.undecodable(number), lines.datas[0]):
            yield Record(number, {"text": text}, text, "undecodable")
        lines.begin()


def _split_newlines(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Split at ``\\n``."""
    pieces: list[bytes] = []
    for chunk in chunks:
        if b"\n" not in chunk:
            _hold(pieces, chunk, name)
            continue
        lines = io.BytesIO(b"".join([*pieces, chunk])).readlines()
        pieces = [] if chunk.endswith(b"\n") else [lines.pop()]
        yield from lines
    if pieces:
        yield b"".join(pieces)


def _split_universal(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Split at ``\\n``, ``\\r\\n`` and ``\\r``."""
    pieces: list[bytes] = []
    for chunk in chunks:
        if b"\n" not in chunk and b"\r" not in chunk and not (pieces and pieces[-1].endswith(b"\r")):
            _hold(pieces, chunk, name)
            continue
        lines = b"".join([*pieces, chunk]).splitlines(keepends=True)
        # a line may go on in the next chunk, also after \r: the other half of \r\n
        pieces = [] if chunk.endswith(b"\n") else [lines.pop()]
        yield from lines
    if pieces:
        yield b"".join(pieces)


def _hold(pieces: list[bytes], chunk: bytes, name: str) -> None:
    if sum(map(len, pieces)) + len(chunk) > LONGEST:
        raise DataError(f"'{name}' has a line of more than {LONGEST >> 20} MiB.", "Name its format: it may be no text at all.")
    pieces.append(chunk)
