"""The example file shows every key with its default; a run's record reads back as the settings it was written from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from emotions_cli.settings import Settings, resolve
from emotions_cli.settings.render import example_text, record_text

ROOT = Path(__file__).resolve().parents[2]

# a sensible value of every key that has no default
WITHOUT_DEFAULT = {
    "data": {
        "validation": "valid.csv",
        "test": "test.csv",
        "input_format": "csv",
        "text_column": "text",
        "label_column": "label",
        "label_separator": "|",
        "label_map": "map.toml",
    },
    "cache": {"folder": "caches"},
    "wandb": {"entity": "team", "name": "first", "group": "trials"},
    "evaluation": {"split": "test"},
    "hub": {"token": "hf_topsecret123", "base_model_revision": "main"},
}


def defaults() -> dict[str, dict[str, Any]]:
    """Section → key → default, as plain values."""
    return {
        section: {key: field.get_default(call_default_factory=True) for key, field in type(values).model_fields.items()}
        for section, values in Settings()
    }


def uncommented(text: str) -> str:
    """The example with a value given to every key that is commented out."""
    lines, section = [], ""
    for line in text.splitlines():
        if head := re.fullmatch(r"\[(\w+)\]", line):
            section = head[1]
        if key := re.fullmatch(r'# (\w+) = ""', line):
            lines.append(f"{key[1]} = {WITHOUT_DEFAULT[section][key[1]]!r}")
        else:
            lines.append(line)
    return "\n".join(lines)


def test_the_example_holds_every_default() -> None:
    expected = {
        section: {
            key: value.as_posix() if isinstance(value, Path) else value for key, value in values.items() if value is not None
        }
        for section, values in defaults().items()
    }
    assert tomllib.loads(example_text()) == expected


def test_the_example_is_read_back_as_the_defaults() -> None:
    Path("settings.toml").write_text(example_text(), encoding="utf-8")
    assert resolve(environment={}).settings == Settings()


def test_keys_without_default_stand_commented_out() -> None:
    content = tomllib.loads(uncommented(example_text()))
    assert {s: list(values) for s, values in content.items()} == {s: list(values) for s, values in defaults().items()}
    Path("settings.toml").write_text(uncommented(example_text()), encoding="utf-8")
    resolved = resolve(environment={})
    given = resolved.settings.model_dump(mode="json")
    given["hub"]["token"] = resolved.settings.hub.token.get_secret_value() if resolved.settings.hub.token else None
    assert {s: {key: given[s][key] for key in values} for s, values in WITHOUT_DEFAULT.items()} == WITHOUT_DEFAULT


def test_every_key_of_the_example_is_explained() -> None:
    lines = example_text().splitlines()
    for section, values in Settings():
        assert lines[lines.index(f"[{section}]") - 1] == f"# {type(values).__doc__}"
        for key, field in type(values).model_fields.items():
            assert field.description
            (place,) = [
                i for i, line in enumerate(lines) if line.startswith((f"{key} = ", f"# {key} = ")) and _in(lines, i, section)
            ]
            assert lines[place - 1] == f"# {field.description}"


def _in(lines: list[str], place: int, section: str) -> bool:
    heads = [line for line in lines[:place] if re.fullmatch(r"\[\w+\]", line)]
    return heads[-1:] == [f"[{section}]"]


def test_the_example_in_the_repository_is_up_to_date() -> None:
    assert (ROOT / "settings.example.toml").read_text(encoding="utf-8") == example_text()


@pytest.mark.parametrize(
    "command_line",
    [
        {},
        {"training": {"epochs": 7, "learning_rate": 2.5e-5, "schedule": "cosine", "runs_dir": "some where/runs"}},
        {"data": {"label_separator": "\t", "text_column": 'a "quoted" \\ name', "label_column": "Gefühl 🙂"}},
        {"data": {"label_map": "maps/a.toml", "input_format": "jsonl"}, "inference": {"model": "runs/x", "min_score": 1e-7}},
        {"data": {"text_column": "a\x7fb"}},
    ],
)
def test_a_record_is_read_back_as_the_same_settings(command_line: dict[str, dict[str, Any]]) -> None:
    settings = resolve(command_line, environment={}).settings
    path = Path("record.toml")
    path.write_text(record_text(settings), encoding="utf-8")
    assert resolve(file=path, environment={}).settings == settings


def test_a_record_leaves_secrets_out() -> None:
    settings = resolve(environment={"EMOTIONS_HUB__TOKEN": "hf_topsecret123", "EMOTIONS_HUB__BASE_MODEL_REVISION": "v1"}).settings
    text = record_text(settings)
    assert tomllib.loads(text)["hub"] == {"base_model_revision": "v1"}
    assert "topsecret" not in text
    assert "***" not in text
