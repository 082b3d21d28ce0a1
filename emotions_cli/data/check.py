"""What is wrong with a data set, before a model learns it."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emotions_cli.data.dataset import ALL, TRAIN, Dataset
from emotions_cli.data.summary import lengths_of
from emotions_cli.encoding import Encoder

# Two texts whose sets of words overlap this much (intersection over union) are the same text for a model.
NEAR_DUPLICATE = 0.8
# Shorter texts share all their words by chance.
NEAR_DUPLICATE_WORDS = 4
# With fewer training texts a label is hardly learned.
RARE_LABEL = 20
EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: ``empty``, ``duplicate``, ``conflict``, ``leak``, ``near-duplicate``, ``rare-label`` or ``too-long``.
        split: Where; two names joined by `` / `` when between splits.
        count: How many texts (or labels) it concerns.
        message: What it is, in words that follow the count.
        examples: A few of them.
    """

    kind: str
    split: str
    count: int
    message: str
    examples: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def check_dataset(dataset: Dataset, encoder: Encoder | None) -> list[Finding]:
    """Find empty, duplicated, contradictory, leaked and overlong texts, and labels with too few.

    Texts are compared without case and extra spaces.

    Args:
        dataset: The data.
        encoder: Its limit decides what is too long; without it lengths are not checked.
    """
    keys = {split: [_key(text) for text in part.texts] for split, part in dataset.splits.items()}
    findings: list[Finding] = []
    for split in dataset.splits:
        findings += _within(dataset, split, keys[split], encoder)
    findings += _between(dataset, keys)
    return findings


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _finding(kind: str, split: str, hits: Sequence[str], message: str) -> Iterator[Finding]:
    if hits:
        yield Finding(kind, split, len(hits), message, tuple(hits[:EXAMPLES]))


def _within(dataset: Dataset, split: str, keys: list[str], encoder: Encoder | None) -> Iterator[Finding]:
    part = dataset.split(split)
    names = dataset.labels.names
    yield from _finding("empty", split, [f"row {i + 1}" for i, key in enumerate(keys) if not key], "empty texts")

    rows_of: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        rows_of[key].append(i)
    answers = {key: {part.targets[i].tobytes() for i in rows} for key, rows in rows_of.items() if key and len(rows) > 1}
    repeated = [key for key, said in answers.items() if len(said) == 1]
    yield from _finding("duplicate", split, repeated, "texts that stand more than once, with the same label")
    conflicts = []
    for key in (key for key, said in answers.items() if len(said) > 1):
        rows = (part.targets[i] for i in rows_of[key])
        said = dict.fromkeys("+".join(name for name, on in zip(names, row, strict=True) if on) or "none" for row in rows)
        conflicts.append(f"{key} ({', '.join(said)})")
    yield from _finding("conflict", split, conflicts, "texts that stand more than once, with different labels")

    if split in {TRAIN, ALL}:
        rare = [f"{name}: {n}" for name, n in zip(names, part.support.tolist(), strict=True) if n < RARE_LABEL]
        yield from _finding("rare-label", split, rare, f"labels with fewer than {RARE_LABEL} texts")
    if encoder is not None:
        lengths = lengths_of(part, encoder)
        long = [f"row {i + 1}: {n} tokens" for i, n in enumerate(lengths) if n > encoder.max_length]
        message = f"texts of more than {encoder.max_length} tokens, whose ends would be cut"
        yield from _finding("too-long", split, long, message)


def _between(dataset: Dataset, keys: dict[str, list[str]]) -> Iterator[Finding]:
    splits = list(dataset.splits)
    for i, first in enumerate(splits):
        known = dict(zip(keys[first], map(bytes, dataset.split(first).targets), strict=True))
        index = _SimilarTexts(keys[first])
        for second in splits[i + 1 :]:
            place = f"{first} / {second}"
            shared = {
                key: "" if known[key] == bytes(row) else " (with another label)"
                for key, row in zip(keys[second], dataset.split(second).targets, strict=True)
                if key and key in known
            }
            yield from _finding("leak", place, [key + note for key, note in shared.items()], "texts that stand in both splits")
            near = [
                f"{key} ~ {match}"
                for key in dict.fromkeys(keys[second])
                if key not in known and (match := index.similar(key)) is not None
            ]
            yield from _finding(
                "near-duplicate",
                place,
                near,
                f"texts that share {NEAR_DUPLICATE:.0%} of their words with one of the other split",
            )


class _SimilarTexts:
    """Finds a text whose word set has at least the Jaccard similarity :data:`NEAR_DUPLICATE` with a given one.

    Prefix filter of Chaudhuri et al., "A Primitive Operator for Similarity Joins in Data Cleaning", ICDE 2006: with words in
    a fixed order, rare ones first, two similar sets share a word among the first few of each.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(dict.fromkeys(texts))
        self._words = [frozenset(re.findall(r"\w+", text)) for text in self._texts]
        self._frequency = Counter(word for words in self._words for word in words)
        self._index: dict[str, list[int]] = defaultdict(list)
        for i, words in enumerate(self._words):
            for word in self._prefix(words):
                self._index[word].append(i)

    def _prefix(self, words: frozenset[str]) -> list[str]:
        ordered = sorted(words, key=lambda word: (self._frequency[word], word))
        return ordered[: len(ordered) - math.ceil(NEAR_DUPLICATE * len(ordered)) + 1]

    def similar(self, text: str) -> str | None:
        words = frozenset(re.findall(r"\w+", text))
        if len(words) < NEAR_DUPLICATE_WORDS:
            return None
        for i in {i for word in self._prefix(words) for i in self._index.get(word, ())}:
            other = self._words[i]
            if len(words & other) >= NEAR_DUPLICATE * len(words | other):
                return self._texts[i]
        return None
