"""The best evaluation is the best, not the last."""

from __future__ import annotations

from emotions_cli.training.selection import Selection


def test_a_loss_is_better_when_it_is_lower() -> None:
    selection = Selection("nll")
    assert [selection.observe(value, step) for step, value in enumerate([0.7, 0.9, 0.3], start=1)] == [True, False, True]
    assert (selection.best, selection.best_step) == (0.3, 3)


def test_without_patience_it_never_stops() -> None:
    selection = Selection("accuracy")
    for step in range(100):
        selection.observe(0.0, step)
    assert not selection.exhausted
