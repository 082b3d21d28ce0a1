"""Searching for good training settings: trial after trial, stopped and resumed like a run, alone or on many machines."""

from emotions_cli.sweep.events import (
    Concluding,
    Opened,
    SweepEvent,
    SweepFinished,
    SweepNote,
    Trained,
    TrialBegan,
    TrialEnded,
)
from emotions_cli.sweep.folder import SweepFolder, SweepPlan
from emotions_cli.sweep.run import SweepJob, sweep
from emotions_cli.sweep.space import parse_space
from emotions_cli.sweep.storage import StudyStorage
from emotions_cli.sweep.study import State, TrialRecord

__all__ = [
    "Concluding",
    "Opened",
    "State",
    "StudyStorage",
    "SweepEvent",
    "SweepFinished",
    "SweepFolder",
    "SweepJob",
    "SweepNote",
    "SweepPlan",
    "Trained",
    "TrialBegan",
    "TrialEnded",
    "TrialRecord",
    "parse_space",
    "sweep",
]
