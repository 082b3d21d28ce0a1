"""Whatever a text holds, it comes back as other libraries see it."""

from __future__ import annotations

import csv
import io
import itertools
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions_cli.streams.arrow import write_parquet
from emotions_cli.streams.encoders import row_encoder
from emotions_cli.streams.formats import Format
from emotions_cli.streams.jsonl import json_text, parse_json
from emotions_cli.streams.readers import OnError, ReadOptions, Record, read_stream

settings.register_profile("streams", max_examples=150, deadline=None, derandomize=True)
PROFILE = settings.get_profile("streams")

# half surrogate pairs have no UTF-8
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
awkward = st.text(st.sampled_from("a,;\t|\"'\n\r\0 \ufeff\u2028\x85🙂א"), max_size=12)
text = st.one_of(any_text, awkward)
table = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(text, min_size=n, max_size=n), max_size=6))

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=8,
)


def written_csv(rows: list[list[str]], delimiter: str, end: str) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows(rows)
    return stream.getvalue().encode()


def read_csv(content: bytes, delimiter: str) -> list[list[str]]:
    return [cells for cells in csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter) if cells]


@PROFILE
@given(table, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_csv_against_the_csv_module(rows: list[list[str]], delimiter: str, end: str) -> None:
    columns = [f"c{i}" for i in range(len(rows[0]) if rows else 1)]
    content = written_csv([columns, *rows], delimiter, end)
    with read_stream(io.BytesIO(content), ReadOptions(Format.CSV, delimiter=delimiter, header=True), "x") as source:
        records = list(source.records)
        encoder = row_encoder(Format.CSV, source.columns, ["emotion"], source=source)
    assert [list(record.cells.values()) for record in records] == rows
    answered = encoder.header() + encoder.encode(records, [{"emotion": "a,;\t|b"}] * len(records))
    assert read_csv(answered, delimiter) == [[*columns, "emotion"], *([*row, "a,;\t|b"] for row in rows)]
    # every byte of a record is kept
    assert all(record.raw is not None and record.raw.encode() in answered for record in records)


@PROFILE
@given(table, st.sampled_from([Format.CSV, Format.TSV]))
def test_cells_from_elsewhere_against_the_csv_module(rows: list[list[str]], file_format: Format) -> None:
    columns = [f"c{i}" for i in range(len(rows[0]) if rows else 1)]
    encoder = row_encoder(file_format, columns, ["emotion"])
    records = [Record(i, dict(zip(columns, row, strict=True))) for i, row in enumerate(rows, start=1)]
    content = encoder.header() + encoder.encode(records, [{"emotion": "joy"}] * len(records))
    assert read_csv(content, "\t" if file_format is Format.TSV else ",") == [
        [*columns, "emotion"],
        *([*row, "joy"] for row in rows),
    ]


@PROFILE
@given(st.lists(st.dictionaries(text, json_values, max_size=4), min_size=1, max_size=5), st.booleans())
def test_json_lines_against_json(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    rows = [{key: value for key, value in row.items() if key != "emotion"} for row in rows]
    content = "".join(f"{json.dumps(row, ensure_ascii=ascii_only)}\n" for row in rows).encode()
    with read_stream(io.BytesIO(content), ReadOptions(Format.JSONL), "x") as source:
        records = list(source.records)
        encoder = row_encoder(Format.JSONL, source.columns, ["emotion"], source=source)
    assert [record.cells for record in records] == rows
    answered = encoder.encode(records, [{"emotion": "joy"}] * len(records))
    assert [json.loads(line) for line in answered.decode().split("\n")[:-1]] == [{**row, "emotion": "joy"} for row in rows]


@PROFILE
@given(json_values)
def test_json_values_are_written_as_json_does(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False)
    assert json_text(parse_json(written)) == written


@PROFILE
@given(st.lists(st.tuples(text, st.integers(-(2**63), 2**63 - 1) | st.none(), st.floats() | st.none()), min_size=1, max_size=8))
def test_parquet_against_pyarrow(rows: list[tuple[str, int | None, float | None]]) -> None:
    texts, numbers, floats = zip(*rows, strict=True)
    given_table = pa.table(
        {"text": pa.array(texts, pa.string()), "n": pa.array(numbers, pa.int64()), "f": pa.array(floats, pa.float64())}
    )
    stream = io.BytesIO()
    pq.write_table(given_table, stream)
    with read_stream(io.BytesIO(stream.getvalue()), None, "x") as source:
        encoder = row_encoder(Format.PARQUET, source.columns, ["score"], source=source)
        content = encoder.header()
        while records := list(itertools.islice(source.records, 3)):
            content += encoder.encode(records, [{"score": 0.5}] * len(records))
    out = io.BytesIO()
    write_parquet(io.BytesIO(content), out)
    back = pq.read_table(out)
    # as text, since NaN is not NaN
    assert str(back.drop_columns("score").to_pylist()) == str(given_table.to_pylist())
    assert back.drop_columns("score").schema.equals(given_table.schema)


@PROFILE
@given(
    st.lists(any_text.filter(lambda line: "\n" not in line and not line.endswith("\r")), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_texts(lines: list[str], end: str) -> None:
    content = "".join(line + end for line in lines)
    if content.startswith("\ufeff"):
        content = "\ufeff" + content
    with read_stream(io.BytesIO(content.encode()), ReadOptions(Format.TEXT), "x") as source:
        assert [row["text"] for row in source.rows] == lines


@PROFILE
@given(st.binary(max_size=200), st.sampled_from(list(Format)[:4]), st.sampled_from(["utf-8", "utf-16-le", "cp1252", "utf-7"]))
def test_any_bytes_are_kept_row_by_row(content: bytes, file_format: Format, encoding: str) -> None:
    """Nothing but errors of our own, and every row has the cells that were announced."""
    from emotions_cli.errors import DataError

    options = ReadOptions(file_format, encoding=encoding, on_error=OnError.KEEP)
    try:
        with read_stream(io.BytesIO(content), options, "x") as source:
            records = list(source.records)
    except DataError:
        return
    if source.delimiter is not None:
        assert all(tuple(record.cells) == source.columns for record in records)
        for record in records:
            assert record.raw is not None
            again = next(csv.reader(io.StringIO(record.raw, newline=""), delimiter=source.delimiter), [""])
            assert again == list(record.cells.values())


@PROFILE
@given(st.lists(st.text(st.sampled_from('ab,"\n\r ;'), max_size=20), max_size=8), st.sampled_from(list(OnError)[1:]))
def test_broken_csv_keeps_its_lines(lines: list[str], on_error: OnError) -> None:
    content = "n,text\n" + "\n".join(lines)
    options = ReadOptions(Format.CSV, header=True, on_error=on_error)
    with read_stream(io.BytesIO(content.encode()), options, "x") as source:
        records = list(source.records)
    letters = "".join("".join(record.cells.values()) for record in records)
    if on_error is OnError.KEEP:
        assert sorted(c for c in letters if c in "ab") == sorted(c for c in content[7:] if c in "ab")
