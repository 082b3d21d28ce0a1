"""What W&B's own client writes, and what happens when it can't."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import read_until

from emotions_cli.tracking import BackgroundTracker, Ending, JsonlTracker

BLOCK = 32768


def _records(run: Path) -> Iterator[Any]:
    """Read what the client wrote for ``wandb sync``, of all processes of a run: LevelDB's log format, protobuf messages."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(run.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime):
        content, position, message = path.read_bytes(), 7, b""
        while position + 7 <= len(content):
            left = BLOCK - position % BLOCK
            if left < 7:
                position += left
                continue
            _, length, kind = struct.unpack("<IHB", content[position : position + 7])
            message += content[position + 7 : position + 7 + length]
            position += 7 + length
            # a whole one, or the last part
            if kind in {1, 4}:
                record = wandb_internal_pb2.Record()
                record.ParseFromString(message)
                message = b""
                yield record


def _history(run: Path) -> dict[int, dict[str, Any]]:
    """Everything logged, by step."""
    steps: dict[int, dict[str, Any]] = {}
    for record in _records(run):
        if record.WhichOneof("record_type") == "history":
            values = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            steps.setdefault(values["_step"], {}).update(values)
    return steps


def _config(run: Path) -> dict[str, Any]:
    return {
        update.key: json.loads(update.value_json)
        for record in _records(run)
        if record.WhichOneof("record_type") == "run"
        for update in record.run.config.update
    }


def _command(base: Path, data: Path, *more: str) -> list[str]:
    recipe = ["--max-length", "48", "--precision", "fp32", "--learning-rate", "0.005", "--set", "training.fast_file=false"]
    arguments = ["train", "--data", str(data), "--base-model", str(base), "--batch-size", "6", *recipe, "-o", "run", *more]
    return [sys.executable, "-m", "emotions_cli", *arguments]


def test_an_offline_run_holds_everything_and_goes_on_under_its_id(tiny_base: Path, easy_data: Path) -> None:
    command = _command(tiny_base, easy_data, "--epochs", "3000", "--wandb", "offline", "--set", "wandb.tags=one,two")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        read_until(process, "epoch 3, step")
        process.terminate()
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75, rest
    result = subprocess.run([*command, "--resume", "--finish"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert "W&B" not in rest + result.stderr

    run = Path("run")
    records = list(_records(run))
    kinds = [record.WhichOneof("record_type") for record in records]
    runs = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert len({one.run_id for one in runs}) == 1
    assert kinds.count("preempting") == 1
    assert [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"] == [75, 0]
    assert set(runs[0].tags) == {"one", "two"}
    assert runs[0].project == "emotions"

    measured = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = {line["step"]: line for line in measured if "loss" in line}
    history = _history(run)
    assert set(history) == set(steps)
    for number, values in history.items():
        assert values["loss"] == pytest.approx(steps[number]["loss"])
        assert {"learning_rate", "grad_norm", "examples_per_second"} <= values.keys()
    evaluated = next(line for line in measured if "validation" in line)
    logged = history[evaluated["step"]]
    assert logged["validation/macro_f1"] == pytest.approx(evaluated["validation"]["macro_f1"])
    assert logged["validation/labels/joy/f1"] == pytest.approx(evaluated["validation"]["labels"]["joy"]["f1"])
    (table,) = list(run.glob(f"wandb/*/files/media/table/validation/confusion_table_{evaluated['step']}_*.json"))
    cells = json.loads(table.read_text(encoding="utf-8"))["data"]
    counts = evaluated["validation"]["confusion"]
    assert [cell[2] for cell in cells] == [count for row in counts for count in row]

    config = _config(run)
    manifest = json.loads((run / "model" / "emotions.json").read_text(encoding="utf-8"))
    assert config["fingerprint"] == manifest["data"]["fingerprint"]
    assert config["versions"] == manifest["versions"]
    assert config["settings"]["training"]["epochs"] == 3000
    assert config["labels"] == ["joy", "anger", "fear"]


def test_a_server_that_never_answers_stops_nothing(tiny_base: Path, easy_data: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environment = {
            **os.environ,
            "WANDB_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "WANDB_API_KEY": "a" * 40,
        }
        command = _command(tiny_base, easy_data, "--epochs", "30000", "--wandb")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
            read_until(process, "epoch 3, step")
            process.terminate()
            began = time.monotonic()
            rest = process.communicate(timeout=60)[1]
            assert time.monotonic() - began < 10
            assert process.returncode == 75, rest
    assert "note: W&B does not answer" in rest
    assert "all is saved" in rest
    finish = [*_command(tiny_base, easy_data, "--epochs", "30000"), "--resume", "--finish"]
    result = subprocess.run(finish, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


class Listener:
    """A tracker that keeps what it is told, and fails or waits where it is told to."""

    def __init__(self, *, fails_at: int = 0, gate: threading.Event | None = None) -> None:
        self.heard: list[object] = []
        self._fails_at, self._gate = fails_at, gate

    def start(self, *_: object) -> None:
        self.heard.append("start")

    def log(self, step: int, *_: object) -> None:
        if self._gate is not None:
            self._gate.wait()
        if step == self._fails_at:
            raise OSError("the network is gone\nand more")
        self.heard.append(step)

    def state(self) -> Mapping[str, Any]:
        return {"id": "abc"}

    def problems(self) -> Iterator[str]:
        return iter(())

    def hangs(self) -> bool:
        return False

    def conclude(self, values: Mapping[str, Any]) -> None:
        self.heard.append(values)

    def finish(self, ending: Ending) -> None:
        self.heard.append(ending)


def test_all_is_passed_on_in_order() -> None:
    listener = Listener()
    tracker = BackgroundTracker(listener, "X")
    tracker.start({}, {})
    for step in range(1, 1000):
        tracker.log(step, {})
    tracker.finish(Ending.STOPPED)
    assert listener.heard == ["start", *range(1, 1000), Ending.STOPPED]
    assert list(tracker.problems()) == []
    assert not tracker.hangs()
    assert tracker.state() == {"id": "abc"}


def test_a_tracker_that_fails_is_told_of_the_end_alone_and_that_is_said_once() -> None:
    listener = Listener(fails_at=3)
    tracker = BackgroundTracker(listener, "X")
    tracker.start({}, {})
    for step in range(1, 10):
        tracker.log(step, {})
    tracker.finish(Ending.DONE)
    assert listener.heard == ["start", 1, 2, Ending.DONE]
    (problem,) = tracker.problems()
    assert problem == "X takes no more: the network is gone. Training goes on; the run's folder has everything."


def test_a_tracker_that_hangs_is_not_waited_for() -> None:
    gate = threading.Event()
    tracker = BackgroundTracker(Listener(gate=gate), "X", patience_seconds=0.1)
    tracker.start({}, {})
    tracker.log(1, {})
    tracker.finish(Ending.DONE)
    assert tracker.hangs()
    assert list(tracker.problems()) == ["X does not answer: what it has not taken is in the run's folder only."]
    gate.set()


def test_a_tracker_can_be_finished_without_a_start(tmp_path: Path) -> None:
    tracker = BackgroundTracker(JsonlTracker(tmp_path / "m", tmp_path / "t"), "X")
    tracker.finish(Ending.DONE)
    assert not tracker.hangs()
