"""Several processes train one model: the same steps, one writer, one end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import read_until

from emotions_cli import load
from emotions_cli.errors import EXIT_LOST

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signals for one process on Windows")


def _arguments(base: Path, data: Path, *more: str) -> list[str]:
    recipe = ["--max-length", "48", "--precision", "fp32", "--learning-rate", "0.005", "--set", "training.fast_file=false"]
    return ["train", "--data", str(data), "--base-model", str(base), *recipe, *more]


def _run(arguments: list[str], *module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *(module or ["emotions_cli"]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment})


def _measured(run: str | Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def _losses(run: str | Path) -> list[object]:
    return [line["loss"] for line in _measured(run) if "loss" in line]


@pytest.fixture(scope="module")
def nineteen(easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The easy data and one text more: the last batch of an epoch has fewer texts than there are processes."""
    data = tmp_path_factory.mktemp("nineteen")
    text = (easy_data / "train.csv").read_text(encoding="utf-8")
    (data / "train.csv").write_text(text + "merry merry day,joy\n", encoding="utf-8")
    # more than one batch of an evaluation, and another number of them for each process
    rows = (easy_data / "validation.csv").read_text(encoding="utf-8").splitlines()
    more = [row.replace(",", f" {i},", 1) if row.count(",") == 1 else row for i in range(23) for row in rows[1:]]
    (data / "validation.csv").write_text("\n".join([*rows[:1], *more]) + "\n", encoding="utf-8")
    return data


@pytest.fixture(scope="module")
def alone(tiny_base: Path, nineteen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process, with batches of six."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    result = _run(_arguments(tiny_base, nineteen, "--epochs", "2", "--batch-size", "6", "-o", str(folder)))
    assert result.returncode == 0, result.stderr
    return folder


def test_two_processes_make_the_steps_of_one_with_twice_the_batch(tiny_base: Path, nineteen: Path, alone: Path) -> None:
    result = _run(_arguments(tiny_base, nineteen, "--epochs", "2", "--batch-size", "3", "--processes", "2", "-o", "two"))
    assert result.returncode == 0, result.stderr
    assert len(_losses(alone)) == 8
    np.testing.assert_allclose(_losses("two"), _losses(alone), atol=1e-5, rtol=0)
    for one, two in zip(_measured(alone), _measured("two"), strict=True):
        if "validation" in one:
            assert two["validation"]["n"] == 138
            assert two["validation"]["nll"] == pytest.approx(one["validation"]["nll"], abs=1e-4)
    # one of them speaks and writes
    assert result.stderr.count("finished after") == 1
    assert result.stderr.count("(guessed)") == 2
    assert result.stdout.count("best step") == 1
    assert len(load("two").predict(["so happy"])) == 1


def test_torchrun_runs_the_same_code(tiny_base: Path, nineteen: Path, alone: Path) -> None:
    recipe = _arguments(tiny_base, nineteen, "--epochs", "2", "--batch-size", "3", "-o", "launched")
    launched = _run(recipe, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "emotions_cli")
    assert launched.returncode == 0, launched.stderr
    np.testing.assert_allclose(_losses("launched"), _losses(alone), atol=1e-5, rtol=0)


def test_the_machines_of_a_vertex_job_train_one_model(tiny_base: Path, nineteen: Path, alone: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pools = {"workerpool0": ["127.0.0.1:2222"], "workerpool1": ["127.0.0.1:2222"]}
    recipe = _arguments(tiny_base, nineteen, "--epochs", "2", "--batch-size", "3", "-o", "job")
    machines = [
        subprocess.Popen(
            [sys.executable, "-m", "emotions_cli", *recipe],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "CLUSTER_SPEC": json.dumps({"cluster": pools, "task": {"type": pool, "index": 0}, "open_ports": [port]}),
            },
        )
        for pool in pools
    ]
    outputs = [machine.communicate(timeout=120) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], outputs
    assert "best step" in outputs[0][0]
    assert outputs[1][0] == ""
    np.testing.assert_allclose(_losses("job"), _losses(alone), atol=1e-5, rtol=0)


def _children(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(number) for number in text.split()]


def test_two_processes_that_were_stopped_end_like_two_that_were_not(dropping_base: Path, nineteen: Path) -> None:
    recipe = _arguments(dropping_base, nineteen, "--epochs", "30", "--batch-size", "3", "--checkpoint-steps", "7")
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "-m", "emotions_cli"]
    whole = _run([*recipe, "-o", "whole", "--device", "cpu"], *launcher)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-u", "-m", "emotions_cli", *recipe, "--processes", "2", "-o", "cut"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        read_until(process, "epoch 2, step")
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75, rest
    going_on = _run([*recipe, "--processes", "2", "-o", "cut", "--resume"])
    assert going_on.returncode == 0, going_on.stderr
    assert going_on.stderr.count("going on behind step") == 1
    assert _measured("cut") == _measured("whole")
    weights = [Path(run, "model", "model.safetensors").read_bytes() for run in ("cut", "whole")]
    assert weights[0] == weights[1]
    again = _run([*recipe, "--processes", "2", "-o", "cut", "--resume", "auto"])
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("the run is finished already") == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the processes")
def test_the_end_of_one_is_the_end_of_all_and_nothing_is_lost(tiny_base: Path, nineteen: Path) -> None:
    arguments = _arguments(tiny_base, nineteen, "--epochs", "30000", "--batch-size", "3", "--processes", "2", "-o", "run")
    command = [sys.executable, "-u", "-m", "emotions_cli", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # behind the first checkpoint
        read_until(process, "epoch 2, step")
        killed = _children(process)[1]
        began = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        rest = process.communicate(timeout=30)[1]
        assert time.monotonic() - began < 30
        assert process.returncode == EXIT_LOST
    assert "process 2 of 2 was ended by SIGKILL" in rest
    assert "Traceback" not in rest
    # another number of processes would make other batches
    alone = _run(["train", "-o", "run", "--resume"])
    assert alone.returncode == 1
    assert "processes was 2 and is 1" in alone.stderr
    with subprocess.Popen([*command, "--resume"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        read_until(process, "validation macro_f1")
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 75
    assert "all is saved" in rest


def test_a_mistake_is_said_once(tiny_base: Path) -> None:
    result = _run(_arguments(tiny_base, Path("nowhere.csv"), "--processes", "2", "-o", "run"))
    assert result.returncode == 1
    assert result.stderr.count("Data 'nowhere.csv' is not there") == 1


def test_a_cluster_that_can_not_be_understood_is_named(tiny_base: Path, nineteen: Path) -> None:
    result = _run(_arguments(tiny_base, nineteen, "-o", "run"), CLUSTER_SPEC='{"cluster": {}}')
    assert result.returncode == 1
    assert "CLUSTER_SPEC can't be understood" in result.stderr
