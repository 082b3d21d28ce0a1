"""Judging a model in training on held-out texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, IntArray, TokenTable, batches_by_length
from emotions_cli.errors import LossNotFinite, TrainingStopped
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import FloatArray, tune_thresholds
from emotions_cli.metrics.judgement import Judgement, judge
from emotions_cli.metrics.probabilities import fit_temperature, probabilities
from emotions_cli.training.ranks import ALONE, Ranks

# no gradients are kept: more texts fit than in training
BATCH_SIZE = 64


@dataclass(frozen=True)
class Decisions:
    """What turns logits into answers, fitted on validation texts: a temperature, and thresholds for multi-label models."""

    temperature: float
    thresholds: tuple[float, ...] | None


@dataclass(frozen=True)
class Validation:
    """Held-out texts, ready to be judged on; the processes ``ranks`` share the work."""

    tokens: TokenTable
    targets: NDArray[np.bool_]
    labels: LabelSet
    task: Task
    encoder: Encoder
    ranks: Ranks = ALONE

    def judge(self, model: Any, stop: Callable[[], bool] = lambda: False) -> Judgement:
        """Judge a model as it stands; multi-label answers use the best thresholds on these very texts.

        Raises:
            TrainingStopped: ``stop``, asked between two batches, said so.
        """
        logits = logits_of(model, self.encoder, self.tokens, ranks=self.ranks, stop=stop)
        return self._judge(logits, 1.0, self._thresholds(probabilities(logits, self.task, 1.0)))

    def settle(self, model: Any) -> tuple[Decisions, Judgement]:
        """Fit temperature and thresholds for a finished model, and judge it with them; one process does it all."""
        logits = logits_of(model, self.encoder, self.tokens)
        temperature = fit_temperature(logits, self.targets, self.task)
        thresholds = self._thresholds(probabilities(logits, self.task, temperature))
        kept = None if thresholds is None else tuple(float(value) for value in thresholds)
        return Decisions(temperature, kept), self._judge(logits, temperature, thresholds)

    def _thresholds(self, scores: FloatArray) -> FloatArray | None:
        return tune_thresholds(scores, self.targets) if self.task is Task.MULTI_LABEL else None

    def _judge(self, logits: FloatArray, temperature: float, thresholds: FloatArray | None) -> Judgement:
        scores = probabilities(logits, self.task, temperature)
        return judge(scores, self.targets, self.labels.names, self.task, thresholds=thresholds)


def logits_of(
    model: Any,
    encoder: Encoder,
    tokens: TokenTable,
    *,
    ranks: Ranks = ALONE,
    stop: Callable[[], bool] = lambda: False,
) -> FloatArray:
    """Run a model over encoded texts, in order: (texts, labels).

    Args:
        model: A sequence classifier; where there are several processes not the one that averages gradients, which waits for all.
        encoder: Pads the texts.
        tokens: The texts.
        ranks: The processes that share the work; all get all answers, those of one process alone.
        stop: Asked before every batch, whether to end here.

    Raises:
        LossNotFinite: Its weights have exploded.
        TrainingStopped: Any process was asked to stop.
    """
    import torch

    was_training = model.training
    device = next(model.parameters()).device
    batches = batches_by_length(tokens.lengths, BATCH_SIZE)[ranks.index :: ranks.count]
    answers: list[tuple[IntArray, FloatArray]] = []
    model.eval()
    try:
        with torch.inference_mode():
            for indices in batches:
                if stopped := stop():
                    break
                inputs = encoder.pad([tokens[i] for i in indices])
                logits = model(**{name: torch.from_numpy(array).to(device) for name, array in inputs.items()}).logits
                answers.append((indices, logits.float().cpu().numpy().astype(np.float64)))
            else:
                stopped = False
    finally:
        model.train(was_training)
    shares = ranks.gather((stopped, answers))
    if any(stopped for stopped, _ in shares):
        raise TrainingStopped
    whole = [answer for _, part in shares for answer in part]
    logits = np.empty((len(tokens), whole[0][1].shape[1]))
    for indices, rows in whole:
        logits[indices] = rows
    if not np.isfinite(logits).all():
        raise LossNotFinite("The model's answers became NaN or infinite.")
    return logits
