"""What a user sees while a sweep runs: a live line on a terminal, a line a trial and one now and then elsewhere."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from emotions_cli.cli._progress import SECONDS_BETWEEN_LINES
from emotions_cli.cli._stopping import Stop
from emotions_cli.sweep import (
    Concluding,
    Opened,
    State,
    SweepEvent,
    SweepFinished,
    SweepJob,
    SweepNote,
    Trained,
    TrialBegan,
    TrialEnded,
    TrialRecord,
    sweep,
)
from emotions_cli.sweep.report import duration
from emotions_cli.sweep.space import shown
from emotions_cli.training import Evaluated, Note, Resumed, Started, Step


class SweepDisplay:
    """Draws the events of a sweep.

    Args:
        console: Where to; a terminal gets a live bar, anything else plain lines.
        metric: What the trials are judged by.
        trials: How many there are to be.
    """

    def __init__(self, console: Console, metric: str, trials: int) -> None:
        self._console = console
        self._metric = metric
        self._trials = trials
        self._progress = Progress(
            TextColumn("{task.fields[trial]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("sweep", total=None, trial="", state="", visible=False)
        self._best: TrialRecord | None = None
        self._steps = 0
        self._seen: set[str] = set()
        self._value: float | None = None
        self._spoke = time.monotonic()

    def __enter__(self) -> SweepDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: SweepEvent) -> None:
        """Draw an event."""
        match event:
            case SweepNote(text):
                self._note(text)
            case Opened():
                done = f", {event.ended:,} of them done" if event.ended else ""
                self._print(f"study {event.study} in {event.storage}: {event.trials:,} trials{done}")
            case TrialBegan():
                self._began(event)
            case Trained():
                self._trained(event)
            case TrialEnded():
                self._ended(event)
            case Concluding():
                self._print(f"writing the model of trial {event.number:04}")
                self._progress.update(self._task, total=None, trial="", state="writing the model")
            case SweepFinished():
                self._progress.update(self._task, visible=False)

    def _began(self, event: TrialBegan) -> None:
        params = ", ".join(f"{key} {shown(value)}" for key, value in event.params.items())
        goes_on = " goes on" if event.resumed else ""
        self._value = None
        self._print(f"trial {event.number:04}{goes_on} ({event.ended + 1:,} of {self._trials:,}): {params}")
        self._progress.update(
            self._task, total=None, completed=0, visible=True, trial=f"trial {event.number:04}", state=f"building{self._so_far()}"
        )

    def _trained(self, trained: Trained) -> None:
        match trained.event:
            case Note(text):
                self._note(text)
            case Started():
                self._started(trained.event)
            case Resumed(step=step, best=best):
                self._value = best
                self._progress.update(self._task, completed=step)
            case Step(number=number, epoch=epoch):
                self._progress.update(
                    self._task, completed=number, state=f"epoch {epoch + 1}, step {number:,} of {self._steps:,}{self._now()}"
                )
                if not self._console.is_terminal and time.monotonic() - self._spoke >= SECONDS_BETWEEN_LINES:
                    self._print(f"  epoch {epoch + 1}, step {number:,} of {self._steps:,}{self._now()}")
            case Evaluated(value=value):
                self._value = value
            case _:
                pass

    def _started(self, event: Started) -> None:
        self._steps = event.steps
        self._progress.update(self._task, total=event.steps)
        self._once(
            f"{event.training_texts:,} training and {event.validation_texts:,} validation texts, "
            f"{event.parameters / 1e6:.1f} M parameters, {event.device}, {event.precision}"
        )

    def _ended(self, event: TrialEnded) -> None:
        trial, self._best = event.trial, event.best
        value = "never judged" if trial.value is None else f"{self._metric} {trial.value:.4f}"
        how = f", {trial.state}" if trial.state is not State.COMPLETE else ""
        note = f": {trial.note}" if trial.note else ""
        mark = ", best so far" if self._best is not None and self._best.number == trial.number else ""
        self._print(f"trial {trial.name}: {value}{how}{note}{mark}, {duration(trial.seconds)}")
        self._progress.update(self._task, visible=False)

    def _now(self) -> str:
        return ("" if self._value is None else f", {self._metric} {self._value:.4f}") + self._so_far()

    def _so_far(self) -> str:
        return (
            "" if self._best is None or self._best.value is None else f" (best {self._best.value:.4f}, trial {self._best.name})"
        )

    def _note(self, text: str) -> None:
        self._once(f"note: {text}")

    def _once(self, line: str) -> None:
        # most trials have the same to say
        if line not in self._seen:
            self._seen.add(line)
            self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(escape(line), soft_wrap=True)
        self._spoke = time.monotonic()


def show_sweep(job: SweepJob, console: Console, stop: Stop) -> SweepFinished | None:
    """Run a sweep, drawing its progress on the console, and return its end.

    While a model is built and while the best one's bundle is written a signal ends what is being done at once; else the running
    trial is saved first.

    Raises:
        TrainingStopped: A signal came.
    """
    with (
        SweepDisplay(console, job.settings.training.metric, job.plan.trials) as display,
        closing(sweep(replace(job, stop=stop.asked))) as events,
    ):
        concluding = False
        for event in events:
            began = isinstance(event, Trained) and isinstance(event.event, Started)
            concluding |= isinstance(event, Concluding)
            if isinstance(event, TrialBegan | Concluding):
                stop.at_once = True
                stop.end_if_asked()
            elif (began or isinstance(event, Opened | TrialEnded)) and not concluding:
                stop.at_once = False
            display.show(event)
            if isinstance(event, SweepFinished):
                return event
    return None
