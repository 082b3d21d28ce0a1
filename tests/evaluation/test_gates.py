"""A gate is a metric and the value it must reach."""

from __future__ import annotations

import pytest

from emotions_cli.errors import EXIT_USAGE, UsageError
from emotions_cli.evaluation import Gate


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("macro_f1=0.85", Gate("macro_f1", 0.85)),
        ("nll=1", Gate("nll", 1.0)),
        (" accuracy = 0.9 ", Gate("accuracy", 0.9)),
        ("ece=5e-2", Gate("ece", 0.05)),
    ],
)
def test_a_gate_is_read(text: str, gate: Gate) -> None:
    assert Gate.parse(text) == gate


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("macrof1=0.8", "Did you mean 'macro_f1'?"),
        ("f1", "'f1' is no metric"),
        ("", "'' is no metric"),
        ("=0.8", "'' is no metric"),
        ("macro_f1", "no number"),
        ("macro_f1=", "no number"),
        ("macro_f1=high", "no number"),
        ("macro_f1=0.8=0.9", "no number"),
        ("macro_f1>0.8", "is no metric"),
        ("macro_f1=nan", "no number"),
    ],
)
def test_what_is_no_gate_is_a_usage_error(text: str, part: str) -> None:
    with pytest.raises(UsageError) as raised:
        Gate.parse(text)
    assert part in raised.value.message
    assert "macro_f1=0.85" in raised.value.hint
    assert raised.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "weighted_f1", "micro_f1"])
def test_a_score_must_be_at_least_its_limit(metric: str) -> None:
    gate = Gate(metric, 0.8)
    assert [gate.passes({metric: value}) for value in (0.79, 0.8, 0.81)] == [False, True, True]


@pytest.mark.parametrize("metric", ["nll", "ece"])
def test_a_loss_must_be_at_most_its_limit(metric: str) -> None:
    gate = Gate(metric, 0.1)
    assert [gate.passes({metric: value}) for value in (0.09, 0.1, 0.11)] == [True, True, False]


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_what_is_undefined_passes_no_gate(metric: str) -> None:
    assert not Gate(metric, 0.5).passes({metric: float("nan")})
