"""Everything a run is made of, built from a job: model, data, optimiser, loop; and how their state is kept."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emotions_cli.data.dataset import TRAIN, VALIDATION
from emotions_cli.encoding import ENCODED_AT_ONCE, Encoder, TokenIds, TokenTable
from emotions_cli.errors import TrainingError
from emotions_cli.labels import Task
from emotions_cli.models.bundle import WEIGHTS_FILE
from emotions_cli.settings import TrainingSettings
from emotions_cli.training.base_models import BaseModel, find_base_model
from emotions_cli.training.batches import TrainingBatches
from emotions_cli.training.build import (
    build_encoder,
    build_model,
    build_optimizer,
    build_schedule,
    load_weights,
    save_weights,
    seed_everything,
    start_from_priors,
)
from emotions_cli.training.dropout import use_byte_dropout
from emotions_cli.training.emoji import add_emoji, unknown_emoji
from emotions_cli.training.events import Step
from emotions_cli.training.job import TrainingJob
from emotions_cli.training.loop import steps_per_epoch, train_steps
from emotions_cli.training.loss import LossFunction, balanced_weights, make_loss
from emotions_cli.training.ranks import Ranks
from emotions_cli.training.teachers import Teacher, find_teacher, soft_targets
from emotions_cli.training.token_cache import tokens_of
from emotions_cli.training.typing_noise import with_other_endings, with_typing_errors
from emotions_cli.training.validation import Validation

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


@dataclass(frozen=True)
class Origins:
    """The trained models that a run starts from and learns from."""

    base: BaseModel
    teachers: Sequence[Teacher]

    @classmethod
    def of(cls, job: TrainingJob) -> Origins:
        """Find them.

        Raises:
            ModelError: One is not there or does not fit.
        """
        settings, hub = job.settings.training, job.settings.hub
        teachers = [find_teacher(name, job.dataset.labels, job.dataset.task) for name in settings.teachers]
        token = None if hub.token is None else hub.token.get_secret_value()
        return cls(find_base_model(settings.base_model, revision=hub.base_model_revision, token=token), teachers)

    def hashes(self) -> dict[str, Any]:
        """Return what tells them apart from others of the same names."""
        return {"base model": self.base.sha256, "teachers": [teacher.weights.sha256 for teacher in self.teachers]}


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        accelerator: Device, precision, processes.
        ranks: This process among them.
        model: The classifier as the loop trains it.
        tokenizer: Its tokenizer, from ``transformers``.
        validation: Judges it.
        batches: What it is trained on.
        optimizer: Prepared.
        schedule: Its learning rate.
        loss: Its loss function.
        settings: How to train.
        steps_per_epoch: Optimiser steps.
        cut: Training texts that are too long.
    """

    accelerator: Accelerator
    ranks: Ranks
    model: Any
    tokenizer: Any
    validation: Validation
    batches: TrainingBatches
    optimizer: Any
    schedule: torch.optim.lr_scheduler.LRScheduler
    loss: LossFunction
    settings: TrainingSettings
    steps_per_epoch: int
    cut: int

    @property
    def total(self) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.epochs * self.steps_per_epoch

    @property
    def bare_model(self) -> Any:
        """The classifier itself, without what averages its gradients over processes."""
        return self.accelerator.unwrap_model(self.model)

    def steps(self, done: int) -> Iterator[Step]:
        """Train, behind the steps that are done."""
        return train_steps(
            self.accelerator,
            self.model,
            self.batches,
            self.optimizer,
            self.schedule,
            self.loss,
            epochs=self.settings.epochs,
            accumulation_steps=self.settings.accumulation_steps,
            max_grad_norm=self.settings.max_grad_norm,
            done=done,
        )

    def write_state(self, folder: Path) -> None:
        """Write weights, optimiser, schedule, scaler and the generators of all processes; the main process calls it.

        Raises:
            OSError: The disk refuses.
        """
        save_weights(self.bare_model, folder / WEIGHTS_FILE)
        self._write_accelerator_state(folder)
        for files in self.ranks.gather({}):
            for name, content in files.items():
                (folder / name).write_bytes(content)

    def send_state(self) -> None:
        """Send the generators of this process to the main one, which is in :meth:`write_state`."""
        with tempfile.TemporaryDirectory() as folder:
            self._write_accelerator_state(Path(folder))
            self.ranks.gather({path.name: path.read_bytes() for path in Path(folder).iterdir()})

    def read_state(self, folder: Path) -> None:
        """Take weights, optimiser, schedule, scaler and generators as :meth:`write_state` wrote them.

        Raises:
            TrainingError: The generators can't be restored.
        """
        import torch
        from accelerate.checkpointing import load_accelerator_state
        from accelerate.utils import load

        load_weights(self.bare_model, folder / WEIGHTS_FILE)
        load_accelerator_state(
            str(folder), [], [self.optimizer], [self.schedule], [], self.ranks.index, scaler=self.accelerator.scaler
        )
        # the generators come last, and a failure would be passed over in silence
        generators = load(folder / f"random_states_{self.ranks.index}.pkl")
        if not torch.equal(generators["torch_manual_seed"], torch.get_rng_state()):
            raise TrainingError(f"The random generators of '{folder}' can't be restored.", "Begin anew with --force.")

    def _write_accelerator_state(self, folder: Path) -> None:
        from accelerate.checkpointing import save_accelerator_state

        try:
            save_accelerator_state(
                str(folder), [], [self.optimizer], [self.schedule], [], self.ranks.index, 0, scaler=self.accelerator.scaler
            )
        except RuntimeError as error:
            # PyTorch's file writer does not say what the system said
            raise OSError(errno.EIO, f"PyTorch could not write its state: {str(error).splitlines()[0]}") from error


