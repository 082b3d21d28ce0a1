"""A whole run: data in, bundle out, told as a stream of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotions_cli.data.dataset import TRAIN, VALIDATION, Dataset
from emotions_cli.encoding import Encoder
from emotions_cli.errors import EmotionsError, FastFileRefused, LossNotFinite, TrainingError, TrainingStopped
from emotions_cli.extras import require
from emotions_cli.metrics.judgement import Judgement
from emotions_cli.models.bundle import WEIGHTS_FILE, Bundle, Manifest, write_manifest
from emotions_cli.settings.model import CheckpointSettings
from emotions_cli.settings.render import record_text
from emotions_cli.settings.sources import masked
from emotions_cli.streams.atomic import whole_directory
from emotions_cli.tracking import WEIGHTS, Ending
from emotions_cli.training.build import arithmetic_of, build_accelerator, load_weights
from emotions_cli.training.checkpoints import Checkpoint
from emotions_cli.training.course import Wish, run_course
from emotions_cli.training.events import Evaluated, Event, Finished, Finishing, Note, Resumed, Started, Step
from emotions_cli.training.export import add_fast_file, make_probes, write_model_files
from emotions_cli.training.git import git_state
from emotions_cli.training.identity import identity_of, refuse_changes
from emotions_cli.training.job import Resume, TrainingJob, check_trainable
from emotions_cli.training.parts import Origins, Parts, build_parts
from emotions_cli.training.profile import StepProfiler
from emotions_cli.training.progress import Progress
from emotions_cli.training.ranks import Ranks
from emotions_cli.training.selection import Selection
from emotions_cli.training.validation import Decisions
from emotions_cli.training.versions import versions

if TYPE_CHECKING:
    from accelerate import Accelerator


def train(job: TrainingJob) -> Generator[Event]:
    """Train a model and write its bundle, yielding what happens.

    Where several processes train together, each calls it; only the first one writes, and only it yields :class:`Finished`.

    Raises:
        DependencyMissing: The ``train`` extra is not installed.
        DataError: The data can't be trained on.
        ModelError: The base model can't be used.
        TrainingError: The run's folder is taken, there is nothing to go on from, the run was another, or the device is not there.
        LossNotFinite: The loss became NaN or infinite. If an evaluation came before, the bundle of the best weights is written.
        ProcessLost: Another process of the run has ended.
        TrainingStopped: The job was stopped; it can be resumed.
        StorageError: The disk refuses; the checkpoints saved before are untouched.
    """
    require("train", "Training")
    check_trainable(job.dataset)
    accelerator = build_accelerator(job.settings.training.device, job.settings.training.precision, processes=job.processes)
    ranks = Ranks.of(accelerator)
    with ranks.together():
        yield from _events(job, accelerator, ranks)


def _events(job: TrainingJob, accelerator: Accelerator, ranks: Ranks) -> Iterator[Event]:
    began = time.perf_counter()
    resuming = job.resume is not Resume.NO and _something_to_resume(job)
    if not resuming and ranks.main:
        job.folder.refuse_if_taken(force=job.force)
    with ExitStack() as stack:
        if job.remote is not None:
            stack.callback(job.remote.close)
        if resuming and ranks.main:
            stack.enter_context(job.folder.held())
        origins = Origins.of(job)
        arithmetic = {"device": accelerator.device.type, "precision": str(accelerator.mixed_precision)}
        identity = identity_of(job.dataset, job.settings.training, processes=ranks.count, **arithmetic, **origins.hashes())
        found = None
        if resuming:
            found, notes = _checkpoint(job, identity)
            yield from map(Note, notes)
        _agree(ranks, found)
        if origins.teachers:
            yield Note(f"first {', '.join(teacher.weights.name for teacher in origins.teachers)} answers the training texts")
        parts = build_parts(job, origins, accelerator)
        if found is not None:
            parts.read_state(found.folder)
            if ranks.main:
                job.folder.checkpoints.forget_behind(found.progress.step)
        elif ranks.main:
            if not resuming:
                stack.enter_context(job.folder.held())
                # another process may have been faster
                job.folder.refuse_if_taken(force=job.force)
            job.folder.begin(record_text(job.settings))
        if job.remote is not None and ranks.main:
            job.remote.begin(0 if found is None else found.progress.step)
        if parts.cut:
            limit = parts.validation.encoder.max_length
            yield Note(f"{parts.cut:,} training texts are longer than {limit} tokens; their ends are cut")
        yield _started(job, parts)
        if found is not None:
            yield Resumed(found.progress.step, found.folder, found.progress.selection.best)
        yield from _Run(
            job, parts, origins, identity, ranks, found, began, git_state(Path.cwd()) if ranks.main else None
        ).events()


def _something_to_resume(job: TrainingJob) -> bool:
    if job.folder.checkpoints.steps() or job.folder.checkpoints.set_aside():
        return True
    if job.resume is Resume.YES:
        raise TrainingError(
            f"'{job.folder}' has no checkpoint to go on from.", "Leave out --resume to begin; --resume auto does what fits."
        )
    return False


def _checkpoint(job: TrainingJob, identity: Mapping[str, Any]) -> tuple[Checkpoint | None, list[str]]:
    """Find what to go on from, and refuse it where it belongs to another run."""
    checkpoint, notes = job.folder.checkpoints.newest()
    if checkpoint is None:
        if job.resume is Resume.YES:
            raise TrainingError(f"No checkpoint of '{job.folder}' is whole. {notes[0]}", "Begin anew with --force.")
        return None, [*notes, "no checkpoint is whole: the run begins anew"]
    notes += refuse_changes(checkpoint.identity, identity, allow_harmless=job.allow_changed)
    return checkpoint, notes


def _agree(ranks: Ranks, found: Checkpoint | None) -> None:
    """Refuse to train from different weights: machines without a common folder may know different checkpoints."""
    steps = ranks.gather(0 if found is None else found.progress.step)
    if len(set(steps)) > 1:
        raise TrainingError(
            f"The processes would go on from different steps: {', '.join(map(str, steps))}.",
            "Give all machines the same run folder: a shared disk, or gs://….",
        )


@dataclass(frozen=True)
class _Run:
    """A run from its first step, or from a checkpoint, to its bundle."""

    job: TrainingJob
    parts: Parts
    origins: Origins
    identity: Mapping[str, Any]
    ranks: Ranks
    found: Checkpoint | None
    began: float
    git: Mapping[str, Any] | None

    def events(self) -> Iterator[Event]:
        """Train, write the bundle and end."""
        job, tracker = self.job, self.job.tracker
        progress = Progress(Selection(job.settings.training.metric)) if self.found is None else self.found.progress
        # allowed to change from one process to the next
        progress.selection.patience = job.settings.training.patience
        error: EmotionsError | None = None
        judgement: Judgement | None = None
        written, ending = False, Ending.FAILED
        if self.ranks.main:
            tracker.start(*self._described(), None if self.found is None else self.found.tracker)
        try:
            error = yield from self._trained(progress)
            if job.bundle:
                yield Finishing()
            if self.ranks.main and job.bundle:
                judgement = yield from self._bundled(progress)
            written = job.bundle
            ending = Ending.DONE if error is None else Ending.FAILED
        except TrainingStopped:
            error = TrainingStopped(f"Stopped after step {progress.step:,} of {self.parts.total:,}; all is saved.")
            ending = Ending.STOPPED
        except EmotionsError as broken:
            error = broken
        except (KeyboardInterrupt, GeneratorExit):
            ending = Ending.STOPPED
            raise
        finally:
            # behind the bundle, which a tracker that hangs does not hold up
            if self.ranks.main:
                tracker.finish(ending)
        yield from self._problems()
        if ending is Ending.STOPPED and job.remote is not None and (missing := job.remote.wait()) is not None:
            yield Note(missing)
        if written:
            if self.ranks.main and job.remote is not None:
                yield Note(f"uploading to {job.folder}")
                job.remote.finish()
            # the others wait: a process that ends with an error ends all of them
            self.ranks.gather(None)
        if error is not None:
            raise error
        if judgement is not None:
            yield Finished(
                str(job.folder),
                job.folder.model_place,
                judgement,
                progress.selection.best_step,
                progress.step,
                progress.step < self.parts.total,
                progress.texts / max(progress.seconds, 1e-9),
                time.perf_counter() - self.began,
            )

    def _trained(self, progress: Progress) -> Generator[Event, None, EmotionsError | None]:
        """Train until there are best weights; return the error that the run ends with nevertheless, if it does."""
        job, selection = self.job, progress.selection
        profiler = None
        if job.profile and self.ranks.main and self.parts.total > progress.step:
            profiler = StepProfiler(job.folder.path / "profile", self.parts.total - progress.step)
            profiler.begin_if_due()
        failure: LossNotFinite | None = None
        try:
            if not job.finish:
                for event in self._course(progress):
                    if self.ranks.main:
                        job.tracker.log(event_step(event), *_measured(event))
                    yield event
                    if profiler is not None and isinstance(event, Step) and (found := profiler.after_step()) is not None:
                        yield Note(found)
                    yield from self._problems()
        except LossNotFinite as error:
            failure = error
        if profiler is not None and (found := profiler.finish()) is not None:
            yield Note(found)
        if selection.best is None and job.finish:
            raise TrainingError("The run was not evaluated yet: there are no best weights.", "Go on: --resume without --finish.")
        if selection.best is None:
            raise failure or LossNotFinite(f"The validation {selection.metric} was never a number.")
        if failure is None or not job.bundle:
            return failure
        kept = LossNotFinite(
            f"{failure.message} The best weights so far ({selection.metric} {selection.best:.4f} at step "
            f"{selection.best_step:,}) are in {job.folder.model_place}.",
            failure.hint,
        )
        kept.__cause__ = failure
        return kept

    def _bundled(self, progress: Progress) -> Generator[Event, None, Judgement]:
        """Write the bundle, and tell the tracker which weights are in it."""
        judgement, note = _write_bundle(self, progress)
        if note is not None:
            yield note
        manifest = Bundle.open(self.job.folder.model, verify=False).manifest
        self.job.tracker.conclude({WEIGHTS: manifest.files[WEIGHTS_FILE]})
        return judgement

    def _described(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Say in a few values what the run is, and at length what it is made of."""
        dataset, base = self.job.dataset, self.origins.base
        run = {"data": dataset.reference, "base_model": base.name, "steps": self.parts.total}
        config = {
            "fingerprint": self.identity["data"],
            "splits": _sizes(dataset),
            "labels": list(dataset.labels),
            "task": dataset.task.value,
            "base_model_sha256": base.sha256,
            "arithmetic": arithmetic_of(self.job.settings.training, self.ranks.count),
            "settings": masked(self.job.settings),
            "versions": dict(versions()),
            "git": self.git,
        }
        return run, config

    def _problems(self) -> Iterator[Note]:
        """What went wrong beside the run, and stops nothing."""
        if self.ranks.main:
            yield from map(Note, self.job.tracker.problems())
            if self.job.remote is not None:
                yield from map(Note, self.job.remote.problems())

    def _course(self, progress: Progress) -> Iterator[Step | Evaluated]:
        wishes = _Wishes(self.job.settings.checkpoints, self.ranks, self.job.stop)

        def save() -> None:
            if self.ranks.main:
                state = self.job.tracker.state()
                self.job.folder.checkpoints.save(progress, self.identity, state, self.parts.write_state)
                if self.job.remote is not None:
                    self.job.remote.checkpoint(progress.step)
            else:
                self.parts.send_state()
            wishes.saved()

        return run_course(
            self.parts.steps(progress.step),
            progress,
            evaluate=partial(self.parts.validation.judge, self.parts.bare_model, self.job.stop),
            due=_every(self.job.settings.training.eval_steps, self.parts),
            enough=self.job.enough,
            save=save,
            wish=wishes,
        )


