"""Train, evaluate and run emotion classifiers on text.

>>> from emotions_cli import load
>>> classifier = load("runs/sample")
>>> classifier.predict(["They lost my parcel again!"])[0].label
'anger'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Classifier", "Prediction", "__version__", "load"]

if TYPE_CHECKING:
    from pathlib import Path

    from emotions_cli.inference import Classifier, Prediction


def load(model: str | Path, *, batch_size: int = 32, threads: int = 0) -> Classifier:
    """Open a model to predict with.

    Args:
        model: A run's folder or a bundle's.
        batch_size: Texts a forward pass.
        threads: CPU threads; 0 takes as many as the process may use.

    Raises:
        emotions_cli.errors.ModelError: There is no such model, or its files have changed.
    """
    from emotions_cli.inference import Classifier

    return Classifier.open(model, batch_size=batch_size, threads=threads)


def __getattr__(name: str) -> Any:
    if name in {"Classifier", "Prediction"}:
        return getattr(import_module("emotions_cli.inference"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
