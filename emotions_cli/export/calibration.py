"""What the numbers inside a model look like on real texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.encoding import Encoder, TokenIds, batches_by_tokens
from emotions_cli.export.graph import Graph
from emotions_cli.runtime.session import OnnxModel

# tokens kept of each value; enough for a matrix of 1,536 x 1,536 products
SAMPLED_TOKENS = 8_000
# values whose samples together take no more are read in one pass over the texts
PASS_BYTES = 256 * 2**20
BATCH_TOKENS = 2_048

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Activations:
    """A value inside the model.

    Attributes:
        sample: Its rows at some tokens: (tokens, channels).
        low: Smallest number of each channel over all tokens: (channels,).
        high: Largest number of each channel: (channels,).
    """

    sample: Floats
    low: Floats
    high: Floats


def watch(
    graph: Graph, values: Mapping[str, int], encoder: Encoder, tokens: Sequence[TokenIds]
) -> Iterator[tuple[str, Activations]]:
    """Run texts through a graph and yield what its values look like, in order.

    Args:
        graph: A float model.
        values: Name of the value → its channels.
        encoder: Pads the texts.
        tokens: The texts.
    """
    total = sum(len(t) for t in tokens)
    kept = min(total, SAMPLED_TOKENS)
    group: list[str] = []
    size = 0
    for name, channels in values.items():
        own = channels * kept * 4
        if group and size + own > PASS_BYTES:
            yield from _one_pass(graph, group, encoder, tokens, total)
            group, size = [], 0
        group.append(name)
        size += own
    yield from _one_pass(graph, group, encoder, tokens, total)


def _one_pass(
    graph: Graph, names: Sequence[str], encoder: Encoder, tokens: Sequence[TokenIds], total: int
) -> Iterator[tuple[str, Activations]]:
    model = OnnxModel(graph.to_model(names).SerializeToString(), together=True)
    rng = np.random.default_rng(0)
    samples: dict[str, list[Any]] = {name: [] for name in names}
    lows: dict[str, list[Any]] = {name: [] for name in names}
    highs: dict[str, list[Any]] = {name: [] for name in names}
    for indices in batches_by_tokens([len(t) for t in tokens], BATCH_TOKENS):
        batch = encoder.pad([tokens[i] for i in indices])
        real = batch["attention_mask"].astype(bool)
        drawn = rng.random(int(real.sum())) < SAMPLED_TOKENS / total
        for name, value in zip(names, model.run(batch)[1:], strict=True):
            # behind the choice of the first token there is one row a text
            rows = value[real] if value.ndim == 3 else value
            lows[name].append(rows.min(axis=0))
            highs[name].append(rows.max(axis=0))
            samples[name].append(rows[drawn] if value.ndim == 3 else rows)
    for name in names:
        sample = np.concatenate(samples.pop(name))
        yield name, Activations(sample, np.min(lows[name], axis=0), np.max(highs[name], axis=0))
