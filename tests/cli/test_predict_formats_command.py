"""``emotions predict`` from every format into every other, from files, globs and pipes, with nothing lost on the way."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from typer.testing import Result

Emotions = Callable[..., Result]

TEXTS = ["so happy, and glad", 'furious about the "bill"', "", "null", "שלום 🙂"]
EMOTIONS = ["joy", "anger", None]  # of the first three texts


def content_of(file_format: str) -> bytes:
    """The texts, with a number beside them where the format has columns."""
    stream = io.StringIO(newline="")
    if file_format == "txt":
        return "".join(f"{text}\n" for text in TEXTS).encode()
    if file_format == "jsonl":
        return "".join(json.dumps({"n": i, "text": text}, ensure_ascii=False) + "\n" for i, text in enumerate(TEXTS)).encode()
    if file_format == "parquet":
        out = io.BytesIO()
        pq.write_table(pa.table({"n": range(len(TEXTS)), "text": TEXTS}), out)
        return out.getvalue()
    writer = csv.writer(stream, delimiter="\t" if file_format == "tsv" else ",", lineterminator="\n")
    writer.writerows([["n", "text"], *([i, text] for i, text in enumerate(TEXTS))])
    return stream.getvalue().encode()


def rows_of(content: bytes, file_format: str) -> list[dict[str, Any]]:
    if file_format == "parquet":
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
        return rows
    if file_format == "jsonl":
        return [json.loads(line) for line in content.decode().splitlines()]
    text = io.StringIO(content.decode(), newline="")
    return list(csv.DictReader(text, delimiter="\t" if file_format == "tsv" else ","))


@pytest.mark.parametrize("written", ["csv", "tsv", "jsonl", "parquet", "table"])
@pytest.mark.parametrize("read", ["txt", "csv", "tsv", "jsonl", "parquet"])
def test_every_format_into_every_other(emotions: Emotions, trained: Path, read: str, written: str) -> None:
    Path(f"in.{read}").write_bytes(content_of(read))
    result = emotions("predict", "--model", trained, f"in.{read}", "--format", written)
    assert result.exit_code == 0, result.stderr
    if written == "table":
        assert "furious about the" in result.stdout
        assert result.stdout.split()[:2] == ["emotion", "score"]
        return
    rows = rows_of(result.stdout_bytes, written)
    assert [row["text"] for row in rows] == TEXTS
    if read != "txt":
        assert [str(row["n"]) for row in rows] == [str(i) for i in range(len(TEXTS))]
    assert [row["emotion"] or None for row in rows][:3] == EMOTIONS
    assert list(rows[0])[-2:] == ["emotion", "score"]
    scores = [row["score"] for row in rows]
    assert scores[2] in (None, "")
    assert all(0 < float(score) <= 1 for i, score in enumerate(scores) if i != 2)


@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("read", ["txt", "csv", "tsv", "jsonl", "parquet"])
def test_what_is_piped_in_is_recognised_by_its_bytes(emotions: Emotions, trained: Path, read: str, packed: str) -> None:
    content = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[packed](content_of(read))
    result = emotions("predict", "--model", trained, input=content)
    assert result.exit_code == 0, result.stderr
    rows = rows_of(result.stdout_bytes, {"txt": "tsv"}.get(read, read))
    assert [row["text"] for row in rows] == TEXTS
    assert [row["emotion"] or None for row in rows][:3] == EMOTIONS


@pytest.mark.parametrize("name", ["in.csv.gz", "in.jsonl.zst"])
def test_packed_files_in_and_out(emotions: Emotions, trained: Path, name: str) -> None:
    kind = name.split(".")[1]
    pack = gzip.compress if name.endswith("gz") else zstandard.compress
    unpack = gzip.decompress if name.endswith("gz") else zstandard.ZstdDecompressor().decompress
    Path(name).write_bytes(pack(content_of(kind)))
    assert emotions("predict", "--model", trained, name, "-o", f"out.{name}").exit_code == 0
    packed = Path(f"out.{name}").read_bytes()
    content = unpack(packed, 10**6) if name.endswith("zst") else unpack(packed)
    assert [row["text"] for row in rows_of(content, kind)] == TEXTS


def test_a_table_of_semicolons(emotions: Emotions, trained: Path) -> None:
    content = b'id;text;price\n1;so happy;"1,5"\n2;furious;2\n3;"a;b";3\n'
    result = emotions("predict", "--model", trained, input=content)
    lines = result.stdout.splitlines()
    assert lines[0] == "id;text;price;emotion;score"
    assert lines[1].startswith('1;so happy;"1,5";joy;')
    assert lines[3].startswith('3;"a;b";3;')
    assert "';' between columns" in result.stderr


def test_without_a_header_columns_have_numbers(emotions: Emotions, trained: Path) -> None:
    Path("bare.csv").write_bytes(b"1,so happy,5\n2,furious,1\n")
    result = emotions("predict", "--model", trained, "bare.csv", "--no-header", "--text-column", "2")
    assert [line.split(",")[:4] for line in result.stdout.splitlines()] == [
        ["1", "so happy", "5", "joy"],
        ["2", "furious", "1", "anger"],
    ]
    missing = emotions("predict", "--model", trained, "bare.csv", "--no-header", "--text-column", "9")
    assert missing.exit_code == 1
    assert "has no column 9; it has 3" in missing.stderr


def test_a_column_by_its_number(emotions: Emotions, trained: Path) -> None:
    Path("two.csv").write_bytes(b"first,second\nso happy,furious\n")
    for number, emotion in (("1", "joy"), ("2", "anger")):
        result = emotions("predict", "--model", trained, "two.csv", "--text-column", number, "--format", "jsonl")
        assert json.loads(result.stdout)["emotion"] == emotion
    Path("named.csv").write_bytes(b"text,1\nso happy,furious\n")
    result = emotions("predict", "--model", trained, "named.csv", "--text-column", "1", "--format", "jsonl")
    assert json.loads(result.stdout)["emotion"] == "anger", "a column of that name comes first"


@pytest.mark.parametrize("delimiter", ["tab", "\\t", ":", "§"])
def test_a_delimiter_is_taken_as_it_is_given(emotions: Emotions, trained: Path, delimiter: str) -> None:
    character = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    Path("odd.csv").write_bytes(f"n{character}text\n1{character}so happy, and glad\n".encode())
    result = emotions("predict", "--model", trained, "odd.csv", "--delimiter", delimiter)
    assert result.stdout.splitlines()[1].split(character)[:3] == ["1", "so happy, and glad", "joy"]


@pytest.mark.parametrize("delimiter", ["ab", "", '"', "\n", "\r"])
def test_what_can_not_stand_between_cells_is_refused(emotions: Emotions, trained: Path, delimiter: str) -> None:
    Path("odd.csv").write_bytes(b"text\nso happy\n")
    result = emotions("predict", "--model", trained, "odd.csv", "--delimiter", delimiter)
    assert result.exit_code == 2
    assert "is not one character that can stand between cells" in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_several_files_and_a_quoted_glob(emotions: Emotions, trained: Path) -> None:
    Path("parts").mkdir()
    Path("parts/a.csv").write_bytes(b"text,n\nso happy,1\n")
    Path("parts/b.csv").write_bytes(b"text,n\nfurious,2\n")
    Path("parts/c.csv.gz").write_bytes(gzip.compress(b"n,text\n3,afraid\n"))
    expected = [("so happy", "1", "joy"), ("furious", "2", "anger"), ("afraid", "3", "fear")]
    for arguments in (["parts/a.csv", "parts/b.csv", "parts/c.csv.gz"], ["parts/*.csv", "parts/c.*.gz"]):
        rows = rows_of(emotions("predict", "--model", trained, *arguments).stdout_bytes, "csv")
        assert [(row["text"], row["n"], row["emotion"]) for row in rows] == expected
    nothing = emotions("predict", "--model", trained, "parts/*.tsv")
    assert nothing.exit_code == 1
    assert "'parts/*.tsv' is not there" in nothing.stderr
    mixed = emotions("predict", "--model", trained, "parts/a.csv", "-", input=b"")
    assert mixed.exit_code == 2
    assert "Standard input and files" in mixed.stderr


def test_every_byte_of_csv_is_kept(emotions: Emotions, trained: Path) -> None:
    content = (
        b'\xef\xbb\xbf"id", text ,\xc3\xa9\r\n1,so happy,"x"\r\n"2", "odd" quote,1.10\r\n'
        b'3,"two\r\nlines, ""quoted""",\r\n4,\'single\',\xf0\x9f\x99\x82\r\n5,tab\there, padded \r\n6,nul\x00,last'
    )
    Path("in.csv").write_bytes(content)
    result = emotions("predict", "--model", trained, "in.csv", "--text-column", "2", "-o", "out.csv")
    assert result.exit_code == 0, result.stderr
    written = Path("out.csv").read_bytes()
    assert written.startswith(b'"id", text ,\xc3\xa9,emotion,score\n')
    records = [b"1,so happy,", b'"2", "odd" quote,1.10,', b'3,"two\r\nlines, ""quoted""",,', b"4,'single',\xf0\x9f\x99\x82,"]
    records += [b"5,tab\there, padded ,", b"6,nul\x00,last,"]
    body = written.partition(b"\n")[2]
    for record in records:
        assert record in body
        body = body.partition(record)[2]
    assert written.count(b"\n") == 8
    assert b"\r\n" in written
    assert written.count(b"\r") == 1, "only the one inside of the quotes"


