"""Texts become the token ids that the model's own tokenizer gives, cut and padded as it was trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions_cli.encoding import Encoder, TokenIds, batches_by_length
from emotions_cli.errors import ModelError

ODD_TEXTS = [
    "so glad and happy",
    "",
    " ",
    "\n\t\r\n",
    "🙂",
    "👩‍👩‍👧 🇩🇪",
    "größer als naïve Ærøskøbing",
    "e\u0301 \u00e9",
    "数据 と テキスト",
    "مرحبا",
    "\u200b\ufeff\u00ad",
    "nul \0 byte",
    "[SEP] [PAD] [CLS] [MASK] [UNK]",
    "SHOUTING!!! ... ???",
    "http://example.com/?q=a&b=c#d",
    "a" * 500,
    "happy " * 200,
    "happy 🙂 " * 60,
    "\U0010ffff",
]


@pytest.fixture(scope="module")
def reference(tiny_base: Path) -> Any:
    """The tokenizer of transformers."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture
def model_folder(tiny_base: Path, tmp_path: Path) -> Path:
    """The base model's small files, which a test may change."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(tiny_base / name, folder / name)
    return folder


def change_json(path: Path, **values: object) -> None:
    content = {**json.loads(path.read_text(encoding="utf-8")), **values}
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("max_length", [8, 48])
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_token_ids_are_those_of_transformers(text: str, max_length: int, tiny_base: Path, reference: Any) -> None:
    (tokens,) = Encoder.from_folder(tiny_base, max_length=max_length).encode([text])
    assert list(tokens.ids) == reference(text, truncation=True, max_length=max_length)["input_ids"]
    assert len(tokens) <= max_length


@pytest.mark.parametrize("max_length", [8, 48])
def test_every_token_that_does_not_fit_is_counted(max_length: int, tiny_base: Path, reference: Any) -> None:
    encoded = Encoder.from_folder(tiny_base, max_length=max_length).encode(ODD_TEXTS)
    whole = [len(ids) for ids in reference(ODD_TEXTS, truncation=False)["input_ids"]]
    assert [tokens.cut for tokens in encoded] == [max(0, length - max_length) for length in whole]
    assert [len(tokens) for tokens in encoded] == [min(length, max_length) for length in whole]
    assert any(tokens.cut for tokens in encoded)


def test_a_text_that_just_fits_is_not_cut(tiny_base: Path) -> None:
    encoder = Encoder.from_folder(tiny_base, max_length=10)
    assert [tokens.cut for tokens in encoder.encode(["happy " * n for n in (7, 8, 9, 30)])] == [0, 0, 1, 22]


def test_texts_are_encoded_in_order_and_independently(tiny_base: Path) -> None:
    encoder = Encoder.from_folder(tiny_base, max_length=16)
    assert encoder.encode(ODD_TEXTS) == [encoder.encode([text])[0] for text in ODD_TEXTS]
    assert encoder.encode([]) == []


def test_a_text_with_half_a_character_is_encoded(tiny_base: Path) -> None:
    # JSON may hold "\ud83d" alone: half an emoji, which is no valid Unicode
    encoder = Encoder.from_folder(tiny_base, max_length=16)
    broken, whole = encoder.encode(["so \ud83d happy", "so happy"])
    assert len(broken) >= len(whole)


def test_padding_is_that_of_transformers(tiny_base: Path, reference: Any) -> None:
    encoder = Encoder.from_folder(tiny_base, max_length=16)
    texts = ["so happy", "", "the noise scares me and I hate this mess " * 3]
    ours = encoder.pad(encoder.encode(texts))
    theirs = reference(texts, truncation=True, max_length=16, padding=True, return_tensors="np", return_token_type_ids=True)
    assert ours.keys() == {"input_ids", "attention_mask", "token_type_ids"}
    for name, values in ours.items():
        assert values.dtype == np.int64
        assert values.tolist() == theirs[name].tolist()


def test_a_batch_is_as_wide_as_its_longest_text(tiny_base: Path) -> None:
    encoder = Encoder.from_folder(tiny_base, max_length=16)
    batch = encoder.pad([TokenIds((5, 6, 7), 0), TokenIds((8,), 0)])
    pad = encoder.pad_id
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, pad, pad]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_padding_takes_the_id_that_the_model_names(model_folder: Path) -> None:
    change_json(model_folder / "config.json", pad_token_id=7)
    encoder = Encoder.from_folder(model_folder, max_length=16)
    assert encoder.pad_id == 7
    assert encoder.pad([TokenIds((1, 2), 0), TokenIds((1,), 0)])["input_ids"].tolist() == [[1, 2], [1, 7]]


def test_padding_takes_the_id_of_the_tokenizer_when_the_model_names_none(model_folder: Path) -> None:
    change_json(model_folder / "config.json", pad_token_id=None)
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None}
    change_json(model_folder / "tokenizer.json", padding={**padding, "pad_id": 9, "pad_type_id": 0, "pad_token": "[PAD]"})
    assert Encoder.from_folder(model_folder, max_length=16).pad_id == 9


def test_padding_and_truncation_of_the_tokenizer_file_are_switched_off(model_folder: Path, tiny_base: Path) -> None:
    fixed = {"strategy": {"Fixed": 12}, "direction": "Left", "pad_to_multiple_of": None, "pad_type_id": 0, "pad_token": "[PAD]"}
    truncation = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 2}
    change_json(model_folder / "tokenizer.json", padding={**fixed, "pad_id": 0}, truncation=truncation)
    texts = ["so happy", "the noise scares me and I hate this mess " * 3]
    changed = Encoder.from_folder(model_folder, max_length=16).encode(texts)
    assert changed == Encoder.from_folder(tiny_base, max_length=16).encode(texts)


def test_a_folder_without_a_fast_tokenizer_is_an_error(model_folder: Path) -> None:
    (model_folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"has no tokenizer\.json") as raised:
        Encoder.from_folder(model_folder, max_length=16)
    assert str(model_folder) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b"nonsense", b"\xff\xfe"])
def test_a_tokenizer_that_can_not_be_read_is_named(model_folder: Path, content: bytes) -> None:
    (model_folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json' can't be read"):
        Encoder.from_folder(model_folder, max_length=16)


def test_a_tokenizer_without_padding_token_is_an_error(model_folder: Path) -> None:
    change_json(model_folder / "config.json", pad_token_id=None)
    with pytest.raises(ModelError, match="has no padding token"):
        Encoder.from_folder(model_folder, max_length=16)


@pytest.mark.parametrize("content", [None, b"", b"[", b"[]", b"\xff\xfe"])
def test_a_configuration_that_can_not_be_read_is_named(model_folder: Path, content: bytes | None) -> None:
    (model_folder / "config.json").unlink()
    if content is not None:
        (model_folder / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        Encoder.from_folder(model_folder, max_length=16)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100, 1000])
def test_batches_hold_every_text_once(batch_size: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 20, size=100).tolist()
    batches = batches_by_length(lengths, batch_size)
    assert sorted(np.concatenate(batches).tolist()) == list(range(100))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size


def test_the_longest_texts_come_first_and_equals_keep_their_order() -> None:
    assert np.concatenate(batches_by_length([3, 9, 3, 1, 9], 2)).tolist() == [1, 4, 0, 2, 3]


def test_no_texts_make_no_batches() -> None:
    assert batches_by_length([], 4) == []
