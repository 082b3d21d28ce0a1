"""``emotions config``: every value with its origin, no secret in sight, and a file to start from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Emotions = Callable[..., Result]


def test_show_tells_where_values_come_from(emotions: Emotions, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("settings.toml").write_text("[training]\nepochs = 5\nseed = 1\n", encoding="utf-8")
    monkeypatch.setenv("EMOTIONS_TRAINING__SEED", "2")
    monkeypatch.setenv("EMOTIONS_HUB__TOKEN", "hf_very_secret")
    result = emotions("config", "show", "--set", "training.batch_size=8", "--json")
    found = json.loads(result.stdout)
    assert found["training.epochs"] == {"value": 5, "origin": "settings.toml"}
    assert found["training.seed"] == {"value": 2, "origin": "EMOTIONS_TRAINING__SEED"}
    assert found["training.batch_size"] == {"value": 8, "origin": "command line"}
    assert found["training.learning_rate"]["origin"] == "default"
    assert "very_secret" not in result.output
    table = emotions("config", "show")
    assert "EMOTIONS_HUB__TOKEN" in table.stdout
    assert "very_secret" not in table.output


def test_init_writes_a_file_that_works(emotions: Emotions) -> None:
    assert emotions("config", "init").exit_code == 0
    assert emotions("config", "show").exit_code == 0
    refused = emotions("config", "init")
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert emotions("config", "init", "--force").exit_code == 0
    assert emotions("config", "init", "other.toml").exit_code == 0
    assert Path("other.toml").read_text(encoding="utf-8") == Path("settings.toml").read_text(encoding="utf-8")


def test_a_bad_file_is_named(emotions: Emotions) -> None:
    Path("mine.toml").write_text("[trainig]\nepochs = 5\n", encoding="utf-8")
    result = emotions("config", "show", "--settings", "mine.toml")
    assert result.exit_code == 1
    assert "mine.toml: unknown section 'trainig'. Did you mean 'training'?" in result.stderr
