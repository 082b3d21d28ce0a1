"""Counts, lengths and examples of small data, in words and in tokens."""

from __future__ import annotations

import json

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from emotions_cli.data.dataset import Dataset, Examples, LabelledTexts, to_examples
from emotions_cli.data.summary import lengths_of, summarise
from emotions_cli.encoding import Encoder
from emotions_cli.labels import LabelSet, Task

LABELS = LabelSet(("joy", "anger"))
ROWS = [("one", "joy"), ("one two", "anger"), ("one two three, four", "joy"), ("", "joy")]


def encoder(max_length: int) -> Encoder:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    return Encoder(tokenizer, pad_id=0, max_length=max_length)


def data() -> Dataset:
    train = to_examples(LabelledTexts.of((text, (label,)) for text, label in ROWS), LABELS)
    test = to_examples(LabelledTexts.of([("so happy now", ("joy",))]), LABELS)
    return Dataset("data", LABELS, Task.SINGLE_LABEL, {"train": train, "test": test})


def test_sizes_and_balance_are_counted() -> None:
    found = summarise(data(), None)
    assert found.sizes == {"train": 4, "test": 1}
    assert found.balance == {"train": {"joy": 3, "anger": 1}, "test": {"joy": 1, "anger": 0}}


def test_lengths_are_words_without_an_encoder() -> None:
    found = summarise(data(), None)
    assert found.unit == "words"
    assert lengths_of(data().split("train"), None) == [1, 2, 4, 0]
    assert found.lengths["train"] == {50: 2, 90: 4, 99: 4, 100: 4}


def test_lengths_are_whole_tokens_with_an_encoder() -> None:
    for max_length in (128, 3):  # what is cut counts too
        found = summarise(data(), encoder(max_length))
        assert found.unit == "tokens"
        assert lengths_of(data().split("train"), encoder(max_length)) == [2, 3, 6, 1]
        assert found.lengths["train"][100] == 6


def test_each_label_shows_its_first_texts() -> None:
    assert summarise(data(), None).examples == {"joy": ["one", "one two three, four"], "anger": ["one two"]}
    assert summarise(data(), None, examples=4).examples["joy"] == ["one", "one two three, four", "", "so happy now"]
    assert summarise(data(), None, examples=0).examples == {"joy": [], "anger": []}


def test_an_empty_split_has_lengths_of_zero() -> None:
    empty = Dataset("data", LABELS, Task.SINGLE_LABEL, {"all": Examples([], np.zeros((0, 2), dtype=np.bool_))})
    assert summarise(empty, None).lengths == {"all": {50: 0, 90: 0, 99: 0, 100: 0}}


def test_a_summary_is_plain_json() -> None:
    content = json.loads(json.dumps(summarise(data(), encoder(8)).to_json()))
    assert content["sizes"] == {"train": 4, "test": 1}
    assert content["balance"]["train"] == {"joy": 3, "anger": 1}
    assert content["lengths"]["test"] == {"p50": 4, "p90": 4, "p99": 4, "p100": 4}
    assert content["length_unit"] == "tokens"
    assert set(content["examples"]) == {"joy", "anger"}
