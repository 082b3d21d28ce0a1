"""The answer to one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emotions_cli.metrics.decisions import BoolArray
from emotions_cli.metrics.probabilities import FloatArray

UNCERTAIN = "uncertain"
EMPTY = "empty"
CUT = "cut"


@dataclass(frozen=True)
class Prediction:
    """The answer to one text.

    Attributes:
        text: The text.
        labels: The answer: one label, or ``uncertain``; of a multi-label model all labels over their thresholds, best
            first, possibly none. None for an empty text.
        score: Probability of the answer's best label; of the best label of all when there is no answer; 0 for an empty text.
        scores: Probability of every label, in the model's order; all 0 for an empty text.
        cut_tokens: Tokens at the text's end that the model did not read.
    """

    text: str
    labels: tuple[str, ...]
    score: float
    scores: Mapping[str, float]
    cut_tokens: int

    @property
    def label(self) -> str | None:
        """The best label of the answer, or ``None`` when there is none."""
        return self.labels[0] if self.labels else None

    @property
    def reason(self) -> str | None:
        """What to know about the text: ``empty`` (it got no answer), ``cut`` (its end was not read), else ``None``."""
        if not self.text.strip():
            return EMPTY
        return CUT if self.cut_tokens else None

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
    best_first = np.argsort(-scores, axis=1, kind="stable").tolist() if len(scores) else []
    cuts = [0] * len(texts) if cut_tokens is None else cut_tokens
    predictions = []
    for text, row, answered, order, cut in zip(texts, scores.tolist(), answers.tolist(), best_first, cuts, strict=True):
        if not text.strip():
            predictions.append(Prediction(text, (), 0.0, dict.fromkeys(names, 0.0), 0))
            continue
        ids = [k for k in order if answered[k]]
        score = row[ids[0] if ids else order[0]]
        labels = tuple(names[k] for k in ids)
        if labels and score < min_score:
            labels = (UNCERTAIN,)
        predictions.append(Prediction(text, labels, score, dict(zip(names, row, strict=True)), cut))
    return predictions
