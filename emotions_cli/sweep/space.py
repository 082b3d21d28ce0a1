"""What is searched: the training settings that a trial may choose, and between which values.

::

    training.learning_rate=1e-5..2e-4:log     a range; log: evenly on a logarithmic scale
    training.epochs=2..8:2                    a range in steps
    training.batch_size=16,32,64              some values
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from emotions_cli.errors import UsageError, nearest
from emotions_cli.settings import Settings, TrainingSettings

if TYPE_CHECKING:
    from optuna import Trial

SECTION = "training."
_FORM = "Write training.KEY=LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP, or training.KEY=A,B,C."

# settings of the section that no trial chooses -> why
FIXED: Mapping[str, str] = {
    "runs_dir": "it says where runs lie",
    "precision": "it says how to compute",
    "device": "it says where to train",
    "eval_steps": "it says how often a trial is judged",
    "metric": "it says what a trial is judged by",
    "patience": "it says how long a trial waits",
    "teachers": "it is a list",
    "fast_file": "it changes nothing in what is learnt",
    "seed": "a seed chosen by its result is luck",
}


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        key: The setting, without its section.
        low: An int where the setting is one.
        high: Likewise.
        step: Between the values, from ``low``; ``None`` takes any.
        log: Search evenly on a logarithmic scale.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.low}..{self.high}" + (":log" if self.log else f":{self.step}" if self.step is not None else "")

    def suggest(self, trial: Trial) -> None:
        """Let one of Optuna's trials choose a value."""
        name = SECTION + self.key
        if isinstance(self.low, int):
            trial.suggest_int(name, self.low, int(self.high), step=int(self.step or 1), log=self.log)
        else:
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class Choices:
    """Some values, without an order.

    Attributes:
        key: The setting, without its section.
        values: At least two.
    """

    key: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return ",".join(_written(value) for value in self.values)

    def suggest(self, trial: Trial) -> None:
        """Let one of Optuna's trials choose a value."""
        trial.suggest_categorical(SECTION + self.key, self.values)


Param = Range | Choices
Space = tuple[Param, ...]


def parse_space(texts: Sequence[str]) -> Space:
    """Read what is searched, as the command line gives it.

    Args:
        texts: ``training.KEY=LOW..HIGH[:log|:STEP]`` or ``training.KEY=A,B,C``.

    Raises:
        UsageError: One names no setting that can be searched, or a bound or value that the setting does not take.
    """
    space = tuple(_parse(text) for text in texts)
    keys = [param.key for param in space]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"--param {SECTION}{key} is given twice.", "Give each setting once.")
    return space


def with_params(settings: Settings, params: Mapping[str, Any]) -> Settings:
    """Return settings in which the values of a trial stand, by their keys without the section."""
    training = TrainingSettings.model_validate({**settings.training.model_dump(), **params})
    return settings.model_copy(update={"training": training})


def shown(value: Any) -> str:
    """Return a parameter's value for people: numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else _written(value)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(text: str) -> Param:
    name, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not values:
        raise UsageError(f"--param '{text}' is not of the form training.KEY=VALUES.", _FORM)
    key = name.removeprefix(SECTION)
    searchable = [SECTION + each for each in TrainingSettings.model_fields if each not in FIXED]
    if name.startswith(SECTION) and key in FIXED:
        raise UsageError(f"--param {name} can't be searched: {FIXED[key]}.", f"These can: {', '.join(searchable)}.")
    if name not in searchable:
        raise UsageError(
            f"--param '{name}' is no training setting.{nearest(SECTION + key, searchable)}",
            f"These can be searched: {', '.join(searchable)}.",
        )
    if TrainingSettings.model_fields[key].annotation in {int, float} and ".." in values:
        return _range(key, values)
    found = tuple(_checked(key, value.strip()) for value in values.split(","))
    if len(found) < 2:
        raise UsageError(
            f"--param {name} has one value only.", f"Give it with --set {name}={values}, or several values or a range."
        )
    if len(set(found)) < len(found):
        raise UsageError(f"--param {name} has a value twice: {values}.", "Give each value once.")
    return Choices(key, found)


def _range(key: str, values: str) -> Range:
    bounds, colon, scale = values.partition(":")
    low, high = (_checked(key, bound.strip()) for bound in bounds.split("..", 1))
    name = SECTION + key
    if low >= high:
        raise UsageError(f"--param {name}: {low} is not below {high}.", "Write LOW..HIGH, the smaller one first.")
    log = scale.strip() == "log"
    if log and low <= 0:
        raise UsageError(
            f"--param {name}: a logarithmic scale can't begin at {low}.", "Give a lower bound above 0, or leave out :log."
        )
    if not colon or log:
        return Range(key, low, high, None, log)
    try:
        step: float = type(low)(scale)
    except ValueError:
        raise UsageError(f"--param {name}: '{scale}' is neither log nor a step.", _FORM) from None
    if not 0 < step < float("inf"):
        raise UsageError(f"--param {name}: a step of {scale} does not lead from {low} to {high}.", "Give a step above 0.")
    rest = (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
    if rest:
        reached = Decimal(str(high)) - rest
        raise UsageError(f"--param {name}: steps of {step} from {low} don't meet {high}.", f"Write {low}..{reached}:{step}.")
    return Range(key, low, high, step)


def _checked(key: str, value: str) -> Any:
    """Return a value as the setting holds it, checked by the settings' own rules."""
    try:
        return getattr(TrainingSettings.model_validate({key: value}), key)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ").removeprefix("Input ")
        meaning = TrainingSettings.model_fields[key].description
        raise UsageError(
            f"--param {SECTION}{key}: '{value}' {reason[0].lower()}{reason[1:]}.", f"{SECTION}{key}: {meaning}."
        ) from None
