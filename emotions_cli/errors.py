"""Every error this package raises on purpose, and the exit code each one ends the command with.

::

    EmotionsError                  1   something the user can mend
    ├── UsageError                 2   the command line itself is wrong
    ├── SettingsError              1   a settings file, variable or option
    ├── DependencyMissing          1   an extra is not installed
    ├── DataError                  1   a data reference, file, column or label
    ├── ModelError                 1   a model reference or a bundle
    │   ├── BundleCorrupt          1   a bundle whose files are not those that were saved
    │   └── FastFileRefused        1   a fast file that does not answer as the model does
    ├── TrainingError              1   a run that can't start or go on
    │   ├── LossNotFinite          1   the loss became NaN or infinite
    │   ├── ProcessLost            69  another process of the run has ended
    │   └── TrainingStopped        75  a signal came; the run can be resumed
    ├── AnsweringStopped       75, 130 a signal came; the output can be resumed
    ├── WandbError                 1   Weights & Biases does not answer, or not with what was asked for
    ├── StorageError               1   a file that can't be written (full disk, no permission)
    └── GateFailed                 3   a quality gate said no

Each carries a message (what is wrong) and a hint (what to do); the command prints one line for each. Exceptions of other
libraries are mapped to these where the library is called, chained with ``from``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_GATE = 3
EXIT_LOST = 69
EXIT_STOPPED = 75
EXIT_INTERRUPTED = 130


class EmotionsError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What is wrong, in one line, naming the file, column or value.
        hint: What to do about it, in one line; empty when the message says it all.
    """

    exit_code = EXIT_ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EmotionsError):
    """The command line itself is wrong."""

    exit_code = EXIT_USAGE


class SettingsError(EmotionsError):
    """A settings file, an environment variable or an option has a key or value that does not fit."""


class DependencyMissing(EmotionsError):
    """A part of the tool needs an extra that is not installed."""


class DataError(EmotionsError):
    """A data reference, file, column or label does not fit."""


class ModelError(EmotionsError):
    """A model reference or a bundle does not fit."""


class BundleCorrupt(ModelError):
    """A bundle's files are not the ones that were saved."""


class FastFileRefused(ModelError):
    """A fast file can't be made of this model here, or does not answer as the model does."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The model gets no fast file: {reason}.", "It can be used as it is; --precision fp32 and auto don't need the file."
        )
        self.reason = reason


class TrainingError(EmotionsError):
    """A training run can't start or can't go on."""


class LossNotFinite(TrainingError):
    """The loss, a gradient or an answer became NaN or infinite."""

    def __init__(self, message: str, hint: str = "Try a lower --learning-rate, or --precision fp32.") -> None:
        super().__init__(message, hint)


class ProcessLost(TrainingError):
    """Another process of the run has ended, or can't be reached any more."""

    exit_code = EXIT_LOST


class TrainingStopped(TrainingError):
    """A signal came; the run can be resumed."""

    exit_code = EXIT_STOPPED

    def __init__(self, message: str = "Stopped.", hint: str = "Go on: the same command and --resume.") -> None:
        super().__init__(message, hint)


class AnsweringStopped(EmotionsError):
    """A signal came while rows were answered; the output can be resumed."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


class StorageError(EmotionsError):
    """A file can't be written."""


class WandbError(EmotionsError):
    """Weights & Biases does not answer, refuses, or has no such thing."""


class GateFailed(EmotionsError):
    """A quality gate said no."""

    exit_code = EXIT_GATE


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name most like ``name``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
