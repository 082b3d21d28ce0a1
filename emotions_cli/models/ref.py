"""From a model reference to its bundle."""

from __future__ import annotations

from pathlib import Path

from emotions_cli.models.bundle import MANIFEST_FILE, Bundle

MODEL_FOLDER = "model"


def open_model(reference: str | Path, *, verify: bool = True) -> Bundle:
    """Open the bundle behind a reference: a bundle's folder, or a run's folder with a bundle in ``model``.

    Args:
        reference: The folder.
        verify: Check every file now, see :meth:`emotions_cli.models.bundle.Bundle.open`.

    Raises:
        ModelError: There is no bundle; see :meth:`emotions_cli.models.bundle.Bundle.open`.
    """
    path = Path(reference)
    inside_run = path / MODEL_FOLDER
    if not (path / MANIFEST_FILE).exists() and (inside_run / MANIFEST_FILE).exists():
        path = inside_run
    return Bundle.open(path, verify=verify)
