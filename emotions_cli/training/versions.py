"""The versions that a run's result may depend on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

from emotions_cli import __version__

LIBRARIES = ("torch", "transformers", "tokenizers", "onnxruntime", "numpy")


def versions() -> Mapping[str, str]:
    """Return the versions of this package, of Python and of the libraries that make a bundle."""
    libraries = {name: version(name) for name in LIBRARIES}
    return {"emotions-cli": __version__, "python": platform.python_version(), **libraries}
