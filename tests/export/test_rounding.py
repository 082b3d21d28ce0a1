"""Weights rounded so that the errors of a column cancel: never worse than each weight by itself."""

from __future__ import annotations

import numpy as np
import pytest

from emotions_cli.export.rounding import LARGEST, Weights, column_scales, round_to_nearest, round_with_feedback


def correlated(rng: np.random.Generator, samples: int, rows: int, sources: int) -> Weights:
    """Inputs of which a few sources explain most, as of real layers, with channels of different size."""
    mixed = rng.normal(size=(samples, sources)) @ rng.normal(size=(sources, rows)) + 0.1 * rng.normal(size=(samples, rows))
    return np.asarray(mixed * np.exp(rng.normal(size=rows)), dtype=np.float32)


def error(inputs: Weights, weights: Weights, rounded: np.ndarray, scales: np.ndarray) -> float:
    return float(((inputs @ (rounded * scales) - inputs @ weights) ** 2).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rows", "columns"), [(24, 7), (128, 32), (200, 16)])
def test_feedback_is_never_worse_on_correlated_inputs(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = correlated(rng, 2_000, rows, max(2, rows // 6))
    weights = rng.normal(size=(rows, columns)).astype(np.float32)
    scales = column_scales(weights)
    nearest, fed_back = round_to_nearest(weights, scales), round_with_feedback(weights, scales, inputs)
    assert error(inputs, weights, fed_back, scales) <= error(inputs, weights, nearest, scales)
    # and with so few sources much better, also on inputs it has not seen
    unseen = correlated(np.random.default_rng(seed), 2_000, rows, max(2, rows // 6))
    assert error(unseen, weights, fed_back, scales) < 0.7 * error(unseen, weights, nearest, scales)


@pytest.mark.parametrize("rows", [1, 3, 130])
def test_integers_stay_within_their_range(rows: int) -> None:
    rng = np.random.default_rng(1)
    weights = (rng.normal(size=(rows, 6)) ** 5).astype(np.float32)
    weights[:, 3] = 0.0
    scales = column_scales(weights)
    for rounded in (round_to_nearest(weights, scales), round_with_feedback(weights, scales, correlated(rng, 300, rows, 2))):
        assert rounded.dtype == np.int8
        assert rounded.shape == weights.shape
        assert np.abs(rounded.astype(int)).max() <= LARGEST
        assert not rounded[:, 3].any()


def test_weights_on_the_grid_stay_as_they_are() -> None:
    rng = np.random.default_rng(2)
    whole = rng.integers(-LARGEST, LARGEST + 1, size=(150, 9))
    whole[0] = LARGEST  # the largest of each column fixes its step
    scales = np.exp(rng.normal(size=9)).astype(np.float32)
    weights = (whole * scales).astype(np.float32)
    np.testing.assert_allclose(column_scales(weights), scales, rtol=1e-6)
    np.testing.assert_array_equal(round_to_nearest(weights, scales), whole)
    np.testing.assert_array_equal(round_with_feedback(weights, scales, correlated(rng, 500, 150, 5)), whole)


def test_the_same_weights_are_rounded_the_same_way_twice() -> None:
    rng = np.random.default_rng(3)
    weights, inputs = rng.normal(size=(140, 8)), correlated(rng, 400, 140, 9)
    scales = column_scales(weights)
    first, second = (round_with_feedback(weights, scales, inputs) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("inputs", [np.zeros((50, 12)), np.eye(12)[:1].repeat(50, 0), np.ones((3, 12))])
def test_inputs_that_say_little_do_no_harm(inputs: Weights) -> None:
    weights = np.random.default_rng(4).normal(size=(12, 5))
    scales = column_scales(weights)
    rounded = round_with_feedback(weights, scales, inputs)
    assert np.abs(rounded.astype(int)).max() <= LARGEST
    assert error(inputs, weights, rounded, scales) <= error(inputs, weights, round_to_nearest(weights, scales), scales) + 1e-12
