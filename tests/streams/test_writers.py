"""What is written is read back the same, in every format."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotions_cli.errors import DataError, StorageError
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import Row, open_rows, read_stream
from emotions_cli.streams.writers import file_writer, row_writer

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
    stream = io.BytesIO()
    writer = row_writer(stream, file_format, columns, schema=schema)
    writer.write(rows[:2])
    writer.write(rows[2:])
    writer.close()
    return stream.getvalue()


def round_trip(rows: list[Row], file_format: Format, columns: list[str]) -> list[Row]:
    with read_stream(io.BytesIO(written(rows, file_format, columns)), file_format, "input") as source:
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
    with read_stream(io.BytesIO(b'{"text": "broken \\ud83d emoji"}\n{"text": "fine"}\n'), Format.JSONL, "input") as source:
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


def test_rows_reach_the_stream_chunk_by_chunk() -> None:
    for file_format in (Format.CSV, Format.JSONL):
        stream = io.BytesIO()
        writer = row_writer(stream, file_format, ["text"])
        writer.write([{"text": "first"}])
        assert b"first" in stream.getvalue()
        writer.write([{"text": "second"}])
        assert stream.getvalue().index(b"first") < stream.getvalue().index(b"second")


def test_parquet_keeps_the_types_of_its_input() -> None:
    schema = pa.schema([("text", pa.large_string()), ("n", pa.int16()), ("when", pa.timestamp("ms")), ("f", pa.float32())])
    rows: list[Row] = [
        {"text": "a", "n": None, "when": datetime(2020, 5, 1, 12), "f": 0.5, "label": "joy", "scores": [0.25, 0.75]},
        {"text": None, "n": 7, "when": None, "f": None, "label": "fear", "scores": [1.0, 0.0]},
        {"text": "c", "n": 8, "when": None, "f": 1.5, "label": "joy", "scores": []},
    ]
    content = written(rows, Format.PARQUET, [*schema.names, "label", "scores"], schema)
    table = pq.read_table(io.BytesIO(content))
    assert table.to_pylist() == rows
    assert [table.schema.field(name).type for name in schema.names] == schema.types
    assert table.schema.field("scores").type == pa.list_(pa.float64())


def test_parquet_keeps_types_that_cannot_be_guessed_from_values() -> None:
    schema = pa.schema([("text", pa.string()), ("extra", pa.map_(pa.string(), pa.int64()))])
    rows: list[Row] = [{"text": "a", "extra": [("k", 1)]}]
    content = written(rows, Format.PARQUET, ["text", "extra"], schema)
    assert pq.read_table(io.BytesIO(content)).schema.field("extra").type == schema.field("extra").type


def test_a_column_of_two_types_is_refused_in_parquet() -> None:
    stream = io.BytesIO()
    writer = row_writer(stream, Format.PARQUET, ["n"])
    writer.write([{"n": 1}])
    with pytest.raises(DataError, match="does not keep one type") as caught:
        writer.write([{"n": "one"}])
    assert "--format jsonl" in caught.value.hint
    writer.close()


def test_parquet_does_not_cut_numbers_to_whole_ones() -> None:
    stream = io.BytesIO()
    writer = row_writer(stream, Format.PARQUET, ["n"])
    writer.write([{"n": 1}])
    try:
        writer.write([{"n": 0.5}])
    except DataError:
        refused = True
    else:
        refused = False
    writer.close()
    assert refused or pq.read_table(stream).column("n").to_pylist() == [1, 0.5]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_is_written_whole(tmp_path: Path, file_format: Format) -> None:
    path = tmp_path / "deep" / "folder" / f"out.{file_format}"
    rows: list[Row] = [{"text": "a, b", "label": "joy"}, {"text": "ü", "label": "fear"}]
    with file_writer(path, file_format, ["text", "label"]) as writer:
        writer.write(rows)
        assert not path.exists()
    with open_rows(path, file_format) as source:
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


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(StorageError, match=r"'.*out\.csv' can't be written") as caught,
        file_writer(tmp_path / "file" / "out.csv", Format.CSV, ["text"]),
    ):
        pass
    assert "permissions" in caught.value.hint
