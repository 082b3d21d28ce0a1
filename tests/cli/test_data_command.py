"""``emotions data``: a look at the data, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Emotions = Callable[..., Result]


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    lines = ["text,label", "I miss her so much,sadness", "I miss her so much,love", ",joy", "what a day!,joy", "What a  day!,joy"]
    (tmp_path / "flawed.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "flawed.csv"


def test_show_has_sizes_balance_lengths_and_examples(emotions: Emotions) -> None:
    result = emotions("data", "show", "sample")
    assert result.exit_code == 0
    for word in ("single-label, 7 labels", "longest, tokens", "420", "█", "for example", "surprise"):
        assert word in result.stdout


def test_show_as_json(emotions: Emotions) -> None:
    found = json.loads(emotions("data", "show", "sample", "--json").stdout)
    assert found["sizes"] == {"train": 420, "validation": 105, "test": 105}
    assert found["balance"]["test"]["fear"] == 15
    assert found["length_unit"] == "tokens"
    assert found["fingerprint"].startswith("sha256:")


def test_lengths_are_in_words_without_a_tokenizer(emotions: Emotions) -> None:
    arguments = ("--set", "training.base_model=some/other", "--json")
    assert json.loads(emotions("data", "show", "sample", *arguments).stdout)["length_unit"] == "words"
    assert "lengths are not checked" in emotions("data", "check", "sample", *arguments).stderr


def test_check_finds_what_is_wrong(emotions: Emotions, flawed: Path) -> None:
    result = emotions("data", "check", flawed, "--json")
    assert result.exit_code == 0
    kinds = {finding["kind"]: finding["count"] for finding in json.loads(result.stdout)["findings"]}
    assert kinds == {"empty": 1, "duplicate": 1, "conflict": 1, "rare-label": 3}
    table = emotions("data", "check", flawed)
    assert "with different labels" in table.stdout
    assert "i miss her so much (sadness, love)" in table.stdout


def test_strict_exits_with_3_only_when_something_is_found(emotions: Emotions, flawed: Path) -> None:
    assert emotions("data", "check", flawed, "--strict").exit_code == 3
    clean = emotions("data", "check", "sample", "--strict")
    assert clean.exit_code == 0
    assert "Nothing found in 630 texts" in clean.stdout


def test_markup_in_labels_and_names_is_shown_as_it_is(emotions: Emotions, tmp_path: Path) -> None:
    (tmp_path / "g[red].csv").write_text("text,label\nfine [b]day[/b],[/b]\nbad,b\n", encoding="utf-8")
    result = emotions("data", "show", "g[red].csv")
    assert result.exit_code == 0
    assert "fine [b]day[/b]" in result.stdout
    assert "[/b]" in result.stdout
