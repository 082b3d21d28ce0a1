"""``emotions evaluate``: what it prints, what it writes, when it says no."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Emotions = Callable[..., Result]


def test_json_holds_all_metrics(emotions: Emotions, trained: Path, easy_data: Path) -> None:
    result = emotions("evaluate", "--model", trained, "--data", easy_data, "--split", "train", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert {"accuracy", "macro_f1", "weighted_f1", "nll", "ece", "labels", "confusion", "n"} <= set(found)
    assert found["n"] == 18
    assert list(found["labels"]) == ["joy", "anger", "fear"]
    assert found["labels"]["joy"]["support"] == 6
    assert sum(map(sum, found["confusion"])) == 18
    assert found["accuracy"] == sum(found["confusion"][i][i] for i in range(3)) / 18 >= 0.9


def test_tables_show_labels_and_confusion(emotions: Emotions, trained: Path, easy_data: Path) -> None:
    result = emotions("evaluate", "--model", trained, "--data", easy_data)
    assert result.exit_code == 0
    assert "split validation: 6 texts" in result.stdout
    for word in ("macro_f1", "precision", "support", "true \\ answered"):
        assert word in result.stdout


def test_multi_label_has_micro_f1_and_no_confusion(emotions: Emotions, trained_multi: Path, easy_multi_data: Path) -> None:
    result = emotions("evaluate", "--model", trained_multi, "--data", easy_multi_data, "--json", "-o", "answers.csv")
    found = json.loads(result.stdout)
    assert found["confusion"] is None
    assert found["micro_f1"] >= 0.9
    with Path("answers.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["label"] for row in rows} >= {"joy|anger", ""}


def test_predictions_are_written_with_the_truth(emotions: Emotions, trained: Path, easy_data: Path) -> None:
    emotions("evaluate", "--model", trained, "--data", easy_data, "--output", "predictions.csv")
    with Path("predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["text", "label", "emotion", "score", "score_joy", "score_anger", "score_fear"]
    assert rows[0]["text"] == "what a happy day"
    assert rows[0]["label"] == "joy"


def test_a_gate_that_is_missed_exits_with_3(emotions: Emotions, trained: Path, easy_data: Path) -> None:
    common = ("evaluate", "--model", trained, "--data", easy_data, "--json")
    assert emotions(*common, "--fail-under", "macro_f1=0.5", "--fail-under", "nll=9").exit_code == 0
    missed = emotions(*common, "--fail-under", "macro_f1=1.5")
    assert missed.exit_code == 3
    assert "macro_f1 is " in missed.stderr
    assert json.loads(missed.stdout)["n"] == 6
    assert emotions(*common, "--fail-under", "macrof1=1").exit_code == 2


def test_labels_that_only_one_side_has_are_told(emotions: Emotions, trained: Path) -> None:
    result = emotions("evaluate", "--model", trained, "--data", "sample", "--json")
    assert result.exit_code == 0
    assert "The model does not answer sadness, love, surprise, neutral: 60 labels" in result.stderr
    found = json.loads(result.stdout)
    assert found["labels"]["love"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 15}
    assert len(found["notes"]) == 1


def test_data_that_shares_no_label_is_an_error(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label\nnice,good\nawful,bad\n", encoding="utf-8")
    result = emotions("evaluate", "--model", trained, "--data", "other.csv")
    assert result.exit_code == 1
    assert "share no label" in result.stderr
    assert "--label-map" in result.stderr


def test_answers_can_be_limited(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("text,label\nso happy,joy\nso scared tonight,joy\nangry at you,anger\n", encoding="utf-8")
    common = ("evaluate", "--model", trained, "--data", "two.csv", "--json")
    free, limited = emotions(*common, "--labels", "all"), emotions(*common, "--labels", "data")
    assert list(json.loads(free.stdout)["labels"]) == ["joy", "anger", "fear"]
    assert "such answers of the model are wrong here" in free.stderr
    assert list(json.loads(limited.stdout)["labels"]) == ["joy", "anger"]
    # by itself the model answers what the data can have, and says so
    by_itself = emotions(*common)
    assert json.loads(by_itself.stdout)["labels"] == json.loads(limited.stdout)["labels"]
    assert "The data has no label fear: the model may not answer so; --labels all lets it." in by_itself.stderr
    assert json.loads(emotions(*common, "--labels", "joy, anger").stdout) == json.loads(limited.stdout)
    assert json.loads(limited.stdout)["answers"] == ["joy", "anger"]
    assert json.loads(free.stdout)["answers"] == ["joy", "anger", "fear"]
    assert "The model may only answer joy, anger." in limited.stderr
    wrong = emotions(*common, "--labels", "joy,angr")
    assert wrong.exit_code == 2
    assert "Did you mean 'anger'?" in wrong.stderr


def test_data_with_one_of_the_labels_leaves_nothing_to_choose_between(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\nso happy,joy\nso glad,joy\n", encoding="utf-8")
    result = emotions("evaluate", "--model", trained, "--data", "one.csv", "--labels", "data")
    assert result.exit_code == 2
    assert "at least 2 different labels" in result.stderr


def test_limited_answers_are_those_of_predict(emotions: Emotions, trained: Path, tmp_path: Path) -> None:
    texts = [f"{a}, {b}" for a in ("so happy", "angry", "scared") for b in ("a mess", "glad", "the dark", "")]
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f'"{text}",joy\n' for text in texts), encoding="utf-8")
    options = ("--model", trained, "--labels", "joy,fear")
    assert emotions("evaluate", *options, "--data", "t.csv", "-o", "judged.jsonl").exit_code == 0
    assert emotions("predict", *options, "t.csv", "--scores", "-o", "answered.jsonl").exit_code == 0
    judged, answered = (
        [json.loads(line) for line in Path(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("judged", "answered")
    )
    for one, other in zip(judged, answered, strict=True):
        assert one["score_joy"] == pytest.approx(other["score_joy"], abs=1e-6)


def test_an_output_that_can_not_be_written_is_refused_at_once(emotions: Emotions, trained: Path) -> None:
    result = emotions("evaluate", "--model", trained, "--data", "sample", "-o", "out.txt")
    assert result.exit_code == 1
    assert "does not say a format to write" in result.stderr
    assert result.stdout == ""
