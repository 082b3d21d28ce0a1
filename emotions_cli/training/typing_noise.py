"""Typing errors for training texts, so that a model learns to read over them.

Slips of the hand as people make them: two letters swapped, one left out, doubled, or hit beside the key; an apostrophe or the
punctuation not typed. One in six words or so of a chosen text has one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
BESIDE = {
    letter: "".join(row[max(0, i - 1) : i] + row[i + 1 : i + 2] for row in ROWS for i in [row.find(letter)] if i >= 0)
    for letter in "".join(ROWS)
}
ERRORS_A_WORD = 1 / 6
SHORTEST_WORD = 3
UNPUNCTUATED = 0.5
# how a text may end that was no question, and how often
ENDINGS = {"": 0.2, ".": 0.25, "!": 0.35, "!!": 0.1, "...": 0.1}
PLAIN_END = re.compile(r"(?<=[\w)\"'\u2019\u201d])[.!\u2026]*\s*\Z")


def with_typing_errors(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """Return the texts, some of them with typing errors.

    Args:
        texts: Any texts.
        share: Which part of them gets errors (0 to 1).
        rng: Decides which, and where.
    """
    chosen = rng.random(len(texts)) < share
    return [mistyped(text, rng) if hit else text for text, hit in zip(texts, chosen, strict=True)]


def with_other_endings(texts: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """Return the texts, some of them ending with another mark, so that a model does not take an exclamation mark for a feeling.

    Texts that end with a question mark stay as they are: without it they would be other ones.

    Args:
        texts: Any texts.
        share: Which part of them gets another ending (0 to 1).
        rng: Decides which, and what.
    """
    chosen = rng.random(len(texts)) < share
    endings = rng.choice(list(ENDINGS), size=len(texts), p=list(ENDINGS.values()))
    return [
        PLAIN_END.sub(ending, text, count=1) if hit else text for text, ending, hit in zip(texts, endings, chosen, strict=True)
    ]


def mistyped(text: str, rng: np.random.Generator) -> str:
    """Return a text with a few typing errors."""
    words = text.split(" ")
    for i, word in enumerate(words):
        if len(word) >= SHORTEST_WORD and word.isascii() and rng.random() < ERRORS_A_WORD:
            words[i] = _slip(word, rng)
    result = " ".join(words)
    if rng.random() < UNPUNCTUATED:
        result = result.replace("'", "").replace(",", "").rstrip(".")
    # nothing but punctuation: better as it was
    return result if result.strip() else text


def _slip(word: str, rng: np.random.Generator) -> str:
    place = int(rng.integers(0, len(word) - 1))
    letter = word[place]
    kind = rng.integers(0, 4)
    if kind == 0:
        return word[:place] + word[place + 1] + letter + word[place + 2 :]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[:place] + letter * 2 + word[place + 1 :]
    near = BESIDE.get(letter.lower(), letter)
    return word[:place] + near[int(rng.integers(0, len(near)))] + word[place + 1 :]
