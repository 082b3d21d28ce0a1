"""Which evaluation was the best, and when to stop hoping for a better one."""

from __future__ import annotations

from dataclasses import dataclass

from emotions_cli.metrics.judgement import LOWER_IS_BETTER


@dataclass
class Selection:
    """The best evaluation so far. The first of equals stays.

    Attributes:
        metric: Name of the metric that is compared.
        patience: Evaluations without improvement before :attr:`exhausted`; 0 never is.
        best: Its best value, ``None`` before the first evaluation.
        best_step: The step it was reached at.
        waited: Evaluations since.
    """

    metric: str
    patience: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0

    def observe(self, value: float, step: int) -> bool:
        """Take an evaluation's value; return whether it is the best so far. NaN never is."""
        sign = -1.0 if self.metric in LOWER_IS_BETTER else 1.0
        improved = value == value and (self.best is None or sign * value > sign * self.best)
        if improved:
            self.best, self.best_step, self.waited = value, step, 0
        else:
            self.waited += 1
        return improved

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.patience <= self.waited
