"""Several files as one: the columns of the first, whatever the others look like; what does not fit is refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotions_cli.answering.inputs import open_files
from emotions_cli.errors import DataError
from emotions_cli.streams.compression import compress
from emotions_cli.streams.encoders import row_encoder
from emotions_cli.streams.formats import Compression, Format
from emotions_cli.streams.rows import OnError, ReadOptions


def write(**files: bytes) -> list[Path]:
    paths = []
    for name, content in files.items():
        path = Path(name.replace("_", "."))
        path.write_bytes(content)
        paths.append(path)
    return paths


def joined(paths: Sequence[Path], options: ReadOptions | None = None) -> bytes:
    """Write all rows in the format of the first file, without answers."""
    with open_files(paths, options or ReadOptions()) as source:
        encoder = row_encoder(source.format, source.columns, ["new"], source=source)
        records = list(source.records)
        return encoder.header() + encoder.encode(records, [{"new": "x"}] * len(records))


def test_one_file_is_itself() -> None:
    (path,) = write(a_csv=b"text,n\na,1\n")
    with open_files([path], ReadOptions()) as source:
        assert source.name == "a.csv"
        assert [record.cells for record in source.records] == [{"text": "a", "n": "1"}]


def test_files_of_the_same_columns_follow_each_other_byte_for_byte() -> None:
    paths = write(a_csv=b'text,n\r\n"a",1\r\n', b_csv=b'text,n\n"b ""q""",2\n', c_csv=b'"text","n"\nc, 3 \n')
    assert joined(paths) == b'text,n,new\n"a",1,x\n"b ""q""",2,x\nc, 3 ,x\n'
    with open_files(paths, ReadOptions()) as source:
        assert source.name == "a.csv and 2 more"
        assert source.size == sum(path.stat().st_size for path in paths)
        assert list(source.records)[-1].number == 1
        assert source.position() == source.size


def test_columns_in_another_order_are_put_in_order() -> None:
    paths = write(a_csv=b"text,n\na,1\n", b_csv=b'n,text\n2,"b,b"\n')
    assert joined(paths) == b'text,n,new\na,1,x\n"b,b",2,x\n'


def test_another_delimiter_compression_or_format_is_translated() -> None:
    paths = write(
        a_csv=b"text,n\na,1\n",
        b_csv=b'text;n\n"b;b";2\n',
        c_tsv=b"text\tn\nc,c\t3\n",
        d_jsonl=b'{"text": "d", "n": 1.10}\n',
        e_csv_gz=compress(b"text,n\ne,5\n", Compression.GZIP),
    )
    assert joined(paths) == b'text,n,new\na,1,x\nb;b,2,x\n"c,c",3,x\nd,1.10,x\ne,5,x\n'


def test_json_first_takes_cells_of_csv() -> None:
    paths = write(a_jsonl=b'{"text": "a", "n": [1]}\n', b_csv=b"n,text\n2,b\n")
    assert joined(paths) == b'{"text": "a", "n": [1], "new": "x"}\n{"n": "2", "text": "b", "new": "x"}\n'


def test_texts_follow_each_other() -> None:
    paths = write(a_txt=b"one\ntwo", b_txt=b"three\n")
    with open_files(paths, ReadOptions()) as source:
        assert [record.cells["text"] for record in source.records] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("second", "named"),
    [(b"text\nb\n", "n"), (b"text,m\nb,2\n", "m, n"), (b"text,n,o\nb,2,3\n", "o"), (b"b,2\n", "1, 2, n, text")],
)
def test_other_columns_are_refused_before_anything_is_read(second: bytes, named: str) -> None:
    paths = write(a_csv=b"text,n\na,1\n", b_csv=second)
    with pytest.raises(DataError, match=rf"'b\.csv' has other columns than 'a\.csv' \({named}\)") as raised:
        joined(paths)
    assert "one by one" in raised.value.hint


def test_a_file_that_is_not_there_is_named_before_anything_is_read() -> None:
    (path,) = write(a_csv=b"text\na\n")
    with pytest.raises(DataError, match=r"'gone\.csv' is not there"), open_files([path, Path("gone.csv")], ReadOptions()):
        pass


def test_parquet_of_the_same_types_keeps_them() -> None:
    when = pa.timestamp("ns", "UTC")
    for name, texts in (("a", ["a", "b"]), ("b", ["c"])):
        pq.write_table(pa.table({"text": texts, "when": pa.array(range(len(texts)), when)}), f"{name}.parquet")
    with open_files([Path("a.parquet"), Path("b.parquet")], ReadOptions()) as source:
        encoder = row_encoder(Format.PARQUET, source.columns, ["new"], source=source)
        records = list(source.records)
        table = pa.ipc.open_stream(encoder.encode(records, [{"new": "x"}] * 3)).read_all()
    assert table.schema.field("when").type == when
    assert table["text"].to_pylist() == ["a", "b", "c"]


def test_parquet_of_other_types_is_refused() -> None:
    pq.write_table(pa.table({"text": ["a"], "n": pa.array([1], pa.int64())}), "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "n": pa.array([1.5], pa.float64())}), "b.parquet")
    with (
        pytest.raises(DataError, match=r"'b\.parquet' has other types than 'a\.parquet'"),
        open_files([Path("a.parquet"), Path("b.parquet")], ReadOptions()),
    ):
        pass


def test_parquet_takes_rows_of_csv() -> None:
    pq.write_table(pa.table({"text": ["a"], "n": pa.array([1], pa.int64())}), "a.parquet")
    write(b_csv=b"text,n\nb,2\n")
    with open_files([Path("a.parquet"), Path("b.csv")], ReadOptions()) as source:
        assert [record.cells for record in source.records] == [{"text": "a", "n": 1}, {"text": "b", "n": "2"}]


def test_what_happened_to_rows_is_counted_over_all_files() -> None:
    paths = write(
        a_csv=b"text,n\na\nb,1,1\n\xff,1\n",
        b_csv=b"text,n\nc\n\xff,1\nd,1\n",
        c_csv=b"text,n\ne,1\n",
    )
    rejected: list[bytes] = []
    with open_files(paths, ReadOptions(on_error=OnError.SKIP, reject=rejected.append)) as source:
        assert [record.cells["text"] for record in source.records] == ["a", "b", "c", "d", "e"]
        assert (source.counts.skipped, source.counts.short, source.counts.long) == (2, 2, 1)
    assert rejected == [b"\xff,1\n"] * 2


@pytest.mark.parametrize("on_error", [OnError.SKIP, OnError.KEEP])
def test_a_row_that_is_looked_at_twice_is_rejected_once(on_error: OnError) -> None:
    paths = write(a_jsonl=b'{"text": "a"}\n', b_jsonl=b'broken\n{"text": "b"}\n')
    rejected: list[bytes] = []
    with open_files(paths, ReadOptions(on_error=on_error, reject=rejected.append)) as source:
        rows = list(source.records)
    assert rejected == [b"broken\n"]
    assert len(rows) == (2 if on_error is OnError.SKIP else 3)


def test_an_error_in_a_later_file_comes_when_it_is_read() -> None:
    paths = write(a_jsonl=b'{"text": "a"}\n', b_jsonl=b'{"text": "b"}\nbroken\n')
    with open_files(paths, ReadOptions()) as source:
        assert [next(source.records).cells["text"] for _ in range(2)] == ["a", "b"]
        with pytest.raises(DataError, match=r"'b\.jsonl' line 2 is not JSON"):
            next(source.records)
