"""New cells go behind the record as it stood; another format gets the cells themselves."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotions_cli.errors import DataError
from emotions_cli.streams.arrow import write_parquet
from emotions_cli.streams.encoders import row_encoder
from emotions_cli.streams.formats import Format
from emotions_cli.streams.readers import OnError, ReadOptions, read_stream

NEW = ["emotion", "score"]
ANSWER = {"emotion": "joy", "score": 0.5}


def answered(
    content: bytes,
    options: ReadOptions,
    file_format: Format,
    new: Sequence[str] = NEW,
    answer: dict[str, Any] = ANSWER,
    chunk: int = 2,
) -> bytes:
    with read_stream(io.BytesIO(content), options, "input") as source:
        encoder = row_encoder(file_format, source.columns, new, source=source)
        written = encoder.header()
        while records := list(itertools.islice(source.records, chunk)):
            written += encoder.encode(records, [answer] * len(records))
    if file_format is Format.PARQUET:
        out = io.BytesIO()
        write_parquet(io.BytesIO(written), out)
        return out.getvalue()
    return written


def test_csv_stays_as_it_stood() -> None:
    content = (
        b'\xef\xbb\xbf "id" ,text,"n"\r\n1,"a" b,2\r\n\r\n"1","two\r\nlines",\' \r\n'
        b"3,nul\0 \xf0\x9f\x99\x82,\n4,\xd7\xa9\xd7\x9c,null"
    )
    expected = (
        b' "id" ,text,"n",emotion,score\n1,"a" b,2,joy,0.5\n"1","two\r\nlines",\' ,joy,0.5\n'
        b"3,nul\0 \xf0\x9f\x99\x82,,joy,0.5\n4,\xd7\xa9\xd7\x9c,null,joy,0.5\n"
    )
    assert answered(content, ReadOptions(Format.CSV), Format.CSV) == expected


@pytest.mark.parametrize(
    ("delimiter", "file_format"), [(";", Format.CSV), ("|", Format.CSV), ("\t", Format.TSV), (",", Format.TSV)]
)
def test_the_delimiter_stays(delimiter: str, file_format: Format) -> None:
    content = f"text{delimiter}n\na{delimiter}1\n".encode()
    expected = "text,n,emotion,score\na,1,joy,0.5\n".replace(",", delimiter).encode()
    assert answered(content, ReadOptions(file_format), file_format) == expected


def test_another_delimiter_means_new_quotes() -> None:
    content = b'text;n\n"a;b";1,5\n'
    assert answered(content, ReadOptions(Format.CSV), Format.TSV) == b"text\tn\temotion\tscore\na;b\t1,5\tjoy\t0.5\n"


def test_without_a_header_none_is_written() -> None:
    options = ReadOptions(Format.CSV, header=False)
    assert answered(b"a,1\nb,2\n", options, Format.CSV) == b"a,1,joy,0.5\nb,2,joy,0.5\n"
    assert answered(b"a,1\n", options, Format.TSV) == b"a\t1\tjoy\t0.5\n"
    assert answered(b"a,1\n", options, Format.JSONL) == b'{"1": "a", "2": "1", "emotion": "joy", "score": 0.5}\n'


def test_ragged_rows_have_as_many_cells_as_the_header() -> None:
    content = b"n,text\n1\n2,a,b\n\n3,c\n"
    assert answered(content, ReadOptions(Format.CSV), Format.CSV) == (
        b'n,text,emotion,score\n1,,joy,0.5\n2,"a,b",joy,0.5\n3,c,joy,0.5\n'
    )


def test_empty_texts_of_one_column_stay() -> None:
    assert answered(b"text\n\na\n", ReadOptions(Format.CSV), Format.CSV) == b"text,emotion,score\n,joy,0.5\na,joy,0.5\n"
    assert answered(b"text\n\na\n", ReadOptions(Format.CSV), Format.CSV, [], {}) == b'text\n""\na\n'


def test_new_cells_are_quoted_where_they_must_be() -> None:
    answer = {"emotion": 'a,"b"', "score": None, "labels": ["x", "y"], "n": 3}
    written = answered(b"text,n0\na,b\n", ReadOptions(Format.CSV), Format.CSV, list(answer), answer)
    assert written == b'text,n0,emotion,score,labels,n\na,b,"a,""b""",,"[""x"", ""y""]",3\n'


def test_json_lines_stay_as_they_stood() -> None:
    content = b'{"text": "a}", "n": 1.10 }\r\n{}\n  { "text" : "\\ud83d", "t": 1e5}  \n\n{ }'
    assert answered(content, ReadOptions(Format.JSONL), Format.JSONL) == (
        b'{"text": "a}", "n": 1.10 , "emotion": "joy", "score": 0.5}\n'
        b'{"emotion": "joy", "score": 0.5}\n'
        b'  { "text" : "\\ud83d", "t": 1e5, "emotion": "joy", "score": 0.5}  \n'
        b'{ "emotion": "joy", "score": 0.5}\n'
    )


def test_json_rows_that_are_kept_are_written_anew() -> None:
    options = ReadOptions(Format.JSONL, on_error=OnError.KEEP)
    written = answered(b'{"text": "a"}\nnot "json"\n', options, Format.JSONL)
    assert [json.loads(line) for line in written.splitlines()][1] == {"unreadable": 'not "json"', **ANSWER}


