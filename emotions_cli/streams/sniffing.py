"""What the first bytes of an input say about it: its compression, its format, how its cells are separated."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from emotions_cli.streams.formats import DELIMITERS, Compression, Format

PARQUET_MAGIC = b"PAR1"
# names that a column of texts customarily has
TEXT_NAMES = (
    *(
        "text",
        "sentence",
        "review",
        "comment",
        "content",
        "message",
        "body",
        "tweet",
        "utterance",
        "feedback",
        "verbatim",
        "post",
    ),
    *("review_text", "comment_text", "comments", "description"),
)

_MAGICS = {b"\x1f\x8b\x08": Compression.GZIP, b"\x28\xb5\x2f\xfd": Compression.ZSTD}
_CANDIDATES = (",", ";", "\t", "|")
_RECORDS = 200  # so many say enough
_AGREEING = 3  # records below a header without a customary name
_MOSTLY = 0.5  # share of records of the header's width, when that has a customary name: rows may be ragged

_BEGUN_OBJECT = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:')
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?")
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([T ][\d:.,]+( ?[AaPp][Mm])?(Z|[+-]\d\d:?\d\d)?)?"
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# what sets an identifier apart from a word: user_id, createdAt, Q2
_MARKED = re.compile(r"_|[a-z][A-Z]|[A-Za-z]\d")


class Dialect(NamedTuple):
    """How cells are separated, and whether the first row names the columns."""

    delimiter: str
    header: bool


def sniff_compression(head: bytes) -> Compression:
    """Name the compression by the first bytes."""
    return next((compression for magic, compression in _MAGICS.items() if head.startswith(magic)), Compression.NONE)


def may_begin_magic(head: bytes) -> bool:
    """Say whether the bytes are too few to tell a compression or Parquet from text."""
    return any(len(head) < len(magic) and magic.startswith(head) for magic in (*_MAGICS, PARQUET_MAGIC))


def tells_format(head: bytes, encoding: str = "utf-8", text_column: str | None = None) -> bool:
    """Say whether the first bytes are enough for :func:`sniff_format`: a line, or some more behind what may be a header."""
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    lines = text.splitlines(keepends=True)
    if not lines or not lines[0].endswith(("\n", "\r")):
        return False
    if len(lines) > _AGREEING + 1:
        return True
    headers = (_records(lines[:1], delimiter) for delimiter in _CANDIDATES)
    return not any(
        records and len(records[0]) > 1 and all(map(_is_name, records[0])) and not _has_text_name(records[0], text_column)
        for records in headers
    )


def sniff_format(head: bytes, encoding: str = "utf-8", text_column: str | None = None) -> Format:
    """Name the format by the first bytes; CSV and TSV only when it is sure, else text.

    A record that the end of the bytes cuts off counts neither for nor against a format.

    Args:
        head: The bytes.
        encoding: How they are decoded.
        text_column: The column that will be asked for: a first row that holds it is a header.
    """
    if head.startswith(PARQUET_MAGIC):
        return Format.PARQUET
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    if _begins_with_object(text):
        return Format.JSONL
    delimiter = sniff_delimiter(head, encoding, text_column)
    if delimiter is not None:
        return Format.TSV if delimiter == "\t" else Format.CSV
    return Format.CSV if _is_quoted_column(text) else Format.TEXT


def sniff_delimiter(head: bytes, encoding: str = "utf-8", text_column: str | None = None) -> str | None:
    """Return the delimiter that makes :func:`sniff_format` sure of CSV or TSV."""
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    return next((delimiter for delimiter in _CANDIDATES if _is_surely_delimited(text, delimiter, text_column)), None)


def sniff_dialect(
    lines: Sequence[str],
    file_format: Format,
    delimiter: str | None = None,
    header: bool | None = None,
    text_column: str | None = None,
) -> Dialect:
    """Find out how the cells of CSV or TSV are separated, and whether there is a header; what is given stays.

    Args:
        lines: The first lines, with their ends.
        file_format: CSV or TSV.
        delimiter: Taken as it is.
        header: Taken as it is.
        text_column: The column that will be asked for; a first row that holds it is a header.
    """
    if delimiter is None:
        default = DELIMITERS[file_format]
        others = [candidate for candidate in _CANDIDATES if candidate != default]
        delimiter = max((default, *others), key=lambda candidate: _consistency(lines, candidate))
    if header is None:
        header = _has_header(_records(lines, delimiter), text_column)
    return Dialect(delimiter, header)


def _consistency(lines: Sequence[str], delimiter: str) -> float:
    """Return the share of records that have as many cells as the first one, 0 when that is a single cell."""
    first, *others = _records(lines, delimiter) or [[]]
    if len(first) < 2:
        return 0.0
    return sum(len(record) == len(first) for record in others) / len(others) if others else 1.0


def _records(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    records: list[list[str]] = []
    try:
        for cells in csv.reader(lines, delimiter=delimiter):
            if cells:
                records.append(cells)
            if len(records) == _RECORDS:
                break
    except csv.Error:  # a cell longer than the csv module's limit
        pass
    return records


def _has_header(records: Sequence[Sequence[str]], text_column: str | None) -> bool:
    """Say whether nothing in the first record speaks against it being a header."""
    if not records:
        return True
    first = records[0]
    if _has_text_name(first, text_column):
        return True
    named = first[1:] if _has_index(records) else first
    return len(set(first)) == len(first) and not any(_is_no_name(cell) for cell in named)


def _has_text_name(cells: Sequence[str], text_column: str | None) -> bool:
    return text_column in cells or any(cell.strip().lower() in TEXT_NAMES for cell in cells)


def _is_no_name(cell: str) -> bool:
    return not cell.strip() or _is_number(cell) or _is_sentence(cell)


def _is_sentence(cell: str) -> bool:
    words = len(cell.split())
    return words >= 5 or (words >= 3 and cell.rstrip().endswith((".", "!", "?")))


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


def _has_index(records: Sequence[Sequence[str]]) -> bool:
    """Recognise the nameless first column of row numbers that pandas writes."""
    first, *others = records
    return len(first) > 1 and not first[0] and bool(others) and all(row and row[0].isdecimal() for row in others[:-1] or others)


def _begins_with_object(text: str) -> bool:
    first, end, _ = text.lstrip(" \t\r\n").partition("\n")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return not end and _BEGUN_OBJECT.match(first) is not None


def _is_surely_delimited(text: str, delimiter: str, text_column: str | None) -> bool:
    records = _records(list(io.StringIO(text, newline="")), delimiter)
    if not records:
        return False
    header, *rows = records
    if rows and len(rows[-1]) < len(header) and _may_be_cut_off(text, rows[-1]):
        rows.pop()
    named = header[1:] if _has_index(records) else header
    if len(header) < 2 or len(set(header)) < len(header) or not all(_is_name(cell) for cell in named):
        return False
    agreeing = sum(len(row) == len(header) for row in rows)
    if _has_text_name(header, text_column):
        return agreeing >= _MOSTLY * len(rows)
    if agreeing < len(rows):
        return False
    quoted = any(delimiter in cell for row in rows for cell in row)
    return quoted or (len(rows) >= _AGREEING and (_are_identifiers(named) or _has_numbers_below(rows)))


def _may_be_cut_off(text: str, last: Sequence[str]) -> bool:
    """Say whether the text ends inside its last record, in the middle of a line or of a quoted cell."""
    return not text.endswith(("\n", "\r")) or last[-1].endswith(("\n", "\r"))


def _is_name(cell: str) -> bool:
    """Say whether a cell is short, begins with no space and is neither number nor sentence."""
    short = len(cell) <= 40 and len(cell.split()) <= 4 and "\n" not in cell
    return short and not cell.startswith(" ") and not cell.rstrip().endswith((".", "!", "?")) and not _is_no_name(cell)


def _are_identifiers(cells: Sequence[str]) -> bool:
    return all(_IDENTIFIER.fullmatch(cell) for cell in cells) and any(_MARKED.search(cell) for cell in cells)


def _has_numbers_below(rows: Sequence[Sequence[str]]) -> bool:
    """Say whether a column holds nothing but numbers or dates."""
    columns = ([cell.strip() for cell in column if cell.strip()] for column in zip(*rows, strict=True))
    return any(cells and all(_is_number(cell) or _DATE.fullmatch(cell) for cell in cells) for cells in columns)


def _is_quoted_column(text: str) -> bool:
    """Recognise a file of one column by its customary name and a quoted cell."""
    first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return first.strip().lower() in TEXT_NAMES and any(line.startswith('"') for line in others)
