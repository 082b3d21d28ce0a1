"""What a user sees while a model trains: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emotions_cli.cli._stopping import Stop
from emotions_cli.training import Evaluated, Event, Finished, Finishing, Note, Resumed, Started, Step, TrainingJob, train

SECONDS_BETWEEN_LINES = 15.0
# how much the newest step counts in the running means
NEWEST = 0.05


class TrainingDisplay:
    """Draws the events of a run.

    Args:
        console: Where to; a terminal gets a live bar, anything else plain lines.
        metric: Name of the metric that chooses the best weights.
    """

    def __init__(self, console: Console, metric: str) -> None:
        self._console = console
        self._metric = metric
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("train", total=None, epoch=1, state="", visible=False)
        self._total = 0
        self._best: float | None = None
        self._loss: float | None = None
        self._speed: float | None = None
        self._spoke = time.monotonic()

    def __enter__(self) -> TrainingDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Draw an event."""
        match event:
            case Note(text):
                self._print(f"note: {text}")
            case Started():
                self._start(event)
            case Resumed():
                self._resumed(event)
            case Step():
                self._step(event)
            case Evaluated():
                self._evaluated(event)
            case Finishing():
                self._progress.update(self._task, state="writing the model")
            case Finished():
                self._print(f"finished after {event.seconds:,.0f} s: {event.model}")

    def _start(self, event: Started) -> None:
        self._total = event.steps
        self._print(
            f"{event.training_texts:,} training and {event.validation_texts:,} validation texts, "
            f"{event.parameters / 1e6:.1f} M parameters, {event.device}, {event.precision}"
        )
        self._progress.update(self._task, total=event.steps, visible=True)

    def _resumed(self, event: Resumed) -> None:
        self._best = event.best
        best = "" if event.best is None else f", best {self._metric} {event.best:.4f}"
        self._print(f"going on behind step {event.step:,} of {self._total:,}{best}: {event.checkpoint}")
        self._progress.update(self._task, completed=event.step)

    def _step(self, step: Step) -> None:
        self._loss = _mean(self._loss, step.loss)
        self._speed = _mean(self._speed, step.texts / max(step.seconds, 1e-9))
        self._progress.update(self._task, completed=step.number, epoch=step.epoch + 1, state=self._state())
        if not self._console.is_terminal and time.monotonic() - self._spoke >= SECONDS_BETWEEN_LINES:
            self._print(f"epoch {step.epoch + 1}, step {step.number:,} of {self._total:,}: {self._state()}")

    def _evaluated(self, event: Evaluated) -> None:
        if event.improved:
            self._best = event.value
        mark = ", best so far" if event.improved else ""
        accuracy = "" if self._metric == "accuracy" else f", accuracy {event.judgement.overall['accuracy']:.4f}"
        self._print(
            f"epoch {event.epoch + 1}, step {event.step:,} of {self._total:,}: training loss {event.training_loss:.4f}, "
            f"validation {self._metric} {event.value:.4f}{accuracy}{mark}"
        )

    def _state(self) -> str:
        best = "" if self._best is None else f", best {self._metric} {self._best:.4f}"
        return f"loss {self._loss:.4f}, {self._speed:,.0f} examples/s{best}"

    def _print(self, line: str) -> None:
        self._console.print(escape(line), soft_wrap=True)
        self._spoke = time.monotonic()


def _mean(so_far: float | None, newest: float) -> float:
    return newest if so_far is None else so_far + NEWEST * (newest - so_far)


def show_training(job: TrainingJob, console: Console, stop: Stop) -> Finished | None:
    """Run a job, drawing its progress on the console, and return its end, in the process that writes.

    Before the first step and behind the last one a signal ends what is being done at once; between them the job is saved first.

    Raises:
        TrainingStopped: A signal came.
    """
    with (
        TrainingDisplay(console, job.settings.training.metric) as display,
        closing(train(replace(job, stop=stop.asked))) as events,
    ):
        for event in events:
            display.show(event)
            if isinstance(event, Started | Finishing):
                stop.at_once = isinstance(event, Finishing)
                stop.end_if_asked()
            if isinstance(event, Finished):
                return event
    return None
