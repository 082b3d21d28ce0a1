"""One judgement holds all metrics, and they are scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from emotions_cli.evaluation.gates import METRICS
from emotions_cli.labels import Task
from emotions_cli.metrics.judgement import LOWER_IS_BETTER, judge
from emotions_cli.metrics.probabilities import expected_calibration_error, sigmoid, softmax

NAMES = ("joy", "anger", "fear", "love")


def single_label(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and true ids; ``fear`` is never true, ``love`` never answered."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 3], size=120)
    logits = rng.normal(size=(120, 4)) + (truth[:, None] == np.arange(4))
    logits[:, 3] = logits[:, :3].max(axis=1) - 0.5
    return softmax(logits), truth


@pytest.mark.parametrize("seed", range(4))
def test_a_single_label_judgement_is_that_of_scikit_learn(seed: int) -> None:
    scores, truth = single_label(seed)
    judgement = judge(scores, truth[:, None] == np.arange(4), NAMES, Task.SINGLE_LABEL)
    answers = scores.argmax(axis=1)
    assert 3 not in answers
    expected = {
        "accuracy": reference.accuracy_score(truth, answers),
        "macro_f1": reference.f1_score(truth, answers, average="macro", zero_division=0),
        "weighted_f1": reference.f1_score(truth, answers, average="weighted", zero_division=0),
        "micro_f1": reference.f1_score(truth, answers, average="micro", zero_division=0),
        "nll": reference.log_loss(truth, scores, labels=range(4)),
        "ece": expected_calibration_error(scores.max(axis=1), answers == truth, 15),
    }
    assert judgement.overall == pytest.approx(expected)
    assert judgement.confusion is not None
    assert judgement.confusion.tolist() == reference.confusion_matrix(truth, answers, labels=range(4)).tolist()
    assert judgement.answers.argmax(axis=1).tolist() == answers.tolist()
    assert judgement.n == 120


@pytest.mark.parametrize("seed", range(4))
def test_a_multi_label_judgement_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.random((120, 4)) < (0.5, 0.2, 0.0, 0.3)
    scores = sigmoid(rng.normal(size=(120, 4)) + targets - 0.5)
    thresholds = np.array([0.5, 0.3, 0.9, 1.0])
    judgement = judge(scores, targets, NAMES, Task.MULTI_LABEL, thresholds=thresholds)
    answers = scores >= thresholds
    expected = {
        "accuracy": reference.accuracy_score(targets, answers),
        "macro_f1": reference.f1_score(targets, answers, average="macro", zero_division=0),
        "weighted_f1": reference.f1_score(targets, answers, average="weighted", zero_division=0),
        "micro_f1": reference.f1_score(targets, answers, average="micro", zero_division=0),
        "nll": reference.log_loss(targets.ravel(), scores.ravel()),
        "ece": expected_calibration_error(scores.ravel(), targets.ravel(), 15),
    }
    assert judgement.overall == pytest.approx(expected)
    assert judgement.confusion is None
    assert judgement.answers.tolist() == answers.tolist()


def test_multi_label_thresholds_are_one_half_when_not_given() -> None:
    scores, targets = np.array([[0.6, 0.5, 0.4, 0.1]]), np.array([[True, True, False, False]])
    assert judge(scores, targets, NAMES, Task.MULTI_LABEL).overall["accuracy"] == 1.0


def test_a_text_of_an_unknown_label_is_wrong_but_has_no_likelihood() -> None:
    known = np.array([True, True, False, True])
    scores = np.array([[0.9, 0.1, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0], [0.6, 0.4, 0.0, 0.0]])
    targets = np.array([0, 1, 2])[:, None] == np.arange(4)
    judgement = judge(scores, targets, NAMES, Task.SINGLE_LABEL, known=known)
    assert judgement.overall["accuracy"] == pytest.approx(2 / 3)
    assert judgement.overall["nll"] == pytest.approx(-np.log([0.9, 0.8]).mean())
    assert judgement.labels.recall[2] == 0.0
    assert judgement.labels.support[2] == 1
    assert judgement.overall["macro_f1"] == pytest.approx(reference.f1_score([0, 1, 2], [0, 1, 0], average="macro"))
    assert judgement.confusion is not None
    assert judgement.confusion[2].tolist() == [1, 0, 0, 0]


def test_an_unknown_label_is_never_a_multi_label_answer() -> None:
    known = np.array([True, True, False, True])
    scores = np.array([[0.9, 0.1, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]])
    targets = np.array([[True, False, True, False], [False, True, False, False]])
    judgement = judge(scores, targets, NAMES, Task.MULTI_LABEL, thresholds=np.array([0.5, 0.5, 0.0, 0.5]), known=known)
    assert not judgement.answers[:, 2].any()
    assert judgement.overall["accuracy"] == 0.5
    assert judgement.labels.support.tolist() == [1, 1, 1, 0]
    kept = [0, 1, 3]
    expected = reference.log_loss(targets[:, kept].ravel(), np.clip(scores[:, kept], 1e-12, 1).ravel())
    assert judgement.overall["nll"] == pytest.approx(expected)


def test_texts_of_unknown_labels_alone_have_no_likelihood() -> None:
    known = np.array([True, True, False, True])
    scores, targets = np.array([[0.9, 0.1, 0.0, 0.0]]), np.array([[False, False, True, False]])
    judgement = judge(scores, targets, NAMES, Task.SINGLE_LABEL, known=known)
    assert judgement.overall["accuracy"] == 0.0
    assert math.isnan(judgement.overall["nll"])


def test_a_likelihood_that_is_undefined_is_still_valid_json() -> None:
    known = np.array([True, True, False, True])
    scores, targets = np.array([[0.9, 0.1, 0.0, 0.0]]), np.array([[False, False, True, False]])
    content = judge(scores, targets, NAMES, Task.SINGLE_LABEL, known=known).to_json()
    assert json.loads(json.dumps(content, allow_nan=False))["nll"] is None


def test_bins_of_the_calibration_error_can_be_chosen() -> None:
    scores, truth = single_label(0)
    targets = truth[:, None] == np.arange(4)
    judgement = judge(scores, targets, NAMES, Task.SINGLE_LABEL, ece_bins=3)
    right = scores.argmax(axis=1) == truth
    assert judgement.overall["ece"] == pytest.approx(expected_calibration_error(scores.max(axis=1), right, 3))


@pytest.mark.parametrize("task", Task)
def test_the_json_form_has_plain_values(task: Task) -> None:
    scores, truth = single_label(1)
    content = judge(scores, truth[:, None] == np.arange(4), NAMES, task).to_json()
    assert set(content) == {"accuracy", "macro_f1", "weighted_f1", "micro_f1", "nll", "ece", "labels", "confusion", "n"}
    assert list(content["labels"]) == list(NAMES)
    assert all(set(values) == {"precision", "recall", "f1", "support"} for values in content["labels"].values())
    assert content["labels"]["fear"]["support"] == 0
    assert (content["confusion"] is None) is (task is Task.MULTI_LABEL)
    assert content["n"] == 120
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_every_overall_metric_can_be_a_gate() -> None:
    scores, truth = single_label(2)
    overall = judge(scores, truth[:, None] == np.arange(4), NAMES, Task.SINGLE_LABEL).overall
    assert set(overall) == set(METRICS)
    assert overall.keys() >= LOWER_IS_BETTER


def test_metrics_of_which_lower_is_better_fall_when_answers_get_better() -> None:
    scores, truth = single_label(3)
    targets = truth[:, None] == np.arange(4)
    worse = judge(scores, targets, NAMES, Task.SINGLE_LABEL).overall
    better = judge(targets.astype(np.float64), targets, NAMES, Task.SINGLE_LABEL).overall
    assert {name for name in worse if better[name] < worse[name]} == LOWER_IS_BETTER
