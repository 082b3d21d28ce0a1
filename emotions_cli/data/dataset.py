"""Labelled texts in splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotions_cli.errors import DataError, nearest
from emotions_cli.labels import LabelSet, Task

TRAIN, VALIDATION, TEST, ALL = "train", "validation", "test", "all"


@dataclass(frozen=True)
class LabelledText:
    """One row as it was read: a text and the names of its labels (exactly one in single-label data)."""

    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Examples:
    """Texts with their targets.

    Attributes:
        texts: n texts.
        targets: Whether a text has a label: bool (n, labels). A single-label row has exactly one ``True``.
    """

    texts: Sequence[str]
    targets: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def label_ids(self) -> NDArray[np.int64]:
        """The label id of each text (n,), for single-label data."""
        return np.asarray(self.targets.argmax(axis=1), dtype=np.int64)

    @property
    def support(self) -> NDArray[np.int64]:
        """How many texts have each label (labels,)."""
        return np.asarray(self.targets.sum(axis=0), dtype=np.int64)

    def take(self, indices: NDArray[np.int64]) -> Examples:
        """Return the rows at ``indices``, in that order."""
        return Examples([self.texts[i] for i in indices], self.targets[indices])


@dataclass(frozen=True)
class Dataset:
    """Splits that share labels and a task.

    Attributes:
        reference: What the user asked for.
        labels: All labels, in order.
        task: Single-label or multi-label.
        splits: Split name → examples; a single file is one split named ``all``.
        notes: What was guessed, mapped or dropped on the way, a sentence each, to be told to the user.
    """

    reference: str
    labels: LabelSet
    task: Task
    splits: Mapping[str, Examples]
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> Examples:
        """Return a split by name.

        Raises:
            DataError: The data has no such split.
        """
        if name not in self.splits:
            raise DataError(
                f"'{self.reference}' has no split '{name}' (it has: {', '.join(self.splits)}).{nearest(name, self.splits)}",
                "Name one of these with --split.",
            )
        return self.splits[name]

    def fingerprint(self) -> str:
        """Return ``sha256:…`` over task, labels and all rows: equal exactly when the data is."""
        digest = hashlib.sha256()

        def add(*strings: str) -> None:
            for string in strings:
                content = string.encode("utf-8", "surrogatepass")
                # with its length in front no string can pass for a part of its neighbour
                digest.update(len(content).to_bytes(8, "little") + content)

        add(self.task, str(len(self.labels)), *self.labels)
        for name, examples in sorted(self.splits.items()):
            add(name, str(len(examples)), *examples.texts)
            digest.update(np.packbits(examples.targets).tobytes())
        return f"sha256:{digest.hexdigest()}"


def to_examples(rows: Iterable[LabelledText], labels: LabelSet) -> Examples:
    """Turn rows into examples; every label must be in the set."""
    rows = list(rows)
    ids = labels.ids()
    targets = np.zeros((len(rows), len(labels)), dtype=np.bool_)
    for i, row in enumerate(rows):
        for label in row.labels:
            targets[i, ids[label]] = True
    return Examples([row.text for row in rows], targets)


def hold_out(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Split examples in two, each label in the same proportion, reproducibly.

    Multi-label rows are grouped by the rarest of their labels. A group of two rows or more gives at least one to each side.

    Returns:
        What stays, and the ``fraction`` held out; both in their original order.
    """
    support = examples.support
    group = np.where(examples.targets, support, np.iinfo(np.int64).max).argmin(axis=1)
    group[~examples.targets.any(axis=1)] = -1
    rng = np.random.default_rng(seed)
    held = np.zeros(len(examples), dtype=np.bool_)
    for label in np.unique(group):
        members = rng.permutation(np.flatnonzero(group == label))
        count = round(len(members) * fraction)
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        held[members[:count]] = True
    return examples.take(np.flatnonzero(~held)), examples.take(np.flatnonzero(held))
