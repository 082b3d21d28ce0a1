"""Texts to token ids and back into rectangles: the one place that knows padding and what happens to long texts.

Training and inference both go through here, so that a model is run on exactly what it was trained on. A text that is longer
than the model reads keeps its head, and how many tokens were cut is always known; or it becomes several windows.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from emotions_cli.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "config.json"

ENCODED_AT_ONCE = 10_000

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TokenIds:
    """One text's token ids, special tokens included, and the number of tokens that did not fit."""

    ids: tuple[int, ...]
    cut: int

    def __len__(self) -> int:
        return len(self.ids)


class TokenTable(Sequence[TokenIds]):
    """The token ids of many texts in three arrays: millions of small objects would take ten times the memory.

    Args:
        ids: Of all texts, one behind the other.
        ends: Where in ``ids`` each text ends (n,).
        cut: How many tokens of each text did not fit (n,).
        release: Called when a part was looked at: lets go of memory that files are mapped into.
    """

    def __init__(
        self,
        ids: NDArray[np.uint32],
        ends: NDArray[np.int64],
        cut: NDArray[np.int32],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.ids, self.ends, self.cut, self.release = ids, ends, cut, release

    @classmethod
    def of(cls, tokens: Iterable[TokenIds]) -> TokenTable:
        """Put texts together."""
        ids, lengths, cut = array("I"), array("i"), array("i")
        for text in tokens:
            ids.extend(text.ids)
            lengths.append(len(text))
            cut.append(text.cut)
        return cls(np.array(ids, dtype=np.uint32), np.cumsum(lengths, dtype=np.int64), np.array(cut, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> IntArray:
        """Tokens of each text (n,)."""
        return np.diff(self.ends, prepend=0)

    @overload
    def __getitem__(self, index: int) -> TokenIds: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenIds]: ...
    def __getitem__(self, index: int | slice) -> TokenIds | list[TokenIds]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        begin = self.ends[index - 1] if index else 0
        return TokenIds(tuple(self.ids[begin : self.ends[index]].tolist()), int(self.cut[index]))


class Encoder:
    """A tokenizer with its padding and its longest input.

    Args:
        tokenizer: Any fast tokenizer; its own padding and truncation are switched off.
        pad_id: Id of the padding token.
        max_length: Longest input in tokens, special tokens included.
    """

    def __init__(self, tokenizer: Tokenizer, *, pad_id: int, max_length: int) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        self._tokenizer = tokenizer
        self.pad_id = pad_id
        self.max_length = max_length

    @classmethod
    def from_folder(cls, folder: Path, *, max_length: int) -> Encoder:
        """Read ``tokenizer.json`` and the padding id from a Hugging Face model folder.

        Raises:
            ModelError: The folder has no fast tokenizer, or no padding token.
        """
        from tokenizers import Tokenizer

        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise ModelError(f"'{folder}' has no {TOKENIZER_FILE}.", "Only models with a fast tokenizer can be used.")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust side raises bare Exceptions
            raise ModelError(f"'{path}' can't be read: {error}", "Fetch or train the model again.") from error
        pad_id = _config(folder / CONFIG_FILE).get("pad_token_id")
        if pad_id is None and tokenizer.padding:
            pad_id = tokenizer.padding["pad_id"]
        if pad_id is None:
            raise ModelError(f"The tokenizer of '{folder}' has no padding token.", "Choose an encoder model such as MiniLM.")
        return cls(tokenizer, pad_id=pad_id, max_length=max_length)

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Tokenise texts, in order; of a long one the head."""
        return list(self.encoded(texts))

    def encoded(self, texts: Sequence[str]) -> Iterator[TokenIds]:
        """Tokenise texts one after the other, as :meth:`encode` does."""
        # in parts: a signal waits until the tokenizer returns
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            for encoding in self._tokenizer.encode_batch([_valid(text) for text in texts[start : start + ENCODED_AT_ONCE]]):
                cut = sum(len(part.ids) - sum(part.special_tokens_mask) for part in encoding.overflowing)
                yield TokenIds(tuple(encoding.ids), cut)

    def encode_windows(self, texts: Sequence[str]) -> list[list[TokenIds]]:
        """Tokenise texts, in order; a long one into pieces of the longest input, a quarter of each shared with the next."""
        self._tokenizer.enable_truncation(self.max_length, stride=self.max_length // 4)
        try:
            encodings = self._tokenizer.encode_batch([_valid(text) for text in texts])
        finally:
            self._tokenizer.enable_truncation(self.max_length)
        return [[TokenIds(tuple(part.ids), 0) for part in (encoding, *encoding.overflowing)] for encoding in encodings]

    @property
    def description(self) -> str:
        """What the token ids of a text depend on."""
        return json.dumps([self._tokenizer.to_str(), self.max_length])

    def pad(self, batch: Sequence[TokenIds]) -> dict[str, IntArray]:
        """Make a batch rectangular.

        Returns:
            ``input_ids``, ``attention_mask`` and ``token_type_ids``, each (texts, tokens of the longest text).
        """
        shape = (len(batch), max(len(tokens) for tokens in batch))
        ids = np.full(shape, self.pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens.ids
            mask[row, : len(tokens)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, dtype=np.int64)}


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"'{path}' can't be read: {error}", "Fetch or train the model again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"'{path}' is no model configuration.", "Fetch or train the model again.")
    return config


def _valid(text: str) -> str:
    """Replace half surrogate pairs, which JSON may hold and UTF-8, and so the tokenizer, does not."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def batches_by_tokens(lengths: Sequence[int], batch_tokens: int) -> list[IntArray]:
    """Cut texts into batches of about equal length and about equal work, the longest texts first.

    Args:
        lengths: Tokens of each text.
        batch_tokens: Most tokens a batch, padding included; a longer text is a batch of its own.

    Returns:
        Indices into ``lengths``; together the batches hold each text once.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    batches = []
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


def batches_by_length(lengths: Sequence[int] | IntArray, batch_size: int) -> list[IntArray]:
    """Cut texts into batches of about equal length, the longest first, so that little padding is computed.

    Args:
        lengths: Tokens of each text.
        batch_size: Texts a batch; the last one may have fewer.

    Returns:
        Indices into ``lengths``; together the batches hold each text once.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
