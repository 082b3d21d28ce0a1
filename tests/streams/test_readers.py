"""Rows are read as they stand in the file; what breaks the format is named with its place and a way out."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotions_cli.errors import DataError
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import ReadOptions, Row, open_rows, read_stream


def read(content: bytes, file_format: Format) -> tuple[tuple[str, ...], list[Row]]:
    with read_stream(io.BytesIO(content), ReadOptions(file_format), "input") as source:
        return source.columns, list(source.rows)


def parquet(table: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def test_lines_are_texts() -> None:
    content = "\ufefffirst, with a comma\r\n\n  “third” 🙂 \nlast without an end".encode()
    columns, rows = read(content, Format.TEXT)
    assert columns == ("text",)
    assert [row["text"] for row in rows] == ["first, with a comma", "", "  “third” 🙂 ", "last without an end"]


def test_other_unicode_line_ends_stay_in_the_text() -> None:
    content = "a\u2028b\x0bc\u0085d\n"
    assert read(content.encode(), Format.TEXT)[1] == [{"text": content[:-1]}]
    assert read(f'{{"text": "{content[:3]}"}}\n'.encode(), Format.JSONL)[1] == [{"text": content[:3]}]


@pytest.mark.parametrize(("file_format", "comma"), [(Format.CSV, ","), (Format.TSV, "\t")])
def test_quoted_cells_hold_delimiters_quotes_and_newlines(file_format: Format, comma: str) -> None:
    content = f'id{comma}text\r\n1{comma}"one{comma} ""two""\nthree"\r\n2{comma}🙂\r\n'
    columns, rows = read(content.encode(), file_format)
    assert columns == ("id", "text")
    assert rows == [{"id": "1", "text": f'one{comma} "two"\nthree'}, {"id": "2", "text": "🙂"}]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert read(b"\xef\xbb\xbftext,label\na,joy\n", Format.CSV) == (("text", "label"), [{"text": "a", "label": "joy"}])
    assert read(b'\xef\xbb\xbf{"text": "a"}\r\n', Format.JSONL) == (("text",), [{"text": "a"}])


def test_words_that_mean_nothing_elsewhere_stay_texts() -> None:
    words = ["null", "NA", "nan", "None", "", "007", "1e5", "True"]
    content = "text,label\n" + "".join(f"{word},x\n" for word in words)
    assert [row["text"] for row in read(content.encode(), Format.CSV)[1]] == words


@pytest.mark.parametrize(("file_format", "comma"), [(Format.CSV, ","), (Format.TSV, "\t")])
def test_a_cell_may_be_very_long(file_format: Format, comma: str) -> None:
    long = "so happy " * 20_000
    (row,) = read(f"text{comma}label\n{long}{comma}joy\n".encode(), file_format)[1]
    assert len(long) > 131_072
    assert row["text"] == long


def test_an_empty_line_of_a_single_column_is_an_empty_text() -> None:
    assert [row["text"] for row in read(b"text\na\n\nb\n", Format.CSV)[1]] == ["a", "", "b"]


def test_empty_lines_are_no_rows() -> None:
    assert [row["text"] for row in read(b"text,n\na,1\n\nb,2\n\n", Format.CSV)[1]] == ["a", "b"]
    assert [row["text"] for row in read(b'\n{"text": "a"}\n  \n{"text": "b"}\n', Format.JSONL)[1]] == ["a", "b"]


def test_a_short_row_is_filled_with_empty_cells() -> None:
    assert read(b"a,b,c\n1\n", Format.CSV)[1] == [{"a": "1", "b": "", "c": ""}]


@pytest.mark.parametrize("file_format", [Format.CSV, Format.TSV])
def test_two_columns_of_one_name_are_refused(file_format: Format) -> None:
    header = "text,label,text\n" if file_format is Format.CSV else "text\tlabel\ttext\n"
    with pytest.raises(DataError, match="'input' has two columns named 'text'") as caught:
        read(header.encode(), file_format)
    assert "Rename" in caught.value.hint


def test_two_parquet_columns_of_one_name_are_refused() -> None:
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pytest.raises(DataError, match="'input' has two columns named 'text'"):
        read(parquet(table), Format.PARQUET)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("file_format", [Format.CSV, Format.TSV, Format.JSONL])
def test_an_empty_file_is_refused(content: bytes, file_format: Format) -> None:
    with pytest.raises(DataError, match="'input' is empty") as caught:
        read(content, file_format)
    assert caught.value.hint


def test_a_text_file_may_be_empty() -> None:
    assert read(b"", Format.TEXT) == (("text",), [])


def test_a_header_alone_is_a_file_without_rows() -> None:
    assert read(b"text,label\n", Format.CSV) == (("text", "label"), [])


@pytest.mark.parametrize("line", [b'{"text": ', b"happy", b'["a"]', b"3", b"{'text': 'a'}"])
def test_a_line_that_is_no_json_object_is_named(line: bytes) -> None:
    with pytest.raises(DataError, match=r"'input' line 3 is not (a JSON object|JSON)") as caught:
        read(b'{"text": "a"}\n\n' + line + b"\n", Format.JSONL)
    assert caught.value.hint


def test_json_columns_are_those_of_the_first_row_and_types_stay() -> None:
    content = b'{"text": "a", "n": 1, "labels": ["x"]}\n{"text": null, "more": 1.5}\n'
    columns, rows = read(content, Format.JSONL)
    assert columns == ("text", "n", "labels")
    assert rows == [{"text": "a", "n": 1, "labels": ["x"]}, {"text": None, "more": 1.5}]


@pytest.mark.parametrize(
    ("file_format", "content"),
    [
        (Format.TEXT, b"caf\xe9\n"),
        (Format.CSV, b"text\ncaf\xe9\n"),
        (Format.TSV, b"text\n" + b"a" * 20_000 + b"\ncaf\xe9\n"),
        (Format.JSONL, b'{"text": "caf\xe9"}\n'),
        (Format.CSV, "text\na\n".encode("utf-16")),
    ],
)
def test_bytes_that_are_not_utf8_are_refused(file_format: Format, content: bytes) -> None:
    with pytest.raises(DataError, match=r"'input' .*is not UTF-8: byte 0x") as caught:
        read(content, file_format)
    assert "--encoding" in caught.value.hint


def test_parquet_keeps_types_and_schema() -> None:
    schema = pa.schema([("text", pa.string()), ("n", pa.int32()), ("tags", pa.list_(pa.string())), ("on", pa.date32())])
    rows = [{"text": "null", "n": 1, "tags": ["a"], "on": date(2020, 5, 1)}, {"text": None, "n": None, "tags": [], "on": None}]
    content = parquet(pa.Table.from_pylist(rows, schema))
    with read_stream(io.BytesIO(content), ReadOptions(Format.PARQUET), "input") as source:
        assert source.columns == ("text", "n", "tags", "on")
        assert source.schema.equals(schema)
        assert list(source.rows) == rows


def test_parquet_of_many_batches_keeps_its_order() -> None:
    texts = [f"text {i}" for i in range(3000)]
    assert [row["text"] for row in read(parquet(pa.table({"text": texts})), Format.PARQUET)[1]] == texts


def test_a_file_that_is_no_parquet_is_refused() -> None:
    for content in (b"", b"text,label\na,joy\n", b"PAR1" + b"\0" * 40 + b"PAR1"):
        with pytest.raises(DataError, match="'input' is not a Parquet file"):
            read(content, Format.PARQUET)


def test_damaged_parquet_pages_are_a_data_error() -> None:
    content = bytearray(parquet(pa.table({"text": [f"text {i} of many" for i in range(3000)]})))
    content[100:5000] = b"\xff" * 4900
    with pytest.raises(DataError, match="'input'"):
        read(bytes(content), Format.PARQUET)


@pytest.mark.parametrize(
    ("file_format", "content"),
    [(Format.TEXT, b"a\n"), (Format.CSV, b"text\na\n"), (Format.JSONL, b'{"text": "a"}\n'), (Format.PARQUET, None)],
)
def test_the_stream_stays_open(file_format: Format, content: bytes | None) -> None:
    stream = io.BytesIO(content if content is not None else parquet(pa.table({"text": ["a"]})))
    with read_stream(stream, ReadOptions(file_format), "input") as source:
        assert list(source.rows) == [{"text": "a"}]
    assert not stream.closed


def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\na\n")
    with open_rows(path, ReadOptions(Format.CSV)) as source:
        assert source.name == str(path)
        assert source.format is Format.CSV
        assert list(source.rows) == [{"text": "a"}]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match=r"'.*no\.csv' is not there") as caught,
        open_rows(tmp_path / "no.csv", ReadOptions(Format.CSV)),
    ):
        pass
    assert "path" in caught.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not a file") as caught, open_rows(tmp_path, ReadOptions(Format.CSV)):
        pass
    assert caught.value.hint


def test_a_path_through_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\n")
    with (
        pytest.raises(DataError, match="can't be read: Not a directory"),
        open_rows(tmp_path / "a.csv" / "b.csv", ReadOptions(Format.CSV)),
    ):
        pass
