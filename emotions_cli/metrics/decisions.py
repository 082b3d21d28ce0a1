"""How often the answers are right: precision, recall and F1 a label, their averages, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotions_cli.labels import Task

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DEFAULT_THRESHOLD = 0.5
# thresholds of 0 and 1 lie infinitely far away in logits
EDGE = 1e-6


@dataclass(frozen=True)
class LabelScores:
    """Precision, recall and F1 of each label, 0 where undefined; all arrays (labels,).

    Attributes:
        support: How often a label is true.
        predicted: How often a label is answered.
    """

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray
    predicted: IntArray
    true_positives: IntArray

    @classmethod
    def of(cls, answers: BoolArray, targets: BoolArray) -> LabelScores:
        """Compare answers (n, labels) with what is true (n, labels)."""
        true_positives = (answers & targets).sum(axis=0, dtype=np.int64)
        predicted = answers.sum(axis=0, dtype=np.int64)
        support = targets.sum(axis=0, dtype=np.int64)
        return cls(
            _ratio(true_positives, predicted),
            _ratio(true_positives, support),
            _ratio(2 * true_positives, predicted + support),
            support,
            predicted,
            true_positives,
        )

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the labels that are true or answered at least once (scikit-learn's choice for single-label data)."""
        seen = (self.support + self.predicted) > 0
        return float(self.f1[seen].mean()) if seen.any() else 0.0

    @property
    def macro_f1_all(self) -> float:
        """Mean F1 over all labels (scikit-learn's choice for multi-label data)."""
        return float(self.f1.mean())

    @property
    def weighted_f1(self) -> float:
        """Mean F1 weighted by support."""
        return float((self.f1 * self.support).sum() / max(int(self.support.sum()), 1))

    @property
    def micro_f1(self) -> float:
        """F1 over all decisions together."""
        return float(_ratio(2 * self.true_positives.sum(), (self.predicted + self.support).sum()))


def _ratio(numerator: IntArray, denominator: IntArray) -> FloatArray:
    return np.asarray(numerator / np.maximum(denominator, 1), dtype=np.float64)


def confusion_matrix(answers: IntArray, truth: IntArray, labels: int) -> IntArray:
    """Count texts by true label (rows) and answer (columns): (labels, labels)."""
    return np.bincount(truth * labels + answers, minlength=labels * labels).reshape(labels, labels)


def tune_thresholds(scores: FloatArray, targets: BoolArray) -> FloatArray:
    """Return for each label the threshold with the best F1 on held-out texts.

    Every midpoint between two neighbouring scores is tried. Labels that are never true keep 0.5. Lipton et al., "Optimal
    Thresholding of Classifiers to Maximize F1 Measure", ECML 2014.

    Args:
        scores: Probabilities (n, labels).
        targets: What is true (n, labels).

    Returns:
        Thresholds (labels,): a label is answered when its score is at least this.
    """
    thresholds = np.full(scores.shape[1], DEFAULT_THRESHOLD)
    for label in range(scores.shape[1]):
        support = int(targets[:, label].sum())
        if support == 0:
            continue
        order = np.argsort(-scores[:, label], kind="stable")
        ranked = scores[order, label]
        true_positives = np.cumsum(targets[order, label])
        f1 = 2 * true_positives / (np.arange(1, len(ranked) + 1) + support)
        # a cut between equal scores can't be made
        f1[:-1][ranked[:-1] == ranked[1:]] = -1.0
        best = int(f1.argmax())
        below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
        between = (ranked[best] + below) / 2
        # of two neighbouring floats the midpoint is one of them
        thresholds[label] = between if between > below else ranked[best]
    return thresholds


def over_thresholds(scores: FloatArray, thresholds: FloatArray) -> BoolArray:
    """Say which labels are answered (n, labels)."""
    return np.asarray(scores >= thresholds)


def best_label(scores: FloatArray) -> BoolArray:
    """Say which label is answered when there is exactly one (n, labels)."""
    return np.asarray(np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None])


def decision_margins(logits: FloatArray, task: Task, temperature: float, thresholds: Sequence[float] | None) -> FloatArray:
    """Return how far, in logits, each text is from another answer: (n,).

    Of a single-label model that is the gap between its two best labels, of a multi-label one the distance of the label that
    is nearest to its threshold.

    Args:
        logits: (n, labels).
        task: Decides between the two.
        temperature: Logits are divided by it before they become probabilities.
        thresholds: One a label for multi-label models.
    """
    if task is Task.MULTI_LABEL:
        cuts = np.clip(np.asarray(thresholds, dtype=np.float64), EDGE, 1.0 - EDGE)
        return np.asarray(np.abs(logits - temperature * np.log(cuts / (1.0 - cuts))).min(axis=1))
    if logits.shape[1] < 2:
        return np.full(len(logits), np.inf)
    best = np.partition(logits, -2, axis=1)
    return np.asarray(best[:, -1] - best[:, -2])
