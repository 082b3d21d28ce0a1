"""A whole run: data in, bundle out, told as a stream of events."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from emotions_cli import __version__
from emotions_cli.data.dataset import TRAIN, VALIDATION, Dataset
from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.errors import DataError, LossNotFinite
from emotions_cli.extras import require
from emotions_cli.labels import Task
from emotions_cli.metrics.judgement import Judgement
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.bundle import Manifest, Probe, write_manifest
from emotions_cli.settings import TrainingSettings
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
from emotions_cli.training.events import Evaluated, Event, Finished, Note, Started, Step
from emotions_cli.training.export import write_model_files
from emotions_cli.training.loop import steps_per_epoch, train_steps
from emotions_cli.training.loss import balanced_weights, make_loss
from emotions_cli.training.run_folder import RunFolder
from emotions_cli.training.selection import Selection
from emotions_cli.training.validation import Decisions, Validation, logits_of

PROBE_TEXTS = (
    "You remembered my birthday after all these years!",
    "The parcel never came, and nobody picks up the phone.",
    "Room 12 is on the second floor. 🙂 Voilà.",
)


@dataclass(frozen=True)
class TrainingJob:
    """What to train.

    Attributes:
        dataset: Must have a training and a validation split.
        settings: How to train.
        folder: Where everything of the run goes.
        tracker: Receives what is measured.
        force: Replace a finished run.
        base_revision: Commit, tag or branch of a base model from the Hub.
        token: Access token for the Hub.
        settings_text: All resolved settings as TOML, for the run's folder.
        settings_record: The same as plain values, for the manifest.
    """

    dataset: Dataset
    settings: TrainingSettings
    folder: RunFolder
    tracker: Tracker
    force: bool = False
    base_revision: str | None = None
    token: str | None = None
    settings_text: str = ""
    settings_record: Mapping[str, Any] | None = None


def train(job: TrainingJob) -> Iterator[Event]:
    """Train a model and write its bundle, yielding what happens.

    Raises:
        DependencyMissing: The ``train`` extra is not installed.
        DataError: The data can't be trained on.
        ModelError: The base model can't be used.
        TrainingError: The run's folder is taken, or the device is not there.
        LossNotFinite: The loss became NaN or infinite. If an evaluation came before, the bundle of the best weights is written.
        StorageError: The disk refuses; the best weights saved before are untouched.
    """
    require("train", "Training")
    began = time.perf_counter()
    check_trainable(job.dataset)
    base = find_base_model(job.settings.base_model, revision=job.base_revision, token=job.token)
    job.folder.prepare(job.settings_text, force=job.force)
    seed_everything(job.settings.seed)
    accelerator = build_accelerator(job.settings.device, job.settings.precision)
    model, tokenizer = build_model(base, job.dataset.labels, job.dataset.task, job.settings.max_length)
    encoder = build_encoder(tokenizer, job.settings.max_length)
    examples, held_out = job.dataset.split(TRAIN), job.dataset.split(VALIDATION)
    if job.dataset.task is Task.MULTI_LABEL:
        start_from_priors(model, examples.targets)
    tokens = encoder.encode(examples.texts)
    yield from _cut_note(tokens, encoder)

    batches = TrainingBatches(tokens, examples.targets, encoder, batch_size=job.settings.batch_size, seed=job.settings.seed)
    validation = Validation(encoder.encode(held_out.texts), held_out.targets, job.dataset.labels, job.dataset.task, encoder)
    model, optimizer = accelerator.prepare(model, build_optimizer(model, job.settings, accelerator.device))
    total = job.settings.epochs * steps_per_epoch(len(batches), job.settings.accumulation_steps)
    balanced = job.settings.class_weights == "balanced"
    steps = train_steps(
        accelerator,
        model,
        batches,
        optimizer,
        build_schedule(optimizer.optimizer, job.settings, total),
        make_loss(
            job.dataset.task,
            label_smoothing=job.settings.label_smoothing,
            weights=balanced_weights(examples.support) if balanced else None,
        ),
        epochs=job.settings.epochs,
        accumulation_steps=job.settings.accumulation_steps,
        max_grad_norm=job.settings.max_grad_norm,
    )
    selection = Selection(job.settings.metric, job.settings.patience)
    started = Started(
        job.folder.path,
        str(accelerator.device),
        {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision),
        sum(p.numel() for p in model.parameters()),
        len(examples),
        len(held_out),
        total,
    )
    yield started

    def save_best() -> None:
        with whole_file(job.folder.best_weights) as part:
            save_weights(accelerator.unwrap_model(model), part)

    due = _every(job.settings.eval_steps, total)
    counted = _Counted()
    failure: LossNotFinite | None = None
    job.tracker.start({"data": job.dataset.reference, "base_model": base.name, "steps": total, "seed": job.settings.seed})
    try:
        for event in keep_best(steps, lambda: validation.judge(model), selection, due=due, save=save_best):
            counted.add(event)
            job.tracker.log(*_measured(event))
            yield event
    except LossNotFinite as error:
        if selection.best is None:
            raise
        failure = error
    finally:
        job.tracker.finish()

    model = accelerator.unwrap_model(model, keep_fp32_wrapper=False).to("cpu")
    load_weights(model, job.folder.best_weights)
    decisions, judgement = validation.settle(model)
    manifest = _manifest(job, base, model, encoder, decisions, judgement)
    with whole_directory(job.folder.model) as part:
        write_model_files(model, tokenizer, part, max_length=encoder.max_length)
        write_manifest(part, manifest)
    job.folder.best_weights.unlink()
    if failure is not None:
        raise LossNotFinite(
            f"{failure.message} The best weights before it ({selection.metric} {selection.best:.4f} at step "
            f"{selection.best_step}) are in {job.folder.model}.",
            failure.hint,
        ) from failure
    yield Finished(
        job.folder.path,
        job.folder.model,
        judgement,
        selection.best_step,
        counted.steps,
        counted.steps < total,
        counted.texts / max(counted.seconds, 1e-9),
        time.perf_counter() - began,
    )


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
) -> Iterator[Step | Evaluated]:
    """Evaluate between steps, save the best weights, stop when patience runs out.

    Args:
        steps: The training loop.
        evaluate: Judges the weights as they stand.
        selection: Compares the judgements.
        due: Whether to evaluate after a step.
        save: Keeps the weights as they stand as the best.
    """
    losses: list[float] = []
    for step in steps:
        losses.append(step.loss)
        yield step
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


def _cut_note(tokens: list[TokenIds], encoder: Encoder) -> Iterator[Note]:
    cut = sum(t.cut > 0 for t in tokens)
    if cut:
        yield Note(f"{cut:,} of {len(tokens):,} training texts are longer than {encoder.max_length} tokens; their ends are cut")


def _manifest(
    job: TrainingJob, base: BaseModel, model: Any, encoder: Encoder, decisions: Decisions, judgement: Judgement
) -> Manifest:
    tokens = encoder.encode(PROBE_TEXTS)
    scores = probabilities(logits_of(model, encoder, tokens), job.dataset.task, decisions.temperature)
    return Manifest(
        labels=job.dataset.labels.names,
        task=job.dataset.task,
        max_length=encoder.max_length,
        temperature=decisions.temperature,
        thresholds=decisions.thresholds,
        base_model={"name": base.name, "source": base.source, "sha256": base.sha256},
        data={
            "reference": job.dataset.reference,
            "fingerprint": job.dataset.fingerprint(),
            "splits": {name: len(examples) for name, examples in job.dataset.splits.items()},
        },
        settings=job.settings_record or {},
        metrics={VALIDATION: judgement.to_json()},
        versions={
            "emotions-cli": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "tokenizers", "onnxruntime", "numpy")},
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        probes=tuple(Probe(text, t.ids, tuple(row.tolist())) for text, t, row in zip(PROBE_TEXTS, tokens, scores, strict=True)),
    )
