"""What a training run tells while it runs; the command draws them, anything else may ignore them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emotions_cli.metrics.judgement import Judgement


@dataclass(frozen=True)
class Note:
    """Something the user should know: a sentence."""

    text: str


@dataclass(frozen=True)
class Started:
    """Everything is built, the first step comes next."""

    folder: Path
    device: str
    precision: str
    parameters: int
    training_texts: int
    validation_texts: int
    steps: int


@dataclass(frozen=True)
class Resumed:
    """The run goes on behind a step, from a checkpoint; ``best`` is the best value of the metric so far."""

    step: int
    checkpoint: Path
    best: float | None


@dataclass(frozen=True)
class Step:
    """One optimiser step.

    Attributes:
        number: Counted from 1 over the whole run.
        epoch: Counted from 0.
        last_of_epoch: Whether the epoch ends with it.
        loss: Mean training loss of its texts.
        grad_norm: L2 norm of the gradients before clipping.
        learning_rate: The rate it used.
        texts: Texts it read.
        seconds: Time it took.
    """

    number: int
    epoch: int
    last_of_epoch: bool
    loss: float
    grad_norm: float
    learning_rate: float
    texts: int
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """The validation split was judged after a step."""

    step: int
    epoch: int
    judgement: Judgement
    value: float
    improved: bool
    training_loss: float


@dataclass(frozen=True)
class Finishing:
    """No step comes any more: the bundle is about to be written."""


@dataclass(frozen=True)
class Finished:
    """The bundle is written.

    Attributes:
        folder: The run's folder, as the user knows it.
        model: The bundle's folder, likewise.
        judgement: The bundle's weights on the validation split.
        best_step: The step they come from.
        steps: Steps that were made.
        stopped_early: Whether patience ran out.
        examples_per_second: Training texts a second, evaluation and saving left out.
        seconds: Time of the whole run.
    """

    folder: str
    model: str
    judgement: Judgement
    best_step: int
    steps: int
    stopped_early: bool
    examples_per_second: float
    seconds: float


Event = Note | Started | Resumed | Step | Evaluated | Finishing | Finished
