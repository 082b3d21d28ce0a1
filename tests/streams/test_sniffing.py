"""The first bytes name compression, format and dialect; prose is never taken for CSV."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from emotions_cli.streams.formats import Compression, Format
from emotions_cli.streams.sniffing import (
    Dialect,
    may_begin_magic,
    sniff_compression,
    sniff_delimiter,
    sniff_dialect,
    sniff_format,
    tells_format,
)


@pytest.mark.parametrize(
    "head",
    [
        "text,label\nWell, I like it,joy\nfine,joy\n",
        "id,text\n1,I am happy\n2,sad, so sad\n3,angry\n",
        'customer,feedback\nAnna,"Great service, thanks"\n',
        'customer,opinion\nAnna,"Great service, thanks"\n',
        "Timestamp,opinion\n2024/01/02 10:20:30,nice\n2024/01/03 11:20:30,bad\n2024/01/03 11:21:30,ok\n",
    ],
)
def test_tables_of_everyday_life_are_csv(head: str) -> None:
    assert sniff_format(head.encode()) is Format.CSV


def test_the_column_that_is_asked_for_makes_a_header() -> None:
    head = b"kommentar,x\nabc,d\n"
    assert sniff_format(head) is Format.TEXT
    assert sniff_format(head, text_column="kommentar") is Format.CSV


@pytest.mark.parametrize(
    ("head", "enough"),
    [
        ("", False),
        ("so happ", False),
        ("so happy\n", True),
        ("I love it, thanks\n", True),
        ("id,text\n", True),
        ("user_id,opinion\n", False),
        ("user_id,opinion\n1,a\n2,b\n3,c\n", False),
        ("user_id,opinion\n1,a\n2,b\n3,c\n4,d\n", True),
    ],
)
def test_more_is_awaited_behind_what_may_be_a_header(head: str, enough: bool) -> None:
    assert tells_format(head.encode()) is enough


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (gzip.compress(b"a", mtime=0), Compression.GZIP),
        (zstandard.compress(b"a"), Compression.ZSTD),
        (b"text\n", Compression.NONE),
        (b"", Compression.NONE),
        (b"\x1f\x8b", Compression.NONE),
    ],
)
def test_the_compression_is_known_by_its_magic(head: bytes, expected: Compression) -> None:
    assert sniff_compression(head) is expected


@pytest.mark.parametrize(("head", "expected"), [(b"\x1f", True), (b"PA", True), (b"(", True), (b"Pa", False), (b"PAR1", False)])
def test_few_bytes_may_begin_a_magic(head: bytes, expected: bool) -> None:
    assert may_begin_magic(head) is expected


PROSE = [
    "",
    "\n\n",
    "happy",
    "I love it, thanks\nWell, ok\n",
    "I love it, thanks\nWell, ok\nOh, no\nHm, fine\n",
    "Well,ok\nhm,fine\nyes,no\nso,so\n",
    "First; second\nthird; fourth\nfifth; sixth\nx; y\n",
    "So happy for you!\nThis makes me sad.\n",
    "Hello, my name is Bob. I am 5, you know\n3, 2, 1\n4, 5, 6\n7, 8, 9\n",
    "1,2,3\n4,5,6\n7,8,9\n1,1,1\n",
    "42,happy\n43,sad\n44,angry\n45,glad\n",
    "a | b | c\nd | e | f\ng | h | i\nj | k | l\n",
    "| name | stars |\n|---|---|\n| a | 1 |\n| b | 2 |\n| c | 3 |\n",
    "author,quote\nBob,I like it\nAnn,Nice\nJoe,Fine\n",
    "name,stars\nBob,1\nAnn,2\n",
    "text\nfirst line\nsecond line\n",
    '"quoted", he said\n"again", she said\n',
    '"Great"\n"Bad"\n',
    "{not json}\n",
    "{\n",
    '["a", "b"]\n',
    '"a json string"\n',
    "Price,Price\n1,2\n3,4\n5,6\n",
    "text,\na,b\nc,d\n",
    "I like this movie a lot,5\nI hate it so much really,1\nIt is fine I guess,3\nok,2\n",
    "In 2020, we left\nIn 2021, we came\nIn 2022, we stayed\nIn 2023, we left\n",
    "comment, please\nok, sure\n",
    "\u202eright to left, text\n",
    "caf\xe9, bar\n",
    "a,b\r",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_text(text: str) -> None:
    assert sniff_format(text.encode()) is Format.TEXT


DELIMITED = [
    ("text,label\na,joy\n", ","),
    ("text,label\n", ","),
    ("text,label", ","),
    ("\ufefftext,label\na,joy\n", ","),
    ("id;Review\n1;nice\n", ";"),
    ('id|tweet|n\n1|"a|b"|3\n', "|"),
    ('label,text\njoy,"two\nlines, and a comma"\nfear,x\n', ","),
    ('label,text\njoy,"cut off in the mid', ","),
    ("label,text\njoy,a\nfear", ","),
    ("id,name,stars\n1,a,2\n2,b,3\n3,c,5\n", ","),
    ("id,name,stars\n1,a,2\n2,b,3\n3,c,5", ","),
    ("when,said\n2020-01-01,a\n2020-01-02,b\n2020-01-03T10:00:00Z,c\n", ","),
    ("user_id,said\nx,a\ny,b\nz,c\n", ","),
    ("createdAt,said\nx,a\ny,b\nz,c\n", ","),
    (",text,label\n0,a,joy\n1,b,fear\n", ","),
    ("\r\ntext,n\r\na,1\r\n", ","),
    ("text,n\ra,1\r", ","),
    ("Text ,n\na,1\n", ","),
]


@pytest.mark.parametrize(("text", "delimiter"), DELIMITED)
def test_a_table_is_csv(text: str, delimiter: str) -> None:
    assert sniff_format(text.encode()) is Format.CSV
    assert sniff_delimiter(text.encode()) == delimiter


def test_a_table_with_tabs_is_tsv() -> None:
    assert sniff_format(b"id\ttext\n1\tWell, ok\n") is Format.TSV


def test_a_quoted_column_under_a_customary_name_is_csv() -> None:
    assert sniff_format(b'text\n"a, b"\nc\n') is Format.CSV
    assert sniff_format(b'Review\r\nx\r\n"a"\r\n') is Format.CSV
    assert sniff_format(b'opinion\n"a, b"\nc\n') is Format.TEXT


@pytest.mark.parametrize(
    "head",
    [
        b'{"text": "a"}\n',
        b'\xef\xbb\xbf\n  {"text": "a"}\r\nx',
        b"{}\n",
        b'{"text": "a',
        b'{"text": {"a": 1}',
        b'{"a": 1e400, "b": NaN}\nnot json',
    ],
)
def test_an_object_is_json_lines(head: bytes) -> None:
    assert sniff_format(head) is Format.JSONL


def test_the_magic_of_parquet() -> None:
    assert sniff_format(b"PAR1\x15\x04") is Format.PARQUET


def test_another_encoding_is_decoded_first() -> None:
    assert sniff_format("text,größe\nä,1\n".encode("cp1252"), "cp1252") is Format.CSV


def dialect(text: str, file_format: Format = Format.CSV, **given: str | bool | None) -> Dialect:
    return sniff_dialect(text.splitlines(keepends=True), file_format, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1;2,5\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("text\nhm; ok\n", ","),
        ("text,labels\na,x|y\nb,y|z\n", ","),
        ("text,label\nWell, fine,joy\nok,joy\n", ","),
        ("a;b, c\n1;2\n3;4\n", ";"),
        ("", ","),
    ],
)
def test_the_delimiter_is_the_one_that_agrees(text: str, expected: str) -> None:
    assert dialect(text).delimiter == expected


def test_of_two_that_agree_the_format_decides() -> None:
    assert dialect("a,b\tc\n1,2\t3\n", Format.CSV).delimiter == ","
    assert dialect("a,b\tc\n1,2\t3\n", Format.TSV).delimiter == "\t"
    assert dialect("a\n", Format.TSV).delimiter == "\t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text,label\na,joy\n", True),
        ("name,opinion\na,joy\n", True),
        ("opinion\nfine\n", True),
        ("", True),
        ("1,a\n2,b\n", False),
        ("a,,c\n1,2,3\n", False),
        ("a,a\n1,2\n", False),
        ("I like this movie a lot,joy\nx,y\n", False),
        ("So very nice!,joy\nx,y\n", False),
        ("text,1\na,2\n", True),
        ("Text,,\na,b,c\n", True),
        (",opinion,feeling\n0,a,b\n1,c,d\n", True),
        ("a b,-3.5%\nc,d\n", False),
    ],
)
def test_a_header_is_expected_unless_something_speaks_against_it(text: str, expected: bool) -> None:
    assert dialect(text).header is expected


def test_what_is_given_stays() -> None:
    assert dialect("1;2\n", delimiter=",", header=True) == Dialect(",", True)
    assert dialect("text,b\n", header=False).header is False
    assert dialect("2020,b\n", text_column="2020").header is True