class _Wishes:
    """Whether to save and whether to stop after a step, agreed on by all processes."""

    def __init__(self, settings: CheckpointSettings, ranks: Ranks, stop: Callable[[], bool]) -> None:
        self._settings = settings
        self._ranks = ranks
        self._stop = stop
        self._last = time.monotonic()

    def saved(self) -> None:
        """Note that a checkpoint was written now."""
        self._last = time.monotonic()

    def __call__(self, step: int) -> Wish:
        every, minutes = self._settings.steps, self._settings.minutes
        save = bool(every) and step % every == 0
        # the clocks of the others do not count
        save |= self._ranks.main and bool(minutes) and time.monotonic() - self._last >= 60 * minutes
        save, stop = self._ranks.any(save, self._stop())
        return Wish(save=save, stop=stop)


def _every(eval_steps: int, parts: Parts) -> Callable[[int], bool]:
    if eval_steps == 0:
        return lambda step: step % parts.steps_per_epoch == 0
    return lambda step: step % eval_steps == 0 or step == parts.total


def _started(job: TrainingJob, parts: Parts) -> Started:
    precision = parts.accelerator.mixed_precision
    return Started(
        job.folder.path,
        parts.accelerator.device.type if parts.accelerator.device.type == "cpu" else str(parts.accelerator.device),
        "fp32" if precision == "no" else precision,
        sum(p.numel() for p in parts.model.parameters()),
        len(job.dataset.split(TRAIN)),
        len(job.dataset.split(VALIDATION)),
        parts.total,
    )


