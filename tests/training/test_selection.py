"""The best evaluation is the best, not the last."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from emotions_cli.labels import Task
from emotions_cli.metrics.judgement import Judgement, judge
from emotions_cli.training.build import load_weights, save_weights
from emotions_cli.training.events import Evaluated, Step
from emotions_cli.training.run import keep_best
from emotions_cli.training.selection import Selection


def _judgement(macro_f1: float) -> Judgement:
    targets = np.eye(2, dtype=bool)
    judged = judge(np.eye(2), targets, ("a", "b"), Task.SINGLE_LABEL)
    judged.overall["macro_f1"] = macro_f1
    return judged


def _steps(model: torch.nn.Linear, count: int) -> Iterator[Step]:
    """A loop whose weights are the number of the step they were made at."""
    for number in range(1, count + 1):
        with torch.no_grad():
            model.weight.fill_(float(number))
        yield Step(number, number - 1, True, 1.0, 1.0, 1e-3, 4, 0.01)


@pytest.mark.parametrize(
    ("sequence", "best_step"),
    [
        ([0.2, 0.8, 0.5, 0.7], 2),
        ([0.2, 0.4, 0.6, 0.8], 4),
        ([0.9, 0.4, 0.9, 0.8], 1),
        ([math.nan, 0.1, 0.05, math.nan], 2),
    ],
)
def test_the_weights_that_are_kept_are_those_of_the_best_evaluation(
    tmp_path: Path, sequence: list[float], best_step: int
) -> None:
    model, path = torch.nn.Linear(1, 1, bias=False), tmp_path / "best.safetensors"
    selection = Selection("macro_f1")
    script = iter(sequence)
    events = list(
        keep_best(
            _steps(model, len(sequence)),
            lambda: _judgement(next(script)),
            selection,
            due=lambda step: step.last_of_epoch,
            save=lambda: save_weights(model, path),
        )
    )
    load_weights(model, path)
    assert model.weight.item() == best_step
    assert selection.best_step == best_step
    assert [event.improved for event in events if isinstance(event, Evaluated)].count(True) >= 1
    assert len(events) == 2 * len(sequence)


def test_patience_stops_the_run_and_the_loop() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    script = iter([0.5, 0.9, 0.8, 0.7, 1.0])
    selection = Selection("macro_f1", patience=2)
    events = list(
        keep_best(
            _steps(model, 5), lambda: _judgement(next(script)), selection, due=lambda step: step.last_of_epoch, save=lambda: None
        )
    )
    assert [event.value for event in events if isinstance(event, Evaluated)] == [0.5, 0.9, 0.8, 0.7]
    assert model.weight.item() == 4.0
    assert selection.best == 0.9


def test_a_loss_is_better_when_it_is_lower() -> None:
    selection = Selection("nll")
    assert [selection.observe(value, step) for step, value in enumerate([0.7, 0.9, 0.3], start=1)] == [True, False, True]
    assert (selection.best, selection.best_step) == (0.3, 3)


def test_without_patience_it_never_stops() -> None:
    selection = Selection("accuracy")
    for step in range(100):
        selection.observe(0.0, step)
    assert not selection.exhausted


def test_the_running_loss_is_that_since_the_last_evaluation() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    steps = (Step(n, 0, False, float(n), 1.0, 1e-3, 4, 0.01) for n, _ in enumerate(_steps(model, 4), start=1))
    events = keep_best(
        steps, lambda: _judgement(0.5), Selection("macro_f1"), due=lambda step: step.number % 2 == 0, save=lambda: None
    )
    assert [event.training_loss for event in events if isinstance(event, Evaluated)] == [1.5, 3.5]
