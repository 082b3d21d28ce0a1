"""The parts of the tool that come with an extra, and the error that names the command to install it."""

from __future__ import annotations

import importlib.util

from emotions_cli.errors import DependencyMissing

# extra -> the import names that prove it is installed
EXTRAS = {
    "train": ("torch", "transformers", "accelerate", "datasets", "onnx", "onnxscript"),
    "parquet": ("pyarrow",),
    "gcs": ("gcsfs",),
    "sweep": ("optuna", "plotly", "sqlalchemy"),
}


def require(extra: str, purpose: str) -> None:
    """Raise unless everything the extra brings can be imported (nothing is imported here).

    Args:
        extra: A key of :data:`EXTRAS`.
        purpose: What needs it, as the subject of a sentence: ``"Training"``.

    Raises:
        DependencyMissing: Names the missing packages and the install command.
    """
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise DependencyMissing(
            f"{purpose} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            f"Install the extra: pip install 'emotions-cli[{extra}]'",
        )
