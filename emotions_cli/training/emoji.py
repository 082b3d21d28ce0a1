"""Emoji that a base model's tokenizer doesn't know become tokens of their own.

BERT's vocabulary is older than most emoji: "great😊" is one unknown word to it, and the "great" is lost with the smile. An
added token is found anywhere in a text, and starts with the mean of the vectors of its name in Unicode ("smiling face with
smiling eyes"), so that it means something before the first step and also where the training data has it rarely or never.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

# the faces, whether the training texts have them or not
FACES = tuple(map(chr, (*range(0x1F600, 0x1F650), *range(0x1F910, 0x1F930), *range(0x1F970, 0x1F97B))))
SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
# pictures drawn with dots
BRAILLE = frozenset(map(chr, range(0x2800, 0x2900)))


def unknown_emoji(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """Return the emoji of some texts, and the faces, that a tokenizer of ``transformers`` takes for an unknown word."""
    if tokenizer.unk_token is None:
        return []
    found = (character for text in texts if not text.isascii() for character in set(text) if _is_emoji(character))
    symbols = sorted({*FACES, *found})
    return [symbol for symbol in symbols if unicodedata.name(symbol, "") and _is_unknown(tokenizer, symbol)]


def _is_unknown(tokenizer: Any, symbol: str) -> bool:
    return tokenizer.unk_token_id in tokenizer.encode(symbol, add_special_tokens=False)


def _is_emoji(character: str) -> bool:
    if character < "\u2190" or character in BRAILLE:
        return False
    return unicodedata.category(character) == "So" or character in SKIN_TONES


def add_emoji(model: Any, tokenizer: Any, symbols: Sequence[str]) -> None:
    """Give a model and its tokenizer a token for each symbol."""
    import torch
    from tokenizers import AddedToken

    if not symbols:
        return
    names = [tokenizer.encode(unicodedata.name(symbol).lower(), add_special_tokens=False) for symbol in symbols]
    tokenizer.add_tokens([AddedToken(symbol, normalized=False) for symbol in symbols])
    # some tables have more rows than the tokenizer has tokens
    model.resize_token_embeddings(max(len(tokenizer), len(model.get_input_embeddings().weight)), mean_resizing=False)
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        for row, name in zip(tokenizer.convert_tokens_to_ids(list(symbols)), names, strict=True):
            table[row] = table[name].mean(dim=0)
