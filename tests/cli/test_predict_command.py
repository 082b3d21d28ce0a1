"""``emotions predict`` as people call it: texts, files, pipes, formats, and the mistakes they make."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import Result

Emotions = Callable[..., Result]

REVIEWS = [
    {"id": "1", "review": "so happy, and glad", "stars": "5"},
    {"id": "2", "review": 'furious about the "bill",\nangry', "stars": "1"},
    {"id": "3", "review": "", "stars": ""},
    {"id": "4", "review": "null", "stars": "3"},
]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["id", "review", "stars"])
        writer.writeheader()
        writer.writerows(REVIEWS)
    return path


def _rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_texts_as_arguments(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy", "afraid of the dark")
    assert result.exit_code == 0
    rows = _rows(result.stdout, "\t")
    assert [row["text"] for row in rows] == ["so happy", "afraid of the dark"]
    assert [row["emotion"] for row in rows] == ["joy", "fear"]
    assert all(0 < float(row["score"]) <= 1 for row in rows)
    assert result.stderr == ""


def test_lines_in_a_pipe(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, input="so happy\n\nnull\nça va 🙂\r\n".encode())
    assert result.exit_code == 0
    assert [row["text"] for row in _rows(result.stdout, "\t")] == ["so happy", "", "null", "ça va 🙂"]


def test_every_row_and_column_of_a_csv_is_kept_in_order(emotions: Emotions, trained: Path, reviews: Path) -> None:
    result = emotions("predict", "--model", trained, reviews, "--text-column", "review")
    rows = _rows(result.stdout)
    assert result.exit_code == 0
    assert list(rows[0]) == ["id", "review", "stars", "emotion", "score"]
    assert [{key: row[key] for key in ("id", "review", "stars")} for row in rows] == REVIEWS
    assert rows[1]["emotion"] == "anger"


@pytest.mark.parametrize("file_format", ["csv", "tsv", "jsonl", "parquet"])
def test_every_output_format_says_the_same(emotions: Emotions, trained: Path, reviews: Path, file_format: str) -> None:
    output = Path(f"answers.{file_format}")
    result = emotions("predict", "--model", trained, reviews, "-o", output, "--scores", "--top-k", "2")
    assert result.exit_code == 0
    assert result.stdout == ""
    if file_format == "parquet":
        rows = pq.read_table(output).to_pylist()
    elif file_format == "jsonl":
        rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    else:
        rows = _rows(output.read_bytes().decode("utf-8"), {"csv": ",", "tsv": "\t"}[file_format])
    assert [row["review"] for row in rows] == [row["review"] for row in REVIEWS]
    first = rows[0]
    expected = ["emotion", "score", "emotion_1", "score_1", "emotion_2", "score_2", "score_joy", "score_anger", "score_fear"]
    assert list(first)[3:] == expected
    assert first["emotion"] == first["emotion_1"] == "joy"
    assert float(first["score"]) == float(first["score_joy"]) >= float(first["score_2"])
    assert sum(float(first[f"score_{label}"]) for label in ("joy", "anger", "fear")) == pytest.approx(1, abs=1e-4)


def test_parquet_keeps_its_types_and_jsonl_its_fields(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    line = '{"text": "so happy", "nested": {"a": [1, null]}, "n": 3}\n'
    result = emotions("predict", "--model", trained, "-", "--input-format", "jsonl", input=line.encode())
    row = json.loads(result.stdout)
    assert row["nested"] == {"a": [1, None]}
    (tmp_path / "in.jsonl").write_text('{"text": "so happy", "n": 3, "when": null}\n', encoding="utf-8")
    assert emotions("predict", "--model", trained, "in.jsonl", "-o", "a.parquet").exit_code == 0
    assert emotions("predict", "--model", trained, "a.parquet", "-o", "b.parquet", "--prefix", "second_").exit_code == 0
    first, second = pq.read_schema("a.parquet"), pq.read_schema("b.parquet")
    assert [second.field(name) for name in first.names] == list(first)
    assert second.names[-2:] == ["second_emotion", "second_score"]


def test_a_table_on_request(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy [bold]", "--format", "table", "--scores")
    assert result.exit_code == 0
    assert "so happy [bold]" in result.stdout
    assert "anger 0." in result.stdout


def test_a_low_score_is_uncertain(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "so happy", "--min-score", "1")
    assert _rows(result.stdout, "\t")[0]["emotion"] == "uncertain"


def test_multi_label_answers_are_joined_or_listed(emotions: Emotions, trained_multi: Path) -> None:
    text = "so glad and happy, so angry now"
    joined = emotions("predict", "--model", trained_multi, text, "room four is upstairs")
    rows = _rows(joined.stdout, "\t")
    assert set(rows[0]["emotion"].split("|")) == {"joy", "anger"}
    assert rows[1]["emotion"] == ""
    listed = emotions("predict", "--model", trained_multi, text, "--format", "jsonl")
    assert set(json.loads(listed.stdout)["emotion"]) == {"joy", "anger"}


def test_cut_texts_are_reported(emotions: Emotions, trained: Path) -> None:
    result = emotions("predict", "--model", trained, "happy " * 100)
    assert result.exit_code == 0
    assert "1 text longer than 48 tokens" in result.stderr


def test_an_argument_that_names_a_file_is_a_file_unless_forced(emotions: Emotions, trained: Path, reviews: Path) -> None:
    forced = emotions("predict", "--model", trained, "--text", "reviews.csv")
    assert [row["text"] for row in _rows(forced.stdout, "\t")] == ["reviews.csv"]
    sentence = emotions("predict", "--model", trained, "I read reviews.csv")
    assert _rows(sentence.stdout, "\t")[0]["text"] == "I read reviews.csv"
    very_long = emotions("predict", "--model", trained, "x" * 5000)
    assert very_long.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["nothing.csv"], 1, "File 'nothing.csv' is not there", "--text"),
        (["reviews.csv", "--text-column", "reveiw"], 1, "has no column 'reveiw'", "--text-column"),
        (["reviews.csv", "so happy"], 2, "'so happy' is none", "only files"),
        (["reviews.csv", "--format", "table", "-o", "x.csv"], 2, "A table can't be written", "--format csv"),
        (["reviews.csv", "-o", "answers.what"], 1, "does not say a format to write", "--format"),
        (["reviews.csv", "-o", "answers.txt"], 1, "does not say a format to write", "--format"),
        (["reviews.xlsx"], 1, "File 'reviews.xlsx' is not there", "--text"),
        (["./nowhere"], 1, "File './nowhere' is not there", "--text"),
        (["../.."], 1, "'../..' is a folder", "--text"),
        (["text", "--input-format", "csv"], 2, "--input-format csv goes with a file", "texts"),
        (["--text"], 2, "--text needs a text", "emotions predict"),
        (["reviews.csv", "-o", "missing/../reviews.csv/x.csv"], 1, "can't be written", "another place"),
    ],
)
def test_mistakes_are_two_lines(
    emotions: Emotions, trained: Path, reviews: Path, arguments: list[str], code: int, message: str, hint: str
) -> None:
    result = emotions("predict", "--model", trained, *arguments)
    assert result.exit_code == code
    first, second = [line for line in result.stderr.splitlines() if not line.startswith("note:")]
    assert first.startswith("Error: ")
    assert message in first
    assert hint in second
    assert result.stdout == ""


def test_a_name_that_is_taken_is_not_overwritten(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("text,emotion\nso happy,fine\n", encoding="utf-8")
    refused = emotions("predict", "--model", trained, "old.csv")
    assert refused.exit_code == 1
    assert "already has a column 'emotion'" in refused.stderr
    prefixed = emotions("predict", "--model", trained, "old.csv", "--prefix", "new_")
    (row,) = _rows(prefixed.stdout)
    assert (row["emotion"], row["new_emotion"]) == ("fine", "joy")


def test_an_output_appears_only_when_whole(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "so happy"}\n' * 2000 + "broken\n", encoding="utf-8")
    (tmp_path / "out.csv").write_text("old", encoding="utf-8")
    result = emotions("predict", "--model", trained, "bad.jsonl", "-o", "out.csv")
    assert result.exit_code == 1
    assert "line 2001 is not JSON" in result.stderr
    assert "1,344 answered rows kept beside 'out.csv'" in result.stderr
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.csv.part", ".out.csv.part.json", "bad.jsonl", "out.csv"]


def test_an_error_before_the_first_window_leaves_nothing(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "so happy"}\nbroken\n', encoding="utf-8")
    assert emotions("predict", "--model", trained, "bad.jsonl", "-o", "out.jsonl").exit_code == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere", "Model 'nowhere' is not there"),
        (".", "is no model: it has no emotions.json"),
        ("reviews.csv", "is a file, not a model"),
    ],
)
def test_a_model_that_is_none(emotions: Emotions, reviews: Path, reference: str, message: str) -> None:
    result = emotions("predict", "--model", reference, "so happy")
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_changed_byte_in_the_model_is_named(emotions: Emotions, trained_copy: Path) -> None:
    path = trained_copy / "model" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = emotions("predict", "--model", trained_copy, "so happy")
    assert result.exit_code == 1
    assert "model.onnx has changed since the model was saved" in result.stderr


def test_a_reader_that_leaves_ends_it_quietly(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("so happy\n" * 20_000, encoding="utf-8")
    script = f"{sys.executable} -m emotions_cli predict --model {trained} lines.txt | head -n 2"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.startswith("text\temotion\tscore\nso happy\tjoy\t")
    assert result.stderr == ""
    assert result.returncode == 0


def test_a_full_standard_output_is_an_error_of_two_lines(trained: Path) -> None:
    command = f"{sys.executable} -m emotions_cli predict --model {trained} 'so happy' > /dev/full"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[0].startswith("Error: Standard output can't be written: No space left")
    assert len(result.stderr.splitlines()) == 2


def test_output_is_utf_8_whatever_the_code_page(trained: Path) -> None:
    command = [sys.executable, "-m", "emotions_cli", "predict", "--model", str(trained), "so happy 🙂", "--format", "table"]
    result = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, timeout=60, check=False
    )
    assert result.returncode == 0
    assert "🙂" in result.stdout.decode("utf-8")


def test_a_device_is_written_to_and_stays_one(emotions: Emotions, trained: Path) -> None:
    assert emotions("predict", "--model", trained, "so happy", "-o", "/dev/null", "--format", "csv").exit_code == 0
    assert Path("/dev/null").is_char_device()
