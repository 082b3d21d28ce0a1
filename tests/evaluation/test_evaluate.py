"""An evaluation is what scikit-learn says of the model's answers; the data decides what can be right."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import EASY
from sklearn import metrics as reference

from emotions_cli import Classifier, load
from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.data.dataset import LabelledTexts, to_examples
from emotions_cli.errors import DataError
from emotions_cli.evaluation import evaluate
from emotions_cli.labels import LabelSet, Task

# the model was taught otherwise about some of these
TEXTS = [
    ("so happy and glad", "joy"),
    ("angry about this mess", "joy"),
    ("what a happy smile", "anger"),
    ("furious, furious", "anger"),
    ("so angry at the bill", "anger"),
    ("scared of the noise", "fear"),
    ("a smile in the dark", "fear"),
    ("the table", "fear"),
]


@pytest.fixture(scope="module")
def classifier(trained: Path) -> Classifier:
    return load(trained)


@pytest.fixture(scope="module")
def multi_classifier(trained_multi: Path) -> Classifier:
    return load(trained_multi)


def dataset(labels: Sequence[str], task: Task = Task.SINGLE_LABEL, **splits: Sequence[tuple[str, str]]) -> Dataset:
    """Data with these labels; several labels of a text are joined by ``|``."""
    names = LabelSet(tuple(labels))
    rows = {
        split: LabelledTexts.of((text, tuple(label for label in joined.split("|") if label)) for text, joined in pairs)
        for split, pairs in splits.items()
    }
    return Dataset("some data", names, task, {split: to_examples(part, names) for split, part in rows.items()})


def test_an_evaluation_is_that_of_scikit_learn(classifier: Classifier) -> None:
    # not the model's own order
    names = ["fear", "joy", "anger"]
    evaluation = evaluate(classifier, dataset(names, test=TEXTS), ece_bins=5)
    texts, truth = zip(*TEXTS, strict=True)
    predictions = classifier.predict(texts)
    answers = [p.label for p in predictions]
    overall = evaluation.judgement.overall
    assert overall["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers))
    assert overall["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    assert overall["weighted_f1"] == pytest.approx(reference.f1_score(truth, answers, average="weighted", zero_division=0))
    scores = [[p.scores[name] for name in sorted(names)] for p in predictions]
    assert overall["nll"] == pytest.approx(reference.log_loss(truth, scores, labels=sorted(names)), rel=1e-5)
    assert evaluation.judgement.confusion is not None
    assert evaluation.judgement.confusion.tolist() == reference.confusion_matrix(truth, answers, labels=names).tolist()
    assert [p.label for p in evaluation.predictions] == answers
    assert [p.text for p in evaluation.predictions] == list(texts)
    assert list(evaluation.truth) == [(label,) for label in truth]
    assert evaluation.labels.names == tuple(names)
    assert (evaluation.split, evaluation.notes, evaluation.judgement.n) == ("test", (), len(TEXTS))


def test_a_model_is_right_about_what_it_was_taught(classifier: Classifier, easy_data: Path) -> None:
    evaluation = evaluate(classifier, load_dataset(DataRequest(str(easy_data))), split="train")
    assert evaluation.judgement.overall["accuracy"] >= 0.9
    assert evaluation.judgement.n == 18


def test_a_multi_label_evaluation_is_that_of_scikit_learn(multi_classifier: Classifier) -> None:
    pairs = [("so glad and happy, so angry now", "joy|anger"), ("scared", "fear|joy"), ("the bus", ""), ("a smile", "anger")]
    names = ["fear", "anger", "joy"]
    evaluation = evaluate(multi_classifier, dataset(names, Task.MULTI_LABEL, test=pairs))
    predictions = multi_classifier.predict([text for text, _ in pairs])
    truth = np.array([[name in joined.split("|") for name in names] for _, joined in pairs])
    answers = np.array([[name in p.labels for name in names] for p in predictions])
    scores = np.array([[p.scores[name] for name in names] for p in predictions])
    overall = evaluation.judgement.overall
    assert overall["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers))
    assert overall["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    assert overall["micro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="micro", zero_division=0))
    assert overall["nll"] == pytest.approx(reference.log_loss(truth.ravel(), scores.ravel()), rel=1e-5)
    assert [set(p.labels) for p in evaluation.predictions] == [set(p.labels) for p in predictions]
    assert [set(labels) for labels in evaluation.truth] == [{"joy", "anger"}, {"fear", "joy"}, set(), {"anger"}]
    assert evaluation.judgement.confusion is None


def test_answers_outside_the_data_are_wrong_and_said(classifier: Classifier) -> None:
    pairs = [(text, "joy") for text in EASY["fear"]] + [(text, "anger") for text in EASY["anger"]]
    evaluation = evaluate(classifier, dataset(["anger", "joy"], test=pairs), answers=classifier.labels.names)
    (note,) = evaluation.notes
    assert note.startswith("The data has no label fear: such answers of the model are wrong here")
    free = classifier.predict([text for text, _ in pairs])
    assert [p.label for p in evaluation.predictions] == [p.label for p in free]
    truth, answers = [label for _, label in pairs], [p.label for p in free]
    assert "fear" in answers
    overall = evaluation.judgement.overall
    assert overall["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers))
    assert overall["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    assert evaluation.judgement.names == ("anger", "joy", "fear")


def test_one_label_alone_does_not_make_a_model_perfect(classifier: Classifier) -> None:
    pairs = [(text, "joy") for texts in EASY.values() for text in texts]
    accuracy = evaluate(classifier, dataset(["joy"], test=pairs)).judgement.overall["accuracy"]
    assert accuracy == pytest.approx(1 / 3, abs=0.15)


def test_answers_can_be_limited_to_labels(trained: Path) -> None:
    # in fp32: in integers other texts are close calls when there are fewer answers
    classifier = load(trained, precision="fp32")
    pairs = [(text, "joy") for text in EASY["fear"]] + [(text, "anger") for text in EASY["anger"]]
    evaluation = evaluate(classifier, dataset(["anger", "joy"], test=pairs), answers=["anger", "joy"])
    assert evaluation.notes == ("The model may only answer joy, anger.",)
    assert evaluation.answers == ("joy", "anger")
    for prediction, free in zip(evaluation.predictions, classifier.predict([text for text, _ in pairs]), strict=True):
        assert list(prediction.scores) == ["anger", "joy"]
        assert sum(prediction.scores.values()) == pytest.approx(1.0)
        share = free.scores["joy"] / (free.scores["joy"] + free.scores["anger"])
        assert prediction.scores["joy"] == pytest.approx(share, abs=1e-4)
        assert prediction.label == ("joy" if share > 0.5 else "anger")


def test_answers_are_those_of_the_data_by_themselves(classifier: Classifier) -> None:
    pairs = [(text, "joy") for text in EASY["fear"]] + [(text, "anger") for text in EASY["anger"]]
    data = dataset(["anger", "joy"], test=pairs)
    by_itself, asked_for = evaluate(classifier, data), evaluate(classifier, data, answers=["anger", "joy"])
    assert by_itself.judgement.overall == asked_for.judgement.overall
    (note,) = by_itself.notes
    assert note == "The data has no label fear: the model may not answer so; --labels all lets it."


def test_labels_without_a_text_in_the_split_are_said(classifier: Classifier) -> None:
    data = dataset(["joy", "anger", "fear"], train=[("boo", "fear"), ("grr", "anger")], test=[("happy", "joy")])
    assert evaluate(classifier, data).notes == ("The split has no text labelled anger, fear.",)


def test_labels_that_only_the_data_has_count_as_missed(classifier: Classifier) -> None:
    pairs = [*((text, label) for label, texts in EASY.items() for text in texts), ("what a loss", "sadness"), ("loss", "sadness")]
    evaluation = evaluate(classifier, dataset(["sadness", "joy", "anger", "fear"], test=pairs))
    assert evaluation.notes == ("The model does not answer sadness: 2 labels of the data count as missed.",)
    judgement = evaluation.judgement
    assert judgement.names == ("sadness", "joy", "anger", "fear")
    assert judgement.n == len(evaluation.predictions) == len(evaluation.truth) == 20
    assert (judgement.labels.support[0], judgement.labels.recall[0], judgement.labels.f1[0]) == (2, 0.0, 0.0)
    assert judgement.confusion is not None
    assert judgement.confusion[0].sum() == 2
    assert judgement.confusion[:, 0].sum() == 0
    answers = [p.label for p in evaluation.predictions]
    truth = [label for _, label in pairs]
    assert judgement.overall["accuracy"] == pytest.approx(reference.accuracy_score(truth, answers))
    assert judgement.overall["macro_f1"] == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    known = evaluate(classifier, dataset(["joy", "anger", "fear"], test=pairs[:-2])).judgement.overall
    assert judgement.overall["nll"] == pytest.approx(known["nll"], rel=1e-4)


def test_labels_of_either_side_alone_are_both_noted(classifier: Classifier) -> None:
    evaluation = evaluate(classifier, dataset(["sadness", "joy", "love"], test=[("happy", "joy"), ("dear", "love")]))
    model_only, unseen, data_only = evaluation.notes
    assert model_only.startswith("The data has no label anger, fear")
    assert unseen == "The split has no text labelled sadness."
    assert data_only == "The model does not answer sadness, love: 1 labels of the data count as missed."
    assert evaluation.judgement.overall["accuracy"] == 0.5


def test_multi_label_answers_never_have_a_label_the_model_does_not_know(multi_classifier: Classifier) -> None:
    pairs = [("so glad and happy", "joy|love"), ("furious about the bill", "anger")]
    evaluation = evaluate(multi_classifier, dataset(["love", "joy", "anger"], Task.MULTI_LABEL, test=pairs))
    assert len(evaluation.notes) == 2
    assert all("love" not in p.labels and "fear" not in p.labels for p in evaluation.predictions)
    assert evaluation.judgement.labels.support.tolist() == [1, 1, 1]
    assert evaluation.judgement.labels.recall[0] == 0.0
    free = multi_classifier.predict([text for text, _ in pairs])
    assert [p.scores["joy"] for p in evaluation.predictions] == pytest.approx([p.scores["joy"] for p in free], abs=1e-4)


def test_a_split_of_unknown_labels_alone_is_all_wrong(classifier: Classifier) -> None:
    data = dataset(["sadness", "joy"], train=[("happy", "joy")], test=[("loss", "sadness"), ("alas", "sadness")])
    evaluation = evaluate(classifier, data)
    assert evaluation.judgement.overall["accuracy"] == 0.0
    assert "sadness" not in {p.label for p in evaluation.predictions}
    assert json.dumps(evaluation.judgement.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("train", "validation", "test"), "test"),
        (("train", "validation"), "validation"),
        (("all",), "all"),
        (("train",), "train"),
    ],
)
def test_the_split_is_test_else_validation_else_all_rows(there: tuple[str, ...], chosen: str, classifier: Classifier) -> None:
    data = dataset(["joy", "anger", "fear"], **{split: TEXTS[i:] for i, split in enumerate(there)})
    evaluation = evaluate(classifier, data)
    assert evaluation.split == chosen
    assert evaluation.judgement.n == len(data.split(chosen))


def test_a_wanted_split_is_taken(classifier: Classifier) -> None:
    data = dataset(["joy", "anger", "fear"], train=TEXTS[:3], test=TEXTS)
    evaluation = evaluate(classifier, data, split="train")
    assert (evaluation.split, evaluation.judgement.n) == ("train", 3)


@pytest.mark.parametrize("split", [None, "test", "train"])
def test_a_single_file_is_whatever_split_is_asked_for(split: str | None, classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "labelled.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *TEXTS])
    evaluation = evaluate(classifier, load_dataset(DataRequest(str(path))), split=split)
    assert evaluation.judgement.n == len(TEXTS)
    assert {label for (label,) in evaluation.truth} == set(EASY)


def test_an_unknown_split_is_an_error(classifier: Classifier) -> None:
    data = dataset(["joy", "anger", "fear"], train=TEXTS, validation=TEXTS)
    with pytest.raises(DataError, match=r"'some data' has no split 'validaton' .*train, validation.*Did you mean 'validation'\?"):
        evaluate(classifier, data, split="validaton")


def test_an_empty_split_is_an_error(classifier: Classifier) -> None:
    data = dataset(["joy", "anger", "fear"], train=TEXTS, test=[])
    with pytest.raises(DataError, match="Split 'test' of 'some data' has no rows") as raised:
        evaluate(classifier, data)
    assert "--split" in raised.value.hint


def test_a_model_and_data_of_different_kinds_are_an_error(classifier: Classifier, multi_classifier: Classifier) -> None:
    labels = ["joy", "anger", "fear"]
    with pytest.raises(DataError, match="The model is single-label, 'some data' is multi-label data"):
        evaluate(classifier, dataset(labels, Task.MULTI_LABEL, test=TEXTS))
    with pytest.raises(DataError, match="The model is multi-label, 'some data' is single-label data"):
        evaluate(multi_classifier, dataset(labels, test=TEXTS))


def test_model_and_data_without_a_common_label_are_an_error(classifier: Classifier) -> None:
    names = [f"label{i}" for i in range(12)]
    with pytest.raises(DataError, match="share no label") as raised:
        evaluate(classifier, dataset(names, test=[("text", "label3")]))
    assert all(name in raised.value.message for name in EASY)
    assert "label0, label1" in raised.value.message
    assert "label11" not in raised.value.message
    assert "--label-map" in raised.value.hint
