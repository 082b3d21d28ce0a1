"""Batches of texts of about equal length, in an order that depends on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, IntArray, TokenTable

if TYPE_CHECKING:
    import torch

# Texts are sorted inside windows of this many batches: nearly no padding, and still another mixture every epoch.
WINDOW_BATCHES = 50


@dataclass(frozen=True)
class Batch:
    """Tensors of one forward pass.

    Attributes:
        inputs: (texts, tokens) by name.
        targets: As float (texts, labels).
        texts: How many texts all processes together have in this batch.
        empty: Whether this process has none of them; one is there all the same, so that all make the same forward passes.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    texts: int
    empty: bool = False


class TrainingBatches:
    """Cuts encoded texts into batches, anew for every epoch.

    Args:
        tokens: Encoded texts.
        targets: What is true, as shares from 0 to 1, or as yes and no (texts, labels).
        encoder: Pads them.
        batch_size: Texts a batch and process; the last one of an epoch may have fewer, none is dropped.
        seed: With the epoch's number it fixes the order.
        varied: Gives the texts of an epoch, encoded, where they are not the same in all.
        rank: The process that these batches are for.
        ranks: How many processes share a batch; each text is read by one of them.
    """

    def __init__(
        self,
        tokens: TokenTable,
        targets: NDArray[np.float32] | NDArray[np.bool_],
        encoder: Encoder,
        *,
        batch_size: int,
        seed: int,
        varied: Callable[[int], TokenTable] | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._tokens = tokens
        self._varied = varied
        self._targets = targets
        self._encoder = encoder
        self._batch_size = batch_size * ranks
        self._seed = seed
        self._rank, self._ranks = rank, ranks

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self._tokens) // self._batch_size)

    def indices(self, epoch: int, tokens: TokenTable | None = None) -> list[IntArray]:
        """Return which texts make up each batch of an epoch, by the lengths of its texts, for all processes."""
        lengths = (tokens or self._tokens).lengths
        rng = np.random.default_rng((self._seed, epoch))
        shuffled = rng.permutation(len(self._tokens))
        window = WINDOW_BATCHES * self._batch_size
        ordered = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in _cut(shuffled, window)])
        batches = _cut(ordered, self._batch_size)
        return [batches[i] for i in rng.permutation(len(batches))]

    def epoch(self, epoch: int, *, skip: int = 0) -> Iterator[Batch]:
        """Yield this process's part of an epoch's batches.

        Args:
            epoch: Its number.
            skip: Leave out so many at the beginning.
        """
        import torch

        tokens = self._tokens if self._varied is None else self._varied(epoch)
        for number, indices in enumerate(self.indices(epoch, tokens)[skip:]):
            if number % WINDOW_BATCHES == 0:
                tokens.release()
            own = indices[self._rank :: self._ranks]
            shown = own if len(own) else indices[:1]
            padded = self._encoder.pad([tokens[i] for i in shown])
            inputs = {name: torch.from_numpy(array) for name, array in padded.items()}
            yield Batch(inputs, torch.from_numpy(self._targets[shown].astype(np.float32)), len(indices), empty=not len(own))


def _cut(array: IntArray, size: int) -> list[IntArray]:
    return [array[start : start + size] for start in range(0, len(array), size)]
