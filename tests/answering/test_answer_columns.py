"""The columns of an answer, for every option: always the same names, filled or empty."""

from __future__ import annotations

import itertools

import pytest

from emotions_cli.answering.columns import AnswerColumns
from emotions_cli.inference import Prediction
from emotions_cli.streams.formats import Format

LABELS = ("joy", "anger", "fear")
SCORES = {"joy": 0.2, "anger": 0.70000049, "fear": 0.1}
ANGRY = Prediction("furious", ("anger",), 0.70000049, SCORES, 0)
BOTH = Prediction("both", ("anger", "joy"), 0.70000049, SCORES, 0)
NONE = Prediction("a table", (), 0.3, dict.fromkeys(LABELS, 0.3), 0)
EMPTY = Prediction(" ", (), 0.0, dict.fromkeys(LABELS, 0.0), 0)


def columns(**options: object) -> AnswerColumns:
    return AnswerColumns(**{"labels": LABELS, "single": True, "file_format": Format.CSV, **options})  # type: ignore[arg-type]


def test_by_default_the_label_and_its_score() -> None:
    assert columns().values(ANGRY, None) == {"emotion": "anger", "score": 0.7}


def test_the_best_labels_in_pairs() -> None:
    assert columns(top_k=2).values(ANGRY, None) == {
        "emotion": "anger",
        "score": 0.7,
        "emotion_1": "anger",
        "score_1": 0.7,
        "emotion_2": "joy",
        "score_2": 0.2,
    }


def test_no_more_pairs_than_labels() -> None:
    assert columns(top_k=9).names == columns(top_k=3).names
    assert columns(top_k=9).names[-1] == "score_3"


def test_all_scores_in_the_order_of_the_labels() -> None:
    assert columns(all_scores=True).values(ANGRY, None) == {
        "emotion": "anger",
        "score": 0.7,
        "score_joy": 0.2,
        "score_anger": 0.7,
        "score_fear": 0.1,
    }


def test_reasons_stand_last() -> None:
    chosen = columns(reasons=True, all_scores=True, top_k=1, prefix="x_")
    assert chosen.names == [
        "x_emotion",
        "x_score",
        "x_emotion_1",
        "x_score_1",
        "x_score_joy",
        "x_score_anger",
        "x_score_fear",
        "x_reason",
    ]
    assert chosen.values(ANGRY, "cut")["x_reason"] == "cut"
    assert chosen.values(ANGRY, None)["x_reason"] is None


@pytest.mark.parametrize(
    ("file_format", "several", "none", "empty"),
    [
        (Format.CSV, "anger|joy", "", None),
        (Format.TSV, "anger|joy", "", None),
        (Format.JSONL, ["anger", "joy"], [], []),
        (Format.PARQUET, ["anger", "joy"], [], []),
    ],
)
def test_several_labels_are_joined_or_listed(file_format: Format, several: object, none: object, empty: object) -> None:
    chosen = columns(single=False, file_format=file_format)
    assert chosen.values(BOTH, None) == {"emotion": several, "score": 0.7}
    assert chosen.values(NONE, None) == {"emotion": none, "score": 0.3}
    assert chosen.values(EMPTY, "empty") == {"emotion": empty, "score": None}


def test_one_label_is_no_list() -> None:
    for file_format in (Format.JSONL, Format.PARQUET):
        assert columns(file_format=file_format).values(ANGRY, None)["emotion"] == "anger"
        assert columns(file_format=file_format).values(EMPTY, "empty")["emotion"] is None


@pytest.mark.parametrize("prediction", [ANGRY, BOTH, NONE, EMPTY])
def test_every_option_fills_exactly_its_names(prediction: Prediction) -> None:
    kinds = [Format.CSV, Format.TSV, Format.JSONL, Format.PARQUET]
    for single, file_format, top_k, scores, reasons in itertools.product(
        (True, False), kinds, (0, 1, 3, 5), (True, False), (True, False)
    ):
        chosen = columns(single=single, file_format=file_format, top_k=top_k, all_scores=scores, reasons=reasons, prefix="p.")
        values = chosen.values(prediction, "why")
        assert list(values) == chosen.names
        assert len(set(chosen.names)) == len(chosen.names)
        assert all(name.startswith("p.") for name in values)
        if prediction is EMPTY:
            assert {value for name, value in values.items() if name not in {"p.reason", "p.emotion"}} == {None}
        if reasons:
            assert values["p.reason"] == "why"
