"""The bundled sample is balanced, varied, and holds no text twice or nearly twice."""

from __future__ import annotations

import itertools
import re

import pytest

from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.labels import CUSTOMARY_ORDER, Task


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return load_dataset(DataRequest("sample"))


@pytest.fixture(scope="module")
def texts(sample: Dataset) -> list[str]:
    return [text for part in sample.splits.values() for text in part.texts]


def test_it_has_seven_labels_and_nothing_to_guess(sample: Dataset) -> None:
    assert sample.labels.names == CUSTOMARY_ORDER
    assert len(sample.labels) == 7
    assert sample.task is Task.SINGLE_LABEL
    assert sample.notes == ()


@pytest.mark.parametrize(("split", "count"), [("train", 60), ("validation", 15), ("test", 15)])
def test_every_label_has_as_many_texts_as_the_others(sample: Dataset, split: str, count: int) -> None:
    assert sample.split(split).support.tolist() == [count] * 7


def test_texts_have_three_to_sixty_words(texts: list[str]) -> None:
    assert [text for text in texts if not 3 <= len(text.split()) <= 60] == []


def test_no_text_stands_in_two_splits(sample: Dataset) -> None:
    keys = [{" ".join(text.casefold().split()) for text in part.texts} for part in sample.splits.values()]
    assert [first & second for first, second in itertools.combinations(keys, 2)] == [set(), set(), set()]


def test_no_two_texts_are_alike(texts: list[str]) -> None:
    words = [frozenset(re.findall(r"[\w']+", text.lower())) for text in texts]
    alike = [
        (texts[i], texts[j])
        for i, j in itertools.combinations(range(len(texts)), 2)
        if len(words[i] & words[j]) > 0.6 * len(words[i] | words[j])
    ]
    assert alike == []


def test_texts_look_like_those_that_people_write(texts: list[str]) -> None:
    assert any(re.search("[\U0001f300-\U0001faff]", text) for text in texts)
    assert any(re.search(r"\b[A-Z]{4,}\b", text) for text in texts)
    assert any(text[-1] not in ".!?" and text == text.lower() for text in texts)
    for mark in ",.!?'":
        assert any(mark in text for text in texts), mark
    assert [text for text in texts if text != text.strip()] == []
