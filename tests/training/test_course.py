"""What happens between two steps: evaluations, checkpoints, an early end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from emotions_cli.errors import TrainingStopped
from emotions_cli.labels import Task
from emotions_cli.metrics.judgement import Judgement, judge
from emotions_cli.training.build import load_weights, save_weights
from emotions_cli.training.course import Wish, run_course
from emotions_cli.training.events import Evaluated, Step
from emotions_cli.training.progress import Progress
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
    model = torch.nn.Linear(1, 1, bias=False)
    progress = Progress(Selection("macro_f1"))
    script = iter(sequence)

    def save() -> None:
        save_weights(model, tmp_path / f"{progress.step}.safetensors")

    events = list(
        run_course(
            _steps(model, len(sequence)), progress, evaluate=lambda: _judgement(next(script)), due=lambda _: True, save=save
        )
    )
    assert progress.selection.best_step == best_step
    load_weights(model, tmp_path / f"{best_step}.safetensors")
    assert model.weight.item() == best_step
    assert [event.improved for event in events if isinstance(event, Evaluated)].count(True) >= 1
    assert len(events) == 2 * len(sequence)


def test_patience_stops_the_run_and_the_loop() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    script = iter([0.5, 0.9, 0.8, 0.7, 1.0])
    progress = Progress(Selection("macro_f1", patience=2))
    events = list(
        run_course(_steps(model, 5), progress, evaluate=lambda: _judgement(next(script)), due=lambda _: True, save=lambda: None)
    )
    assert [event.value for event in events if isinstance(event, Evaluated)] == [0.5, 0.9, 0.8, 0.7]
    assert model.weight.item() == 4.0
    assert progress.selection.best == 0.9


def test_the_running_loss_is_that_since_the_last_evaluation() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    steps = (Step(n, 0, False, float(n), 1.0, 1e-3, 4, 0.01) for n, _ in enumerate(_steps(model, 4), start=1))
    progress = Progress(Selection("macro_f1"))
    events = run_course(steps, progress, evaluate=lambda: _judgement(0.5), due=lambda step: step % 2 == 0, save=lambda: None)
    assert [event.training_loss for event in events if isinstance(event, Evaluated)] == [1.5, 3.5]


def test_a_checkpoint_comes_with_each_evaluation_and_each_wish() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    progress, saved = Progress(Selection("macro_f1")), []
    list(
        run_course(
            _steps(model, 7),
            progress,
            evaluate=lambda: _judgement(0.5),
            due=lambda step: step % 3 == 0,
            save=lambda: saved.append((progress.step, progress.evaluated)),
            wish=lambda step: Wish(save=step in {2, 3, 7}),
        )
    )
    assert saved == [(2, 0), (3, 3), (6, 6), (7, 6)]


def test_a_stop_saves_first_and_leaves_the_evaluation_for_later() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    progress, saved = Progress(Selection("macro_f1")), []

    def course(steps: Iterator[Step], wish: Wish) -> Iterator[Step | Evaluated]:
        return run_course(
            steps,
            progress,
            evaluate=lambda: _judgement(0.5),
            due=lambda step: step % 3 == 0,
            save=lambda: saved.append(progress.step),
            wish=lambda step: wish if step == 3 else Wish(),
        )

    with pytest.raises(TrainingStopped):
        list(course(_steps(model, 7), Wish(stop=True)))
    assert (saved, progress.evaluated) == ([3], 0)
    again = Progress.from_json(progress.to_json())
    assert again == progress
    first, *_ = course(iter(()), Wish())
    assert isinstance(first, Evaluated)
    assert (first.step, progress.evaluated) == (3, 3)
