"""Where settings come from: command line > environment > settings file > defaults.

Each source is validated by itself first, so that an error can name the file or variable it stands in.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from emotions_cli.errors import SettingsError, nearest
from emotions_cli.settings.model import Settings

DEFAULT_FILE = Path("settings.toml")
ENV_PREFIX = "EMOTIONS_"

# section -> key -> value, as one source gives them
Layer = dict[str, dict[str, Any]]


class Origin(StrEnum):
    """The source a value was taken from."""

    DEFAULT = "default"
    FILE = "settings file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True)
class _Source:
    """One place settings come from: its name in messages, what it says, and what to call the origin of one value.

    ``typed`` sources have numbers and strings, the others strings alone.
    """

    name: str
    layer: Layer
    origin: Callable[[str, str], str]
    typed: bool = False


@dataclass(frozen=True)
class Record:
    """The settings of an earlier run, whose values stand in for the defaults.

    Attributes:
        name: Where they were written down.
        layer: The values; secrets are not among them.
    """

    name: str
    layer: Layer

    @classmethod
    def of_file(cls, path: Path) -> Record:
        """Read a settings file.

        Raises:
            SettingsError: It is not there, or no settings file.
        """
        return cls(str(path), _read_file(path, must_exist=True))

    @classmethod
    def of_values(cls, name: str, values: Mapping[str, Any]) -> Record:
        """Take what :func:`masked` returned; keys without a value and secrets are left out, as in a run's file.

        Raises:
            SettingsError: They are not of that form.
        """
        _check_sections(values, name)
        layer = {
            section: {key: value for key, value in keys.items() if value is not None and not _is_secret(section, key)}
            for section, keys in values.items()
        }
        return cls(name, layer)


@dataclass(frozen=True)
class ResolvedSettings:
    """Validated settings, and the source of every value that is not a default."""

    settings: Settings
    origins: Mapping[tuple[str, str], str]

    def origin(self, section: str, key: str) -> str:
        """Say where a value comes from: ``"default"``, a file's path, a variable's name or ``"command line"``."""
        return self.origins.get((section, key), Origin.DEFAULT.value)

    def rows(self) -> Iterator[tuple[str, str, Any, str]]:
        """Yield section, key, value (secrets masked, paths as text) and origin of every setting, in order."""
        for section, values in masked(self.settings).items():
            for key, value in values.items():
                yield section, key, value, self.origin(section, key)


def masked(settings: BaseModel) -> dict[str, Any]:
    """Dump settings to plain values; a secret becomes asterisks."""
    return settings.model_dump(mode="json")


def resolve(
    command_line: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    record: Record | None = None,
) -> ResolvedSettings:
    """Merge all sources into settings.

    Args:
        command_line: Section → key → value of the options given; ``None`` values count as not given.
        file: A settings file that must exist; without it ``settings.toml`` of the working directory, if there.
        environment: Variables to read; the process's own when not given.
        record: The settings of an earlier run, whose values stand in for the defaults.

    Raises:
        SettingsError: An unknown key or a value that does not fit, with the source that holds it.
    """
    environment = os.environ if environment is None else environment
    path = file or DEFAULT_FILE
    layers = [] if record is None else [_Source(record.name, record.layer, lambda *_: record.name, typed=True)]
    layers += [
        _Source(str(path), _read_file(path, must_exist=file is not None), lambda *_: str(path), typed=True),
        _Source("The environment", _read_environment(environment), _variable),
        _Source("The command line", _given(command_line or {}), lambda *_: Origin.COMMAND_LINE.value),
    ]
    merged: Layer = {}
    origins: dict[tuple[str, str], str] = {}
    for source in layers:
        _validate(source)
        for section, values in source.layer.items():
            merged.setdefault(section, {}).update(values)
            origins.update({(section, key): source.origin(section, key) for key in values})
    return ResolvedSettings(Settings.model_validate(merged), origins)


def _variable(section: str, key: str) -> str:
    return f"{ENV_PREFIX}{section.upper()}__{key.upper()}"


def _given(command_line: Mapping[str, Mapping[str, Any]]) -> Layer:
    layer = {s: {k: v for k, v in values.items() if v is not None} for s, values in command_line.items()}
    return {section: values for section, values in layer.items() if values}


def _read_file(path: Path, *, must_exist: bool) -> Layer:
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"Settings file '{path}' is not there.", "Write one: emotions config init") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}", "Mend that line; 'emotions config init' shows the form."
        ) from error
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}", "Check its path and permissions.") from error
    _check_sections(content, str(path))
    return content


def _check_sections(content: Mapping[str, Any], path: str) -> None:
    """Refuse anything but sections with keys."""
    for section, values in content.items():
        if section not in Settings.model_fields and not isinstance(values, dict):
            near = next((f" Did you mean '{s}.{key}'?" for s, key in _all_keys() if key == section), "")
            raise SettingsError(f"{path}: key '{section}' stands in no section.{near}", _KEYS_HINT)
        if section not in Settings.model_fields:
            raise SettingsError(f"{path}: unknown section '{section}'.{nearest(section, Settings.model_fields)}", _KEYS_HINT)
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: '{section}' is a section, not a key.", f"Write [{section}] and its keys below.")


def _read_environment(environment: Mapping[str, str]) -> Layer:
    """Read EMOTIONS_SECTION__KEY; empty values count as unset."""
    given = {name: value for name, value in environment.items() if value and _is_meant(name)}
    for name in given:
        section, delimiter, _ = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if not delimiter or section not in Settings.model_fields:
            raise SettingsError(
                f"The environment: unknown variable {name}.{nearest(name, _all_variables())}",
                "Settings are named EMOTIONS_SECTION__KEY, for example EMOTIONS_TRAINING__EPOCHS=5.",
            )
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in given.items()}
    try:
        return source()
    except Exception as error:  # pydantic-settings wraps whatever its parsers raise
        raise SettingsError(f"The environment: {error}", _KEYS_HINT) from error


def _is_meant(name: str) -> bool:
    """Say whether a variable was meant for us: a cluster sets EMOTIONS_PORT and the like for a service of that name."""
    rest = name.removeprefix(ENV_PREFIX)
    return rest != name and ("__" in rest or rest.lower().partition("_")[0] in Settings.model_fields)


_KEYS_HINT = "'emotions config show' lists every key."


def _all_variables() -> list[str]:
    return [_variable(section, key) for section, key in _all_keys()]


def _all_keys() -> list[tuple[str, str]]:
    return [(s, key) for s, section in Settings() for key in type(section).model_fields]


def _validate(source: _Source) -> None:
    try:
        Settings.model_validate(source.layer)
    except ValidationError as error:
        raise _explain(error, source) from error
    if not source.typed:
        return
    for section, model in Settings():
        try:
            # as JSON, in which a path is a string, but "3" is no number
            type(model).model_validate_json(json.dumps(source.layer.get(section, {}), default=str), strict=True)
        except ValidationError as error:
            raise _explain(error, source, section) from error


def _explain(error: ValidationError, source: _Source, *above: str) -> SettingsError:
    """Turn the first of pydantic's complaints into one sentence with source, key and the nearest valid key."""
    first = error.errors(include_url=False, include_context=False)[0]
    section, key, *_ = (*above, *map(str, first["loc"]), "", "")
    if section not in Settings.model_fields:
        return SettingsError(f"{source.name}: unknown section '{section}'.{nearest(section, Settings.model_fields)}", _KEYS_HINT)
    if first["type"] == "extra_forbidden":
        known = [f"{s}.{k}" for s, k in _all_keys()]
        return SettingsError(f"{source.name}: unknown key '{section}.{key}'.{nearest(f'{section}.{key}', known)}", _KEYS_HINT)
    shown = "" if _is_secret(section, key) else f" (it is {first['input']!r})"
    place = source.origin(section, key) if source.origin is _variable else f"{source.name}: {section}.{key}"
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return SettingsError(f"{place} {reason[0].lower()}{reason[1:]}{shown}.", _KEYS_HINT)


def _is_secret(section: str, key: str) -> bool:
    field = type(getattr(Settings(), section)).model_fields.get(key)
    return field is not None and SecretStr.__name__ in str(field.annotation)
