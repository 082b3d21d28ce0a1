"""What was answered, counted as it passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emotions_cli.answering.windows import MISSING, AnsweredWindow
from emotions_cli.inference.prediction import CUT, EMPTY

NONE = "(none)"


@dataclass
class Tally:
    """Counts over all windows of a run, and of the run it goes on with.

    Attributes:
        rows: All rows.
        windows: All windows.
        answered: Rows with a text to answer.
        emotions: How often each answer was given; ``(none)`` counts texts that a multi-label model gives no label.
        reasons: How often each reason.
    """

    rows: int = 0
    windows: int = 0
    answered: int = 0
    emotions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, window: AnsweredWindow) -> None:
        """Count a window."""
        self.rows += len(window.records)
        self.windows += 1
        self.reasons.update(reason for reason in window.reasons if reason is not None)
        for prediction in window.predictions:
            if prediction.reason != EMPTY:
                self.answered += 1
                self.emotions.update(prediction.labels or (NONE,))

    @property
    def cut(self) -> int:
        """Texts whose end was not read."""
        return self.reasons[CUT]

    @property
    def empty(self) -> int:
        """Texts with nothing in them."""
        return self.reasons[EMPTY] + self.reasons[MISSING]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rows": self.rows,
            "windows": self.windows,
            "answered": self.answered,
            "emotions": dict(self.emotions),
            "reasons": dict(self.reasons),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """Read what :meth:`to_json` returned; nothing gives an empty tally."""
        return cls(
            values.get("rows", 0),
            values.get("windows", 0),
            values.get("answered", 0),
            Counter(values.get("emotions", {})),
            Counter(values.get("reasons", {})),
        )