def _write_bundle(run: _Run, progress: Progress) -> tuple[Judgement, Note | None]:
    """Write the bundle of the best weights; what stood in its place stays until it is whole."""
    job, parts = run.job, run.parts
    best = job.folder.checkpoints.best(progress)
    model = parts.accelerator.unwrap_model(parts.model, keep_fp32_wrapper=False).to("cpu")
    load_weights(model, best.weights)
    decisions, judgement = parts.validation.settle(model)
    encoder = parts.validation.encoder
    manifest = _manifest(run, model, encoder, decisions, judgement)
    note = None
    with whole_directory(job.folder.model) as part:
        write_model_files(model, parts.tokenizer, part, max_length=encoder.max_length)
        if job.settings.training.fast_file:
            try:
                manifest = add_fast_file(part, encoder, manifest, job.dataset)
            except FastFileRefused as refused:
                note = Note(refused.message)
        write_manifest(part, manifest)
    job.folder.checkpoints.clear()
    return judgement, note


def event_step(event: Step | Evaluated) -> int:
    """Return the number of the optimiser step that an event is about."""
    return event.number if isinstance(event, Step) else event.step


def _measured(event: Step | Evaluated) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was measured, and what depends on the machine's pace."""
    if isinstance(event, Step):
        measured = {"epoch": event.epoch, "loss": event.loss, "grad_norm": event.grad_norm, "learning_rate": event.learning_rate}
        return measured, {"seconds": event.seconds, "examples_per_second": event.texts / max(event.seconds, 1e-9)}
    return {
        "epoch": event.epoch,
        "training_loss": event.training_loss,
        "improved": event.improved,
        "validation": event.judgement.to_json(),
    }, {}


def _sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(examples) for name, examples in dataset.splits.items()}


def _manifest(run: _Run, model: Any, encoder: Encoder, decisions: Decisions, judgement: Judgement) -> Manifest:
    dataset, base = run.job.dataset, run.origins.base
    return Manifest(
        labels=dataset.labels.names,
        task=dataset.task,
        max_length=encoder.max_length,
        temperature=decisions.temperature,
        thresholds=decisions.thresholds,
        base_model={
            "name": base.name,
            "source": base.source,
            "sha256": base.sha256,
            "teachers": [{"name": teacher.weights.name, "sha256": teacher.weights.sha256} for teacher in run.origins.teachers],
        },
        data={
            "reference": dataset.reference,
            "fingerprint": run.identity["data"],
            "splits": _sizes(dataset),
        },
        settings=masked(run.job.settings),
        metrics={VALIDATION: judgement.to_json()},
        versions=versions(),
        arithmetic=arithmetic_of(run.job.settings.training, run.ranks.count),
        git=run.git,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        probes=make_probes(model, encoder, dataset.task, decisions.temperature),
    )
