"""The training loop: read it top to bottom.

It knows batches, gradients and the optimiser, nothing else. Evaluation, the choice of the best weights, early stopping,
tracking and display live with whoever iterates over its steps: they happen between two of them.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from emotions_cli.errors import LossNotFinite
from emotions_cli.training.batches import TrainingBatches
from emotions_cli.training.events import Step
from emotions_cli.training.loss import LossFunction
from emotions_cli.training.profile import section_name
from emotions_cli.training.ranks import Ranks

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def steps_per_epoch(batches: int, accumulation_steps: int) -> int:
    """Return the optimiser steps an epoch: the tail that does not fill a step makes one too."""
    return math.ceil(batches / accumulation_steps)


def train_steps(
    accelerator: Accelerator,
    model: Any,
    batches: TrainingBatches,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    loss_function: LossFunction,
    *,
    epochs: int,
    accumulation_steps: int,
    max_grad_norm: float,
    done: int = 0,
) -> Iterator[Step]:
    """Train, yielding after every optimiser step.

    Args:
        accelerator: Places tensors, scales losses, clips gradients.
        model: A prepared sequence classifier.
        batches: What to train on.
        optimizer: Prepared.
        schedule: Stepped once an optimiser step.
        loss_function: Sum of a batch's losses.
        epochs: Passes over the batches.
        accumulation_steps: Batches whose gradients make one step.
        max_grad_norm: Larger gradients are scaled down to it.
        done: Steps that were made before; model, optimiser and schedule stand behind the last of them.

    Raises:
        LossNotFinite: The loss or a gradient became NaN or infinite; the weights are those before that step.
    """
    from torch.profiler import record_function

    def section(name: str) -> record_function:
        return record_function(section_name(name))

    last = steps_per_epoch(len(batches), accumulation_steps)
    ranks = Ranks.of(accelerator)
    number = done
    for epoch in range(done // last, epochs):
        made = number - epoch * last
        stream = batches.epoch(epoch, skip=made * accumulation_steps)
        for step in range(made + 1, last + 1):
            started = time.perf_counter()
            with section("batch"):
                group = list(itertools.islice(stream, accumulation_steps))
            texts = sum(batch.texts for batch in group)
            number += 1
            loss = 0.0
            model.train()
            for batch in group:
                inputs = {name: tensor.to(accelerator.device) for name, tensor in batch.inputs.items()}
                # gradients meet once a step
                with nullcontext() if batch is group[-1] else accelerator.no_sync(model):
                    with section("forward"):
                        logits = model(**inputs).logits
                        batch_loss = loss_function(logits, batch.targets.to(accelerator.device)) / texts
                    if batch.empty:
                        batch_loss = batch_loss * 0.0
                    with section("backward"):
                        # the processes' gradients are averaged, and it is their sum that counts
                        accelerator.backward(batch_loss * ranks.count)
                loss += batch_loss.item()
            (loss,) = ranks.sums([loss])
            if not math.isfinite(loss):
                raise LossNotFinite(f"The loss became {loss} at step {number}.")
            with section("clip"):
                norm = clip_gradients(accelerator, model, optimizer, max_grad_norm)
            # fp16's scaler meets such gradients now and then, and leaves the step out by itself
            if not math.isfinite(norm) and accelerator.scaler is None:
                raise LossNotFinite(f"The gradients became {norm} at step {number}.")
            learning_rate = schedule.get_last_lr()[0]
            with section("optimizer"):
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            seconds = time.perf_counter() - started
            yield Step(number, epoch, step == last, loss, norm, learning_rate, texts, seconds)


def clip_gradients(accelerator: Accelerator, model: Any, optimizer: Any, most: float) -> float:
    """Have the gradients scaled down by the next step where their norm is larger than ``most``, and return the norm.

    PyTorch's own function goes over all gradients once more, a tenth of a step on a CPU; the fused optimiser divides by a scale
    while it reads them.
    """
    import torch

    if accelerator.device.type != "cpu":
        return float(accelerator.clip_grad_norm_(model.parameters(), most))
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    # as torch.nn.utils.clip_grad_norm_ has it
    optimizer.optimizer.grad_scale = ((norm + 1e-6) / most).clamp(min=1.0)
    return float(norm)
