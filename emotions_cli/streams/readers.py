"""Read rows one after the other, whatever they are packed in, encoded in and separated by."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from emotions_cli.errors import DataError
from emotions_cli.streams.atomic import storage_errors
from emotions_cli.streams.chunks import Lookahead, RawChunks, Transcoder, keeps_ascii, text_encoding
from emotions_cli.streams.compression import decompressed
from emotions_cli.streams.delimited import delimited_source
from emotions_cli.streams.formats import DELIMITERS, Compression, Format, format_of, is_foreign, require_format
from emotions_cli.streams.jsonl import json_source
from emotions_cli.streams.lines import Lines, text_records
from emotions_cli.streams.parquet import parquet_source
from emotions_cli.streams.rows import Counts, OnError, ReadOptions, Record, Refusal, Row, RowSource
from emotions_cli.streams.sniffing import (
    PARQUET_MAGIC,
    TEXT_NAMES,
    may_begin_magic,
    sniff_compression,
    sniff_delimiter,
    sniff_dialect,
    sniff_format,
    tells_format,
)

__all__ = ["OnError", "ReadOptions", "Record", "Row", "RowSource", "open_rows", "read_stream", "source_of_texts"]


# compressions that people have, but that are not read
FOREIGN_MAGICS = {b"BZh": "bzip2", b"PK\x03\x04": "zip (or a spreadsheet)", b"\xfd7zXZ\x00": "xz", b"7z\xbc\xaf": "7-Zip"}


@contextmanager
def open_rows(path: Path, options: ReadOptions | None = None) -> Iterator[RowSource]:
    """Open a file of rows; a name that says no format leaves it to the first bytes.

    Raises:
        DataError: The file is missing, unreadable, empty, or breaks its format; records raise it as they are read.
        UsageError: There is no such encoding.
    """
    options = options or ReadOptions()
    if options.file_format is None:
        options = replace(options, file_format=format_of(path))
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"File '{path}' is not there.", "Check the path; it is taken from the working directory.") from None
    except IsADirectoryError:
        raise DataError(f"'{path}' is a folder, not a file.", "Name a file in it.") from None
    except OSError as error:
        raise DataError(f"File '{path}' can't be read: {error.strerror}.", "Check its permissions.") from error
    with stream, read_stream(stream, options, str(path)) as source:
        if options.file_format is None and is_foreign(path) and source.format is Format.TEXT:
            require_format(path)
        yield source


@contextmanager
def read_stream(stream: IO[bytes], options: ReadOptions | None = None, name: str = "standard input") -> Iterator[RowSource]:
    """Read rows from an open binary stream, which stays open; see :func:`open_rows`.

    Rows come out as soon as they are in: of a pipe no more is awaited than the line they end with.
    """
    options = options or ReadOptions()
    encoding = text_encoding(options.encoding)
    start = _place(stream)
    raw = RawChunks(stream, name)
    packed = Lookahead(raw)
    _refuse_foreign(packed.head(bool), name)
    compression = sniff_compression(packed.head(lambda head: not may_begin_magic(head)))
    plain = Lookahead(decompressed(packed, compression, name))
    file_format = options.file_format
    if file_format is None and plain.head(lambda head: not may_begin_magic(head)).startswith(PARQUET_MAGIC):
        file_format = Format.PARQUET
    if file_format is Format.PARQUET:
        with _seekable(stream, plain, in_place=start == 0 and compression is Compression.NONE) as whole:
            yield parquet_source(whole, name, _size(stream))
        return
    source = _text_source(plain, replace(options, encoding=encoding, file_format=file_format), name)
    source.size, source.position = _size(stream), lambda: raw.position
    yield source


def source_of_texts(texts: Iterable[str], name: str = "arguments") -> RowSource:
    """Take texts at hand as rows of one column ``text``."""
    records = (Record(number, {"text": text}, text) for number, text in enumerate(texts, start=1))
    return RowSource(name, Format.TEXT, ("text",), records)


def _text_source(plain: Lookahead, options: ReadOptions, name: str) -> RowSource:
    """Read anything but Parquet; what its name and the options leave open is found out by looking."""
    refusal = Refusal(options, Counts())
    codec, chunks, faults = options.encoding, plain, None
    if not keeps_ascii(codec):
        transcoder = Transcoder(plain, codec, name)
        codec, chunks, faults = "utf-8", Lookahead(transcoder), transcoder.faults
    file_format, delimiter = options.file_format, options.delimiter
    if file_format is None and (delimiter is not None or options.header is False):
        # only cells have a delimiter, only columns a header
        file_format = Format.TSV if delimiter == "\t" else Format.CSV
    head = b""
    if file_format is None:
        head = chunks.head(lambda begun: tells_format(begun, codec, options.text_column))
        file_format = sniff_format(head, codec, options.text_column)
        delimiter = sniff_delimiter(head, codec, options.text_column) if file_format in DELIMITERS else None
    elif file_format in DELIMITERS:
        head = chunks.head(_has_line)
    lines = Lines(chunks, name, options.encoding, lone_returns=file_format in DELIMITERS, faults=faults)
    if file_format is Format.TEXT:
        source = RowSource(name, file_format, ("text",), text_records(lines, refusal), counts=refusal.counts)
    elif file_format is Format.JSONL:
        source = json_source(lines, refusal)
    else:
        first = list(io.StringIO(head.decode(codec, "replace").removeprefix("\ufeff"), newline=""))
        dialect = sniff_dialect(first, file_format, delimiter, options.header, options.text_column)
        source = delimited_source(lines, file_format, dialect, refusal)
    source.notes = _notes(source, options)
    if source.format is Format.TEXT and options.file_format is None and _may_be_table(head, codec):
        source.notes.append(f"{source.name} is read as lines of text; if it is a table: --input-format csv")
    return source


def _notes(source: RowSource, options: ReadOptions) -> list[str]:
    """Say what was found out and may surprise."""
    notes = []
    unusual = source.delimiter is not None and options.delimiter is None and source.delimiter != DELIMITERS[source.format]
    between = f"{source.delimiter!r} between columns"
    if options.file_format is None and source.format is not Format.TEXT:
        notes.append(f"{source.name} looks like {source.format}" + (f" with {between}" if unusual else ""))
    elif unusual:
        notes.append(f"{source.name} has {between}")
    if source.header and options.header is None and _may_be_row(source.columns, options.text_column):
        notes.append(
            f"the first row of {source.name} is taken for its header ({', '.join(source.columns)[:60]}); else --no-header"
        )
    if source.delimiter is not None and not source.header and options.header is None:
        notes.append(f"{source.name} has no header: its columns are named 1 to {len(source.columns)}")
    return notes


def _refuse_foreign(head: bytes, name: str) -> None:
    kind = next((kind for magic, kind in FOREIGN_MAGICS.items() if head.startswith(magic)), None)
    if kind is not None:
        raise DataError(f"'{name}' is packed with {kind}, which is not read.", "Unpack it first; gzip and Zstandard are read.")


def _may_be_row(columns: Sequence[str], text_column: str | None) -> bool:
    """Say whether what was taken for a header might be a first row: names seldom have spaces, texts do."""
    named = text_column in columns or any(column.strip().lower() in TEXT_NAMES for column in columns)
    return not named and any(" " in column.strip() for column in columns)


def _may_be_table(head: bytes, codec: str) -> bool:
    """Say whether every line has as many commas, semicolons, tabs or bars as the first, and there are several."""
    whole, _, _ = head.decode(codec, "replace").rpartition("\n")
    lines = [line for line in whole.splitlines() if line.strip()]
    counts = ({line.count(mark) for line in lines} for mark in ",;\t|")
    return len(lines) > 1 and any(len(found) == 1 and found != {0} for found in counts)


def _has_line(head: bytes) -> bool:
    return b"\n" in head or b"\r" in head


@contextmanager
def _seekable(stream: IO[bytes], chunks: Iterable[bytes], *, in_place: bool) -> Iterator[IO[bytes]]:
    """Give Parquet a file to jump in: the stream itself, or a copy on the disk of what came through a pipe."""
    if in_place:
        stream.seek(0)
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        with storage_errors(Path(tempfile.gettempdir())):
            for chunk in chunks:
                copy.write(chunk)
            copy.seek(0)
        yield copy


def _place(stream: IO[bytes]) -> int | None:
    """Return where a stream stands, ``None`` when it can't go back."""
    try:
        return stream.tell() if stream.seekable() else None
    except (OSError, ValueError):
        return None


def _size(stream: IO[bytes]) -> int | None:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
