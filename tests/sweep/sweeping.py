"""Small sweeps that are run, stopped and compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from conftest import load_split, tiny_settings

from emotions_cli.settings.model import WandbSettings
from emotions_cli.sweep import Concluding, StudyStorage, SweepEvent, SweepFolder, SweepJob, SweepPlan, parse_space, sweep
from emotions_cli.sweep.study import SweepStudy, TrialRecord
from emotions_cli.tracking import JsonlTracker, Tracker
from emotions_cli.training.run_folder import RunFolder

RECIPE: dict[str, Any] = {"epochs": 2, "emoji": False, "fast_file": False, "typing_errors": 0.5}
PARAMS = ("training.learning_rate=1e-4..2e-2:log", "training.batch_size=6,9", "training.label_smoothing=0..0.3")


def tracker_of(run: RunFolder, wandb: WandbSettings) -> Tracker:
    return JsonlTracker(run.metrics, run.throughput)


def job_of(
    base: Path,
    data: Path,
    folder: Path,
    *,
    params: Sequence[str] = PARAMS,
    trials: int = 6,
    prune: bool = True,
    storage: str | None = None,
    study: str = "study",
    checkpoint_steps: int = 0,
    **training: object,
) -> SweepJob:
    """Put a job together; it goes on where the folder holds a sweep."""
    place = SweepFolder(folder)
    given = None if storage is None else StudyStorage.at(storage)
    plan = place.plan() if place.begun else SweepPlan(study, tuple(params), trials, prune, given and given.shown)
    settings = tiny_settings(base, **{**RECIPE, **training})
    return SweepJob(
        load_split(data),
        settings.model_copy(update={"checkpoints": settings.checkpoints.model_copy(update={"steps": checkpoint_steps})}),
        parse_space(params),
        plan,
        place,
        given or StudyStorage.in_file(place.study),
        tracker_of,
        begin=not place.begun,
    )


def searched(job: SweepJob) -> list[SweepEvent]:
    """Run all trials, but leave the bundle, which takes longer than all of them, unwritten."""
    events: list[SweepEvent] = []
    with closing(sweep(job)) as stream:
        for event in stream:
            events.append(event)
            if isinstance(event, Concluding):
                break
    return events


def records_of(job: SweepJob) -> list[TrialRecord]:
    with SweepStudy.opened(job.storage, job.plan.study, job.metric, job.space, 1) as study:
        return study.records()


def results_of(job: SweepJob) -> list[tuple[object, ...]]:
    """What makes two sweeps the same: states, values, parameters and evaluations of all trials, to the last bit."""
    return [(t.number, t.state, t.value, dict(t.params), dict(t.reports), t.note) for t in records_of(job)]
