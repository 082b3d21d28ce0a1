"""Runs that W&B's own client sends to a server, one that works and one that does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import read_until
from servers.door import HANG, OK, REFUSE
from servers.wandb import Wandb
from servers.wandb_runs import Run
from typer.testing import Result

Emotions = Callable[..., Result]

RECIPE = ["--max-length", "48", "--precision", "fp32", "--learning-rate", "0.005", "--batch-size", "6"]


def _arguments(base: Path, data: Path, *more: str) -> list[str]:
    fast = ["--set", "training.fast_file=false"]
    return ["train", "--data", str(data), "--base-model", str(base), *RECIPE, *fast, "-o", "run", *more]


def _measured(folder: Path = Path("run")) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _manifest() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(Path("run/model/emotions.json").read_text(encoding="utf-8"))
    return found


def _assert_nothing_lost(run: Run) -> None:
    """Every step once, in order, with the values of the run's folder."""
    steps = [line for line in _measured() if "loss" in line]
    assert [line["_step"] for line in run.history] == [line["step"] for line in steps]
    assert [line["loss"] for line in run.history] == pytest.approx([line["loss"] for line in steps])


def test_a_run_arrives(wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    for command in (["init", "-q"], ["add", "tracked"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]):
        Path("tracked").write_text("one", encoding="utf-8")
        subprocess.run(["git", *command], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    secret = ["--set", "hub.token=hf_verysecret"]
    result = emotions(*_arguments(tiny_base, easy_data, "--epochs", "3", "--wandb", "--set", "wandb.tags=one,two", *secret))
    assert result.exit_code == 0, result.stderr
    assert "W&B" not in result.stderr
    assert "wandb" not in result.stderr.replace("--wandb", "")
    assert not [name for _, name in wandb_server.requests if "otel" in name]

    run = wandb_server.run
    assert (run.entity, run.project, run.state, run.tags) == ("team", "emotions", "finished", ["one", "two"])
    _assert_nothing_lost(run)
    evaluated = [line for line in _measured() if "validation" in line]
    by_step = {line["_step"]: line for line in run.history}
    for line in evaluated:
        logged = by_step[line["step"]]
        assert logged["validation/macro_f1"] == pytest.approx(line["validation"]["macro_f1"])
        assert logged["validation/labels/joy/f1"] == pytest.approx(line["validation"]["labels"]["joy"]["f1"])
        assert logged["examples_per_second"] > 0

    manifest = _manifest()
    assert run.summary["weights_sha256"] == manifest["files"]["model.safetensors"]
    assert run.summary["validation/macro_f1"] == pytest.approx(evaluated[-1]["validation"]["macro_f1"])
    assert run.config["fingerprint"] == manifest["data"]["fingerprint"]
    assert run.config["versions"] == manifest["versions"]
    assert run.config["settings"]["training"]["epochs"] == 3
    assert run.config["git"] == manifest["git"] == {"commit": commit, "dirty": False}
    sent = json.dumps(run.raw_config) + "".join(map(str, run.files.values()))
    assert "hf_verysecret" not in sent

    (table,) = [name for name in run.files if f"confusion_table_{evaluated[-1]['step']}_" in name]
    cells = json.loads(run.files[table])["data"]
    assert [cell[2] for cell in cells] == [count for row in evaluated[-1]["validation"]["confusion"] for count in row]


def test_a_stopped_run_is_preempting_and_goes_on_under_its_id(
    wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path
) -> None:
    arguments = _arguments(tiny_base, easy_data, "--epochs", "40", "--eval-steps", "40", "--wandb")
    command = [sys.executable, "-m", "emotions_cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        read_until(process, "step 40 of")
        process.terminate()
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75, rest
    run = wandb_server.run
    assert (run.state, run.starts) == ("preempted", 1)
    assert "W&B" not in rest
    _assert_nothing_lost(run)
    stopped_at = len(run.history)

    again = emotions(*arguments, "--resume")
    assert again.exit_code == 0, again.stderr
    assert (wandb_server.run.state, wandb_server.run.starts) == ("finished", 2)
    assert len(wandb_server.run.history) == 120 > stopped_at
    _assert_nothing_lost(wandb_server.run)
    assert wandb_server.run.summary["weights_sha256"] == _manifest()["files"]["model.safetensors"]


def test_a_server_that_refuses_now_and_then_loses_nothing(
    wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path
) -> None:
    # the client waits for two seconds before it tries again
    picked = ("/graphql/UpsertBucket", "/file_stream", "/graphql/CommitArtifact", "table.json", "wandb-summary.json")
    asked: Counter[str] = Counter()

    def first_time(_: str, name: str) -> str:
        asked[name] += 1
        return REFUSE if asked[name] == 1 and name.endswith(picked) else OK

    wandb_server.plan = first_time
    result = emotions(*_arguments(tiny_base, easy_data, "--epochs", "3", "--wandb"))
    assert result.exit_code == 0, result.stderr
    assert "W&B" not in result.stderr
    run = wandb_server.run
    assert sum(name.endswith(picked) for name in asked) >= 7
    assert min(count for name, count in asked.items() if name.endswith(picked)) > 1
    assert run.state == "finished"
    _assert_nothing_lost(run)
    assert run.summary["weights_sha256"] == _manifest()["files"]["model.safetensors"]


def test_a_wrong_key_stops_nothing_and_is_said_once(
    wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    result = emotions(*_arguments(tiny_base, easy_data, "--epochs", "3", "--wandb"))
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("W&B") == 1
    assert "note: W&B takes no more: " in result.stderr
    assert wandb_server.runs == {}
    assert _manifest()["metrics"]


def test_a_server_that_falls_silent_stops_nothing_and_that_is_said_once(
    wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotions_cli.tracking.wandb.FINISH_SECONDS", 1.0)
    wandb_server.plan = lambda _, name: HANG if name.endswith("file_stream") else OK
    result = emotions(*_arguments(tiny_base, easy_data, "--epochs", "3", "--wandb"))
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("W&B") == 1
    assert wandb_server.run.history == []
    assert _manifest()["metrics"]


def test_offline_nothing_is_sent(wandb_server: Wandb, emotions: Emotions, tiny_base: Path, easy_data: Path) -> None:
    import wandb

    result = emotions(*_arguments(tiny_base, easy_data, "--epochs", "1", "--wandb", "offline"))
    assert result.exit_code == 0, result.stderr
    wandb.teardown()
    assert wandb_server.requests == []
    assert list(Path("run/wandb").glob("offline-run-*/run-*.wandb"))
