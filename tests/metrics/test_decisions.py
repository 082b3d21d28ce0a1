"""Precision, recall, F1 and confusion are scikit-learn's; tuned thresholds are beaten by no other threshold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as reference

from emotions_cli.metrics.decisions import (
    BoolArray,
    FloatArray,
    LabelScores,
    best_label,
    confusion_matrix,
    over_thresholds,
    tune_thresholds,
)

SEEDS = range(5)


def one_hot(ids: np.ndarray, labels: int) -> BoolArray:
    return np.asarray(ids[:, None] == np.arange(labels))


def single_label(seed: int, labels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """True and answered ids; one label is never true, one never answered, one neither."""
    rng = np.random.default_rng(seed)
    truth, answers = rng.integers(0, labels, 200), rng.integers(0, labels, 200)
    truth[np.isin(truth, (1, 3))] = 0
    answers[np.isin(answers, (2, 3))] = 4
    right = rng.random(200) < 0.5
    answers[right & (truth != 2)] = truth[right & (truth != 2)]
    return truth, answers


def multi_label(seed: int, labels: int = 5) -> tuple[BoolArray, BoolArray]:
    """True and answered labels; one label is never true, one never answered, one neither."""
    rng = np.random.default_rng(seed)
    truth, answers = rng.random((150, labels)) < 0.3, rng.random((150, labels)) < 0.4
    truth[:, [1, 3]] = False
    answers[:, [2, 3]] = False
    return truth, answers


@pytest.mark.parametrize("seed", SEEDS)
def test_single_label_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, answers = single_label(seed)
    scores = LabelScores.of(one_hot(answers, 6), one_hot(truth, 6))
    expected = reference.precision_recall_fscore_support(truth, answers, labels=range(6), zero_division=0)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert scores.predicted.tolist() == np.bincount(answers, minlength=6).tolist()
    assert scores.macro_f1 == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    assert scores.weighted_f1 == pytest.approx(reference.f1_score(truth, answers, average="weighted", zero_division=0))
    assert scores.micro_f1 == pytest.approx(reference.f1_score(truth, answers, average="micro", zero_division=0))
    assert scores.micro_f1 == pytest.approx(reference.accuracy_score(truth, answers))


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_label_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, answers = multi_label(seed)
    scores = LabelScores.of(answers, truth)
    expected = reference.precision_recall_fscore_support(truth, answers, zero_division=0)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert scores.macro_f1_all == pytest.approx(reference.f1_score(truth, answers, average="macro", zero_division=0))
    assert scores.weighted_f1 == pytest.approx(reference.f1_score(truth, answers, average="weighted", zero_division=0))
    assert scores.micro_f1 == pytest.approx(reference.f1_score(truth, answers, average="micro", zero_division=0))


def test_scores_of_nothing_are_zero() -> None:
    nothing = np.zeros((4, 3), dtype=np.bool_)
    scores = LabelScores.of(nothing, nothing)
    assert (scores.macro_f1, scores.macro_f1_all, scores.weighted_f1, scores.micro_f1) == (0.0, 0.0, 0.0, 0.0)
    assert scores.f1.tolist() == [0.0, 0.0, 0.0]


def test_scores_of_right_answers_are_one() -> None:
    truth = one_hot(np.array([0, 1, 1, 0]), 3)
    scores = LabelScores.of(truth, truth)
    assert (scores.macro_f1, scores.weighted_f1, scores.micro_f1) == (1.0, 1.0, 1.0)
    assert scores.macro_f1_all == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_confusion_matrix_is_that_of_scikit_learn(seed: int) -> None:
    truth, answers = single_label(seed)
    ours = confusion_matrix(answers, truth, 6)
    assert ours.tolist() == reference.confusion_matrix(truth, answers, labels=range(6)).tolist()
    assert ours.sum() == len(truth)


def test_the_confusion_matrix_has_true_labels_in_its_rows() -> None:
    assert confusion_matrix(np.array([1, 1, 0]), np.array([0, 0, 1]), 3).tolist() == [[0, 2, 0], [1, 0, 0], [0, 0, 0]]


def f1_of(scores: FloatArray, targets: BoolArray, threshold: float) -> float:
    return float(reference.f1_score(targets, scores >= threshold, zero_division=0))


def best_by_brute_force(scores: FloatArray, targets: BoolArray) -> float:
    """The best F1 that any threshold gives: those at, between, below and above all scores."""
    values = np.unique(scores)
    candidates = [-1.0, 2.0, *values, *((a + b) / 2 for a, b in pairwise(values)), *np.linspace(0, 1, 21)]
    return max(f1_of(scores, targets, threshold) for threshold in candidates)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_no_threshold_is_better_than_the_tuned_one(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.random((40, 3)) < (0.1, 0.4, 0.9)
    targets[0] = True
    scores = np.round(np.clip(rng.random((40, 3)) * 0.7 + 0.3 * targets, 0, 1), decimals)
    tuned = tune_thresholds(scores, targets)
    assert tuned.shape == (3,)
    assert ((tuned >= 0) & (tuned <= 1)).all()
    for label, threshold in enumerate(tuned):
        best = best_by_brute_force(scores[:, label], targets[:, label])
        assert f1_of(scores[:, label], targets[:, label], threshold) == pytest.approx(best)


def test_a_tuned_threshold_lies_half_way_between_two_scores() -> None:
    scores = np.array([[0.9], [0.7], [0.3], [0.1]])
    targets = np.array([[True], [True], [False], [False]])
    assert tune_thresholds(scores, targets)[0] == pytest.approx(0.5)
    assert over_thresholds(scores, tune_thresholds(scores, targets)).tolist() == targets.tolist()


def test_equal_scores_are_never_cut_apart() -> None:
    # with the first two alone F1 would be 1, but the three can't be told apart
    scores = np.array([[0.6], [0.6], [0.6], [0.2]])
    targets = np.array([[True], [True], [False], [False]])
    (threshold,) = tune_thresholds(scores, targets)
    assert 0.2 < threshold <= 0.6
    assert f1_of(scores[:, 0], targets[:, 0], threshold) == pytest.approx(0.8)


def test_all_scores_equal_answer_all() -> None:
    scores, targets = np.full((5, 1), 0.3), np.array([[True], [False], [False], [True], [False]])
    (threshold,) = tune_thresholds(scores, targets)
    assert over_thresholds(scores, np.array([threshold])).all()


def test_neighbouring_floats_are_still_told_apart() -> None:
    for start in (0.5, np.nextafter(0.5, 1), 0.9, np.nextafter(0.9, 1)):
        scores = np.array([[np.nextafter(start, 1)], [start]])
        targets = np.array([[True], [False]])
        assert over_thresholds(scores, tune_thresholds(scores, targets)).tolist() == targets.tolist()


def test_a_label_that_is_never_true_keeps_one_half() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((20, 2))
    targets = np.stack([np.zeros(20, dtype=np.bool_), scores[:, 1] > 0.8], axis=1)
    tuned = tune_thresholds(scores, targets)
    assert tuned[0] == 0.5
    assert tuned[1] == pytest.approx(0.8, abs=0.1)


def test_without_texts_thresholds_are_one_half() -> None:
    assert tune_thresholds(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.bool_)).tolist() == [0.5, 0.5]


def test_tuning_changes_neither_scores_nor_targets() -> None:
    rng = np.random.default_rng(1)
    scores, targets = rng.random((10, 2)), rng.random((10, 2)) < 0.5
    before = scores.copy(), targets.copy()
    tune_thresholds(scores, targets)
    assert (scores == before[0]).all()
    assert (targets == before[1]).all()


def test_a_score_at_its_threshold_is_answered() -> None:
    answers = over_thresholds(np.array([[0.5, 0.2], [0.49, 0.9]]), np.array([0.5, 0.3]))
    assert answers.tolist() == [[True, False], [False, True]]


def test_the_best_label_is_exactly_one_and_the_first_of_equals() -> None:
    answers = best_label(np.array([[0.1, 0.7, 0.2], [0.4, 0.2, 0.4]]))
    assert answers.tolist() == [[False, True, False], [True, False, False]]
