"""The formats and compressions that are read and written, and how a file's name says which ones it has."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from emotions_cli.errors import DataError


class Format(StrEnum):
    """A format of rows."""

    TEXT = "text"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Compression(StrEnum):
    """What the bytes of a file are packed in."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


DELIMITERS = {Format.CSV: ",", Format.TSV: "\t"}

_EXTENSIONS = {
    ".txt": Format.TEXT,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
}

_COMPRESSIONS = {".gz": Compression.GZIP, ".zst": Compression.ZSTD}

# files that people have, but that are not read
_FOREIGN_EXTENSIONS = {".json", ".xlsx", ".xls", ".ods", ".zip", ".docx", ".pdf"}


def format_of(path: Path) -> Format | None:
    """Return the format a file's extension names, looking through ``.gz`` and ``.zst``, or ``None``."""
    return _EXTENSIONS.get(uncompressed_name(path).suffix.lower())


def compression_of(path: Path) -> Compression:
    """Return the compression a file's last extension names."""
    return _COMPRESSIONS.get(path.suffix.lower(), Compression.NONE)


def uncompressed_name(path: Path) -> Path:
    """Return the path without ``.gz`` or ``.zst``: ``reviews.csv.gz`` → ``reviews.csv``."""
    return path if compression_of(path) is Compression.NONE else path.with_suffix("")


def is_foreign(path: Path) -> bool:
    """Say whether the extension names a format that is not read, such as ``.xlsx``."""
    return uncompressed_name(path).suffix.lower() in _FOREIGN_EXTENSIONS


def require_format(path: Path) -> Format:
    """Return the format a file's extension names.

    Raises:
        DataError: The extension names none.
    """
    found = format_of(path)
    if found is None:
        raise DataError(
            f"The name of '{path}' does not say its format (known: {', '.join(_EXTENSIONS)}).",
            "Name the format with --input-format, for an output with --format.",
        )
    return found


def writable_format(path: Path) -> Format:
    """Return the format an output's extension names.

    Raises:
        DataError: The extension names none that answers can be written in.
    """
    found = format_of(path)
    if found is None or found is Format.TEXT:
        raise DataError(
            f"The name of '{path}' does not say a format to write (known: .csv, .tsv, .jsonl, .parquet).",
            "Use one of these extensions, or name the format with --format.",
        )
    if found is Format.PARQUET and compression_of(path) is not Compression.NONE:
        raise DataError(f"'{path}' would be compressed twice: Parquet is compressed inside.", f"Leave out {path.suffix}.")
    return found


def looks_like_file(argument: str) -> bool:
    """Say whether a command-line argument reads like the path of a file rather than like a text."""
    if any(c.isspace() for c in argument):
        return False
    path = Path(argument)
    known = format_of(path) is not None or is_foreign(path) or compression_of(path) is not Compression.NONE
    return (known and path.stem != "") or (argument.startswith(("./", "../", "~/", "/")) and len(argument) > 3)
