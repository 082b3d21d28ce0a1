"""From logits to probabilities, and how good those are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.labels import Task

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# a probability of 0 for what then happens would make a mean infinite
SMALLEST = 1e-12


def softmax(logits: FloatArray) -> FloatArray:
    """Return the softmax over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return the logistic function of every value; no overflow for large negative ones."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def probabilities(logits: NDArray[np.floating[Any]], task: Task, temperature: float) -> FloatArray:
    """Turn logits (n, labels) into probabilities (n, labels): softmax for one label a text, sigmoid for several."""
    scaled = logits.astype(np.float64) / temperature
    return softmax(scaled) if task is Task.SINGLE_LABEL else sigmoid(scaled)


def negative_log_likelihood(scores: FloatArray, targets: BoolArray, task: Task) -> float:
    """Return the mean negative log-likelihood in nats: a text's for single-label, a decision's for multi-label data.

    Args:
        scores: Probabilities (n, labels).
        targets: What is true (n, labels).
        task: Decides between log loss and binary cross-entropy.

    Returns:
        NaN when there is no text.
    """
    if not len(scores):
        return float("nan")
    hit = np.log(np.clip(scores, SMALLEST, 1.0))
    if task is Task.SINGLE_LABEL:
        return float(-hit[targets].mean())
    miss = np.log(np.clip(1.0 - scores, SMALLEST, 1.0))
    return float(-np.where(targets, hit, miss).mean())


def expected_calibration_error(confidence: FloatArray, correct: BoolArray, bins: int) -> float:
    """Return the mean gap between confidence and accuracy over bins of equal width, weighted by their size.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.

    Args:
        confidence: Probability of each answer (n,).
        correct: Whether the answer was right (n,).
        bins: Number of bins of equal width on (0, 1].
    """
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    size = np.bincount(which, minlength=bins)
    gap = np.abs(np.bincount(which, confidence, bins) - np.bincount(which, correct.astype(np.float64), bins))
    return float(gap.sum() / size.sum())


def fit_temperature(logits: FloatArray, targets: BoolArray, task: Task) -> float:
    """Return the temperature in [0.25, 4] that minimises the negative log-likelihood on held-out texts.

    Guo et al. 2017, section 4.2. The function has one minimum in log(temperature): golden-section search.
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(probabilities(logits, task, float(np.exp(log_temperature))), targets, task)

    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.log(0.25), np.log(4.0)
    for _ in range(32):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))
