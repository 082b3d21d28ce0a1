"""What a classifier can answer: a fixed, ordered set of labels, and whether a text has one of them or several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from emotions_cli.errors import DataError, UsageError, nearest

# The order in which well-known emotions are listed; other labels follow in alphabetical order.
CUSTOMARY_ORDER = ("sadness", "joy", "love", "anger", "fear", "surprise", "neutral")


class Task(StrEnum):
    """How labels and texts go together."""

    SINGLE_LABEL = "single-label"
    MULTI_LABEL = "multi-label"


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of label names; a label's id is its place in it.

    Raises:
        DataError: When a name is empty or stands twice.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if any(not name for name in self.names):
            raise DataError("A label name is empty.", "Name every label, or drop the rows without one.")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(f"Label '{twice[0]}' stands twice in the label set.", "Give every label a name of its own.")

    @classmethod
    def in_customary_order(cls, names: Iterable[str]) -> LabelSet:
        """Build a set from names in any order: well-known emotions first, the others alphabetically."""
        given = set(names)
        known = [name for name in CUSTOMARY_ORDER if name in given]
        return cls((*known, *sorted(given.difference(known))))

    def id_of(self, name: str) -> int:
        """Return the id of a label name; ``KeyError`` when the set lacks it."""
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(name) from None

    def ids(self) -> dict[str, int]:
        """Return name → id for all labels."""
        return {name: i for i, name in enumerate(self.names)}

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names


def check_answers(wanted: Sequence[str], known: Sequence[str], task: Task) -> None:
    """Raise unless a model can be limited to some of its labels.

    Args:
        wanted: The only labels it may answer.
        known: All labels of the model.
        task: Its task.

    Raises:
        UsageError: They are a single string, the model lacks one, or there are too few to choose between.
    """
    listed = ", ".join(known)
    if isinstance(wanted, str):
        raise UsageError(f"The labels are a string, {wanted!r}.", "Give a list of labels.")
    unknown = next((label for label in wanted if label not in known), None)
    if unknown is not None:
        raise UsageError(f"The model has no label '{unknown}'.{nearest(unknown, known)}", f"It has: {listed}.")
    least = 2 if task is Task.SINGLE_LABEL else 1
    if len(set(wanted)) < least:
        raise UsageError(f"There must be at least {least} different labels to answer with.", f"The model has: {listed}.")
