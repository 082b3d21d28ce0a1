"""Emoji that a tokenizer does not know become tokens with a meaning, and words beside them survive."""

from __future__ import annotations

from pathlib import Path

import torch
from conftest import load_split, run_training
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from emotions_cli.models.ref import open_model
from emotions_cli.training.emoji import FACES, add_emoji, unknown_emoji


def test_unknown_emoji_of_the_texts_and_all_faces_are_found(tiny_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    found = unknown_emoji(tokenizer, ["hot🔥", "dots ⠿ and — dashes", "hands 👋🏽"])
    assert {"🔥", "👋", "🏽", "😀", "🥵"} <= set(found)
    assert not {"⠿", "—"} & set(found)
    assert len(found) == len(set(found))
    # what the bundled sample's vocabulary has is known already
    assert "😡" not in found


def test_an_added_emoji_frees_the_word_beside_it_and_means_its_name(tiny_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_base)
    assert "happy" not in tokenizer.tokenize("happy🔥")
    before = model.get_input_embeddings().weight.detach().clone()
    expected = before[tokenizer.encode("fire", add_special_tokens=False)].mean(dim=0)
    add_emoji(model, tokenizer, ["🔥"])
    assert tokenizer.tokenize("happy🔥 day") == ["happy", "🔥", "day"]
    table = model.get_input_embeddings().weight
    assert len(table) == len(before) + 1 == len(tokenizer)
    assert torch.equal(table[:-1], before)
    assert torch.allclose(table[-1], expected)
    assert model.config.vocab_size == len(tokenizer)


def test_training_adds_them_unless_told_not_to(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    data = load_split(easy_data)
    with_emoji = run_training(data, tiny_base, tmp_path / "with", epochs=1, emoji=True, fast_file=False)
    without = run_training(data, tiny_base, tmp_path / "without", epochs=1, emoji=False, fast_file=False)
    sizes = [len(open_model(run.model).encoder().encode(["".join(FACES[:5])])[0]) for run in (with_emoji, without)]
    assert sizes == [2 + 5, 2 + 1]
