"""What a sweep tells while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions_cli.sweep.study import TrialRecord
from emotions_cli.training import Event as TrainingEvent


@dataclass(frozen=True)
class SweepNote:
    """Something the user should know: a sentence."""

    text: str


@dataclass(frozen=True)
class Opened:
    """The study is open.

    Attributes:
        folder: The sweep's.
        study: The study's name.
        storage: Where it lies, without a password.
        ended: Trials that have ended already, on all machines.
        trials: How many it is to have in the end.
    """

    folder: Path
    study: str
    storage: str
    ended: int
    trials: int


@dataclass(frozen=True)
class TrialBegan:
    """A trial begins or goes on.

    Attributes:
        number: Its number in the study, from 0.
        params: What was chosen for it.
        resumed: Whether it was begun by an earlier process.
        ended: Trials that have ended by now, on all machines.
    """

    number: int
    params: Mapping[str, Any]
    resumed: bool
    ended: int


@dataclass(frozen=True)
class Trained:
    """Something happened in the run of a trial."""

    number: int
    event: TrainingEvent


@dataclass(frozen=True)
class TrialEnded:
    """A trial is complete or was given up.

    Attributes:
        trial: It.
        best: The best one so far, of all machines; ``None`` while none is complete.
    """

    trial: TrialRecord
    best: TrialRecord | None


@dataclass(frozen=True)
class Concluding:
    """No trial comes any more: the bundle of the best one is about to be written."""

    number: int


@dataclass(frozen=True)
class SweepFinished:
    """The sweep is over, as far as this machine goes.

    Attributes:
        folder: Its folder.
        metric: What the trials were judged by.
        trials: All of the study, the best first.
        importances: Setting → share of 1 in how much the metric depends on it; empty when too few trials tell.
        model: The best trial's bundle; ``None`` when another machine has it.
    """

    folder: Path
    metric: str
    trials: Sequence[TrialRecord]
    importances: Mapping[str, float]
    model: Path | None


SweepEvent = SweepNote | Opened | TrialBegan | Trained | TrialEnded | Concluding | SweepFinished
