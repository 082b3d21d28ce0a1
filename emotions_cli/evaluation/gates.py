"""Quality gates: a metric and the value it must reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from emotions_cli.errors import UsageError, nearest
from emotions_cli.metrics.judgement import LOWER_IS_BETTER

METRICS = ("accuracy", "macro_f1", "weighted_f1", "micro_f1", "nll", "ece")


@dataclass(frozen=True)
class Gate:
    """``metric=limit``: the metric must be at least the limit, ``nll`` and ``ece`` at most."""

    metric: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read ``macro_f1=0.85``.

        Raises:
            UsageError: No such metric, or the limit is no number.
        """
        metric, equals, limit = text.partition("=")
        metric = metric.strip()
        if metric not in METRICS:
            raise UsageError(f"'{metric}' is no metric (there are: {', '.join(METRICS)}).{nearest(metric, METRICS)}", _FORM)
        try:
            gate = cls(metric, float(limit))
        except ValueError:
            gate = cls(metric, math.nan)
        if math.isnan(gate.limit):
            raise UsageError(f"'{text}' has no number behind the {equals or 'metric'}.", _FORM)
        return gate

    def passes(self, overall: Mapping[str, float]) -> bool:
        """Say whether metrics reach the limit; NaN never does."""
        value = overall[self.metric]
        return value <= self.limit if self.metric in LOWER_IS_BETTER else value >= self.limit


_FORM = "Write it like --fail-under macro_f1=0.85"
