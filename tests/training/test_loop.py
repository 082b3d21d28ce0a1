"""The loop does what the textbook says: the same steps as plain PyTorch, whatever the batches are cut into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import load_split

from emotions_cli.encoding import Encoder, TokenTable
from emotions_cli.errors import LossNotFinite
from emotions_cli.labels import LabelSet, Task
from emotions_cli.settings import TrainingSettings
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.batches import TrainingBatches
from emotions_cli.training.build import (
    build_accelerator,
    build_encoder,
    build_model,
    build_optimizer,
    build_schedule,
    seed_everything,
)
from emotions_cli.training.events import Step
from emotions_cli.training.loop import steps_per_epoch, train_steps
from emotions_cli.training.loss import LossFunction, make_loss

LABELS = LabelSet(("joy", "anger", "fear"))


def _run(
    tiny_base: Path,
    easy_data: Path,
    *,
    batch_size: int,
    accumulation_steps: int,
    loss: LossFunction | None = None,
    epochs: int = 2,
) -> tuple[list[Step], dict[str, torch.Tensor]]:
    settings = TrainingSettings(learning_rate=1e-3, max_length=48, weight_decay=0.1)
    seed_everything(0)
    accelerator = build_accelerator("cpu", "fp32")
    model, tokenizer = build_model(find_base_model(str(tiny_base)), LABELS, Task.SINGLE_LABEL, 48)
    encoder: Encoder = build_encoder(tokenizer, 48)
    examples = load_split(easy_data).split("train")
    tokens = TokenTable.of(encoder.encoded(examples.texts))
    batches = TrainingBatches(tokens, examples.targets, encoder, batch_size=batch_size, seed=0)
    model, optimizer = accelerator.prepare(model, build_optimizer(model, settings, accelerator.device))
    steps = train_steps(
        accelerator,
        model,
        batches,
        optimizer,
        build_schedule(optimizer.optimizer, settings, epochs * steps_per_epoch(len(batches), accumulation_steps)),
        loss or make_loss(Task.SINGLE_LABEL, label_smoothing=0.0, weights=None),
        epochs=epochs,
        accumulation_steps=accumulation_steps,
        max_grad_norm=1e9,
    )
    return list(steps), {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_accumulated_batches_make_the_step_of_one_large_batch(tiny_base: Path, easy_data: Path) -> None:
    whole_steps, whole = _run(tiny_base, easy_data, batch_size=18, accumulation_steps=1)
    steps, weights = _run(tiny_base, easy_data, batch_size=5, accumulation_steps=4)
    assert [step.texts for step in steps] == [step.texts for step in whole_steps] == [18, 18]
    np.testing.assert_allclose([s.loss for s in steps], [s.loss for s in whole_steps], rtol=1e-5)
    for name, value in whole.items():
        # softmax ignores a key's bias: its gradient is rounding noise, which Adam scales up
        if name.endswith("key.bias"):
            continue
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=2e-5)


def test_the_tail_of_an_epoch_makes_a_step_of_its_own(tiny_base: Path, easy_data: Path) -> None:
    steps, _ = _run(tiny_base, easy_data, batch_size=5, accumulation_steps=3)
    # 18 texts make batches of 5, 5, 5 and 3, three of which make a step and the last one another
    assert sum(step.texts for step in steps[:2]) == sum(step.texts for step in steps[2:]) == 18
    assert {step.texts for step in steps} <= {15, 13, 5, 3}
    assert [step.last_of_epoch for step in steps] == [False, True, False, True]
    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert steps_per_epoch(4, 3) == 2


def test_the_rate_rises_and_falls(tiny_base: Path, easy_data: Path) -> None:
    steps, _ = _run(tiny_base, easy_data, batch_size=2, accumulation_steps=1, epochs=4)
    rates = [step.learning_rate for step in steps]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1e-3)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(1e-3 / (len(rates) - peak))


def test_a_loss_that_is_no_number_stops_before_the_weights_are_harmed(tiny_base: Path, easy_data: Path) -> None:
    def broken(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits * float("nan")).sum()

    with pytest.raises(LossNotFinite, match="nan at step 1") as caught:
        _run(tiny_base, easy_data, batch_size=6, accumulation_steps=1, loss=broken)
    assert "--learning-rate" in caught.value.hint


def test_gradients_that_explode_stop_it_too(tiny_base: Path, easy_data: Path) -> None:
    def steep(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        # finite itself, but its gradient is not
        return torch.sqrt((logits - logits).abs()).sum()

    with pytest.raises(LossNotFinite, match="The gradients became"):
        _run(tiny_base, easy_data, batch_size=6, accumulation_steps=1, loss=steep)
