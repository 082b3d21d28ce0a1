"""Jobs that are stopped, gone on with and compared."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import load_split, tiny_settings, untraced

from emotions_cli.settings import Settings
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Event, Finishing, Resume, Step, TrainingJob, train
from emotions_cli.training.remote import RemoteRun
from emotions_cli.training.run_folder import RunFolder

# dropout uses PyTorch's generator, typing errors a generator of their own
RECIPE: dict[str, Any] = {"epochs": 4, "eval_steps": 4, "typing_errors": 0.5, "emoji": False, "fast_file": False}


class After:
    """Asks to stop after a step, at the n-th time it is asked behind it."""

    def __init__(self, step: int, times: int = 1) -> None:
        self._step, self._times = step, times
        self.events: list[Event] = []

    def __call__(self) -> bool:
        if any(isinstance(event, Step) and event.number >= self._step for event in self.events):
            self._times -= 1
        return self._times <= 0

    def follow(self, job: TrainingJob, *, uploads: bool = False) -> None:
        """Run the job to its end, waiting for each of its uploads where that is wanted."""
        for event in train(replace(job, stop=self)):
            self.events.append(event)
            if uploads and job.remote is not None:
                job.remote.wait()


def job_of(
    base: Path,
    data: Path,
    folder: Path,
    *,
    resume: Resume = Resume.NO,
    checkpoint_steps: int = 0,
    allow_changed: bool = False,
    finish: bool = False,
    remote: RemoteRun | None = None,
    **training: object,
) -> TrainingJob:
    settings: Settings = tiny_settings(base, **{**RECIPE, **training})
    settings = settings.model_copy(update={"checkpoints": settings.checkpoints.model_copy(update={"steps": checkpoint_steps})})
    run = RunFolder(folder) if remote is None else remote.folder
    return TrainingJob(
        load_split(data),
        settings,
        run,
        JsonlTracker(run.metrics, run.throughput),
        resume=resume,
        allow_changed=allow_changed,
        finish=finish,
        remote=remote,
    )


def trained_by(job: TrainingJob) -> list[Event]:
    """Train to the last step, but leave the bundle, which takes longer than all of them, unwritten."""
    events: list[Event] = []
    with closing(train(job)) as stream:
        for event in stream:
            events.append(event)
            if isinstance(event, Finishing):
                break
    return events


def assert_killed_at(places: list[list[object]], run: Path, base: Path, data: Path, **more: object) -> None:
    """Train a run in processes that kill themselves, each at its place, and in a last one that does not."""
    plan = {"run": str(run), "base": str(base), "data": str(data), "training": RECIPE, "checkpoints": {"steps": 1}, **more}
    command = [sys.executable, str(Path(__file__).with_name("killing.py")), json.dumps({**plan, "places": places})]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=untraced())
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"killed": places, "finished": True}


def assert_same_end(run: Path, other: Path) -> None:
    """Same metrics, weights, best weights and best step, byte for byte, of two runs whose bundles are not written."""
    assert (run / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    ends = []
    for folder in (run, other):
        checkpoint, notes = RunFolder(folder).checkpoints.newest()
        assert checkpoint is not None
        assert not notes
        best = RunFolder(folder).checkpoints.best(checkpoint.progress)
        ends.append((replace(checkpoint.progress, seconds=0.0), checkpoint.weights.read_bytes(), best.weights.read_bytes()))
    assert ends[0] == ends[1]


def assert_equal_runs(run: Path, other: Path) -> None:
    """Same weights, metrics, decisions and best step, byte for byte."""
    assert (run / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    names = sorted(path.name for path in (run / "model").iterdir())
    assert names == sorted(path.name for path in (other / "model").iterdir())
    manifests = []
    for folder in (run, other):
        manifest = json.loads((folder / "model" / "emotions.json").read_text(encoding="utf-8"))
        for own in ("created", "git", "manifest_sha256", "settings"):
            del manifest[own]
        manifests.append(manifest)
    assert manifests[0] == manifests[1]
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in other.iterdir())
