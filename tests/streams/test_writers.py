"""Rows at hand become a file that is read back the same, in every format."""

from __future__ import annotations

import gzip
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from emotions_cli.errors import DataError, StorageError
from emotions_cli.streams.arrow import write_parquet
from emotions_cli.streams.encoders import row_encoder
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import ReadOptions, Record, Row, RowSource, open_rows, read_stream
from emotions_cli.streams.writers import file_writer

FORMATS = [Format.CSV, Format.TSV, Format.JSONL, Format.PARQUET]

TEXTS = [
    "plain",
    "",
    'she said "no, never"',
    "two\nlines",
    "two\r\nlines",
    "tab\there",
    "comma, semicolon; pipe|",
    "🙂 naïve “quotes” 你好",
    "null",
    "NA",
    "nan",
    "None",
    " spaces around ",
    "'",
    '"',
    "x" * 140_000,
]


def written(rows: list[Row], file_format: Format, columns: list[str], schema: Any = None) -> bytes:
    """Two chunks of rows without answers, as one file."""
    source = None if schema is None else RowSource("input", Format.PARQUET, tuple(schema.names), iter(()), schema=schema)
    encoder = row_encoder(file_format, columns, [], source=source)
    chunks = [[Record(number, row) for number, row in enumerate(part, start=1)] for part in (rows[:2], rows[2:])]
    content = encoder.header() + b"".join(encoder.encode(chunk, [{}] * len(chunk)) for chunk in chunks)
    if file_format is not Format.PARQUET:
        return content
    out = io.BytesIO()
    write_parquet(io.BytesIO(content), out)
    return out.getvalue()


def round_trip(rows: list[Row], file_format: Format, columns: list[str]) -> list[Row]:
    with read_stream(io.BytesIO(written(rows, file_format, columns)), ReadOptions(file_format), "input") as source:
        assert source.columns == tuple(columns)
        return list(source.rows)


@pytest.mark.parametrize("file_format", FORMATS)
def test_texts_come_back_as_they_were(file_format: Format) -> None:
    rows = [{"text": text, "label": f"l{i}"} for i, text in enumerate(TEXTS)]
    assert round_trip(rows, file_format, ["text", "label"]) == rows


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_lone_carriage_return_stays_in_its_cell(file_format: Format) -> None:
    rows = [{"text": "old\rmac", "label": "joy"}, {"text": "\r", "label": "fear"}]
    assert round_trip(rows, file_format, ["text", "label"]) == rows


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_single_column_keeps_its_empty_texts(file_format: Format) -> None:
    rows = [{"text": text} for text in ("", "a", "", "b")]
    assert round_trip(rows, file_format, ["text"]) == rows


@pytest.mark.parametrize("file_format", FORMATS)
def test_half_an_emoji_does_not_stop_the_output(file_format: Format) -> None:
    """JSON can hold a lone surrogate, UTF-8 can't."""
    with read_stream(
        io.BytesIO(b'{"text": "broken \\ud83d emoji"}\n{"text": "fine"}\n'), ReadOptions(Format.JSONL), "input"
    ) as source:
        rows = list(source.rows)
    first, second = round_trip(rows, file_format, ["text"])
    assert first["text"].startswith("broken ")
    assert second == {"text": "fine"}


def test_text_output_is_utf8_with_newlines_alone() -> None:
    rows: list[Row] = [{"text": "héllo, 🙂", "n": 1}]
    assert written(rows, Format.CSV, ["text", "n"]) == 'text,n\n"héllo, 🙂",1\n'.encode()
    assert written(rows, Format.TSV, ["text", "n"]) == "text\tn\nhéllo, 🙂\t1\n".encode()
    assert written(rows, Format.JSONL, ["text", "n"]) == '{"text": "héllo, 🙂", "n": 1}\n'.encode()


def test_csv_writes_lists_as_json_and_nothing_for_none() -> None:
    rows: list[Row] = [{"text": "a", "labels": ["joy", "anger"], "score": 0.123457, "note": None, "unknown": 1}]
    assert written(rows, Format.CSV, ["text", "labels", "score", "note"]) == (
        b'text,labels,score,note\na,"[""joy"", ""anger""]",0.123457,\n'
    )


