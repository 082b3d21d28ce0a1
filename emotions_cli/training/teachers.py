"""Soft targets: what is true, mixed with what trained models say (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
Network", 2015).

A teacher may be of any size. One that is no larger and learnt from the same texts helps too, above all where labels are noisy: a
text whose label it finds unlikely pulls less (Furlanello et al., "Born Again Neural Networks", ICML 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emotions_cli.data.dataset import Examples
from emotions_cli.encoding import TokenTable
from emotions_cli.errors import ModelError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import FloatArray
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.bundle import Manifest
from emotions_cli.models.ref import open_model
from emotions_cli.training.base_models import BaseModel, find_base_model
from emotions_cli.training.build import build_encoder, build_model
from emotions_cli.training.validation import logits_of

if TYPE_CHECKING:
    from accelerate import Accelerator


def soft_targets(
    examples: Examples, labels: LabelSet, teachers: Sequence[Teacher], weight: float, accelerator: Accelerator
) -> NDArray[np.float32]:
    """Mix the truth with the mean of what the teachers answer.

    Args:
        examples: The training texts.
        labels: The labels of their targets.
        teachers: Models with the same labels, in any order.
        weight: The teachers' share (0 to 1).
        accelerator: Says where and with what precision they run.

    Returns:
        Targets (texts, labels); a row sums to 1 in single-label data.

    Raises:
        ModelError: A teacher can't be loaded.
    """
    answers = [_answers(teacher, examples.texts, labels, accelerator) for teacher in teachers]
    mixed = (1.0 - weight) * examples.targets + weight * np.mean(answers, axis=0)
    return np.asarray(mixed, dtype=np.float32)


@dataclass(frozen=True)
class Teacher:
    """A trained model that others learn from.

    Attributes:
        weights: Where it is; the hash of its weights tells it apart from others of its name.
        manifest: What it says about itself.
    """

    weights: BaseModel
    manifest: Manifest


def find_teacher(name: str, labels: LabelSet, task: Task) -> Teacher:
    """Find a teacher: a run's folder, a bundle's, or ``builtin``.

    Raises:
        ModelError: There is none, or it has other labels or another task.
    """
    manifest = open_model(name).manifest
    if set(manifest.labels) != set(labels) or manifest.task is not task:
        raise ModelError(
            f"Teacher '{name}' answers {', '.join(manifest.labels)} ({manifest.task}), "
            f"the data has {', '.join(labels)} ({task}).",
            "Name a model that was trained for the same labels in training.teachers.",
        )
    return Teacher(find_base_model(name), manifest)


def _answers(teacher: Teacher, texts: Sequence[str], labels: LabelSet, accelerator: Accelerator) -> FloatArray:
    manifest = teacher.manifest
    own = LabelSet(tuple(manifest.labels))
    model, tokenizer = build_model(teacher.weights, own, manifest.task, manifest.max_length)
    encoder = build_encoder(tokenizer, manifest.max_length)
    # not prepared: the accelerator would keep it for the whole run
    with accelerator.autocast():
        logits = logits_of(model.to(accelerator.device), encoder, TokenTable.of(encoder.encoded(texts)))
    order = [own.names.index(label) for label in labels]
    return probabilities(logits, manifest.task, manifest.temperature)[:, order]
