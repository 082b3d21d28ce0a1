"""``emotions train`` is stopped by signals and goes on, in real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import read_until
from typer.testing import Result

from emotions_cli import load

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signals for one process on Windows")

Emotions = Callable[..., Result]


def _arguments(base: Path, data: Path, *more: str) -> list[str]:
    recipe = ["--max-length", "48", "--precision", "fp32", "--learning-rate", "0.005", "--set", "training.fast_file=false"]
    return ["train", "--data", str(data), "--base-model", str(base), "--batch-size", "6", *recipe, "-o", "run", *more]


@contextmanager
def _started(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-m", "emotions_cli", *arguments]
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _weights(folder: Path) -> bytes:
    return (folder / "run" / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(
    number: signal.Signals, tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    arguments = _arguments(tiny_base, easy_data, "--epochs", "3000")
    with _started(arguments, tmp_path) as process:
        read_until(process, "best so far")
        process.send_signal(number)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75
    assert re.search(
        r"Error: Stopped after step [\d,]+ of 9,000; all is saved\.\n  → Go on: the same command and --resume\.", rest
    )
    assert "Traceback" not in rest
    (tmp_path / "run" / ".lock").touch()
    with _started([*arguments, "--resume", "--finish"], tmp_path) as process:
        out, rest = process.communicate(timeout=60)
        assert process.returncode == 0, rest
    assert re.search(r"going on behind step [\d,]+ of 9,000, best macro_f1 [\d.]+: run/checkpoints/step-", rest)
    assert "stopped early" in out
    assert len(load(tmp_path / "run").predict(["so happy"])) == 1


@pytest.fixture(scope="module")
def long_data(easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The easy data with many times its rows: a step of all of them, or an evaluation, takes seconds."""
    folder = tmp_path_factory.mktemp("long")
    for split in ("train", "validation"):
        header, *rows = (easy_data / f"{split}.csv").read_text(encoding="utf-8").splitlines()
        (folder / f"{split}.csv").write_text("\n".join([header, *rows * (8_000 // len(rows))]), encoding="utf-8")
    return folder


def _read_steps(run: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has measured so many steps."""
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text(encoding="utf-8").count('"loss"') < count:
        assert process.poll() is None
        os.sched_yield()


def test_a_second_ctrl_c_leaves_at_once_and_loses_nothing(tiny_base: Path, long_data: Path, tmp_path: Path) -> None:
    # the first one waits for the end of a step, which takes seconds
    arguments = ["train", "--data", str(long_data), "--base-model", str(tiny_base), "--batch-size", "8000", "-o", "run"]
    arguments += ["--precision", "fp32", "--max-length", "48", "--epochs", "30", "--checkpoint-steps", "1"]
    arguments += ["--set", "training.fast_file=false"]
    with _started(arguments, tmp_path) as process:
        _read_steps(tmp_path / "run", 2, process)
        process.send_signal(signal.SIGINT)
        read_until(process, "another Ctrl-C leaves at once")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 130, rest
    assert "Traceback" not in rest
    with _started([*arguments, "--resume", "--finish"], tmp_path) as process:
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 0, rest


def test_a_signal_in_an_evaluation_does_not_wait_for_its_end(tiny_base: Path, long_data: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", str(long_data), "--base-model", str(tiny_base), "--batch-size", "8000", "-o", "run"]
    arguments += ["--precision", "fp32", "--max-length", "48", "--set", "training.fast_file=false"]
    with _started(arguments, tmp_path) as process:
        _read_steps(tmp_path / "run", 1, process)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        rest = process.communicate(timeout=30)[1]
        assert time.monotonic() - began < 10
        assert process.returncode == 75, rest
    assert "Stopped after step 1 of 3; all is saved" in rest
    assert "validation" not in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_signal_before_the_first_step_and_one_behind_the_last(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    arguments = _arguments(tiny_base, easy_data, "--epochs", "4", "--resume", "auto")
    with _started(arguments, tmp_path / "whole") as process:
        assert process.wait(timeout=60) == 0
    with _started(arguments, tmp_path / "cut") as process:
        read_until(process, "(guessed)")
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75
    assert "Stopped before the first step.\n  → The same command begins again." in rest
    with _started(arguments, tmp_path / "cut") as process:
        read_until(process, "epoch 4, step 12 of 12")
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75
    assert "all is saved" in rest
    assert not (tmp_path / "cut" / "run" / "model").exists()
    assert not list((tmp_path / "cut" / "run").glob(".*"))
    with _started(arguments, tmp_path / "cut") as process:
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 0, rest
    assert "going on behind step 12 of 12" in rest
    assert _weights(tmp_path / "cut") == _weights(tmp_path / "whole")
    with _started(arguments, tmp_path / "cut") as process:
        rest = process.communicate(timeout=60)[1]
        assert process.returncode == 0, rest
    assert "the run is finished already: run/model" in rest


def test_resume_takes_the_settings_of_the_run_and_refuses_others(
    emotions: Emotions, tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    arguments = _arguments(tiny_base, easy_data, "--epochs", "3000", "--seed", "5")
    with _started(arguments, tmp_path) as process:
        read_until(process, "best so far")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 75
    Path("runs").mkdir()
    Path("run").rename("runs/mine")

    changed = emotions("train", "-o", "runs/mine", "--resume", "--epochs", "4")
    assert changed.exit_code == 1
    assert "training.epochs was 3000 and is 4" in changed.stderr
    Path("settings.toml").write_text("[training]\nseed = 6\n", encoding="utf-8")
    changed = emotions("train", "-o", "runs/mine", "--resume")
    assert "training.seed was 5 and is 6" in changed.stderr
    Path("settings.toml").unlink()

    again = emotions("train", "-o", "runs/mine")
    assert "holds a run that was cut off" in again.stderr
    # the newest unfinished one, by its own settings
    finished = emotions("train", "--resume", "--finish")
    assert finished.exit_code == 0, finished.stderr
    assert "going on with runs/mine" in finished.stderr
    assert len(load("runs/mine").predict(["so happy"])) == 1
    none_left = emotions("train", "--resume")
    assert none_left.exit_code == 1
    assert "There is no unfinished run in 'runs'" in none_left.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume", "auto"], "--resume auto does not know which run"),
        (["--resume", "--force", "-o", "run"], "--resume goes on with a run, --force replaces it"),
        (["--finish", "-o", "run"], "--finish ends a run that was begun"),
        (["--resume", "auto", "--finish", "-o", "run"], "--finish ends a run that was begun"),
    ],
)
def test_options_that_do_not_fit_together(emotions: Emotions, options: list[str], message: str) -> None:
    result = emotions("train", "--data", "sample", *options)
    assert result.exit_code == 2
    assert message in result.stderr
