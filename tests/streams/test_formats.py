"""A file's name says its format, or the error says how to name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import (
    Compression,
    Format,
    compression_of,
    format_of,
    is_foreign,
    looks_like_file,
    require_format,
    uncompressed_name,
    writable_format,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", Format.TEXT),
        ("a.csv", Format.CSV),
        ("some.folder/A.CSV", Format.CSV),
        ("a.tsv", Format.TSV),
        ("a.jsonl", Format.JSONL),
        ("a.ndjson", Format.JSONL),
        ("a.b.parquet", Format.PARQUET),
        ("a.xlsx", None),
        ("csv", None),
        ("a.csv.gz", Format.CSV),
        ("a.jsonl.ZST", Format.JSONL),
        ("a.gz", None),
        ("a.xlsx.gz", None),
    ],
)
def test_the_extension_names_the_format(name: str, expected: Format | None) -> None:
    assert format_of(Path(name)) is expected


def test_a_name_without_a_known_extension_is_refused() -> None:
    assert require_format(Path("reviews.tsv")) is Format.TSV
    with pytest.raises(DataError, match=r"'reviews\.xlsx' does not say its format .*\.parquet") as caught:
        require_format(Path("reviews.xlsx"))
    assert "--input-format" in caught.value.hint


@pytest.mark.parametrize(
    "argument",
    ["reviews.csv", "data/reviews.jsonl", "/tmp/Reviews.PARQUET", "notes.txt", "../a.tsv", "a.csv.gz", "a.zst", "a.xlsx"],
)
def test_a_path_looks_like_a_file(argument: str) -> None:
    assert looks_like_file(argument)


@pytest.mark.parametrize("argument", ["", "so happy", "I read reviews.csv", "happy", "wow...", ".csv", "see example.com", "🙂"])
def test_a_text_does_not_look_like_a_file(argument: str) -> None:
    assert not looks_like_file(argument)


@pytest.mark.parametrize(
    ("name", "compression", "bare"),
    [
        ("a.csv.gz", Compression.GZIP, "a.csv"),
        ("d/a.csv.ZST", Compression.ZSTD, "d/a.csv"),
        ("a.csv", Compression.NONE, "a.csv"),
        ("a", Compression.NONE, "a"),
    ],
)
def test_the_last_extension_names_the_compression(name: str, compression: Compression, bare: str) -> None:
    assert compression_of(Path(name)) is compression
    assert uncompressed_name(Path(name)) == Path(bare)


def test_formats_that_are_not_read_are_known() -> None:
    assert is_foreign(Path("a.xlsx"))
    assert is_foreign(Path("a.json.gz"))
    assert not is_foreign(Path("a.gz"))


def test_an_output_may_be_compressed_but_not_twice() -> None:
    assert writable_format(Path("a.csv.gz")) is Format.CSV
    with pytest.raises(DataError, match="compressed twice"):
        writable_format(Path("a.parquet.zst"))
    with pytest.raises(DataError, match="does not say a format to write"):
        writable_format(Path("a.txt.gz"))
