"""Each kind of finding is found in data made for it, and none in clean data."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from emotions_cli.data import DataRequest, load_dataset
from emotions_cli.data.check import EXAMPLES, RARE_LABEL, Finding, check_dataset
from emotions_cli.data.dataset import Dataset, LabelledTexts, to_examples
from emotions_cli.encoding import Encoder
from emotions_cli.labels import LabelSet, Task

LABELS = LabelSet(("joy", "anger"))

Rows = list[tuple[str, str]]


def dataset(task: Task = Task.SINGLE_LABEL, **splits: Rows) -> Dataset:
    parts = {
        name: to_examples(LabelledTexts.of((text, tuple(labels.split())) for text, labels in rows), LABELS)
        for name, rows in splits.items()
    }
    return Dataset("data", LABELS, task, parts)


def enough() -> Rows:
    """Enough distinct texts of both labels that none is rare."""
    return [(f"{label}{i} {i}x {i}y {label}{i}z", label) for label in LABELS for i in range(RARE_LABEL)]


def found(data: Dataset, encoder: Encoder | None = None) -> Mapping[tuple[str, str], Finding]:
    findings = check_dataset(data, encoder)
    by_place = {(finding.kind, finding.split): finding for finding in findings}
    assert len(by_place) == len(findings)
    return by_place


def test_clean_data_has_no_findings() -> None:
    assert check_dataset(dataset(train=enough(), test=[("something else entirely here", "joy")]), None) == []


def test_the_bundled_sample_has_no_findings() -> None:
    assert check_dataset(load_dataset(DataRequest("sample")), None) == []


def test_empty_texts_are_found_by_row() -> None:
    findings = found(dataset(train=[*enough(), ("", "joy"), (" \t\n", "anger")]))
    assert list(findings) == [("empty", "train")]
    assert findings["empty", "train"].count == 2
    assert findings["empty", "train"].examples == (f"row {2 * RARE_LABEL + 1}", f"row {2 * RARE_LABEL + 2}")


def test_the_same_text_with_the_same_label_is_a_duplicate() -> None:
    findings = found(dataset(train=[*enough(), ("So  happy", "joy"), ("so HAPPY ", "joy"), ("So happy", "joy")]))
    assert list(findings) == [("duplicate", "train")]
    assert findings["duplicate", "train"].count == 1
    assert findings["duplicate", "train"].examples == ("so happy",)


def test_the_same_text_with_another_label_is_a_conflict() -> None:
    findings = found(dataset(train=[*enough(), ("so it goes", "joy"), ("So it goes", "anger")]))
    assert list(findings) == [("conflict", "train")]
    assert findings["conflict", "train"].examples == ("so it goes (joy, anger)",)


def test_conflicts_of_several_labels_name_them_all() -> None:
    rows = [*enough(), ("so it goes", "joy anger"), ("so it goes", ""), ("so it goes", "joy anger")]
    findings = found(dataset(Task.MULTI_LABEL, train=rows))
    assert findings["conflict", "train"].examples == ("so it goes (joy+anger, none)",)


def test_a_text_in_two_splits_is_a_leak() -> None:
    data = dataset(
        train=[*enough(), ("so happy", "joy")], validation=[("meh", "joy")], test=[("So Happy", "joy"), ("meh", "anger")]
    )
    findings = found(data)
    assert set(findings) == {("leak", "train / test"), ("leak", "validation / test")}
    assert findings["leak", "train / test"].examples == ("so happy",)
    assert findings["leak", "validation / test"].examples == ("meh (with another label)",)


def test_a_text_of_almost_the_same_words_in_another_split_is_a_near_duplicate() -> None:
    data = dataset(train=[*enough(), ("what a happy day it was", "joy")], test=[("What a happy day it was, friend!", "joy")])
    findings = found(data)
    assert list(findings) == [("near-duplicate", "train / test")]
    assert findings["near-duplicate", "train / test"].examples == ("what a happy day it was, friend! ~ what a happy day it was",)


@pytest.mark.parametrize(
    ("first", "second", "near"),
    [
        ("a b c d", "a b c d e", True),  # 4 of 5, at the limit
        ("a b c d", "a b c e", False),
        ("one two three", "three two one", False),  # too short to tell
        ("four words in all", "all in four words", True),
        ("a b c d e f g h i j", "a b c d e f g h x y", False),
        ("a b c d e f g h i", "b c d e f g h i z", True),
    ],
)
def test_near_means_four_fifths_of_all_words(first: str, second: str, near: bool) -> None:
    data = dataset(train=[*enough(), (first, "joy")], test=[(second, "joy")])
    assert (("near-duplicate", "train / test") in found(data)) is near


def test_labels_with_few_texts_are_rare_in_training_data() -> None:
    rows = enough()[:-1]
    assert found(dataset(train=rows))["rare-label", "train"].examples == (f"anger: {RARE_LABEL - 1}",)
    assert found(dataset(all=rows))["rare-label", "all"].count == 1
    assert found(dataset(train=enough(), test=[("only this", "joy")])) == {}


def test_texts_over_the_limit_are_found_with_an_encoder() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    encoder = Encoder(tokenizer, pad_id=0, max_length=4)
    data = dataset(train=[*enough(), ("one two three four five", "joy"), ("a b c d", "joy")])
    finding = found(data, encoder)["too-long", "train"]
    assert finding.examples == (f"row {2 * RARE_LABEL + 1}: 5 tokens",)
    assert "more than 4 tokens" in finding.message
    assert found(data) == {}


def test_examples_are_few_but_all_are_counted() -> None:
    finding = found(dataset(train=[*enough(), *([("", "joy")] * 30)]))["empty", "train"]
    assert finding.count == 30
    assert len(finding.examples) == EXAMPLES


def test_a_finding_is_plain_json() -> None:
    (finding,) = check_dataset(dataset(train=[*enough(), ("", "joy")]), None)
    content = json.loads(json.dumps(finding.to_json()))
    assert (content["kind"], content["split"], content["count"], content["message"]) == ("empty", "train", 1, "empty texts")
