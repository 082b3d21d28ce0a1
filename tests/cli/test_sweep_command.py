"""``emotions sweep`` from the shell to the best trial's model: alone, stopped and resumed, on several machines."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import read_until
from rich.console import Console
from typer.testing import Result

from emotions_cli.cli._sweep_progress import SweepDisplay
from emotions_cli.extras import EXTRAS
from emotions_cli.sweep import (
    Concluding,
    Opened,
    State,
    StudyStorage,
    SweepFolder,
    SweepNote,
    SweepPlan,
    Trained,
    TrialBegan,
    TrialEnded,
    TrialRecord,
)
from emotions_cli.training import Note, Started, Step

Emotions = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]


def _arguments(base: Path, data: Path, *more: str, epochs: int = 1) -> list[str]:
    recipe = ["--epochs", str(epochs), "--metric", "nll", "--seed", "3"]
    recipe += [item for pair in ("max_length=48", "precision=fp32", "fast_file=false") for item in ("--set", f"training.{pair}")]
    params = ["--param", "training.learning_rate=1e-3..2e-2:log", "--param", "training.batch_size=6,9"]
    return ["sweep", "--data", str(data), "--base-model", str(base), *recipe, *params, *more]


@contextmanager
def _started(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-m", "emotions_cli", *arguments]
    # matrices this small gain nothing from threads
    options: dict[str, Any] = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, "cwd": folder, "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_sweep_predict_train_again(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    result = emotions(*_arguments(tiny_base, easy_data, "--trials", "3", "-o", "swept"))
    assert result.exit_code == 0, result.stderr
    # notes and progress there, the table here
    assert "study swept in sqlite:///swept/study.db: 3 trials\n" in result.stderr
    assert re.search(r"^trial 0002 \(3 of 3\): learning_rate 0\.\d+, batch_size [69]$", result.stderr, re.MULTILINE)
    assert re.search(r"^trial 000\d: nll \d\.\d{4}, best so far, \d+ s$", result.stderr, re.MULTILINE)
    assert result.stderr.count("18 training and 6 validation texts") == 1
    # Optuna has its own way of saying all this
    assert "[I " not in result.stderr
    assert "Warning" not in result.stderr
    assert re.search(r"rank +trial +nll +learning_rate +batch_size +state +time", result.stdout)
    assert re.search(r"^ +1 +000\d +\d\.\d{4} +0\.\d+ +[69] +complete +\d+ s", result.stdout, re.MULTILINE)
    assert str(Path("swept/model")) in result.stdout
    assert sorted(path.name for path in Path("swept").iterdir()) == [
        "best.toml", "model", "settings.toml", "study.db", "sweep.html", "sweep.json", "trials", "trials.csv",
    ]  # fmt: skip
    assert emotions("predict", "--model", "swept/model", "so happy").exit_code == 0
    assert emotions("predict", "--model", "swept", "so happy").exit_code == 0

    taken = emotions(*_arguments(tiny_base, easy_data, "--trials", "3", "-o", "swept"))
    assert taken.exit_code == 1
    assert "'swept' holds a sweep." in taken.stderr
    # all that it needs to know is in its folder
    again = emotions("sweep", "--resume", "-o", "swept")
    assert again.exit_code == 0, again.stderr
    assert "3 trials, 3 of them done" in again.stderr
    assert "is written: swept/model" in again.stderr
    assert again.stdout == result.stdout
    # a process that was killed right before it moved the model
    best = re.findall(r"writing the model of trial (\d+)", result.stderr)[0]
    Path("swept/model").rename(f"swept/trials/{best}/model")
    assert "writing the model" not in emotions("sweep", "--resume", "-o", "swept").stderr
    assert Path("swept/model/emotions.json").exists()
    changed = emotions("sweep", "--resume", "-o", "swept", "--epochs", "2")
    assert changed.exit_code == 1
    assert "training.epochs was 1 and is 2" in changed.stderr
    unpruned = emotions("sweep", "--resume", "-o", "swept", "--no-prune")
    assert unpruned.exit_code == 2
    assert "--no-prune: the sweep in 'swept' gives up trials that fall behind" in unpruned.stderr
    none_left = emotions("sweep", "--resume")
    assert none_left.exit_code == 1
    assert "There is no unfinished sweep in 'runs'" in none_left.stderr

    # nor where it was concluded; one that was extended since and cut off there is unfinished again
    Path("runs").mkdir()
    Path("swept").rename("runs/swept")
    assert "There is no unfinished sweep" in emotions("sweep", "--resume").stderr
    folder = SweepFolder(Path("runs/swept"))
    folder.keep(replace(folder.plan(), trials=4))
    extended = emotions("sweep", "--resume")
    assert extended.exit_code == 0, extended.stderr
    assert "going on with runs/swept" in extended.stderr
    assert "4 trials, 3 of them done" in extended.stderr
    assert "There is no unfinished sweep" in emotions("sweep", "--resume").stderr


@pytest.mark.skipif(os.name == "nt", reason="no signals for one process on Windows")
def test_signals_save_and_the_same_command_goes_on(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    arguments = _arguments(tiny_base, easy_data, "-o", "runs/swept", epochs=3000)
    with _started(arguments, tmp_path) as process:
        read_until(process, "18 training and 6 validation texts")
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=10)[1]
        assert process.returncode == 75, rest
    assert re.search(
        r"Error: Trial 0000: Stopped after step [\d,]+ of [\d,]+; all is saved\.\n"
        r"  → Go on: emotions sweep --resume --output runs/swept\n",
        rest,
    )
    assert "Traceback" not in rest
    # the newest unfinished one, without being told more
    with _started(["sweep", "--resume"], tmp_path) as process:
        read_until(process, "going on with runs/swept")
        read_until(process, "trial 0000 goes on (1 of 20)")
        read_until(process, "18 training and 6 validation texts")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=10)[1]
        assert process.returncode == 75, rest
    assert "Trial 0000: Stopped after step" in rest
    with (tmp_path / "runs" / "swept" / "sweep.json").open(encoding="utf-8") as stream:
        assert json.load(stream)["trials"] == 20


def test_two_machines_share_a_study(emotions: Emotions, tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    shared = ["--storage", f"sqlite:///{tmp_path / 'shared.db'}", "--study", "ours", "--trials", "6"]
    with _started(_arguments(tiny_base, easy_data, *shared, "-o", "other"), tmp_path) as other:
        read_until(other, "trial 0000 (1 of 6)")
        results = {"one": emotions(*_arguments(tiny_base, easy_data, *shared, "-o", "one"))}
        rest = other.communicate(timeout=120)[1]
        assert (results["one"].exit_code, other.returncode) == (0, 0), results["one"].stderr + rest
    # each knows all of them by now, and who has the best one
    results = {name: emotions("sweep", "--resume", "-o", name) for name in ("one", "other")}
    assert [result.exit_code for result in results.values()] == [0, 0]
    tables = []
    for name in results:
        with (tmp_path / name / "trials.csv").open(encoding="utf-8", newline="") as stream:
            tables.append(list(csv.DictReader(stream)))
    assert tables[0] == tables[1]
    assert [row["trial"] for row in tables[0]] == [f"{i:04}" for i in range(6)]
    best = min(tables[0], key=lambda row: float(row["nll"]))
    places = {name: [row["trial"] for row in tables[0] if row["folder"].endswith(f"/{name}")] for name in results}
    assert sum(map(len, places.values())) == 6
    for name, numbers in places.items():
        run_here = [row["trial"] for row in tables[0] if row["trial"] in numbers and not row["note"]]
        assert sorted(path.name for path in (tmp_path / name).glob("trials/*")) == run_here
        if best["trial"] in numbers:
            assert (tmp_path / name / "model" / "emotions.json").exists()
        else:
            assert f"the best trial, {best['trial']}, was run at" in results[name].stderr
            assert "its model is written there" in results[name].stderr

    assert not any(SweepFolder(Path(name)).unfinished for name in places)

    # a third one with other data or parameters does not join
    stranger = emotions(*_arguments(tiny_base, easy_data, *shared, "-o", "third", epochs=2))
    assert stranger.exit_code == 1
    assert "training.epochs was 1 and is 2" in stranger.stderr
    elsewhere = emotions("sweep", "--resume", "-o", "one", "--storage", "sqlite:///mine.db")
    assert "is kept in sqlite:///" in elsewhere.stderr
    renamed = emotions("sweep", "--resume", "-o", "one", "--study", "theirs")
    assert "takes part in the study 'ours'" in renamed.stderr


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 2, "--param is missing"),
        (["--param", "training.batch_size=0,1"], 2, "training.batch_size: '0' should be greater than or equal to 1"),
        (["--param", "training.epochs=1..3", "--epochs", "2"], 2, "training.epochs is given a value and searched"),
        (["--resume", "auto"], 2, "--resume auto does not know which sweep"),
        (["--resume", "--force", "-o", "x"], 2, "--resume goes on with a sweep, --force replaces it"),
        (["--resume", "-o", "x"], 1, "'x' holds no sweep to go on with"),
        (["--param", "training.epochs=1..3", "-o", "gs://bucket/x"], 2, "a sweep works in a local folder"),
        (["--param", "training.epochs=1..3", "--storage", "my secret"], 1, "--storage is no database URL"),
    ],
)
def test_what_does_not_fit_is_an_error_of_two_lines(
    emotions: Emotions, options: list[str], code: int, said: str, tiny_base: Path
) -> None:
    result = emotions("sweep", "--data", "sample", "--base-model", tiny_base, *options)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr
    assert not list(Path().iterdir())


def test_a_database_that_is_not_there_is_an_error(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    missing = emotions(*_arguments(tiny_base, easy_data, "-o", "x", "--storage", "oracle://me:s3cret@host/db"))
    assert missing.exit_code == 1
    assert re.search(r"The study's database 'oracle://me:\*\*\*@host/db' can't be used: \w+ is not installed\.", missing.stderr)
    assert "Traceback" not in missing.stderr
    assert "s3cret" not in missing.stderr
    # nothing is in the way of the next try
    assert not [path for path in Path("x").rglob("*") if path.is_file()]


def test_a_password_is_asked_for_again(emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    storage = StudyStorage.at("oracle://me:s3cret@host/db")
    SweepFolder(Path("x")).keep(SweepPlan("x", ("training.batch_size=6,9",), 9, True, storage.shown))
    resume = ["sweep", "--resume", "-o", "x", "--data", easy_data, "--base-model", tiny_base, "--set", "training.max_length=48"]
    again = emotions(*resume)
    assert again.exit_code == 1
    assert "The password of oracle://me:***@host/db was not kept." in again.stderr
    assert "--storage URL" in again.stderr
    given = emotions(*resume, "--storage", storage.url)
    assert "is not installed" in given.stderr
    assert "s3cret" not in again.stderr + given.stderr


def test_the_extra_is_named_when_it_is_missing(emotions: Emotions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "sweep", ("no_such_optuna",))
    result = emotions("sweep", "--data", "sample", "--param", "training.epochs=1..3")
    assert result.exit_code == 1
    assert "Sweeping needs no_such_optuna, which is not installed." in result.stderr
    assert "pip install 'emotions-cli[sweep]'" in result.stderr


def test_a_terminal_shows_one_live_line() -> None:
    screen = io.StringIO()
    trial = TrialRecord(1, 0, State.COMPLETE, 0.5, {"epochs": 2}, "here", "here", {}, 130.0)
    with SweepDisplay(Console(file=screen, force_terminal=True, width=120), "nll", 9) as display:
        display.show(Opened(Path("x"), "ours", "sqlite:///x", 0, 9))
        display.show(TrialBegan(0, {"epochs": 2}, False, 0))
        display.show(TrialEnded(trial, trial))
        display.show(TrialBegan(1, {"epochs": 3}, True, 1))
        display.show(Trained(1, Started(Path("x"), "cpu", "fp32", 10**6, 18, 6, 30)))
        for _ in range(2):
            display.show(Trained(1, Note("texts are cut")))
        display.show(Trained(1, Step(7, 1, False, 0.7, 1.0, 1e-4, 8, 0.1)))
        display._progress.refresh()
        display.show(SweepNote("by the way"))
        display.show(Concluding(0))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "trial 0000: nll 0.5000, best so far, 2 min\n" in shown
    assert "trial 0001 goes on (2 of 9): epochs 3\n" in shown
    assert "epoch 2, step 7 of 30 (best 0.5000, trial 0000)" in shown
    assert shown.count("note: texts are cut") == 1
    assert "writing the model of trial 0000" in shown
