"""Input as it arrives: packed, piped, slow, nameless, long."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from emotions_cli.errors import DataError
from emotions_cli.streams.compression import compress
from emotions_cli.streams.formats import Compression, Format
from emotions_cli.streams.readers import ReadOptions, open_rows, read_stream, source_of_texts

PACKERS = [Compression.GZIP, Compression.ZSTD]


def texts(content: bytes, options: ReadOptions | None = None) -> list[str]:
    with read_stream(io.BytesIO(content), options, "x") as source:
        return [row["text"] for row in source.rows]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv", "a", "a.gz"])
@pytest.mark.parametrize("packer", PACKERS)
def test_packed_files_are_known_by_their_bytes(tmp_path: Path, packer: Compression, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(compress(b"text,n\na,1\n", packer) + compress(b"b,2\n", packer))
    with open_rows(path) as source:
        assert source.format is Format.CSV
        assert [row["text"] for row in source.rows] == ["a", "b"]
        assert source.size == source.position() == path.stat().st_size


def test_a_name_that_promises_gzip_may_be_plain(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"text\na\n")
    with open_rows(tmp_path / "a.csv.gz") as source:
        assert [row["text"] for row in source.rows] == ["a"]


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("file_format", [Format.TEXT, Format.CSV, Format.PARQUET])
def test_packed_data_that_is_cut_off_or_damaged_is_named(packer: Compression, file_format: Format) -> None:
    packed = compress(b"text\n" + os.urandom(200_000).hex().encode() + b"\n", packer)
    for broken in (packed[:-3], packed[:1000], packed[:100] + b"\0" * 300 + packed[400:], packed + b"garbage"):
        with (
            pytest.raises(DataError, match=r"'x' is (cut off|damaged)"),
            read_stream(io.BytesIO(broken), ReadOptions(file_format), "x") as source,
        ):
            list(source.records)


def test_gzip_may_be_padded_with_zeros() -> None:
    assert texts(gzip.compress(b"a\n") + b"\0" * 100 + gzip.compress(b"b\n") + b"\0" * 9) == ["a", "b"]


def test_zstandard_that_unfolds_is_read_in_small_bites() -> None:
    packed = zstandard.compress((b"x" * 999 + b"\n") * 300_000)
    with read_stream(io.BytesIO(packed), None, "x") as source:
        assert sum(1 for _ in source.records) == 300_000


def test_gzip_through_a_pipe_byte_by_byte() -> None:
    packed = gzip.compress(b"text;n\na;1\nb;2\n")

    class Drops(io.RawIOBase):
        drops = iter(packed)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - as streams name it
            return bytes(itertools.islice(self.drops, 1))

    with read_stream(Drops(), None, "x") as source:  # type: ignore[arg-type]
        assert source.delimiter == ";"
        assert [row["n"] for row in source.rows] == ["1", "2"]


@pytest.mark.parametrize(
    ("first", "second", "file_format", "expected"),
    [
        (b"one\ntwo\n", b"three\n", Format.TEXT, ["one", "two", "three"]),
        (b"text,n\none,1\ntwo,2\n", b"three,3\n", Format.CSV, ["one", "two", "three"]),
        (b'{"text": "one"}\n{"text": "two"}\n', b'{"text": "three"}\n', Format.JSONL, ["one", "two", "three"]),
    ],
)
def test_rows_come_out_while_the_pipe_is_open(first: bytes, second: bytes, file_format: Format, expected: list[str]) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", buffering=0) as feed:
        feed.write(first)
        with read_stream(stream, None, "standard input") as source:
            assert source.format is file_format
            assert source.size is None
            assert next(source.rows)["text"] == expected[0]
            assert next(source.rows)["text"] == expected[1]
            assert source.position() == len(first)
            feed.write(second)
            assert next(source.rows)["text"] == expected[2]
            feed.close()
            assert list(source.rows) == []


def test_a_pipe_of_packed_lines_gives_them_as_they_come() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", buffering=0) as feed:
        feed.write(gzip.compress(b"one\n"))
        with read_stream(stream, None, "standard input") as source:
            assert next(source.rows)["text"] == "one"
            machine = zlib.compressobj(wbits=31)
            feed.write(machine.compress(b"two\n") + machine.flush(zlib.Z_SYNC_FLUSH))
            assert next(source.rows)["text"] == "two"


def test_half_a_line_is_waited_for() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", buffering=0) as feed:
        feed.write(b"P")
        feed.write(b"ART one")
        feed.close()
        with read_stream(stream, None, "standard input") as source:
            assert [row["text"] for row in source.rows] == ["PART one"]


def test_parquet_comes_through_a_pipe_and_packed() -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"text": [f"t{i}" for i in range(5000)]}), stream)
    for content in (stream.getvalue(), gzip.compress(stream.getvalue())):
        command = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(content)
            process.stdin.close()
            with read_stream(process.stdout, None, "standard input") as source:
                assert source.format is Format.PARQUET
                assert [row["text"] for row in source.rows] == [f"t{i}" for i in range(5000)]


def test_a_stream_that_stands_in_its_middle_is_read_from_there() -> None:
    stream = io.BytesIO()
    stream.write(b"before")
    pq.write_table(pa.table({"text": ["a"]}), stream)
    table = stream.getvalue()
    stream = io.BytesIO(table)
    stream.seek(6)
    with read_stream(stream, None, "x") as source:
        assert list(source.rows) == [{"text": "a"}]


@pytest.mark.parametrize("file_format", [Format.TEXT, Format.CSV, Format.TSV, Format.JSONL])
def test_a_cell_of_a_megabyte(file_format: Format) -> None:
    long = "so happy \U0001f642 " * 90_000
    content = {Format.TEXT: f"{long}\n", Format.JSONL: f'{{"text": "{long}"}}\n'}.get(file_format, f"text\n{long}\n")
    assert len(content.encode()) > 1_000_000
    assert texts(content.encode(), ReadOptions(file_format)) == [long]
    assert texts(content.encode(), ReadOptions(None if file_format is not Format.TSV else file_format))[-1] == long


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_csv_end_in_three_ways(end: str) -> None:
    content = f'text,n{end}"two{end}lines",1{end}b,2{end}'.encode()
    with read_stream(io.BytesIO(content), ReadOptions(Format.CSV), "x") as source:
        records = list(source.records)
    assert [record.cells["text"] for record in records] == [f"two{end}lines", "b"]
    assert [record.raw for record in records] == [f'"two{end}lines",1', "b,2"]


def test_lines_of_text_end_in_two_ways() -> None:
    assert texts(b"a\r\nb\rc\r\r\nd\0\r") == ["a", "b\rc\r", "d\0\r"]


def test_a_file_without_a_known_name_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(b"id;review\n1;fine\n")
    with open_rows(tmp_path / "export") as source:
        assert source.columns == ("id", "review")
        assert source.notes == [f"{tmp_path / 'export'} looks like csv with ';' between columns"]
    (tmp_path / "notes").write_bytes(b"fine, thanks\n")
    with open_rows(tmp_path / "notes") as source:
        assert (source.format, source.notes) == (Format.TEXT, [])


def test_a_file_of_a_foreign_format_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"text": "a"}]\n')
    with pytest.raises(DataError, match="does not say its format"), open_rows(tmp_path / "a.json"):
        pass
    (tmp_path / "a.json").write_bytes(b'{"text": "a"}\n')
    with open_rows(tmp_path / "a.json") as source:
        assert source.format is Format.JSONL
    with open_rows(tmp_path / "a.json", ReadOptions(Format.TEXT)) as source:
        assert list(source.rows) == [{"text": '{"text": "a"}'}]


def test_another_delimiter_of_a_named_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a;b\n1;2\n")
    with open_rows(tmp_path / "a.csv") as source:
        assert source.notes == [f"{tmp_path / 'a.csv'} has ';' between columns"]
    with open_rows(tmp_path / "a.csv", ReadOptions(delimiter=";", header=False)) as source:
        assert (source.notes, source.columns) == ([], ("1", "2"))


def test_texts_at_hand_are_rows() -> None:
    source = source_of_texts(["a\nb", ""])
    assert (source.name, source.columns, source.format) == ("arguments", ("text",), Format.TEXT)
    assert [(record.number, record.cells) for record in source.records] == [(1, {"text": "a\nb"}), (2, {"text": ""})]


def test_a_stream_that_fails_is_a_data_error() -> None:
    class Failing(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - as streams name it
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match="'x' can't be read: Input/output error"), read_stream(Failing(), None, "x"):  # type: ignore[arg-type]
        pass


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from emotions_cli.streams.readers import open_rows
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    with open_rows(Path(name)) as source:
        for record in source.records:
            pass
    sys.stdout.write(f"{peak()}\\n")
"""
    row = "12,so happy to see the rain,2020-01-01\n"
    (tmp_path / "small.csv").write_text("id,text,day\n" + row * 1000)
    (tmp_path / "large.csv").write_text("id,text,day\n" + row * 200_000)
    command = [sys.executable, "-c", code, str(tmp_path / "small.csv"), str(tmp_path / "large.csv")]
    small, large = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert large - small < 3_000  # KiB, of a file of 7,600
