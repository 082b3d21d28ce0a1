"""Rows that can't be read stop the reading, are left out or kept, always by name and never by silence."""

from __future__ import annotations

import csv
import io
import itertools
import json

import pytest

from emotions_cli.errors import DataError, UsageError
from emotions_cli.streams import lines as lines_module
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import OnError, ReadOptions, Record, read_stream
from emotions_cli.streams.rows import Counts


def read(content: bytes, **options: object) -> tuple[list[Record], Counts]:
    with read_stream(io.BytesIO(content), ReadOptions(**options), "x.csv") as source:  # type: ignore[arg-type]
        return list(source.records), source.counts


def cells(records: list[Record]) -> list[list[str]]:
    return [list(record.cells.values()) for record in records]


def test_surplus_cells_go_into_the_last_column_as_they_stood() -> None:
    content = b'n,text\n1,Well, fine\n2,"quoted, really", "yes",  ok\n3,a,"b, c"\n"4,5",x,y\n'
    records, counts = read(content, file_format=Format.CSV)
    assert cells(records) == [["1", "Well, fine"], ["2", '"quoted, really", "yes",  ok'], ["3", 'a,"b, c"'], ["4,5", "x,y"]]
    assert (counts.long, counts.short, counts.ragged) == (4, 0, 4)
    for record in records:
        assert record.raw is not None
        assert next(csv.reader(io.StringIO(record.raw, newline=""))) == list(record.cells.values())


def test_surplus_cells_of_a_single_column_are_its_text() -> None:
    records, _ = read(b'text\nWell, ok\n"a", b\n', file_format=Format.CSV)
    assert cells(records) == [["Well, ok"], ['"a", b']]


def test_surplus_cells_behind_an_empty_first_one() -> None:
    assert cells(read(b"a,text\n,b,c\n", file_format=Format.CSV)[0]) == [["", "b,c"]]


def test_missing_cells_are_empty() -> None:
    records, counts = read(b'a,b,c\n1\n"x"\n', file_format=Format.CSV)
    assert [record.raw for record in records] == ["1,,", '"x",,']
    assert counts == Counts(short=2)


def test_long_rows_can_be_refused() -> None:
    with pytest.raises(DataError, match=r"'x.csv' line 3 has 3 cells, its header 2") as caught:
        read(b"text,label\nfine,joy\nWell, fine,joy\n", file_format=Format.CSV, mend_long=False)
    assert "double quotes" in caught.value.hint


def test_characters_behind_a_closing_quote_stay() -> None:
    records, _ = read(b'text,n\n"Great" she said,1\n', file_format=Format.CSV)
    assert records == [Record(1, {"text": "Great she said", "n": "1"}, '"Great" she said,1')]


UNCLOSED = b'text,n\nfine,1\n"never closed,2\nok,3\nlast,4\n'


def test_a_quote_that_is_never_closed_is_named_with_its_line() -> None:
    with pytest.raises(DataError, match=r"'x.csv' row 2 \(line 3\) opens a quote that is never closed"):
        read(UNCLOSED, file_format=Format.CSV)
    with pytest.raises(DataError, match=r"header \(line 1\) opens a quote"):
        read(b'"text,n\nfine,1\n', file_format=Format.CSV)


def test_rows_before_a_broken_one_are_read() -> None:
    with read_stream(io.BytesIO(UNCLOSED), ReadOptions(Format.CSV), "x.csv") as source:
        assert next(source.rows) == {"text": "fine", "n": "1"}
        with pytest.raises(DataError, match="line 3"):
            next(source.rows)


def test_only_the_row_with_the_open_quote_is_skipped() -> None:
    rejects: list[bytes] = []
    records, counts = read(UNCLOSED, file_format=Format.CSV, on_error=OnError.SKIP, reject=rejects.append)
    assert [(record.number, record.cells["n"]) for record in records] == [(1, "1"), (3, "3"), (4, "4")]
    assert counts == Counts(skipped=1)
    assert rejects == [b'"never closed,2\n']


def test_the_row_with_the_open_quote_is_kept() -> None:
    records, counts = read(UNCLOSED, file_format=Format.CSV, on_error=OnError.KEEP)
    assert records[1] == Record(2, {"text": "never closed,2", "n": ""}, '"never closed,2",', "unreadable")
    assert [record.cells["n"] for record in records] == ["1", "", "3", "4"]
    assert counts.kept == 1


def test_a_record_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST", 1 << 17)
    line = b"x" * 99 + b"\n"
    taken = 0

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - as streams name it
            nonlocal taken
            taken += 1
            return b'text,n\n"open,1\n' if taken == 1 else line * 500

    with (
        pytest.raises(DataError, match=r"row 1 \(line 2\) opens a quote"),
        read_stream(Endless(), ReadOptions(Format.CSV), "x.csv") as source,  # type: ignore[arg-type]
    ):
        next(source.records)
    taken = 0
    options = ReadOptions(Format.CSV, on_error=OnError.SKIP)
    with read_stream(Endless(), options, "x.csv") as source:  # type: ignore[arg-type]
        assert len(list(itertools.islice(source.records, 5000))) == 5000
        assert source.counts.skipped == 1
    assert taken < 30


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST", 1 << 17)
    with pytest.raises(DataError, match="has a line of more than"):
        read(b"x" * (1 << 19), file_format=Format.TEXT)


