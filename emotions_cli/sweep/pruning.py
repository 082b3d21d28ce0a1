"""When a trial is given up: the median rule, over runs of any length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

STARTUP_TRIALS = 5
"""As many have to be complete before one is given up."""

WHOLE = 1000
"""Steps of Optuna's reports are thousandths of the run: comparable between trials with other batch sizes and epochs."""

Reports = Mapping[int, float]
"""Thousandths of the run done → the metric's value."""


def falls_behind(reports: Reports, others: Sequence[Reports], *, lower_is_better: bool) -> bool:
    """Say whether the best value of a trial so far is worse than the median of what others had come to by then.

    The median stopping rule of Golovin et al., Google Vizier (KDD 2017), as Optuna's ``MedianPruner`` has it. That one compares
    trials at the very same step only; here a trial that was not evaluated there counts with its last evaluation before, so
    that trials with other batch sizes, epochs or evaluations compare too. Where all are evaluated at the same shares of their
    runs the two agree. A run that is at its end is never given up.

    Args:
        reports: Of the trial.
        others: Of each trial that is complete.
        lower_is_better: Whether the metric is a loss.
    """
    share = max(reports, default=WHOLE)
    if share >= WHOLE or len(others) < STARTUP_TRIALS:
        return False
    by_then = [other[max(passed)] for other in others if (passed := [step for step in other if step <= share])]
    finite = [value for value in by_then if not math.isnan(value)]
    if not finite:
        return False
    middle = median(finite)
    return min(reports.values()) > middle if lower_is_better else max(reports.values()) < middle
