"""Settings as TOML: the commented file that ``emotions config init`` writes, and the record that a run keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from emotions_cli.settings.model import Settings

_HEAD = """\
# Settings of emotions. Copy to settings.toml in the working directory, or name the file with --settings.
# The command line beats the environment (EMOTIONS_TRAINING__EPOCHS=5), which beats this file, which beats the defaults.
# Every key stands here with its default; one that is commented out has none.
"""


def example_text() -> str:
    """Return a TOML file with every key, its meaning, unit and default."""
    parts = [_HEAD]
    for section, values in Settings():
        parts.append(f"\n# {type(values).__doc__}\n[{section}]\n")
        for key, field in type(values).model_fields.items():
            parts.append(f"# {field.description}\n{_line(key, field.default)}\n")
    return "".join(parts)


def record_text(settings: Settings) -> str:
    """Return resolved settings as TOML that ``--settings`` reads back. Keys without a value and secrets are left out."""
    parts = ["# Resolved settings of a run. Secrets are left out.\n"]
    for section, values in settings:
        parts.append(f"\n[{section}]\n")
        for key in type(values).model_fields:
            value = getattr(values, key)
            if value is not None and not isinstance(value, SecretStr):
                parts.append(f"{key} = {_toml(value)}\n")
    return "".join(parts)


def _line(key: str, default: Any) -> str:
    if default is None:
        return f'# {key} = ""'
    return f"{key} = {_toml(default)}"


def _toml(value: Any) -> str:
    # JSON's strings, numbers and booleans are TOML's too, but for one control character
    text = json.dumps(value.as_posix() if isinstance(value, Path) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
