"""A whole run: data in, bundle out, told as a stream of events."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from emotions_cli import __version__
from emotions_cli.data.dataset import TRAIN, VALIDATION, Dataset
from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.errors import DataError, FastFileRefused, LossNotFinite, TrainingError, TrainingStopped
from emotions_cli.extras import require
from emotions_cli.labels import Task
from emotions_cli.metrics.judgement import Judgement
from emotions_cli.models.bundle import Manifest, write_manifest
from emotions_cli.settings import Settings, TrainingSettings
from emotions_cli.settings.render import record_text
from emotions_cli.settings.sources import masked
from emotions_cli.streams.atomic import whole_directory, whole_file
from emotions_cli.tracking import Tracker
from emotions_cli.training.base_models import BaseModel, find_base_model
from emotions_cli.training.batches import TrainingBatches
from emotions_cli.training.build import (
    build_accelerator,
    build_encoder,
    build_model,
    build_optimizer,
    build_schedule,
    load_weights,
    save_weights,
    seed_everything,
    start_from_priors,
)
from emotions_cli.training.emoji import add_emoji, unknown_emoji
from emotions_cli.training.events import Evaluated, Event, Finished, Note, Started, Step
from emotions_cli.training.export import add_fast_file, library_versions, make_probes, write_model_files
from emotions_cli.training.loop import steps_per_epoch, train_steps
from emotions_cli.training.loss import balanced_weights, make_loss
from emotions_cli.training.run_folder import RunFolder
from emotions_cli.training.selection import Selection
from emotions_cli.training.teachers import Teacher, find_teacher, soft_targets
from emotions_cli.training.typing_noise import with_other_endings, with_typing_errors
from emotions_cli.training.validation import Decisions, Validation

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class TrainingJob:
    """What to train.

    Attributes:
        dataset: Must have a training and a validation split.
        settings: All settings; the training and hub sections say how to train, the rest is recorded.
        folder: Where everything of the run goes.
        tracker: Receives what is measured.
        force: Replace a finished run.
        stop: Asked after every step; when it says yes, the run ends with the best weights so far.
    """

    dataset: Dataset
    settings: Settings
    folder: RunFolder
    tracker: Tracker
    force: bool = False
    stop: Callable[[], bool] = lambda: False


def train(job: TrainingJob) -> Iterator[Event]:
    """Train a model and write its bundle, yielding what happens.

    Raises:
        DependencyMissing: The ``train`` extra is not installed.
        DataError: The data can't be trained on.
        ModelError: The base model can't be used.
        TrainingError: The run's folder is taken, or the device is not there.
        LossNotFinite: The loss became NaN or infinite. If an evaluation came before, the bundle of the best weights is written.
        TrainingStopped: The job was stopped. If an evaluation came before, the bundle of the best weights is written.
        StorageError: The disk refuses; the best weights saved before are untouched.
    """
    require("train", "Training")
    began = time.perf_counter()
    job.folder.refuse_if_taken(force=job.force)
    check_trainable(job.dataset)
    teachers = [find_teacher(name, job.dataset.labels, job.dataset.task) for name in job.settings.training.teachers]
    if teachers:
        yield Note(f"first {', '.join(teacher.weights.name for teacher in teachers)} answers the training texts")
    parts = _build(job, teachers)
    job.folder.begin(record_text(job.settings))
    if parts.cut:
        limit = parts.validation.encoder.max_length
        yield Note(f"{parts.cut:,} training texts are longer than {limit} tokens; their ends are cut")
    yield _started(job, parts)

    def save_best() -> None:
        with whole_file(job.folder.best_weights) as part:
            save_weights(parts.accelerator.unwrap_model(parts.model), part)

    selection = Selection(job.settings.training.metric, job.settings.training.patience)
    due = _every(job.settings.training.eval_steps, parts.total)
    counted = _Counted()
    failure: TrainingError | None = None
    job.tracker.start({"data": job.dataset.reference, "base_model": parts.base.name, "steps": parts.total})
    try:
        judge_now = partial(parts.validation.judge, parts.model)
        for event in keep_best(parts.steps, judge_now, selection, due=due, save=save_best, stop=job.stop):
            counted.add(event)
            job.tracker.log(*_measured(event))
            yield event
        if job.stop():
            failure = TrainingStopped(f"Stopped after step {counted.steps:,} of {parts.total:,}.")
    except LossNotFinite as error:
        failure = error
    finally:
        job.tracker.finish()
    if selection.best is None:
        raise failure or LossNotFinite(f"The validation {selection.metric} was never a number.")

    judgement, note = _write_bundle(job, parts)
    if note is not None:
        yield note
    if failure is not None:
        raise type(failure)(
            f"{failure.message} The best weights so far ({selection.metric} {selection.best:.4f} at step "
            f"{selection.best_step:,}) are in {job.folder.model}.",
            failure.hint,
        ) from failure
    yield Finished(
        job.folder.path,
        job.folder.model,
        judgement,
        selection.best_step,
        counted.steps,
        counted.steps < parts.total,
        counted.texts / max(counted.seconds, 1e-9),
        time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Parts:
    """What a run is made of, built from a job. ``cut`` counts the training texts that are too long."""

    base: BaseModel
    teachers: Sequence[Teacher]
    accelerator: Accelerator
    model: Any
    tokenizer: Any
    validation: Validation
    steps: Iterator[Step]
    total: int
    cut: int


def _build(job: TrainingJob, teachers: Sequence[Teacher]) -> _Parts:
    settings, hub = job.settings.training, job.settings.hub
    token = None if hub.token is None else hub.token.get_secret_value()
    base = find_base_model(settings.base_model, revision=hub.base_model_revision, token=token)
    seed_everything(settings.seed)
    accelerator = build_accelerator(settings.device, settings.precision)
    model, tokenizer = build_model(base, job.dataset.labels, job.dataset.task, settings.max_length, settings.pooling)
    examples, held_out = job.dataset.split(TRAIN), job.dataset.split(VALIDATION)
    if settings.emoji:
        add_emoji(model, tokenizer, unknown_emoji(tokenizer, examples.texts))
    encoder = build_encoder(tokenizer, settings.max_length)
    if job.dataset.task is Task.MULTI_LABEL:
        start_from_priors(model, examples.targets)
    tokens = encoder.encode(examples.texts)
    targets = examples.targets.astype(np.float32)
    if teachers:
        targets = soft_targets(examples, job.dataset.labels, teachers, settings.teacher_weight, accelerator)
    batches = TrainingBatches(
        tokens,
        targets,
        encoder,
        batch_size=settings.batch_size,
        seed=settings.seed,
        varied=partial(_varied, examples.texts, encoder, settings) if settings.typing_errors or settings.other_endings else None,
    )
    validation = Validation(encoder.encode(held_out.texts), held_out.targets, job.dataset.labels, job.dataset.task, encoder)
    model, optimizer = accelerator.prepare(model, build_optimizer(model, settings, accelerator.device))
    total = settings.epochs * steps_per_epoch(len(batches), settings.accumulation_steps)
    weights = balanced_weights(examples.support) if settings.class_weights == "balanced" else None
    steps = train_steps(
        accelerator,
        model,
        batches,
        optimizer,
        build_schedule(optimizer.optimizer, settings, total),
        make_loss(job.dataset.task, label_smoothing=settings.label_smoothing, weights=weights),
        epochs=settings.epochs,
        accumulation_steps=settings.accumulation_steps,
        max_grad_norm=settings.max_grad_norm,
    )
    return _Parts(base, teachers, accelerator, model, tokenizer, validation, steps, total, sum(t.cut > 0 for t in tokens))


def _varied(texts: Sequence[str], encoder: Encoder, settings: TrainingSettings, epoch: int) -> Sequence[TokenIds]:
    rng = np.random.default_rng((settings.seed, epoch, 1))
    return encoder.encode(with_typing_errors(with_other_endings(texts, settings.other_endings, rng), settings.typing_errors, rng))


def _started(job: TrainingJob, parts: _Parts) -> Started:
    precision = parts.accelerator.mixed_precision
    return Started(
        job.folder.path,
        str(parts.accelerator.device),
        "fp32" if precision == "no" else precision,
        sum(p.numel() for p in parts.model.parameters()),
        len(job.dataset.split(TRAIN)),
        len(job.dataset.split(VALIDATION)),
        parts.total,
    )


def _write_bundle(job: TrainingJob, parts: _Parts) -> tuple[Judgement, Note | None]:
    """Write the bundle of the best weights; what stood in its place stays until it is whole."""
    model = parts.accelerator.unwrap_model(parts.model, keep_fp32_wrapper=False).to("cpu")
    load_weights(model, job.folder.best_weights)
    decisions, judgement = parts.validation.settle(model)
    encoder = parts.validation.encoder
    manifest = _manifest(job, parts, model, encoder, decisions, judgement)
    note = None
    with whole_directory(job.folder.model) as part:
        write_model_files(model, parts.tokenizer, part, max_length=encoder.max_length)
        if job.settings.training.fast_file:
            try:
                manifest = add_fast_file(part, encoder, manifest, job.dataset)
            except FastFileRefused as refused:
                note = Note(refused.message)
        write_manifest(part, manifest)
    job.folder.best_weights.unlink()
    return judgement, note


def check_trainable(dataset: Dataset) -> None:
    """Raise unless there is something to learn from every label.

    Raises:
        DataError: One label only, or a label of another split that the training split lacks.
    """
    train = dataset.split(TRAIN)
    if not len(train) or not len(dataset.split(VALIDATION)):
        raise DataError(f"'{dataset.reference}' has too few rows to train and validate.", "Give it more labelled rows.")
    if dataset.task is Task.SINGLE_LABEL and len(dataset.labels) < 2:
        raise DataError(
            f"All rows of '{dataset.reference}' have the label '{dataset.labels.names[0]}'.",
            "A classifier needs at least two labels; check the label column.",
        )
    absent = [name for name, support in zip(dataset.labels, train.support, strict=True) if support == 0]
    if absent:
        raise DataError(
            f"The training split of '{dataset.reference}' has no row labelled {', '.join(absent)}, other splits do.",
            "Add such rows, or rename or drop the label with --label-map.",
        )


def keep_best(
    steps: Iterable[Step],
    evaluate: Callable[[], Judgement],
    selection: Selection,
    *,
    due: Callable[[Step], bool],
    save: Callable[[], None],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Step | Evaluated]:
    """Evaluate between steps, save the best weights, stop when patience runs out.

    Args:
        steps: The training loop.
        evaluate: Judges the weights as they stand.
        selection: Compares the judgements.
        due: Whether to evaluate after a step.
        save: Keeps the weights as they stand as the best.
        stop: Asked after every step, whether to end here.
    """
    losses: list[float] = []
    for step in steps:
        losses.append(step.loss)
        yield step
        if stop():
            return
        if due(step):
            judgement = evaluate()
            value = judgement.overall[selection.metric]
            improved = selection.observe(value, step.number)
            if improved:
                save()
            yield Evaluated(step.number, step.epoch, judgement, value, improved, float(np.mean(losses)))
            losses.clear()
            if selection.exhausted:
                return


def _every(eval_steps: int, total: int) -> Callable[[Step], bool]:
    if eval_steps == 0:
        return lambda step: step.last_of_epoch
    return lambda step: step.number % eval_steps == 0 or step.number == total


@dataclass
class _Counted:
    """Sums over the steps of a run."""

    steps: int = 0
    texts: int = 0
    seconds: float = 0.0

    def add(self, event: Step | Evaluated) -> None:
        if isinstance(event, Step):
            self.steps += 1
            self.texts += event.texts
            self.seconds += event.seconds


def _measured(event: Step | Evaluated) -> tuple[int, dict[str, Any]]:
    if isinstance(event, Step):
        return event.number, {
            "epoch": event.epoch,
            "loss": event.loss,
            "grad_norm": event.grad_norm,
            "learning_rate": event.learning_rate,
            "examples_per_second": event.texts / max(event.seconds, 1e-9),
        }
    return event.step, {
        "epoch": event.epoch,
        "training_loss": event.training_loss,
        "improved": event.improved,
        "validation": event.judgement.to_json(),
    }


def _manifest(
    job: TrainingJob, parts: _Parts, model: Any, encoder: Encoder, decisions: Decisions, judgement: Judgement
) -> Manifest:
    return Manifest(
        labels=job.dataset.labels.names,
        task=job.dataset.task,
        max_length=encoder.max_length,
        temperature=decisions.temperature,
        thresholds=decisions.thresholds,
        base_model={
            "name": parts.base.name,
            "source": parts.base.source,
            "sha256": parts.base.sha256,
            "teachers": [{"name": teacher.weights.name, "sha256": teacher.weights.sha256} for teacher in parts.teachers],
        },
        data={
            "reference": job.dataset.reference,
            "fingerprint": job.dataset.fingerprint(),
            "splits": {name: len(examples) for name, examples in job.dataset.splits.items()},
        },
        settings=masked(job.settings),
        metrics={VALIDATION: judgement.to_json()},
        versions={
            "emotions-cli": __version__,
            "python": platform.python_version(),
            **library_versions(),
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        probes=make_probes(model, encoder, job.dataset.task, decisions.temperature),
    )
