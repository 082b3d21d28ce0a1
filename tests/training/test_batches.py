"""Batches hold every text once, are of about equal length, and come in an order that seed and epoch decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emotions_cli.encoding import Encoder, TokenIds, TokenTable
from emotions_cli.training.batches import TrainingBatches

TEXTS = 1003


@pytest.fixture
def encoder(tiny_base: Path) -> Encoder:
    return Encoder.from_folder(tiny_base, max_length=64)


def _batches(encoder: Encoder, seed: int = 1, batch_size: int = 8) -> TrainingBatches:
    lengths = np.random.default_rng(0).integers(3, 60, size=TEXTS)
    tokens = TokenTable.of(TokenIds(tuple(range(5, 5 + n)), 0) for n in lengths)
    targets = np.eye(7, dtype=np.float32)[np.arange(TEXTS) % 7]
    return TrainingBatches(tokens, targets, encoder, batch_size=batch_size, seed=seed)


def test_an_epoch_holds_every_text_once(encoder: Encoder) -> None:
    batches = _batches(encoder)
    indices = batches.indices(0)
    assert len(indices) == len(batches) == 126
    assert sorted(np.concatenate(indices).tolist()) == list(range(TEXTS))


def test_the_order_depends_on_seed_and_epoch_alone(encoder: Encoder) -> None:
    first, again, other_seed = _batches(encoder), _batches(encoder), _batches(encoder, seed=2)

    def order(batches: TrainingBatches, epoch: int) -> list[int]:
        return np.concatenate(batches.indices(epoch)).tolist()

    assert order(first, 3) == order(again, 3)
    assert order(first, 3) != order(first, 4)
    assert order(first, 3) != order(other_seed, 3)


def test_little_is_padded(encoder: Encoder) -> None:
    real = padded = 0
    for batch in _batches(encoder).epoch(0):
        mask = batch.inputs["attention_mask"]
        real += int(mask.sum())
        padded += mask.numel()
    assert padded / real < 1.1


def test_inputs_and_targets_belong_together(encoder: Encoder) -> None:
    batches = _batches(encoder)
    indices = batches.indices(2)
    for number, batch in enumerate(batches.epoch(2)):
        assert batch.targets.argmax(dim=1).tolist() == (indices[number] % 7).tolist()
        assert batch.inputs["input_ids"].shape == batch.inputs["attention_mask"].shape
        lengths = batch.inputs["attention_mask"].sum(dim=1)
        assert (batch.inputs["input_ids"] == encoder.pad_id).sum() == (lengths.max() - lengths).sum()


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_processes_share_a_batch_and_no_text_is_read_twice_or_lost(encoder: Encoder, ranks: int) -> None:
    # a text more than whole batches hold: in the last one all but one process have none
    texts = 8 * ranks * 3 + 1
    tokens = TokenTable.of(TokenIds((5, 6 + n, 7), 0) for n in range(texts))
    targets = np.zeros((texts, 2), dtype=np.float32)
    shares = [
        list(TrainingBatches(tokens, targets, encoder, batch_size=8, seed=1, rank=rank, ranks=ranks).epoch(0))
        for rank in range(ranks)
    ]
    whole = list(TrainingBatches(tokens, targets, encoder, batch_size=8 * ranks, seed=1).epoch(0))
    assert {len(share) for share in shares} == {len(whole)}
    for parts, batch in zip(zip(*shares, strict=True), whole, strict=True):
        read = [int(row[1]) for part in parts if not part.empty for row in part.inputs["input_ids"]]
        assert sorted(read) == sorted(int(row[1]) for row in batch.inputs["input_ids"])
        assert {part.texts for part in parts} == {batch.texts} == {len(read)}
    assert [part.empty for part in [share[-1] for share in shares]].count(False) in {1, ranks}


def test_an_epoch_can_be_taken_up_in_the_middle(encoder: Encoder) -> None:
    whole = [batch.inputs["input_ids"].tolist() for batch in _batches(encoder).epoch(3)]
    rest = [batch.inputs["input_ids"].tolist() for batch in _batches(encoder).epoch(3, skip=100)]
    assert rest == whole[100:]
