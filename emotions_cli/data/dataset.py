"""Labelled texts in splits."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from emotions_cli.errors import DataError, nearest
from emotions_cli.labels import LabelSet, Task

TRAIN, VALIDATION, TEST, ALL = "train", "validation", "test", "all"


@runtime_checkable
class Takes(Protocol):
    """A sequence of texts that knows how to pick some without reading the others."""

    def take(self, indices: NDArray[np.int64]) -> Sequence[str]:
        """Return the texts at ``indices``, in that order."""


class Coder:
    """Numbers what it is shown, in the order it comes: millions of rows have few different sets of labels."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}
        self._codes = array("i")

    def add(self, labels: tuple[str, ...]) -> None:
        """Take the labels of the next row."""
        self._codes.append(self._numbers.setdefault(labels, len(self._numbers)))

    def labelled(self, texts: Sequence[str]) -> LabelledTexts:
        """Put texts and their labels together."""
        return LabelledTexts(texts, tuple(self._numbers), np.array(self._codes, dtype=np.int32))


@dataclass(frozen=True)
class LabelledTexts:
    """Rows as they were read: texts with the names of their labels (exactly one in single-label data).

    Attributes:
        texts: n texts.
        label_sets: The different labels, or sets of labels, that rows have.
        codes: Which of these a text has (n,).
    """

    texts: Sequence[str]
    label_sets: tuple[tuple[str, ...], ...]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, tuple[str, ...]]]) -> LabelledTexts:
        """Take rows one by one: a text and its labels."""
        texts, coder = [], Coder()
        for text, labels in rows:
            texts.append(text)
            coder.add(labels)
        return coder.labelled(texts)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def counts(self) -> Mapping[str, int]:
        """Label → rows that have it."""
        rows = np.bincount(self.codes, minlength=len(self.label_sets)).tolist()
        found: dict[str, int] = {}
        for labels, count in zip(self.label_sets, rows, strict=True):
            for label in labels if count else ():
                found[label] = found.get(label, 0) + count
        return found

    def relabelled(self, label_sets: Sequence[tuple[str, ...]]) -> LabelledTexts:
        """Give other names to each of :attr:`label_sets`; rows that are left with none are left out."""
        kept = np.flatnonzero(np.array([len(labels) > 0 for labels in label_sets], dtype=np.bool_)[self.codes])
        texts = self.texts if len(kept) == len(self) else taken(self.texts, kept)
        return LabelledTexts(texts, tuple(label_sets), self.codes[kept])


def taken(texts: Sequence[str], indices: NDArray[np.int64]) -> Sequence[str]:
    """Return the texts at ``indices``, in that order."""
    return texts.take(indices) if isinstance(texts, Takes) else [texts[i] for i in indices]


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
        return Examples(taken(self.texts, indices), self.targets[indices])


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
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()

        def add(strings: Iterable[str]) -> None:
            for string in strings:
                content = string.encode("utf-8", "surrogatepass")
                # with its length in front no string can pass for a part of its neighbour
                digest.update(len(content).to_bytes(8, "little") + content)

        add([self.task, str(len(self.labels)), *self.labels])
        for name, examples in sorted(self.splits.items()):
            add([name, str(len(examples))])
            add(examples.texts)
            digest.update(np.packbits(examples.targets).tobytes())
        return f"sha256:{digest.hexdigest()}"


def to_examples(rows: LabelledTexts, labels: LabelSet) -> Examples:
    """Turn rows into examples; every label must be in the set."""
    ids = labels.ids()
    # one row of targets for every set of labels, those that no row has left empty
    table = np.zeros((len(rows.label_sets), len(labels)), dtype=np.bool_)
    for code in np.unique(rows.codes):
        for label in rows.label_sets[code]:
            table[code, ids[label]] = True
    return Examples(rows.texts, table[rows.codes])


def hold_out(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Split examples in two, each label in the same proportion, reproducibly.

    Multi-label rows are grouped by the rarest of their labels. A group of two rows or more gives at least one to each side.

    Returns:
        What stays, and the ``fraction`` held out; both in their original order.
    """
    group = np.full(len(examples), -1, dtype=np.int64)
    # frequent labels first, so that rarer ones overwrite them, and of equally rare ones the first
    labels = np.arange(len(examples.support))
    for label in np.lexsort((-labels, -examples.support)):
        group[examples.targets[:, label]] = label
    rng = np.random.default_rng(seed)
    held = np.zeros(len(examples), dtype=np.bool_)
    for label in np.unique(group):
        members = rng.permutation(np.flatnonzero(group == label))
        count = round(len(members) * fraction)
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        held[members[:count]] = True
    return examples.take(np.flatnonzero(~held)), examples.take(np.flatnonzero(held))
