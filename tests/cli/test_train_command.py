"""``emotions train`` from the shell to the bundle."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from emotions_cli.models.bundle import Bundle, write_manifest

Emotions = Callable[..., Result]


def _train(base: Path, data: Path, *more: str) -> list[str]:
    return ["train", "--data", str(data), "--base-model", str(base), "--max-length", "48", "--precision", "fp32", *more]


def test_train_evaluate_predict(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    trained = emotions(*_train(tiny_base, easy_data, "--output", "runs/easy", "--epochs", "2", "--set", "training.seed=5"))
    assert trained.exit_code == 0, trained.stderr
    assert "macro_f1" in trained.stdout
    assert str(Path("runs/easy/model")) in trained.stdout
    assert "text column: 'text' (guessed)" in trained.stderr
    assert "18 training and 6 validation texts" in trained.stderr
    assert "epoch 2, step 2 of 2" in trained.stderr
    # nothing is tracked unless asked
    assert not Path("runs/easy/wandb").exists()
    manifest = json.loads(Path("runs/easy/model/emotions.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["training"]["seed"] == 5
    assert emotions("evaluate", "--model", "runs/easy", "--data", easy_data).exit_code == 0
    assert emotions("predict", "--model", "runs/easy", "so happy").exit_code == 0

    again = emotions(*_train(tiny_base, easy_data, "--output", "runs/easy", "--epochs", "1"))
    assert again.exit_code == 1
    assert "holds a finished run" in again.stderr
    forced = emotions(*_train(tiny_base, easy_data, "--output", "runs/easy", "--epochs", "1", "--force"))
    assert forced.exit_code == 0
    assert json.loads(Path("runs/easy/model/emotions.json").read_text(encoding="utf-8"))["settings"]["training"]["epochs"] == 1


def test_a_run_is_repeated_from_its_settings(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    first = emotions(*_train(tiny_base, easy_data, "-o", "first", "--epochs", "1", "--learning-rate", "0.002"))
    second = emotions("train", "--settings", "first/settings.toml", "-o", "second")
    assert (first.exit_code, second.exit_code) == (0, 0)
    weights = [Path(name, "model", "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def test_a_run_is_repeated_from_its_folder(emotions: Emotions, tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(easy_data, data)
    first = emotions(*_train(tiny_base, data, "-o", "first", "--epochs", "2", "--learning-rate", "0.002"))
    assert first.exit_code == 0, first.stderr
    again = emotions("train", "--from-run", "first", "-o", "again")
    assert again.exit_code == 0, again.stderr
    assert "the weights are those of first" in again.stderr
    assert "not the run of" not in again.stderr
    assert Path("first/metrics.jsonl").read_bytes() == Path("again/metrics.jsonl").read_bytes()

    text = (data / "train.csv").read_text(encoding="utf-8")
    (data / "train.csv").write_text(text.replace("angry", "cross"), encoding="utf-8")
    other = emotions("train", "--from-run", "first", "-o", "other", "--epochs", "1")
    assert other.exit_code == 0, other.stderr
    assert "not the run of first: data was sha256:" in other.stderr
    assert "not the run of first: training.epochs was 2 and is 1" in other.stderr
    assert "the weights are not those of first" in other.stderr

    manifest = Bundle.open(Path("first/model")).manifest
    write_manifest(Path("first/model"), replace(manifest, arithmetic={**manifest.arithmetic, "threads": 77, "processes": 2}))
    otherwise = emotions("train", "--from-run", "first", "-o", "otherwise", "--epochs", "1")
    assert "not the run of first: threads was 77 and is " in otherwise.stderr
    assert "not the run of first: processes was 2 and is 1" in otherwise.stderr
    Path("first/sweep.json").touch()
    searched = emotions("train", "--from-run", "first")
    assert searched.exit_code == 1
    assert "'first' is a sweep, not a run" in searched.stderr
    missing = emotions("train", "--from-run", "nowhere")
    assert missing.exit_code == 1
    assert "'nowhere' is no run: it has no settings.toml" in missing.stderr
    both = emotions("train", "--from-run", "first", "--resume")
    assert both.exit_code == 2


def test_other_versions_are_named(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    assert emotions(*_train(tiny_base, easy_data, "-o", "first", "--epochs", "1")).exit_code == 0
    bundle = Bundle.open(Path("first/model"))
    write_manifest(bundle.path, replace(bundle.manifest, versions={**bundle.manifest.versions, "torch": "2.5.0"}))
    again = emotions("train", "--from-run", "first", "-o", "again")
    assert re.search(r"not the run of first: torch was 2\.5\.0 and is 2\.", again.stderr)


def test_a_name_is_made_up_and_validation_is_held_out(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    result = emotions(*_train(tiny_base, easy_data / "train.csv", "--epochs", "1"))
    assert result.exit_code == 0, result.stderr
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("train-20")
    assert "no validation split: 3 of 18 training rows held out, stratified, seed 17" in result.stderr


def test_the_progress_of_a_terminal(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emotions_cli", *_train(tiny_base, easy_data, "-o", "run", "--epochs", "30")]
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140"}
    streams = {"stdin": slave, "stdout": subprocess.DEVNULL, "stderr": slave}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **streams) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # how Linux says that the other side of a terminal is gone
                break
            if not chunk:
                break
            seen += chunk
        os.close(master)
    assert process.returncode == 0
    text = seen.decode("utf-8", "replace")
    assert "examples/s" in text
    assert "epoch 30" in text
    assert "\x1b[?25l" in text  # a live display hides the cursor


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--set", "training.epochs"], 2, "is not of the form section.key=value"),
        (["--set", "training.epoch=3"], 1, "Did you mean 'training.epochs'?"),
        (["--epochs", "0"], 1, "training.epochs should be greater than or equal to 1"),
        (["--metric", "f1"], 1, "training.metric should be"),
        (["--base-model", "./nowhere"], 1, "Base model folder './nowhere' is not there"),
        (["--text-column", "words"], 1, "has no column 'words'"),
        (["--validation-data", "v.csv"], 1, "has a validation split already"),
        (["--settings", "none.toml"], 1, "Settings file 'none.toml' is not there"),
    ],
)
def test_mistakes(emotions: Emotions, tiny_base: Path, easy_data: Path, more: list[str], code: int, message: str) -> None:
    result = emotions(*_train(tiny_base, easy_data, "-o", "run", *more))
    assert result.exit_code == code
    assert message in result.stderr
    assert not Path("run").exists()
