"""The training loss, summed over texts so that batches of any size can be added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from emotions_cli.labels import Task
from emotions_cli.metrics.decisions import IntArray

if TYPE_CHECKING:
    import torch

# (logits (texts, labels), targets (texts, labels)) -> sum of the texts' losses
LossFunction = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def balanced_weights(support: IntArray) -> list[float]:
    """Return a weight a label, inverse to its frequency, 1 on average over the texts; 0 for a label without texts."""
    seen = support > 0
    weights = np.where(seen, support.sum() / (np.maximum(support, 1) * seen.sum()), 0.0)
    return [float(weight) for weight in weights]


def make_loss(task: Task, *, label_smoothing: float, weights: list[float] | None) -> LossFunction:
    """Build cross-entropy for one label a text, binary cross-entropy (a text's mean over labels) for several.

    Targets may be shares: of all labels, with a sum of 1, or of each label for itself.

    Args:
        task: Which of the two.
        label_smoothing: Probability mass taken from the truth and spread evenly over the labels (Szegedy et al. 2016).
        weights: A weight a label, or ``None`` for equal ones; in multi-label data it weighs the label's positives.
    """
    from torch.nn import functional

    def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = None if weights is None else logits.new_tensor(weights)
        return functional.cross_entropy(logits.float(), targets, weight=weight, label_smoothing=label_smoothing, reduction="sum")

    def binary_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = None if weights is None else logits.new_tensor(weights)
        smooth = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
        losses = functional.binary_cross_entropy_with_logits(logits.float(), smooth, pos_weight=weight, reduction="none")
        return losses.mean(dim=-1).sum()

    return cross_entropy if task is Task.SINGLE_LABEL else binary_cross_entropy