def test_csv_writes_lists_of_dates() -> None:
    content = written([{"text": "a", "seen": [datetime(2020, 5, 1)]}], Format.CSV, ["text", "seen"])
    assert b"2020-05-01" in content


def test_json_lines_write_every_key_and_dates_as_texts() -> None:
    content = written([{"text": "a", "on": datetime(2020, 5, 1), "more": {"x": [1]}}], Format.JSONL, ["text"])
    assert json.loads(content) == {"text": "a", "on": "2020-05-01 00:00:00", "more": {"x": [1]}}


@pytest.mark.parametrize("file_format", [Format.CSV, Format.TSV, Format.PARQUET])
def test_without_rows_the_columns_are_written(file_format: Format) -> None:
    assert round_trip([], file_format, ["text", "label"]) == []


def test_columns_of_changing_types_get_one_that_holds_them_all() -> None:
    rows: list[Row] = [
        {"n": 1, "x": 1, "s": {"a": 1}, "e": {}, "l": [1], "none": None},
        {"n": 2, "x": None, "s": {"a": 2}, "e": {}, "l": [], "none": None},
        {"n": 0.5, "x": "one", "s": {"a": 3, "b": "x"}, "e": None, "l": [0.5], "none": None},
    ]
    table = pq.read_table(io.BytesIO(written(rows, Format.PARQUET, list(rows[0]))))
    assert table.column("n").to_pylist() == [1.0, 2.0, 0.5]
    assert table.column("x").to_pylist() == ["1", None, "one"]
    assert table.column("s").to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": None}, {"a": 3, "b": "x"}]
    assert table.column("e").to_pylist() == ["{}", "{}", None]
    assert table.column("l").to_pylist() == [[1.0], [], [0.5]]
    assert table.schema.field("none").type == pa.string()


def test_types_that_change_inside_a_chunk_become_texts() -> None:
    rows: list[Row] = [{"x": 1, "big": 2**70}, {"x": ["a", 1.5], "big": 1}, {"x": {"k": None}, "big": None}]
    table = pq.read_table(io.BytesIO(written(rows, Format.PARQUET, ["x", "big"])))
    assert table.column("x").to_pylist() == ["1", '["a", 1.5]', '{"k": null}']
    assert table.column("big").to_pylist() == [str(2**70), "1", None]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_is_written_whole(tmp_path: Path, file_format: Format) -> None:
    path = tmp_path / "deep" / "folder" / f"out.{file_format}"
    rows: list[Row] = [{"text": "a, b", "label": "joy"}, {"text": "ü", "label": "fear"}]
    with file_writer(path, file_format, ["text", "label"]) as writer:
        writer.write(rows)
        assert not path.exists()
    with open_rows(path, ReadOptions(file_format)) as source:
        assert list(source.rows) == rows
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_broken_off_leaves_the_old_one(tmp_path: Path, file_format: Format) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def write_until_row_2() -> None:
        with file_writer(path, file_format, ["text"]) as writer:
            writer.write([{"text": "new"}])
            raise DataError("row 2 is bad")

    with pytest.raises(DataError, match="row 2"):
        write_until_row_2()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("ending", "open_packed"), [("gz", gzip.open), ("zst", zstandard.open)])
def test_a_name_may_ask_for_compression(tmp_path: Path, ending: str, open_packed: Any) -> None:
    path = tmp_path / f"out.csv.{ending}"
    with file_writer(path, Format.CSV, ["text"]) as writer:
        writer.write([{"text": "a"}])
        writer.write([{"text": "b"}])
    with open_packed(path, "rb") as stream:
        assert stream.read() == b"text\na\nb\n"
    with open_rows(path) as source:
        assert [row["text"] for row in source.rows] == ["a", "b"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(StorageError, match=r"'.*out\.csv' can't be written") as caught,
        file_writer(tmp_path / "file" / "out.csv", Format.CSV, ["text"]),
    ):
        pass
    assert "permissions" in caught.value.hint
