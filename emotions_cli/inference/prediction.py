"""The answer to one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emotions_cli.metrics.decisions import BoolArray
from emotions_cli.metrics.probabilities import FloatArray

UNCERTAIN = "uncertain"


@dataclass(frozen=True)
class Prediction:
    """The answer to one text.

    Attributes:
        text: The text.
        labels: The answer: one label, or ``uncertain``; of a multi-label model all labels over their thresholds, best
            first, possibly none.
        score: Probability of the answer's best label; of the best label of all when there is no answer.
        scores: Probability of every label, in the model's order.
        cut_tokens: Tokens at the text's end that the model did not read.
    """

    text: str
    labels: tuple[str, ...]
    score: float
    scores: Mapping[str, float]
    cut_tokens: int

    @property
    def label(self) -> str | None:
        """The best label of the answer, or ``None`` when a multi-label model gives none."""
        return self.labels[0] if self.labels else None

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the ``count`` most probable labels with their scores, best first."""
        return sorted(self.scores.items(), key=lambda item: -item[1])[:count]


def make_predictions(
    texts: Sequence[str],
    scores: FloatArray,
    answers: BoolArray,
    names: Sequence[str],
    *,
    cut_tokens: Sequence[int] | None = None,
    min_score: float = 0.0,
) -> list[Prediction]:
    """Put texts, scores (texts, labels) and answered labels (texts, labels) together.

    Args:
        texts: The texts.
        scores: Probabilities.
        answers: Which labels are answered.
        names: Label names, in the order of the columns.
        cut_tokens: Tokens that were not read, a number a text; none when not given.
        min_score: An answer with a lower score becomes ``uncertain``.
    """
    predictions = []
    for i, (text, row) in enumerate(zip(texts, scores, strict=True)):
        best_first = np.argsort(-row, kind="stable").tolist()
        ids = [k for k in best_first if answers[i, k]]
        score = float(row[ids[0] if ids else best_first[0]])
        labels = tuple(names[k] for k in ids)
        if labels and score < min_score:
            labels = (UNCERTAIN,)
        by_name = dict(zip(names, row.tolist(), strict=True))
        predictions.append(Prediction(text, labels, score, by_name, cut_tokens[i] if cut_tokens is not None else 0))
    return predictions
