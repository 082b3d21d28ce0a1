"""Typing errors look like slips of the hand, hit as many texts as asked for, and come from the seed alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import load_split, run_steps
from hypothesis import given
from hypothesis import strategies as st

from emotions_cli.training.typing_noise import mistyped, with_other_endings, with_typing_errors

TEXTS = [f"the parcel number {i} didn't arrive before noon, as they had promised." for i in range(400)]


def test_a_share_of_the_texts_gets_errors() -> None:
    changed = with_typing_errors(TEXTS, 0.25, np.random.default_rng(0))
    hits = sum(a != b for a, b in zip(changed, TEXTS, strict=True))
    assert 60 < hits < 140
    assert with_typing_errors(TEXTS, 0.0, np.random.default_rng(0)) == TEXTS


def test_the_seed_decides() -> None:
    first, again, other = (with_typing_errors(TEXTS, 0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@given(st.text(max_size=80), st.integers(0, 2**32 - 1))
def test_any_text_keeps_its_words_and_about_its_length(text: str, seed: int) -> None:
    result = mistyped(text, np.random.default_rng(seed))
    assert result.count(" ") == text.count(" ")
    assert bool(result.strip()) == bool(text.strip())
    assert len(result) <= len(text) + text.count(" ") + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("They lost my parcel again!", "They lost my parcel again"),
        ("Well...", "Well"),
        ("so it goes", "so it goes"),
        ('He said "no."', 'He said "no."'),
    ],
)
def test_another_ending_keeps_the_words(text: str, words: str) -> None:
    found = set(with_other_endings([text] * 200, 1.0, np.random.default_rng(0)))
    assert found == {f"{words}{ending}" for ending in ("", ".", "!", "!!", "...")}


@pytest.mark.parametrize("text", ["Is it?", "Really?!", "so glad 🙂", "...", "", " "])
def test_questions_and_symbols_end_as_they_do(text: str) -> None:
    assert set(with_other_endings([text] * 50, 1.0, np.random.default_rng(0))) == {text}


def test_a_share_of_the_texts_gets_another_ending() -> None:
    changed = with_other_endings(TEXTS, 0.4, np.random.default_rng(0))
    # a quarter of the new endings is the old one
    assert 80 < sum(a != b for a, b in zip(changed, TEXTS, strict=True)) < 160


def test_training_with_them_is_repeatable_and_differs_from_training_without(
    tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    data = load_split(easy_data)
    weights = [
        run_steps(data, tiny_base, tmp_path / str(i), typing_errors=share, epochs=2)[1] for i, share in enumerate((0.8, 0.8, 0.0))
    ]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
