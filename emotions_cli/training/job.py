"""What to train, and what can't be trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from emotions_cli.data.dataset import TRAIN, VALIDATION, Dataset
from emotions_cli.errors import DataError
from emotions_cli.labels import Task
from emotions_cli.settings import Settings
from emotions_cli.tracking import Tracker
from emotions_cli.training.remote import RemoteRun
from emotions_cli.training.run_folder import RunFolder


class Resume(StrEnum):
    """Whether to go on from the newest checkpoint in the run's folder.

    ``AUTO`` begins anew when there is none.
    """

    NO = "no"
    YES = "yes"
    AUTO = "auto"


@dataclass(frozen=True)
class TrainingJob:
    """What to train.

    Attributes:
        dataset: Must have a training and a validation split.
        settings: All settings; the training, checkpoints and hub sections say how to train, the rest is recorded.
        folder: Where everything of the run goes.
        tracker: Receives what is measured.
        force: Replace an earlier run.
        resume: Go on with it.
        allow_changed: Go on also where settings that change nothing in what is learnt are others.
        processes: How many train together, on all machines.
        remote: Where the folder is a copy of one on a store: keeps that one up to date.
        profile: Follow some steps with a profiler, and write where their time goes.
        cache: Folder for the token ids of large data; ``None`` keeps them in memory.
        finish: Go on, but take no further step: the best weights so far become the model.
        stop: Asked after every step and between the batches of an evaluation; when it says yes, the run is saved and ends.
    """

    dataset: Dataset
    settings: Settings
    folder: RunFolder
    tracker: Tracker
    force: bool = False
    resume: Resume = Resume.NO
    allow_changed: bool = False
    profile: bool = False
    processes: int = 1
    remote: RemoteRun | None = None
    finish: bool = False
    cache: Path | None = None
    stop: Callable[[], bool] = lambda: False


def check_trainable(dataset: Dataset) -> None:
    """Raise unless there is something to learn from every label.

    Raises:
        DataError: One label only, or a label of another split that the training split lacks.
    """
    train = dataset.split(TRAIN)
    if not len(train) or not len(dataset.split(VALIDATION)):
        raise DataError(f"'{dataset.reference}' has too few rows to train and validate.", "Give it more labelled rows.")
    if dataset.task is Task.SINGLE_LABEL and len(dataset.labels) < 2:
        raise DataError(
            f"All rows of '{dataset.reference}' have the label '{dataset.labels.names[0]}'.",
            "A classifier needs at least two labels; check the label column.",
        )
    absent = [name for name, support in zip(dataset.labels, train.support, strict=True) if support == 0]
    if absent:
        raise DataError(
            f"The training split of '{dataset.reference}' has no row labelled {', '.join(absent)}, other splits do.",
            "Add such rows, or rename or drop the label with --label-map.",
        )
