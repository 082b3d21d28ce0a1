"""Windows of rows: sizes that follow from the number of rows alone, a reason for every text that needs one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from emotions_cli import Classifier, load
from emotions_cli.answering.windows import FIRST_WINDOW, LARGEST_WINDOW, WINDOW_CHARACTERS, answer_records, text_of, window_sizes
from emotions_cli.errors import DataError
from emotions_cli.streams.jsonl import parse_json
from emotions_cli.streams.readers import source_of_texts
from emotions_cli.streams.rows import Record


@pytest.fixture(scope="module")
def classifier(trained: Path) -> Classifier:
    return load(trained)


def test_windows_grow_to_their_largest() -> None:
    assert list(itertools.islice(window_sizes(), 6)) == [64, 256, 1024, 4096, 4096, 4096]
    assert (FIRST_WINDOW, LARGEST_WINDOW) == (64, 4096)


def records(count: int) -> Iterator[Record]:
    return (Record(i, {"text": f"so happy {i % 50}"}, "") for i in range(1, count + 1))


def starts(classifier: Classifier, rows: Iterator[Record], windows_done: int = 0) -> list[int]:
    answered = answer_records(rows, classifier, "text", min_score=0.0, live=False, windows_done=windows_done)
    return [window.records[0].number for window in answered]


def test_a_resumed_run_is_cut_at_the_same_places(classifier: Classifier) -> None:
    whole = starts(classifier, records(6_000))
    assert whole == [1, 65, 321, 1345, 5441]
    for windows, done in enumerate((64, 320, 1344, 5440), start=1):
        assert starts(classifier, itertools.islice(records(6_000), done, None), windows) == whole[windows:]


def test_windows_of_large_rows_hold_few(classifier: Classifier) -> None:
    def large(count: int) -> Iterator[Record]:
        return (Record(i, {"text": "so happy"}, "x" * (WINDOW_CHARACTERS // 3)) for i in range(1, count + 1))

    assert starts(classifier, large(8)) == [1, 4, 7]
    assert starts(classifier, itertools.islice(large(8), 3, None), 1) == [4, 7]
    assert starts(classifier, (Record(i, {"text": "glad"}, "x" * (2 * WINDOW_CHARACTERS)) for i in (1, 2, 3))) == [1, 2, 3]


def test_every_record_is_answered_in_order(classifier: Classifier) -> None:
    windows = list(answer_records(records(500), classifier, "text", min_score=0.0, live=True))
    assert [record.number for window in windows for record in window.records] == list(range(1, 501))
    for window in windows:
        assert len(window.records) == len(window.predictions) == len(window.reasons)
        assert [p.text for p in window.predictions] == [record.cells["text"] for record in window.records]


def test_no_records_no_windows(classifier: Classifier) -> None:
    assert list(answer_records(iter(()), classifier, "text", min_score=0.0, live=False)) == []


def test_reasons(classifier: Classifier) -> None:
    rows = [
        Record(1, {"text": "so happy"}, ""),
        Record(2, {"text": "  "}, ""),
        Record(3, {"other": "x"}, ""),
        Record(4, {"text": None}, ""),
        Record(5, {"text": "happy " * 100}, ""),
        Record(6, {"text": "so happ\ufffd"}, "", "undecodable"),
        Record(7, {"unreadable": "{"}, None, "unreadable"),
        Record(8, {"text": "angry"}, None, "unreadable"),
        Record(9, {"text": ""}, "", "undecodable"),
    ]
    (window,) = answer_records(rows, classifier, "text", min_score=0.0, live=False)
    assert list(window.reasons) == [
        None,
        "empty",
        "missing",
        "empty",
        "cut",
        "undecodable",
        "unreadable",
        "unreadable",
        "empty",
    ]
    assert [p.label is None for p in window.predictions] == [False, True, True, True, False, False, True, False, True]


def test_an_error_in_the_records_comes_behind_the_windows_before_it(classifier: Classifier) -> None:
    def broken() -> Iterator[Record]:
        yield from records(100)
        raise DataError("row 101 is broken")

    windows = answer_records(broken(), classifier, "text", min_score=0.0, live=False)
    assert len(next(windows).records) == 64
    with pytest.raises(DataError, match="row 101"):
        next(windows)


def test_a_low_score_is_uncertain(classifier: Classifier) -> None:
    source = source_of_texts(["so happy"])
    (window,) = answer_records(source.records, classifier, "text", min_score=1.0, live=True)
    assert window.predictions[0].labels == ("uncertain",)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"plain"', "plain"),
        ("null", ""),
        ("1.10", "1.10"),
        ("true", "true"),
        ('["a", 1.0]', '["a", 1.0]'),
        ('{"a": "é"}', '{"a": "é"}'),
        ('""', ""),
        ("-0", "-0"),
    ],
)
def test_values_that_are_no_texts_are_read_as_they_are_written(written: str, text: str) -> None:
    assert text_of(Record(1, parse_json(f'{{"text": {written}}}'), ""), "text") == text


def test_a_missing_column_is_an_empty_text() -> None:
    assert text_of(Record(1, {"a": "x"}, ""), "text") == ""
