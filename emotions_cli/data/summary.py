"""What a data set looks like: sizes, label balance, lengths, an example a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotions_cli.data.dataset import Dataset, Examples
from emotions_cli.encoding import Encoder

PERCENTILES = (50, 90, 99, 100)


@dataclass(frozen=True)
class Summary:
    """A data set in numbers.

    Attributes:
        sizes: Split → texts.
        balance: Split → label → texts that have it.
        lengths: Split → percentile → tokens (or words, see ``unit``).
        unit: ``tokens``, or ``words`` where no tokenizer was given.
        examples: Label → a few of its texts.
    """

    sizes: Mapping[str, int]
    balance: Mapping[str, Mapping[str, int]]
    lengths: Mapping[str, Mapping[int, int]]
    unit: str
    examples: Mapping[str, list[str]]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "sizes": dict(self.sizes),
            "balance": {split: dict(counts) for split, counts in self.balance.items()},
            "lengths": {split: {f"p{p}": n for p, n in lengths.items()} for split, lengths in self.lengths.items()},
            "length_unit": self.unit,
            "examples": dict(self.examples),
        }


def summarise(dataset: Dataset, encoder: Encoder | None, *, examples: int = 2) -> Summary:
    """Count and measure a data set.

    Args:
        dataset: The data.
        encoder: Measures lengths in tokens; without it they are in words.
        examples: Texts to show for each label, the first ones of the data.
    """
    return Summary(
        {split: len(part) for split, part in dataset.splits.items()},
        {split: dict(zip(dataset.labels, part.support.tolist(), strict=True)) for split, part in dataset.splits.items()},
        {split: _percentiles(part, encoder) for split, part in dataset.splits.items()},
        "words" if encoder is None else "tokens",
        {label: _first_texts(dataset, i, examples) for i, label in enumerate(dataset.labels)},
    )


def lengths_of(examples: Examples, encoder: Encoder | None) -> list[int]:
    """Return the full length of each text, in tokens or, without an encoder, in words."""
    if encoder is None:
        return [len(text.split()) for text in examples.texts]
    return [len(tokens) + tokens.cut for tokens in encoder.encode(examples.texts)]


def _percentiles(examples: Examples, encoder: Encoder | None) -> dict[int, int]:
    if not len(examples):
        return dict.fromkeys(PERCENTILES, 0)
    values = np.percentile(lengths_of(examples, encoder), PERCENTILES, method="higher")
    return dict(zip(PERCENTILES, map(int, values), strict=True))


def _first_texts(dataset: Dataset, label: int, count: int) -> list[str]:
    found: list[str] = []
    for part in dataset.splits.values():
        found.extend(part.texts[i] for i in np.flatnonzero(part.targets[:, label])[: count - len(found)])
    return found
