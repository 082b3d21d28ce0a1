"""From a model reference to its bundle."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from emotions_cli.errors import ModelError
from emotions_cli.models.bundle import MANIFEST_FILE, Bundle

MODEL_FOLDER = "model"
BUILTIN = "builtin"


def open_model(reference: str | Path, *, verify: bool = True) -> Bundle:
    """Open the bundle behind a reference.

    Args:
        reference: ``builtin``, a bundle's folder, or a run's folder with a bundle in ``model``.
        verify: Check every file now, see :meth:`emotions_cli.models.bundle.Bundle.open`.

    Raises:
        ModelError: There is no bundle; see :meth:`emotions_cli.models.bundle.Bundle.open`.
    """
    path = builtin_folder() if reference == BUILTIN else Path(reference)
    inside_run = path / MODEL_FOLDER
    if not (path / MANIFEST_FILE).exists() and (inside_run / MANIFEST_FILE).exists():
        path = inside_run
    return Bundle.open(path, verify=verify)


def builtin_folder() -> Path:
    """Return the folder of the model that comes with the package.

    Raises:
        ModelError: The installation lacks it.
    """
    folder = Path(str(resources.files("emotions_cli") / "assets" / "builtin"))
    if not (folder / MANIFEST_FILE).is_file():
        raise ModelError(
            "The built-in model is not in this installation.", "Reinstall it: pip install --force-reinstall emotions-cli"
        )
    return folder
