"""Probabilities, their likelihood and their calibration, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from emotions_cli.labels import Task
from emotions_cli.metrics.probabilities import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    sigmoid,
    softmax,
)

SEEDS = range(4)


def draw(logits: np.ndarray, task: Task, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Targets that come true with the probabilities of these logits at this temperature."""
    scores = probabilities(logits, task, temperature)
    if task is Task.MULTI_LABEL:
        return np.asarray(rng.random(scores.shape) < scores)
    ids = (rng.random((len(scores), 1)) < scores.cumsum(axis=1)).argmax(axis=1)
    return np.asarray(ids[:, None] == np.arange(scores.shape[1]))


def test_softmax_by_hand() -> None:
    np.testing.assert_allclose(softmax(np.log(np.array([[1.0, 2.0, 5.0]]))), [[0.125, 0.25, 0.625]])


def test_sigmoid_by_hand() -> None:
    np.testing.assert_allclose(sigmoid(np.log(np.array([1.0, 3.0, 1 / 3]))), [0.5, 0.75, 0.25])


def test_softmax_is_stable_far_out() -> None:
    scores = softmax(np.array([[1000.0, 0.0], [-1000.0, 0.0], [1000.0, 1000.0], [-1000.0, -1000.0]]))
    np.testing.assert_allclose(scores, [[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]])


def test_sigmoid_is_stable_far_out() -> None:
    np.testing.assert_allclose(sigmoid(np.array([[1000.0, -1000.0, 0.0]])), [[1, 0, 0.5]])


def test_softmax_does_not_care_about_a_constant() -> None:
    logits = np.random.default_rng(0).normal(size=(10, 4))
    np.testing.assert_allclose(softmax(logits + 300), softmax(logits))
    np.testing.assert_allclose(softmax(logits).sum(axis=1), 1)


@pytest.mark.parametrize("task", Task)
def test_a_temperature_divides_the_logits(task: Task) -> None:
    logits = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    warm = probabilities(logits, task, 2.0)
    assert warm.dtype == np.float64
    function = softmax if task is Task.SINGLE_LABEL else sigmoid
    np.testing.assert_allclose(warm, function(logits.astype(np.float64) / 2.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_single_label_likelihood_is_the_log_loss_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = softmax(rng.normal(size=(100, 5))), rng.integers(0, 4, 100)
    ours = negative_log_likelihood(scores, truth[:, None] == np.arange(5), Task.SINGLE_LABEL)
    assert ours == pytest.approx(log_loss(truth, scores, labels=range(5)))


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_label_likelihood_is_the_mean_log_loss_of_all_decisions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, targets = sigmoid(rng.normal(size=(100, 5))), rng.random((100, 5)) < 0.3
    targets[:, 2] = False
    ours = negative_log_likelihood(scores, targets, Task.MULTI_LABEL)
    assert ours == pytest.approx(log_loss(targets.ravel(), scores.ravel()))


@pytest.mark.parametrize("task", Task)
def test_the_impossible_has_a_finite_likelihood(task: Task) -> None:
    scores, targets = np.array([[1.0, 0.0]]), np.array([[False, True]])
    value = negative_log_likelihood(scores, targets, task)
    assert np.isfinite(value)
    assert value > 20


@pytest.mark.parametrize("task", Task)
def test_certainty_that_is_right_has_no_loss(task: Task) -> None:
    scores = np.array([[1.0, 0.0]])
    assert negative_log_likelihood(scores, scores.astype(np.bool_), task) == pytest.approx(0.0)


def test_calibration_error_by_hand() -> None:
    # two bins: (0, 0.5] has 0.4 and 0.5 with one right, (0.5, 1] has 0.6, 0.8 and 1.0 with all right
    confidence = np.array([0.4, 0.5, 0.6, 0.8, 1.0])
    correct = np.array([True, False, True, True, True])
    gap = 2 / 5 * abs(0.45 - 0.5) + 3 / 5 * abs(0.8 - 1.0)
    assert expected_calibration_error(confidence, correct, 2) == pytest.approx(gap)
    assert expected_calibration_error(confidence, correct, 1) == pytest.approx(abs(3.3 / 5 - 4 / 5))


def test_perfect_calibration_has_no_error() -> None:
    confidence = np.repeat([0.25, 0.75, 1.0], 4)
    correct = np.array([True, False, False, False, True, True, True, False, True, True, True, True])
    assert expected_calibration_error(confidence, correct, 4) == pytest.approx(0.0)


def test_being_sure_and_wrong_has_an_error_of_one() -> None:
    assert expected_calibration_error(np.ones(3), np.zeros(3, dtype=np.bool_), 15) == pytest.approx(1.0)


def test_the_ends_fall_into_the_outer_bins() -> None:
    confidence, correct = np.array([0.0, 1.0]), np.array([False, True])
    assert expected_calibration_error(confidence, correct, 15) == pytest.approx(0.0)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(task: Task, temperature: float) -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(scale=3.0, size=(6000, 4))
    targets = draw(logits, task, temperature, rng)
    assert fit_temperature(logits, targets, task) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("temperature", [0.3, 1.7])
def test_no_other_temperature_is_more_likely(task: Task, temperature: float) -> None:
    rng = np.random.default_rng(8)
    logits = rng.normal(scale=3.0, size=(300, 4))
    targets = draw(logits, task, temperature, rng)

    def loss(value: float) -> float:
        return negative_log_likelihood(probabilities(logits, task, value), targets, task)

    fitted = loss(fit_temperature(logits, targets, task))
    assert fitted <= min(loss(float(value)) for value in np.geomspace(0.25, 4.0, 200)) + 1e-9


@pytest.mark.parametrize("task", Task)
def test_a_temperature_stays_within_its_bounds(task: Task) -> None:
    logits = np.random.default_rng(9).normal(size=(50, 3))
    right = logits == logits.max(axis=1, keepdims=True) if task is Task.SINGLE_LABEL else logits > 0
    wrong = logits == logits.min(axis=1, keepdims=True) if task is Task.SINGLE_LABEL else logits < 0
    assert fit_temperature(logits, right, task) == pytest.approx(0.25, rel=1e-3)
    assert fit_temperature(logits, wrong, task) == pytest.approx(4.0, rel=1e-3)
