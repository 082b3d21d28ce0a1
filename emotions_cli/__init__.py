"""Train, evaluate and run emotion classifiers on text.

>>> from emotions_cli import load
>>> classifier = load()
>>> classifier.predict(["They lost my parcel again!"])[0].label
'anger'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Classifier", "Prediction", "__version__", "load"]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emotions_cli.inference import Classifier, Prediction


def load(
    model: str | Path = "builtin",
    *,
    precision: str = "auto",
    batch_tokens: int = 512,
    long_text: str = "head",
    threads: int = 0,
    labels: Sequence[str] | None = None,
) -> Classifier:
    """Open a model to predict with.

    Args:
        model: ``builtin``, a run's folder or a bundle's.
        precision: ``fp32``, ``fast`` (8-bit integers, close calls in fp32), or ``auto``: fast where model and CPU can.
        batch_tokens: Most tokens a forward pass, padding included.
        long_text: ``head`` cuts texts longer than the model reads, ``window`` averages over overlapping pieces.
        threads: CPU threads; 0 takes as many as the process may use.
        labels: The only labels it may answer; all of the model's by default.

    Raises:
        emotions_cli.errors.ModelError: There is no such model, or its files have changed.
    """
    from emotions_cli.inference import Classifier

    return Classifier.open(
        model, precision=precision, batch_tokens=batch_tokens, long_text=long_text, threads=threads, labels=labels
    )


def __getattr__(name: str) -> Any:
    if name in {"Classifier", "Prediction"}:
        return getattr(import_module("emotions_cli.inference"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
