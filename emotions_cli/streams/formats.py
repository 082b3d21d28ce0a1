"""The formats that are read and written, and how a file's name says which one it is."""

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


DELIMITERS = {Format.CSV: ",", Format.TSV: "\t"}

_EXTENSIONS = {
    ".txt": Format.TEXT,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
}


# files that people have, but that are not read
_FOREIGN_EXTENSIONS = {".json", ".xlsx", ".xls", ".ods", ".gz", ".zst", ".zip", ".docx", ".pdf"}


def format_of(path: Path) -> Format | None:
    """Return the format a file's extension names, or ``None``."""
    return _EXTENSIONS.get(path.suffix.lower())


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
    return found


def looks_like_file(argument: str) -> bool:
    """Say whether a command-line argument reads like the path of a file rather than like a text."""
    if any(c.isspace() for c in argument):
        return False
    path = Path(argument)
    known = format_of(path) is not None or path.suffix.lower() in _FOREIGN_EXTENSIONS
    return (known and path.stem != "") or (argument.startswith(("./", "../", "~/", "/")) and len(argument) > 3)
