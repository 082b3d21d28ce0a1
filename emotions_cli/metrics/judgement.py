"""All metrics of one set of predictions: what training selects by and evaluation reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotions_cli.labels import Task
from emotions_cli.metrics.decisions import (
    BoolArray,
    FloatArray,
    IntArray,
    LabelScores,
    best_label,
    confusion_matrix,
    over_thresholds,
)
from emotions_cli.metrics.probabilities import expected_calibration_error, negative_log_likelihood

LOWER_IS_BETTER = frozenset({"nll", "ece"})


@dataclass(frozen=True)
class Judgement:
    """How good predictions are.

    Attributes:
        task: What was judged.
        names: Label names, in the order of all arrays.
        n: Number of texts.
        overall: Metric name → value: ``accuracy``, ``macro_f1``, ``weighted_f1``, ``micro_f1``, ``nll``, ``ece``. For
            multi-label data accuracy is the share of texts with exactly the right labels.
        labels: Precision, recall, F1 and support of each label.
        confusion: Texts by true label (rows) and answer (columns); ``None`` for multi-label data.
        answers: Which labels were answered: bool (n, labels).
    """

    task: Task
    names: tuple[str, ...]
    n: int
    overall: dict[str, float]
    labels: LabelScores
    confusion: IntArray | None
    answers: BoolArray

    def to_json(self) -> dict[str, Any]:
        """Return plain values: the overall metrics (``None`` where undefined), ``labels`` by name, ``confusion``, and ``n``."""
        return {
            **{name: None if math.isnan(value) else value for name, value in self.overall.items()},
            "labels": {
                name: {
                    "precision": float(self.labels.precision[i]),
                    "recall": float(self.labels.recall[i]),
                    "f1": float(self.labels.f1[i]),
                    "support": int(self.labels.support[i]),
                }
                for i, name in enumerate(self.names)
            },
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "n": self.n,
        }


def judge(
    scores: FloatArray,
    targets: BoolArray,
    names: Sequence[str],
    task: Task,
    *,
    thresholds: FloatArray | None = None,
    known: BoolArray | None = None,
    ece_bins: int = 15,
) -> Judgement:
    """Judge probabilities against what is true.

    Args:
        scores: Probabilities (n, labels).
        targets: What is true (n, labels).
        names: Label names.
        task: Single-label answers are the best label, multi-label ones all labels over their thresholds.
        thresholds: A threshold a label (labels,), 0.5 when not given; multi-label only.
        known: Labels the model can answer (labels,); a text of another label counts as wrong, but has no likelihood.
        ece_bins: Bins of the expected calibration error.
    """
    known = np.ones(len(names), dtype=np.bool_) if known is None else known
    single = task is Task.SINGLE_LABEL
    if single:
        answers = best_label(scores)
        answerable = targets[:, known].any(axis=1)
        confidence, correct = scores.max(axis=1), np.asarray((answers & targets).any(axis=1))
    else:
        answers = over_thresholds(scores, np.full(len(names), 0.5) if thresholds is None else thresholds) & known
        answerable = np.ones(len(targets), dtype=np.bool_)
        confidence, correct = scores[:, known].ravel(), targets[:, known].ravel()
    labels = LabelScores.of(answers, targets)
    overall = {
        "accuracy": float((answers == targets).all(axis=1).mean()),
        "macro_f1": labels.macro_f1 if single else labels.macro_f1_all,
        "weighted_f1": labels.weighted_f1,
        "micro_f1": labels.micro_f1,
        "nll": negative_log_likelihood(scores[answerable][:, known], targets[answerable][:, known], task),
        "ece": expected_calibration_error(confidence, correct, ece_bins),
    }
    confusion = confusion_matrix(answers.argmax(axis=1), targets.argmax(axis=1), len(names)) if single else None
    return Judgement(task, tuple(names), len(targets), overall, labels, confusion, answers)