def test_a_key_that_is_taken_is_named_with_its_row() -> None:
    content = b'{"text": "a"}\n{"text": "b", "score": 1}\n'
    with pytest.raises(DataError, match="'input' row 2 already has a field 'score'") as caught:
        answered(content, ReadOptions(Format.JSONL), Format.JSONL)
    assert "--prefix" in caught.value.hint


def test_numbers_keep_their_text_in_csv() -> None:
    content = (
        b'{"text": "a", "n": 1.10, "more": [1e5, {"x": -0}], "yes": true, "no": null, "big": 123456789012345678901, "nan": NaN}\n'
    )
    assert answered(content, ReadOptions(Format.JSONL), Format.CSV) == (
        b'text,n,more,yes,no,big,nan,emotion,score\na,1.10,"[1e5, {""x"": -0}]",true,,123456789012345678901,NaN,joy,0.5\n'
    )


def test_texts_become_a_table() -> None:
    assert answered(b"a\tb\n", ReadOptions(Format.TEXT), Format.TSV) == b'text\temotion\tscore\n"a\tb"\tjoy\t0.5\n'


TYPES = {
    "ns": pa.array([1577836800000000001, None, 5], pa.timestamp("ns")),
    "zone": pa.array([1577836800000000001, None, 5], pa.timestamp("ns", "UTC")),
    "decimal": pa.array([Decimal("1.10"), None, Decimal("2.00")], pa.decimal128(10, 2)),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": []}]),
    "large": pa.array(["x", "\U0001f642", None], pa.large_string()),
    "duration": pa.array([1, None, 3], pa.duration("ns")),
    "time": pa.array([1, None, 3000], pa.time64("ns")),
    "times": pa.array([[1], None, [3000]], pa.list_(pa.timestamp("ns"))),
    "nothing": pa.nulls(3),
    "bytes": pa.array([b"\xff", None, b""]),
    "small": pa.array([1, None, -3], pa.int8()),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
}


def stored(table: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_parquet_keeps_every_type(chunk: int) -> None:
    table = pa.table(TYPES).replace_schema_metadata({"made by": "someone"})
    answer = {"emotion": "joy", "score": 0.5, "labels": ["a"], "nothing new": None}
    written = answered(stored(table), ReadOptions(), Format.PARQUET, list(answer), answer, chunk)
    back = pq.read_table(io.BytesIO(written))
    assert back.select(table.column_names).equals(table)
    assert back.schema.metadata == {b"made by": b"someone"}
    assert back.schema.types[len(TYPES) :] == [pa.string(), pa.float64(), pa.list_(pa.string()), pa.string()]
    assert pq.ParquetFile(io.BytesIO(written)).num_row_groups == -(-3 // chunk)


def test_parquet_becomes_csv() -> None:
    rows = answered(stored(pa.table(TYPES)), ReadOptions(), Format.CSV).decode().splitlines()
    assert rows[1].startswith('2020-01-01 00:00:00.000000001,2020-01-01 00:00:00.000000001Z,1.10,a,"{""a"": 1, ""b"": [""x""]}"')


def test_times_that_python_has_are_its_own() -> None:
    table = pa.table({"t": pa.array([1577836800000000000], pa.timestamp("ns")), "d": pa.array([2000], pa.duration("ns"))})
    with read_stream(io.BytesIO(stored(table)), ReadOptions(), "input") as source:
        row = next(source.rows)
    assert str(row["t"]) == "2020-01-01 00:00:00"
    assert row["d"] == timedelta(microseconds=2)


def test_times_that_python_has_not_are_texts() -> None:
    table = pa.table({"far": pa.array([10**18], pa.timestamp("ms")), "large": pa.array([[1]], pa.large_list(pa.time64("ns")))})
    with read_stream(io.BytesIO(stored(table)), ReadOptions(), "input") as source:
        row = next(source.rows)
    assert isinstance(row["far"], str)
    assert row["large"] == [time(0, 0)]


def test_parquet_rows_out_of_order_find_their_types() -> None:
    with read_stream(io.BytesIO(stored(pa.table({"n": pa.array(range(3000), pa.int16())}))), ReadOptions(), "input") as source:
        records = list(source.records)
        encoder = row_encoder(Format.PARQUET, source.columns, [], source=source)
        picked = [records[i] for i in (2999, 0, 1, 1, 1023, 1024)]
        out = io.BytesIO()
        write_parquet(io.BytesIO(encoder.encode(picked, [{}] * 6)), out)
    table = pq.read_table(out)
    assert table.schema.types == [pa.int16()]
    assert table.column("n").to_pylist() == [2999, 0, 1, 1, 1023, 1024]


def test_parquet_without_rows_has_its_columns() -> None:
    for content in (stored(pa.table({"text": pa.array([], pa.large_string())})), b"text\n"):
        options = ReadOptions(None if content.startswith(b"PAR1") else Format.CSV)
        table = pq.read_table(io.BytesIO(answered(content, options, Format.PARQUET)))
        assert table.column_names == ["text", *NEW]
        assert table.num_rows == 0


def test_the_position_of_a_parquet_file_goes_with_its_rows(tmp_path: Any) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(stored(pa.table({"n": list(range(10))})))
    with path.open("rb") as stream, read_stream(stream, ReadOptions(), "input") as source:
        assert source.position() == 0
        list(itertools.islice(source.records, 5))
        assert source.size == path.stat().st_size
        assert source.position() == source.size // 2
