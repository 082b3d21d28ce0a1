"""``emotions predict`` on texts nobody foresaw and rows that are broken: as many rows out as came in, each with its reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Emotions = Callable[..., Result]

ODD = [
    "null",
    "NA",
    "nan",
    "None",
    "",
    "   ",
    "🙂🙂",
    "two\nlines",
    "a\0b",
    "\u202eשלום",
    "-",
    "0",
    "\u2028",
    "=1+1",
    "\ufeff",
    "\x1b[31m",
]
LONG = "so happy and glad " * 60_000


def rows_of(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def as_csv(texts: list[str]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([["n", "text"], *([i, text] for i, text in enumerate(texts))])
    return stream.getvalue().encode()


def as_jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps({"n": i, "text": text}) + "\n" for i, text in enumerate(texts)).encode()


@pytest.mark.parametrize("model", ["trained", "trained_multi"])
@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_no_text_is_dropped(emotions: Emotions, request: pytest.FixtureRequest, model: str, file_format: str) -> None:
    texts = [*ODD, LONG]
    Path(f"in.{file_format}").write_bytes(as_csv(texts) if file_format == "csv" else as_jsonl(texts))
    folder = request.getfixturevalue(model)
    result = emotions("predict", "--model", folder, f"in.{file_format}", "--reasons", "--format", "jsonl")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout_bytes.split(b"\n")[:-1]]
    assert [row["text"] for row in rows] == texts
    assert [int(row["n"]) for row in rows] == list(range(len(texts)))
    for row in rows:
        if not row["text"].strip():
            assert (row["emotion"], row["score"], row["reason"]) == ([] if "multi" in model else None, None, "empty")
        else:
            assert 0 < row["score"] <= 1
            assert row["reason"] == ("cut" if row["text"] == LONG else None)
            assert row["emotion"] or "multi" in model
    blank = sum(not text.strip() for text in texts)
    assert f"note: {blank} texts empty: no answer" in result.stderr
    assert "1 text longer than 48 tokens" in result.stderr


def test_lines_of_text_are_all_answered(emotions: Emotions, trained: Path) -> None:
    texts = [text for text in ODD if "\n" not in text]
    result = emotions("predict", "--model", trained, "--input-format", "text", input="\n".join(texts).encode())
    rows = rows_of(result.stdout, "\t")
    # a byte order mark is none in the middle of a file
    assert [row["text"] for row in rows] == texts
    assert [row["emotion"] == "" for row in rows] == [not text.strip() for text in texts]


def test_rows_of_the_wrong_width_are_mended_and_counted(emotions: Emotions, trained: Path) -> None:
    Path("in.csv").write_bytes(b"id,n,text\n1,1,so happy\n2\n3,3,happy, so happy,glad\n\n4,4,\n")
    result = emotions("predict", "--model", trained, "in.csv", "--reasons")
    rows = rows_of(result.stdout)
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["text"] for row in rows] == ["so happy", "", "happy, so happy,glad", ""]
    assert [row["reason"] for row in rows] == ["", "empty", "", "empty"]
    assert rows[2]["emotion"] == "joy"
    assert "1 row with fewer cells than the header" in result.stderr
    assert "1 row with more cells than the header" in result.stderr


BROKEN = b'{"text": "so happy"}\nbroken\n{"text": "caf\xe9"}\n\n{"text": "furious"}\n[1]\n'


def test_the_first_broken_row_stops_by_default(emotions: Emotions, trained: Path) -> None:
    Path("in.jsonl").write_bytes(BROKEN)
    result = emotions("predict", "--model", trained, "in.jsonl")
    assert result.exit_code == 1
    assert "'in.jsonl' line 2 is not JSON" in result.stderr
    assert "--on-error skip" in result.stderr
    # what came before it was answered
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["so happy"]


def test_broken_rows_are_skipped_and_written_down(emotions: Emotions, trained: Path) -> None:
    Path("in.jsonl").write_bytes(BROKEN)
    result = emotions("predict", "--model", trained, "in.jsonl", "--on-error", "skip", "--rejects", "bad/rows.txt")
    assert result.exit_code == 0
    assert [json.loads(line)["emotion"] for line in result.stdout.splitlines()] == ["joy", "anger"]
    assert "3 rows that can't be read: left out" in result.stderr
    assert Path("bad/rows.txt").read_bytes() == b'broken\n{"text": "caf\xe9"}\n[1]\n'


def test_broken_rows_are_kept_with_a_reason(emotions: Emotions, trained: Path) -> None:
    Path("in.jsonl").write_bytes(BROKEN)
    result = emotions(
        "predict", "--model", trained, "in.jsonl", "--on-error", "keep", "--reasons", "--rejects", "r.txt", "-o", "out.jsonl"
    )
    assert result.exit_code == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["reason"] for row in rows] == [None, "unreadable", "undecodable", None, "unreadable"]
    assert [row["emotion"] is None for row in rows] == [False, True, False, False, True]
    assert rows[1]["unreadable"] == "broken"
    assert rows[2]["text"] == "caf\ufffd"
    assert "3 rows that can't be read whole: kept" in result.stderr
    assert Path("r.txt").read_bytes() == b'broken\n{"text": "caf\xe9"}\n[1]\n'


def test_rows_of_a_second_file_are_rejected_once(emotions: Emotions, trained: Path) -> None:
    Path("a.jsonl").write_bytes(b'{"text": "so happy"}\n')
    Path("b.jsonl").write_bytes(b'broken\n{"text": "furious"}\n')
    result = emotions("predict", "--model", trained, "a.jsonl", "b.jsonl", "--on-error", "skip", "--rejects", "r.txt")
    assert result.exit_code == 0
    assert Path("r.txt").read_bytes() == b"broken\n"
    assert "1 row that can't be read: left out" in result.stderr


def test_a_quote_that_is_never_closed(emotions: Emotions, trained: Path) -> None:
    Path("in.csv").write_bytes(b'text,n\nso happy,1\n"furious,2\nafraid,3\n')
    assert "opens a quote that is never closed" in emotions("predict", "--model", trained, "in.csv").stderr
    kept = emotions("predict", "--model", trained, "in.csv", "--on-error", "keep", "--reasons")
    rows = rows_of(kept.stdout)
    assert [row["reason"] for row in rows] == ["", "unreadable", ""]
    assert rows[2]["emotion"] == "fear"


def test_rejects_without_passing_over_is_a_mistake(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy", "--rejects", "r.txt")
    assert result.exit_code == 2
    assert "--on-error skip" in result.stderr
    assert not Path("r.txt").exists()


def test_rejects_are_not_written_over_the_input_or_the_answers(emotions: Emotions, trained: Path) -> None:
    for name in ("a.csv", "b.csv"):
        Path(name).write_bytes(b"text\nso happy\n")
    Path("link").symlink_to("b.csv")
    for rejects in ("b.csv", "./b.csv", "link"):
        result = emotions("predict", "--model", trained, "*.csv", "--on-error", "skip", "--rejects", rejects)
        assert result.exit_code == 2
        assert "is one of the inputs" in result.stderr
    result = emotions("predict", "--model", trained, "a.csv", "--on-error", "skip", "--rejects", "o.csv", "-o", "./o.csv")
    assert result.exit_code == 2
    assert "--rejects and --output are both" in result.stderr
    assert Path("b.csv").read_bytes() == b"text\nso happy\n"
    assert not Path("o.csv").exists()


def test_long_texts_in_windows(emotions: Emotions, trained: Path) -> None:
    text = "so happy and glad " * 12 + "scared, afraid, the noise scares me, afraid to go " * 40
    for how, emotion in (("head", "joy"), ("window", "fear")):
        result = emotions("predict", "--model", trained, text, "--long-text", how, "--format", "jsonl", "--reasons")
        row = json.loads(result.stdout)
        assert row["emotion"] == emotion
        assert row["reason"] == ("cut" if how == "head" else None)
        assert ("--long-text window reads it" in result.stderr) is (how == "head")
    wrong = emotions("predict", "--model", trained, text, "--long-text", "tail")
    assert wrong.exit_code == 2


def test_scores_pairs_prefix_and_reasons_together(emotions: Emotions, trained: Path) -> None:
    Path("in.csv").write_bytes(b"text,emotion,score\nso happy,a,b\n,c,d\n")
    options = ["--scores", "--top-k", "2", "--prefix", "p_", "--reasons"]
    rows = rows_of(emotions("predict", "--model", trained, "in.csv", *options).stdout)
    expected = ["p_emotion", "p_score", "p_emotion_1", "p_score_1", "p_emotion_2", "p_score_2"]
    expected += ["p_score_joy", "p_score_anger", "p_score_fear", "p_reason"]
    assert list(rows[0]) == ["text", "emotion", "score", *expected]
    assert (rows[0]["emotion"], rows[0]["p_emotion"], rows[0]["p_emotion_1"]) == ("a", "joy", "joy")
    assert sum(float(rows[0][f"p_score_{label}"]) for label in ("joy", "anger", "fear")) == pytest.approx(1, abs=1e-5)
    assert {rows[1][name] for name in expected[:-1]} == {""}
    assert rows[1]["p_reason"] == "empty"


def test_a_summary_goes_to_stderr_in_a_pipe(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "--summary", input=b"so happy\nso glad and happy\n\nfurious\nafraid\n")
    assert len(result.stdout.splitlines()) == 6
    lines = [line.split() for line in result.stderr.splitlines() if line.startswith("  ")]
    assert lines[0][:3] == ["joy", "2", "50.0%"]
    assert lines[0][3].count("█") > lines[1][3].count("█")
    assert sorted(line[0] for line in lines) == ["anger", "fear", "joy"]
    assert "5 texts, 1 empty" in result.stderr


def test_a_summary_of_nothing_that_was_answered(emotions: Emotions, trained: Path) -> None:
    rows = b'{"text": ""}\nbroken\n'
    result = emotions("predict", "--model", trained, "--summary", "--on-error", "keep", "--input-format", "jsonl", input=rows)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 2
    assert "2 texts, 1 empty" in result.stderr
    assert "%" not in result.stderr


def test_a_summary_of_a_multi_label_model(emotions: Emotions, trained_multi: Path) -> None:
    texts = b"so glad and happy, so angry now\nroom four is upstairs\nso glad and happy\n"
    result = emotions("predict", "--model", trained_multi, "--summary", input=texts)
    counted = {line.split()[0]: line.split()[1] for line in result.stderr.splitlines() if line.startswith("  ")}
    assert counted == {"joy": "2", "anger": "1", "(none)": "1"}


def test_precision_is_said_on_request(emotions: Emotions, trained: Path) -> None:
    assert "fp32, as asked for" in emotions("predict", "--model", trained, "so happy", "-v", "--precision", "fp32").stderr
    chosen = emotions("predict", "--model", trained, "so happy", "--verbose").stderr
    assert chosen.startswith(("note: fast: 8-bit integers", "note: fp32: "))
    assert "8-bit" not in emotions("predict", "--model", trained, "so happy").stderr


def test_multi_label_answers_in_every_format(emotions: Emotions, trained_multi: Path) -> None:
    import pyarrow.parquet as pq

    texts = b"so glad and happy, so angry now\n\nroom four is upstairs\n"
    joined = rows_of(emotions("predict", "--model", trained_multi, "--format", "csv", "--reasons", input=texts).stdout)
    assert [set(filter(None, row["emotion"].split("|"))) for row in joined] == [{"joy", "anger"}, set(), set()]
    assert [row["reason"] for row in joined] == ["", "empty", ""]
    assert [row["score"] == "" for row in joined] == [False, True, False]
    content = emotions("predict", "--model", trained_multi, "--format", "parquet", input=texts).stdout_bytes
    listed = pq.read_table(io.BytesIO(content)).to_pylist()
    assert [set(row["emotion"]) for row in listed] == [{"joy", "anger"}, set(), set()]


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_option(emotions: Emotions, flag: str) -> None:
    result = emotions("predict", flag)
    assert result.exit_code == 0
    inputs = ["--text", "--text-column", "--no-header", "--delimiter", "--encoding", "--input-format", "--on-error", "--rejects"]
    outputs = ["--format", "--output", "--resume", "--top-k", "--scores", "--reasons", "--prefix", "--summary"]
    others = ["--min-score", "--long-text", "--precision", "--verbose", "--model", "--settings", "--set"]
    for option in inputs + outputs + others:
        assert option in result.stdout
