"""What would keep every trial from being trained, found before the first one begins."""

from __future__ import annotations

from itertools import product
from typing import Any

from emotions_cli.data.dataset import Dataset
from emotions_cli.errors import ModelError
from emotions_cli.settings import Settings
from emotions_cli.sweep.space import SECTION, Choices, Range, Space
from emotions_cli.training.base_models import BaseModel, find_base_model
from emotions_cli.training.build import build_model
from emotions_cli.training.teachers import find_teacher

BUILDS = ("base_model", "max_length", "pooling")
"""Settings on which it depends whether a model can be built."""


def base_model_of(settings: Settings, name: str) -> BaseModel:
    """Find a base model as a trial would.

    Raises:
        ModelError: It is not there.
    """
    hub = settings.hub
    token = None if hub.token is None else hub.token.get_secret_value()
    return find_base_model(name, revision=hub.base_model_revision, token=token)


def check_models(dataset: Dataset, settings: Settings, space: Space) -> None:
    """Find all base models and teachers, and build a model from the first choices that allow it.

    A model that can't be built from other choices ends only the trials that choose them.

    Raises:
        ModelError: A base model or a teacher is not there, or none of the choices gives a model.
    """
    searched = {param.key: param for param in space}
    for name in settings.training.teachers:
        find_teacher(name, dataset.labels, dataset.task)
    bases = []
    for name in _choices(searched.get("base_model"), settings.training.base_model):
        try:
            bases.append(base_model_of(settings, name))
        except ModelError as error:
            if "base_model" not in searched:
                raise
            raise ModelError(f"--param {SECTION}base_model: {error.message}", error.hint) from error
    shortest = min(_choices(searched.get("max_length"), settings.training.max_length))
    first: ModelError | None = None
    for base, pooling in product(bases, _choices(searched.get("pooling"), settings.training.pooling)):
        try:
            build_model(base, dataset.labels, dataset.task, shortest, pooling)
        except ModelError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def _choices(param: Range | Choices | None, fixed: Any) -> tuple[Any, ...]:
    """Return what a setting may be; of a range its ends."""
    match param:
        case None:
            return (fixed,)
        case Range():
            return param.low, param.high
        case Choices():
            return param.values
