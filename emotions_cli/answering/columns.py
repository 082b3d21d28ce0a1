"""The columns that an answer becomes: ``emotion`` and ``score``, a score a label, the best labels in pairs, a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from emotions_cli.inference import Prediction
from emotions_cli.inference.prediction import EMPTY
from emotions_cli.streams.formats import Format

LABEL_SEPARATOR = "|"
# of a score; more are noise of the arithmetic
DIGITS = 6


@dataclass(frozen=True)
class AnswerColumns:
    """Names the new columns and fills them.

    Attributes:
        labels: The model's labels.
        single: Whether it answers exactly one.
        file_format: Of the output: lists stand as lists where the format has them.
        prefix: Put before every name.
        top_k: Pairs of the best labels and their scores.
        all_scores: A score for every label.
        reasons: What to know about a text.
    """

    labels: Sequence[str]
    single: bool
    file_format: Format
    prefix: str = ""
    top_k: int = 0
    all_scores: bool = False
    reasons: bool = False

    @cached_property
    def names(self) -> list[str]:
        """The new columns, in order."""
        names = ["emotion", "score"]
        names += [f"{kind}_{rank}" for rank in range(1, self._pairs + 1) for kind in ("emotion", "score")]
        names += [f"score_{label}" for label in self.labels] if self.all_scores else []
        names += ["reason"] if self.reasons else []
        return [f"{self.prefix}{name}" for name in names]

    def values(self, prediction: Prediction, reason: str | None) -> dict[str, Any]:
        """Return the value of every new column for one text; an empty text gets empty ones."""
        return dict(zip(self.names, self._cells(prediction, reason), strict=True))

    @property
    def _pairs(self) -> int:
        return min(self.top_k, len(self.labels))

    def _cells(self, prediction: Prediction, reason: str | None) -> list[Any]:
        if prediction.reason == EMPTY:
            count = 2 + 2 * self._pairs + (len(self.labels) if self.all_scores else 0)
            cells: list[Any] = [None] * count
            if self._has_lists:
                cells[0] = []
        else:
            cells = [self.joined(prediction.labels), round(prediction.score, DIGITS)]
            for label, score in prediction.top(self._pairs) if self._pairs else ():
                cells += [label, round(score, DIGITS)]
            if self.all_scores:
                cells += [round(score, DIGITS) for score in prediction.scores.values()]
        return [*cells, reason] if self.reasons else cells

    @property
    def _has_lists(self) -> bool:
        return not self.single and self.file_format in {Format.JSONL, Format.PARQUET}

    def joined(self, labels: Sequence[str]) -> str | list[str]:
        """Put labels in one cell: the label, a list where the format has lists, else joined by ``|``."""
        return list(labels) if self._has_lists else LABEL_SEPARATOR.join(labels)