@pytest.mark.parametrize(
    ("file_format", "content", "said"),
    [
        (Format.CSV, b"n,text\n1,a\n2,caf\xe9\n", r"row 2 \(line 3\) is not UTF-8: byte 0xe9 at offset 16"),
        (Format.CSV, b'\xef\xbb\xbftext\n"a\nb"\n\xff\n', r"row 2 \(line 4\) is not UTF-8: byte 0xff at offset 14"),
        (Format.TEXT, b"a\nb\xc3\n", r"row 2 \(line 2\) is not UTF-8: byte 0xc3 at offset 3"),
        (Format.JSONL, b'{"a": 1}\n\n{"a": "\xe9"}\n', r"row 2 \(line 3\) is not UTF-8: byte 0xe9 at offset 17"),
        (Format.CSV, b"t\xe9xt,n\na,1\n", r"header \(line 1\) is not UTF-8: byte 0xe9 at offset 1"),
    ],
)
def test_an_undecodable_byte_is_named_with_its_place(file_format: Format, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(content, file_format=file_format)
    assert "--encoding" in caught.value.hint


@pytest.mark.parametrize(
    ("file_format", "content", "bad"),
    [
        (Format.TEXT, b"a\nb\xe9\nc\n", b"b\xe9\n"),
        (Format.CSV, b"text\na\nb\xe9\nc\n", b"b\xe9\n"),
        (Format.CSV, b"text\na\nb\xe9\r\nc\n", b"b\xe9\r\n"),
        (Format.JSONL, b'{"text": "a"}\n{"text": "b\xe9"}\n{"text": "c"}', b'{"text": "b\xe9"}\n'),
    ],
)
def test_undecodable_rows_are_skipped_or_kept(file_format: Format, content: bytes, bad: bytes) -> None:
    rejects: list[bytes] = []
    records, counts = read(content, file_format=file_format, on_error=OnError.SKIP, reject=rejects.append)
    assert [(record.number, record.cells["text"]) for record in records] == [(1, "a"), (3, "c")]
    assert (counts, rejects) == (Counts(skipped=1), [bad])
    records, counts = read(content, file_format=file_format, on_error=OnError.KEEP, reject=rejects.append)
    assert [(record.cells["text"], record.problem) for record in records] == [
        ("a", None),
        ("b\ufffd", "undecodable"),
        ("c", None),
    ]
    assert (counts, rejects) == (Counts(kept=1), [bad, bad])


def test_a_header_that_cannot_be_decoded_is_kept_or_an_error() -> None:
    assert read(b"t\xe9,n\na,1\n", file_format=Format.CSV, on_error=OnError.KEEP)[0][0].cells == {"t\ufffd": "a", "n": "1"}
    with pytest.raises(DataError, match="header"):
        read(b"t\xe9,n\na,1\n", file_format=Format.CSV, on_error=OnError.SKIP)


@pytest.mark.parametrize("bad", ["no json", '["a"]', '{"text": ', "3"])
def test_lines_that_are_no_objects_are_skipped_or_kept(bad: str) -> None:
    content = f'{{"text": "a"}}\n{bad}\n{{"text": "c"}}\n'.encode()
    records, counts = read(content, file_format=Format.JSONL, on_error=OnError.SKIP)
    assert [record.number for record in records] == [1, 3]
    assert counts == Counts(skipped=1)
    rejects: list[bytes] = []
    records, counts = read(content, file_format=Format.JSONL, on_error=OnError.KEEP, reject=rejects.append)
    assert records[1] == Record(2, {"unreadable": bad}, None, "unreadable")
    assert (counts, rejects) == (Counts(kept=1), [bad.encode() + b"\n"])


def test_a_line_with_two_faults_counts_once() -> None:
    rejects: list[bytes] = []
    records, counts = read(b'{"a": 1}\n\xe9\n', file_format=Format.JSONL, on_error=OnError.KEEP, reject=rejects.append)
    assert records[1] == Record(2, {"unreadable": "\ufffd"}, None, "unreadable")
    assert (counts, rejects) == (Counts(kept=1), [b"\xe9\n"])


def test_the_first_readable_object_names_the_columns() -> None:
    with read_stream(io.BytesIO(b'oops\n{"text": "a"}\n'), ReadOptions(Format.JSONL, on_error=OnError.KEEP), "x") as source:
        assert source.columns == ("text",)
        assert [record.problem for record in source.records] == ["unreadable", None]
    with pytest.raises(DataError, match="has no row that can be read"):
        read(b"oops\n", file_format=Format.JSONL, on_error=OnError.SKIP)


def test_a_deeply_nested_line_is_not_json() -> None:
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read(b"[" * 200_000, file_format=Format.JSONL)


TEXT = "naïve “quotes” 🙂, ok\nzwei\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "gb18030"])
def test_any_encoding_is_read(encoding: str) -> None:
    records, _ = read(TEXT.encode(encoding), file_format=Format.TEXT, encoding=encoding)
    assert [record.cells["text"] for record in records] == TEXT.splitlines()


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp037", "cp500", "mac_roman"])
def test_encodings_of_one_byte_are_read(encoding: str) -> None:
    records, _ = read("naïve\nÄrger\n".encode(encoding), file_format=Format.TEXT, encoding=encoding)
    assert [record.cells["text"] for record in records] == ["naïve", "Ärger"]


def test_nameless_utf_16_is_looked_at_decoded() -> None:
    with read_stream(io.BytesIO("text;n\nä;1\n".encode("utf-16")), ReadOptions(encoding="utf-16"), "standard input") as source:
        assert (source.format, source.delimiter) == (Format.CSV, ";")
        assert source.notes == ["standard input looks like csv with ';' between columns"]
        assert list(source.rows) == [{"text": "ä", "n": "1"}]


@pytest.mark.parametrize("encoding", ["no-such", "base64", "undefined", "a\0b"])
def test_an_unknown_encoding_is_a_usage_error(encoding: str) -> None:
    with pytest.raises(UsageError, match="no text encoding"):
        read(b"a\n", encoding=encoding)


def test_half_a_character_of_utf_16_is_named_with_its_own_offset() -> None:
    content = "a\nb".encode("utf-16-le") + b"\x00\xd8" + "c\nd\n".encode("utf-16-le")
    with pytest.raises(DataError, match=r"row 2 \(line 2\) is not utf-16-le: byte 0x00 at offset 6"):
        read(content, file_format=Format.TEXT, encoding="utf-16-le")
    records, counts = read(content, file_format=Format.TEXT, encoding="utf-16-le", on_error=OnError.KEEP)
    assert [record.cells["text"] for record in records] == ["a", "b\ufffdc", "d"]
    assert counts.kept == 1
    records, _ = read(content, file_format=Format.TEXT, encoding="utf-16-le", on_error=OnError.SKIP)
    assert [record.cells["text"] for record in records] == ["a", "d"]


def test_utf_16_that_ends_in_the_middle() -> None:
    with pytest.raises(DataError, match=r"row 1 .* at offset 4"):
        read("ab".encode("utf-16-le") + b"c", file_format=Format.TEXT, encoding="utf-16-le")


def test_utf_16_under_utf_8_is_recognised() -> None:
    for file_format in (None, Format.CSV, Format.JSONL):
        with pytest.raises(DataError, match="byte 0xff at offset 0") as caught:
            read("text,n\na,1\n".encode("utf-16"), file_format=file_format)
        assert "--encoding utf-16" in caught.value.hint


def test_numbers_of_json_keep_their_text() -> None:
    line = '{"a": 1.10, "b": 1e5, "c": [-0, {"d": 12345678901234567890.0}], "e": NaN, "f": -Infinity, "g": 007}'
    with pytest.raises(DataError, match="not JSON"):
        read(line.encode(), file_format=Format.JSONL)
    line = line.replace("007", "1" * 6000)
    records, _ = read(line.encode(), file_format=Format.JSONL)
    from emotions_cli.streams.jsonl import json_text

    assert json_text(records[0].cells) == line
    assert records[0].cells["a"] == 1.1
    assert json.loads(json_text({"x": (1, True, None), 3: "ü"})) == {"x": [1, True, None], "3": "ü"}


def test_a_value_nested_too_deeply_is_a_data_error() -> None:
    from emotions_cli.streams.jsonl import json_text

    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(DataError, match="nested too deeply"):
        json_text(value)


def test_without_a_header_columns_are_numbered() -> None:
    with read_stream(io.BytesIO(b"I like it so very much,5\nno,1,x\n"), ReadOptions(Format.CSV), "x.csv") as source:
        assert (source.columns, source.header, source.header_raw) == (("1", "2"), False, None)
        assert source.notes == ["x.csv has no header: its columns are named 1 to 2"]
        assert list(source.rows) == [{"1": "I like it so very much", "2": "5"}, {"1": "no", "2": "1,x"}]


def test_without_a_header_blank_lines_of_one_column_stay() -> None:
    records, _ = read(b"\na\n\n", file_format=Format.CSV, header=False)
    assert cells(records) == [[""], ["a"], [""]]
    with pytest.raises(DataError, match="is empty"):
        read(b"", file_format=Format.CSV, header=False)


def test_without_a_header_an_open_quote_is_read_on() -> None:
    records, counts = read(b'"a,1\nb,2\n', file_format=Format.CSV, header=False, on_error=OnError.SKIP)
    assert cells(records) == [["b,2"]]
    assert counts.skipped == 1
