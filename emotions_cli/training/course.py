"""The course of a run: what happens between two steps. Evaluation, checkpoints, early stopping, an end that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from emotions_cli.errors import TrainingStopped
from emotions_cli.metrics.judgement import Judgement
from emotions_cli.training.events import Evaluated, Step
from emotions_cli.training.progress import Progress


@dataclass(frozen=True)
class Wish:
    """What is asked for after a step: to save, to stop."""

    save: bool = False
    stop: bool = False


def run_course(
    steps: Iterable[Step],
    progress: Progress,
    *,
    evaluate: Callable[[], Judgement],
    due: Callable[[int], bool],
    save: Callable[[], None],
    enough: Callable[[], bool] = lambda: False,
    wish: Callable[[int], Wish] = lambda _: Wish(),
) -> Iterator[Step | Evaluated]:
    """Make the steps, evaluate and save between them, and end when patience runs out or there is enough.

    After each evaluation the run is saved, so that the best weights always lie in a checkpoint. Whoever takes an event has dealt
    with it when the next one is asked for: what is saved then includes it.

    Args:
        steps: The training loop, behind the last step of ``progress``.
        progress: Where the run stands; it moves along.
        evaluate: Judges the weights as they stand.
        due: Whether to evaluate after a step, by its number.
        save: Keeps everything needed to go on from here.
        enough: Asked after every evaluation whether it was the last one.
        wish: Asked after every step for what else is wanted, by its number.

    Raises:
        TrainingStopped: A stop was asked for, after a step or by ``evaluate``; everything is saved.
    """
    selection = progress.selection

    def evaluated() -> Iterator[Evaluated]:
        try:
            judgement = evaluate()
        except TrainingStopped:
            save()
            raise
        value = judgement.overall[selection.metric]
        improved, loss = progress.judged(value)
        yield Evaluated(progress.step, progress.epoch, judgement, value, improved, loss)
        save()

    def over() -> bool:
        return selection.exhausted or enough()

    if progress.step and due(progress.step) and progress.evaluated != progress.step:
        # it was stopped right before
        yield from evaluated()
    if over():
        return
    for step in steps:
        progress.made(step)
        yield step
        wanted = wish(step.number)
        if wanted.stop:
            save()
            raise TrainingStopped
        if due(step.number):
            yield from evaluated()
            if over():
                return
        elif wanted.save:
            save()
