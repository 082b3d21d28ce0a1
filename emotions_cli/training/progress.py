"""How far a run has come: with the weights, all that is needed to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emotions_cli.training.events import Step
from emotions_cli.training.selection import Selection


@dataclass
class Progress:
    """Sums over the steps that were made, and what the evaluations said.

    Attributes:
        selection: The best evaluation so far.
        step: Optimiser steps made.
        epoch: The epoch of the newest one, from 0.
        evaluated: The step of the newest evaluation.
        loss_sum: Of the steps since then.
        losses: How many those are.
        texts: Training texts read.
        seconds: Time of all steps, evaluation and saving left out.
    """

    selection: Selection
    step: int = 0
    epoch: int = 0
    evaluated: int = 0
    loss_sum: float = 0.0
    losses: int = 0
    texts: int = 0
    seconds: float = 0.0

    def made(self, step: Step) -> None:
        """Take a step."""
        self.step, self.epoch = step.number, step.epoch
        self.loss_sum += step.loss
        self.losses += 1
        self.texts += step.texts
        self.seconds += step.seconds

    def judged(self, value: float) -> tuple[bool, float]:
        """Take an evaluation's value; return whether it is the best so far, and the mean training loss since the last one."""
        improved = self.selection.observe(value, self.step)
        loss = self.loss_sum / max(self.losses, 1)
        self.evaluated, self.loss_sum, self.losses = self.step, 0.0, 0
        return improved, loss

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """Read what :meth:`to_json` gave."""
        return cls(**{**values, "selection": Selection(**values["selection"])})