def build_parts(job: TrainingJob, origins: Origins, accelerator: Accelerator) -> Parts:
    """Build everything, ready for the first step.

    Raises:
        ModelError: The base model can't be used.
    """
    settings, dataset = job.settings.training, job.dataset
    ranks = Ranks.of(accelerator)
    seed_everything(settings.seed)
    model, tokenizer = build_model(origins.base, dataset.labels, dataset.task, settings.max_length, settings.pooling)
    examples, held_out = dataset.split(TRAIN), dataset.split(VALIDATION)
    if settings.emoji:
        add_emoji(model, tokenizer, unknown_emoji(tokenizer, examples.texts))
    if accelerator.device.type == "cpu":
        use_byte_dropout(model)
    encoder = build_encoder(tokenizer, settings.max_length)
    if dataset.task is Task.MULTI_LABEL:
        start_from_priors(model, examples.targets)
    fingerprint = dataset.fingerprint()
    tokens = tokens_of(examples.texts, encoder, f"{fingerprint} {TRAIN}", job.cache)
    targets: NDArray[np.float32] | NDArray[np.bool_] = examples.targets
    if origins.teachers:
        targets = soft_targets(examples, dataset.labels, origins.teachers, settings.teacher_weight, accelerator)
    batches = TrainingBatches(
        tokens,
        targets,
        encoder,
        batch_size=settings.batch_size,
        seed=settings.seed,
        varied=partial(_varied, examples.texts, encoder, settings) if settings.typing_errors or settings.other_endings else None,
        rank=ranks.index,
        ranks=ranks.count,
    )
    held_out_tokens = tokens_of(held_out.texts, encoder, f"{fingerprint} {VALIDATION}", job.cache)
    validation = Validation(held_out_tokens, held_out.targets, dataset.labels, dataset.task, encoder, ranks)
    model, optimizer = accelerator.prepare(model, build_optimizer(model, settings, accelerator.device))
    if ranks.index:
        # dropout is not to drop the same units for all
        seed_everything((settings.seed + ranks.index) % 2**32)
    each = steps_per_epoch(len(batches), settings.accumulation_steps)
    weights = balanced_weights(examples.support) if settings.class_weights == "balanced" else None
    return Parts(
        accelerator,
        ranks,
        model,
        tokenizer,
        validation,
        batches,
        optimizer,
        build_schedule(optimizer.optimizer, settings, settings.epochs * each),
        make_loss(dataset.task, label_smoothing=settings.label_smoothing, weights=weights),
        settings,
        each,
        int((tokens.cut > 0).sum()),
    )


def _varied(texts: Sequence[str], encoder: Encoder, settings: TrainingSettings, epoch: int) -> TokenTable:
    rng = np.random.default_rng((settings.seed, epoch, 1))

    def tokens() -> Iterator[TokenIds]:
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            ended = with_other_endings(texts[start : start + ENCODED_AT_ONCE], settings.other_endings, rng)
            yield from encoder.encoded(with_typing_errors(ended, settings.typing_errors, rng))

    return TokenTable.of(tokens())
