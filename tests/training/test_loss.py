"""Losses add up over batches, and weights and smoothing are those of PyTorch and of the book."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from emotions_cli.labels import Task
from emotions_cli.training.loss import balanced_weights, make_loss


def _data(rows: int = 12, labels: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = functional.one_hot(torch.randint(labels, (rows,), generator=generator), labels).float()
    return torch.randn(rows, labels, generator=generator), targets


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 0.5]])
def test_batches_add_up(task: Task, weights: list[float] | None) -> None:
    logits, targets = _data()
    loss = make_loss(task, label_smoothing=0.1, weights=weights)
    parts = loss(logits[:5], targets[:5]) + loss(logits[5:], targets[5:])
    torch.testing.assert_close(parts, loss(logits, targets))


def test_single_label_loss_is_cross_entropy() -> None:
    logits, targets = _data()
    found = make_loss(Task.SINGLE_LABEL, label_smoothing=0.1, weights=None)(logits, targets) / len(logits)
    torch.testing.assert_close(found, functional.cross_entropy(logits, targets.argmax(dim=1), label_smoothing=0.1))


def test_soft_targets_are_learnt_as_they_are() -> None:
    """The loss is least where the answers are the targets, and a half-and-half target is the mean of the two labels' losses."""
    logits, targets = _data()
    loss = make_loss(Task.SINGLE_LABEL, label_smoothing=0.0, weights=None)
    other = targets.roll(1, dims=1)
    half = loss(logits, 0.5 * targets + 0.5 * other)
    torch.testing.assert_close(half, 0.5 * loss(logits, targets) + 0.5 * loss(logits, other))
    shares = torch.softmax(logits, dim=1)
    assert loss(logits, shares) < loss(logits + torch.eye(4)[0], shares)


def test_multi_label_loss_is_binary_cross_entropy() -> None:
    logits, targets = _data()
    found = make_loss(Task.MULTI_LABEL, label_smoothing=0.0, weights=None)(logits, targets) / len(logits)
    torch.testing.assert_close(found, functional.binary_cross_entropy_with_logits(logits, targets))


def test_balanced_weights_make_labels_count_alike() -> None:
    support = np.array([10, 30, 60])
    weights = np.array(balanced_weights(support))
    np.testing.assert_allclose(weights * support, 100 / 3)
    assert balanced_weights(np.array([4, 0])) == [1.0, 0.0]
