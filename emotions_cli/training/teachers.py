"""Soft targets: what is true, mixed with what trained models say (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
Network", 2015).

A teacher may be of any size. One that is no larger and learnt from the same texts helps too, above all where labels are noisy: a
text whose label it finds unlikely pulls less (Furlanello et al., "Born Again Neural Networks", ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emotions_cli.data.dataset import Examples
from emotions_cli.errors import ModelError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import FloatArray
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.ref import open_model
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.build import build_encoder, build_model
from emotions_cli.training.validation import logits_of

if TYPE_CHECKING:
    from accelerate import Accelerator


def soft_targets(
    examples: Examples, labels: LabelSet, task: Task, teachers: Sequence[str], weight: float, accelerator: Accelerator
) -> NDArray[np.float32]:
    """Mix the truth with the mean of what the teachers answer.

    Args:
        examples: The training texts.
        labels: The labels of their targets.
        task: Single-label or multi-label.
        teachers: Run folders or bundles of models with the same labels, in any order.
        weight: The teachers' share (0 to 1).
        accelerator: Says where and with what precision they run.

    Returns:
        Targets (texts, labels); a row sums to 1 in single-label data.

    Raises:
        ModelError: A teacher can't be loaded, or has other labels or another task.
    """
    answers = [_answers(teacher, examples, labels, task, accelerator) for teacher in teachers]
    mixed = (1.0 - weight) * examples.targets + weight * np.mean(answers, axis=0)
    return np.asarray(mixed, dtype=np.float32)


def _answers(name: str, examples: Examples, labels: LabelSet, task: Task, accelerator: Accelerator) -> FloatArray:
    manifest = open_model(name).manifest
    if set(manifest.labels) != set(labels) or manifest.task is not task:
        raise ModelError(
            f"Teacher '{name}' answers {', '.join(manifest.labels)} ({manifest.task}), "
            f"the data has {', '.join(labels)} ({task}).",
            "Name a model that was trained for the same labels in training.teachers.",
        )
    own = LabelSet(tuple(manifest.labels))
    model, tokenizer = build_model(find_base_model(name), own, task, manifest.max_length)
    encoder = build_encoder(tokenizer, manifest.max_length)
    model = accelerator.prepare_model(model, evaluation_mode=True)
    logits = logits_of(model, encoder, encoder.encode(examples.texts))
    order = [own.names.index(label) for label in labels]
    return probabilities(logits, task, manifest.temperature)[:, order]