def test_json_keeps_fields_and_the_text_of_numbers(emotions: Emotions, trained: Path) -> None:
    lines = [
        '{"id": 12345678901234567890, "text": "so happy", "x": {"a": [1.10, 1e5, -0, null, true], "é": "\\u00e9"}}',
        '{"text":"furious",   "id":1.0 , "only here": []}',
        '{"id": 3}',
    ]
    Path("in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = emotions("predict", "--model", trained, "in.jsonl", "--reasons")
    written = result.stdout.splitlines()
    for line, answer in zip(lines, written, strict=True):
        assert answer.startswith(line.removesuffix("}"))
    assert [json.loads(line)["emotion"] for line in written] == ["joy", "anger", None]
    assert json.loads(written[2])["reason"] == "missing"


def test_json_of_another_shape_below_its_first_row_is_named(emotions: Emotions, trained: Path) -> None:
    rows = b'{"text": "so happy"}\n{"text": "furious", "emotion": "mine"}\n'
    result = emotions("predict", "--model", trained, "--input-format", "jsonl", input=rows)
    assert result.exit_code == 1
    assert "row 2 already has a field 'emotion'" in result.stderr


def test_parquet_keeps_its_types(emotions: Emotions, trained: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["so happy", None, ""], pa.large_string()),
            "when": pa.array([1, None, 3], pa.timestamp("ns", "Europe/Berlin")),
            "price": pa.array([Decimal("1.10"), None, Decimal("2.00")], pa.decimal128(9, 2)),
            "day": pa.array([date(2024, 2, 29), None, None]),
            "tags": pa.array([["a"], [], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
            "count": pa.array([1, 2, None], pa.uint16()),
            "raw": pa.array([b"\xff", None, b""], pa.binary()),
        }
    )
    pq.write_table(table, "in.parquet")
    assert emotions("predict", "--model", trained, "in.parquet", "-o", "out.parquet").exit_code == 0
    found = pq.read_table("out.parquet")
    assert found.select(table.column_names).cast(table.schema).equals(pq.read_table("in.parquet").cast(table.schema))
    for name in ("when", "price", "day", "count", "raw"):
        assert found.schema.field(name).type == table.schema.field(name).type
    assert found["emotion"].to_pylist() == ["joy", None, None]
    assert found["emotion"].type == pa.string()
    assert found["score"].type == pa.float64()


@pytest.mark.parametrize(("encoding", "text"), [("cp1252", "so happy – “très” café €"), ("utf-16", "so happy שלום 🙂")])
@pytest.mark.parametrize("read", ["txt", "csv"])
def test_other_encodings(emotions: Emotions, trained: Path, read: str, encoding: str, text: str) -> None:
    content = f"{text}\n" if read == "txt" else f'n,text\r\n1,"{text}"\r\n'
    Path(f"in.{read}").write_bytes(content.encode(encoding))
    result = emotions("predict", "--model", trained, f"in.{read}", "--encoding", encoding, "--format", "jsonl")
    assert result.exit_code == 0, result.stderr
    row = json.loads(result.stdout)
    assert row["text"] == text
    assert row["emotion"] == "joy"


def test_an_encoding_that_is_not_said_is_found_out(emotions: Emotions, trained: Path) -> None:
    Path("in.txt").write_bytes("so happy\ncafé\n".encode("cp1252"))
    result = emotions("predict", "--model", trained, "in.txt")
    assert result.exit_code == 1
    assert "row 2 (line 2) is not UTF-8: byte 0xe9 at offset 12 can't be decoded" in result.stderr
    assert "--encoding cp1252" in result.stderr
    Path("in.txt").write_bytes("so happy\n".encode("utf-16"))
    assert "--encoding utf-16" in emotions("predict", "--model", trained, "in.txt").stderr
    without_mark = emotions("predict", "--model", trained, "--encoding", "utf-16", input="so happy\n".encode("utf-16-be"))
    assert without_mark.exit_code == 1
    assert "does not start with BOM" in without_mark.stderr
    assert "utf-16-be" in without_mark.stderr
    named = emotions("predict", "--model", trained, "--encoding", "utf-16-be", input="so happy\n".encode("utf-16-be"))
    assert named.stdout.splitlines()[1].startswith("so happy\tjoy\t")
    unknown = emotions("predict", "--model", trained, "in.txt", "--encoding", "klingon")
    assert unknown.exit_code == 2
    assert "no text encoding named 'klingon'" in unknown.stderr
