"""Inputs that once lost something: what they do now."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from emotions_cli.cli._answer_views import visible

Emotions = Callable[..., Result]


def rows(result: Result, delimiter: str = ",") -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter=delimiter))


def test_a_field_that_would_get_no_column_is_an_error(emotions: Emotions, trained: Path) -> None:
    lines = b'{"text": "so happy"}\n{"text": "afraid", "more": 5}\n'
    result = emotions("predict", "--model", trained, "--format", "csv", input=lines)
    assert result.exit_code == 1
    assert "Row 2 has a field 'more', which the first row has not." in result.stderr
    kept = emotions("predict", "--model", trained, input=lines)
    assert [json.loads(line).get("more") for line in kept.stdout.splitlines()] == [None, 5]


def test_the_only_field_of_the_first_json_row_is_not_taken_for_the_text(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, input=b'{"id": 1}\n{"id": 2, "text": "sad"}\n')
    assert result.exit_code == 1
    assert "Which column of 'standard input' holds the texts?" in result.stderr


def test_json_files_with_other_fields_are_answered_together(emotions: Emotions, trained: Path) -> None:
    Path("a.jsonl").write_text('{"text": "so happy", "lang": "en"}\n', encoding="utf-8")
    Path("b.jsonl").write_text('{"text": "afraid"}\n', encoding="utf-8")
    result = emotions("predict", "--model", trained, "a.jsonl", "b.jsonl")
    assert [json.loads(line)["emotion"] for line in result.stdout.splitlines()] == ["joy", "fear"]


def test_a_quote_that_opens_nothing_swallows_no_rows(emotions: Emotions, trained: Path) -> None:
    Path("q.tsv").write_text('text\tlabel\n"wow happy\tjoy\nafraid\tsad\nso "glad" yes\tjoy\nlast\tx\n', encoding="utf-8")
    answered = emotions("predict", "--model", trained, "q.tsv")
    assert answered.exit_code == 0
    lines = answered.stdout.splitlines()
    assert [line.rsplit("\t", 2)[0] for line in lines[1:]] == ['"wow happy\tjoy', "afraid\tsad", 'so "glad" yes\tjoy', "last\tx"]


def test_texts_of_parquet_without_a_type_are_read(emotions: Emotions, trained: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([b"so happy", "fürchterlich afraid".encode(), None])}), "b.parquet")
    Path("t.csv").write_text("text\nso happy\nfürchterlich afraid\n", encoding="utf-8")
    as_bytes = emotions("predict", "--model", trained, "b.parquet", "-o", "out.parquet")
    assert as_bytes.exit_code == 0
    table = pq.read_table("out.parquet")
    assert table.schema.field("text").type == pa.binary()
    assert table.column("emotion").to_pylist()[:2] == [
        row["emotion"] for row in rows(emotions("predict", "--model", trained, "t.csv"))
    ]


def test_options_of_tables_make_a_table(emotions: Emotions, trained: Path) -> None:
    by_delimiter = emotions("predict", "--model", trained, "--delimiter", "^", input=b"text^x\nso happy^d\n")
    assert by_delimiter.stdout.startswith("text^x^emotion^score\nso happy^d^joy^")
    headless = emotions("predict", "--model", trained, "--no-header", "--text-column", "2", input=b"a,so happy\nb,afraid\n")
    assert [line.split(",")[:3] for line in headless.stdout.splitlines()] == [["a", "so happy", "joy"], ["b", "afraid", "fear"]]
    named = emotions("predict", "--model", trained, "--text-column", "kommentar", input=b"kommentar,x\nso happy,d\n")
    assert rows(named)[0]["emotion"] == "joy"


def test_columns_without_a_name_are_kept(emotions: Emotions, trained: Path) -> None:
    Path("sheet.csv").write_text(",text,,\n1,so happy,,x\n", encoding="utf-8")
    assert emotions("predict", "--model", trained, "sheet.csv").stdout.startswith(",text,,,emotion,score\n1,so happy,,x,joy,")
    as_json = json.loads(emotions("predict", "--model", trained, "sheet.csv", "--format", "jsonl").stdout)
    assert [as_json[key] for key in ("1", "text", "3", "4", "emotion")] == ["1", "so happy", "", "x", "joy"]


def test_lines_that_may_be_a_table_are_said_to_be_text(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, input=b"happy,sad\nglad,mad\n")
    assert "is read as lines of text; if it is a table: --input-format csv" in result.stderr
    assert len(rows(result, "\t")) == 2


@pytest.mark.parametrize(("magic", "kind"), [(b"BZh91AY", "bzip2"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ\x00", "xz")])
def test_other_packings_are_named(emotions: Emotions, trained: Path, magic: bytes, kind: str) -> None:
    result = emotions("predict", "--model", trained, input=magic + b"\x01\x02")
    assert result.exit_code == 1
    assert f"is packed with {kind}" in result.stderr


@pytest.mark.parametrize("encoding", ["idna", "nothing"])
def test_an_encoding_that_reads_no_text_is_wrong_usage(emotions: Emotions, trained: Path, encoding: str) -> None:
    result = emotions("predict", "--model", trained, "--encoding", encoding, input=b"so happy\n")
    assert result.exit_code == 2
    assert "There is no text encoding named" in result.stderr


def test_dropped_rows_of_a_stopped_run_are_said(emotions: Emotions, trained: Path) -> None:
    Path("in.jsonl").write_text('{"text": "so happy"}\n' * 100 + "broken\n", encoding="utf-8")
    assert emotions("predict", "--model", trained, "in.jsonl", "-o", "o.csv").exit_code == 1
    again = emotions("predict", "--model", trained, "in.jsonl", "-o", "o.csv")
    assert "starting over: 64 answered rows of a run that was stopped are dropped" in again.stderr


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert visible("evil\x1b[2J\tred\n\x9b1m ok 🙂 مرحبا") == "evil�[2J red �1m ok 🙂 مرحبا"


def test_a_long_row_with_many_cells_is_mended_in_a_moment(emotions: Emotions, trained: Path) -> None:
    cell = '"' + "so happy, " * 40_000 + '"'
    Path("long.csv").write_text(f"text,n\n{cell},1,2\n", encoding="utf-8")
    began = time.perf_counter()
    (row,) = rows(emotions("predict", "--model", trained, "long.csv"))
    assert row["n"] == "1,2"
    assert time.perf_counter() - began < 20


posix = pytest.mark.skipif(os.name == "nt", reason="pipes of a shell")


def shell(script: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, check=False)


@posix
def test_pipes_stand_for_files(trained: Path) -> None:
    Path("t.txt").write_text("so happy\nafraid\n", encoding="utf-8")
    predict = f"{sys.executable} -m emotions_cli predict --model {trained}"
    several = shell(f"{predict} --input-format text <(cat t.txt) <(cat t.txt)")
    assert several.returncode == 0, several.stderr
    assert several.stdout.count(b"\n") == 5
    to_device = shell(f"{predict} t.txt --format csv -o /dev/stdout | cat")
    assert to_device.stdout.count(b"\n") == 3
    closed = shell(f"{predict} t.txt >&-")
    assert closed.returncode == 2
    assert closed.stderr.startswith(b"Error: Standard output is closed.")
    bad = shell(f"printf 'a\\xff\\nok\\n' | {predict} --on-error skip --rejects /dev/stderr")
    assert bad.returncode == 0
    assert b"a\xff\n" in bad.stderr
