"""Judging a model in training on held-out texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, TokenIds, batches_by_length
from emotions_cli.errors import LossNotFinite
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import FloatArray, tune_thresholds
from emotions_cli.metrics.judgement import Judgement, judge
from emotions_cli.metrics.probabilities import fit_temperature, probabilities
from emotions_cli.training.batches import make_batch

# no gradients are kept: more texts fit than in training
BATCH_SIZE = 64


@dataclass(frozen=True)
class Decisions:
    """What turns logits into answers, fitted on validation texts: a temperature, and thresholds for multi-label models."""

    temperature: float
    thresholds: tuple[float, ...] | None


@dataclass(frozen=True)
class Validation:
    """Held-out texts, ready to be judged on."""

    tokens: Sequence[TokenIds]
    targets: NDArray[np.bool_]
    labels: LabelSet
    task: Task
    encoder: Encoder

    def logits(self, model: Any) -> FloatArray:
        """Run a model over all texts: (texts, labels)."""
        return logits_of(model, self.encoder, self.tokens)

    def judge(self, model: Any) -> Judgement:
        """Judge a model as it stands; multi-label answers use the best thresholds on these very texts."""
        logits = self.logits(model)
        return self._judge(logits, 1.0, self._thresholds(probabilities(logits, self.task, 1.0)))

    def settle(self, model: Any) -> tuple[Decisions, Judgement]:
        """Fit temperature and thresholds for a finished model, and judge it with them."""
        logits = self.logits(model)
        temperature = fit_temperature(logits, self.targets, self.task)
        thresholds = self._thresholds(probabilities(logits, self.task, temperature))
        kept = None if thresholds is None else tuple(float(value) for value in thresholds)
        return Decisions(temperature, kept), self._judge(logits, temperature, thresholds)

    def _thresholds(self, scores: FloatArray) -> FloatArray | None:
        return tune_thresholds(scores, self.targets) if self.task is Task.MULTI_LABEL else None

    def _judge(self, logits: FloatArray, temperature: float, thresholds: FloatArray | None) -> Judgement:
        scores = probabilities(logits, self.task, temperature)
        return judge(scores, self.targets, self.labels.names, self.task, thresholds=thresholds)


def logits_of(model: Any, encoder: Encoder, tokens: Sequence[TokenIds]) -> FloatArray:
    """Run a model over encoded texts, in order: (texts, labels).

    Raises:
        LossNotFinite: Its weights have exploded.
    """
    import torch

    was_training = model.training
    device = next(model.parameters()).device
    model.eval()
    rows: list[FloatArray] = [np.empty(0)] * len(tokens)
    with torch.inference_mode():
        for indices in batches_by_length([len(t) for t in tokens], BATCH_SIZE):
            batch = make_batch(encoder, [tokens[i] for i in indices], np.zeros((len(indices), 0), dtype=np.float32))
            logits = model(**{name: tensor.to(device) for name, tensor in batch.inputs.items()}).logits
            for i, row in zip(indices, logits.float().cpu().numpy(), strict=True):
                rows[i] = row
    model.train(was_training)
    logits = np.stack(rows).astype(np.float64)
    if not np.isfinite(logits).all():
        raise LossNotFinite("The model's answers became NaN or infinite.")
    return logits
