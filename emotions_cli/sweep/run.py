"""A whole sweep: trial after trial, told as a stream of events."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emotions_cli.data.dataset import Dataset
from emotions_cli.errors import LossNotFinite, ModelError, TrainingError, TrainingStopped
from emotions_cli.extras import require
from emotions_cli.models.bundle import Bundle
from emotions_cli.settings import Settings
from emotions_cli.settings.model import WandbSettings
from emotions_cli.settings.render import record_text
from emotions_cli.streams.atomic import whole_file
from emotions_cli.sweep.events import Concluding, Opened, SweepEvent, SweepFinished, SweepNote, Trained, TrialBegan, TrialEnded
from emotions_cli.sweep.folder import SweepFolder, SweepPlan
from emotions_cli.sweep.preflight import BUILDS, base_model_of, check_models
from emotions_cli.sweep.pruning import WHOLE
from emotions_cli.sweep.report import SweepReport, write_page, write_table
from emotions_cli.sweep.space import SECTION, Space, with_params
from emotions_cli.sweep.storage import StudyStorage
from emotions_cli.sweep.study import State, SweepStudy, TrialRecord, best_of, ranked
from emotions_cli.tracking import Tracker
from emotions_cli.training import Evaluated, Resume, Resumed, Started, TrainingJob, train
from emotions_cli.training.identity import differences, identity_of, recorded_identity
from emotions_cli.training.job import check_trainable
from emotions_cli.training.run_folder import RunFolder

# may be another on each machine: says where, or changes nothing in what is learnt
_FREE = ("training.device", "training.fast_file")


@dataclass(frozen=True)
class SweepJob:
    """What to search.

    Attributes:
        dataset: Must have a training and a validation split.
        settings: What all trials share; where a parameter is searched, its value there does not count.
        space: What is searched.
        plan: How many trials, under which name, from where.
        folder: Where everything of this machine goes.
        storage: Where the study lies.
        tracker: Makes what receives the measurements of a trial.
        begin: Whether a new sweep begins in the folder.
        force: Replace an earlier one.
        stop: Asked after every step; when it says yes, the running trial is saved and the sweep ends.
        cache: Folder for the token ids of large data, which all trials share; ``None`` keeps them in memory.
    """

    dataset: Dataset
    settings: Settings
    space: Space
    plan: SweepPlan
    folder: SweepFolder
    storage: StudyStorage
    tracker: Callable[[RunFolder, WandbSettings], Tracker]
    begin: bool = True
    force: bool = False
    stop: Callable[[], bool] = lambda: False
    cache: Path | None = None

    @property
    def metric(self) -> str:
        """What trials are judged by."""
        return self.settings.training.metric

    @property
    def next_step(self) -> str:
        """What to do after a stop: all that the sweep needs to go on, but for a password, is in its folder."""
        with suppress(TrainingError):
            # else an earlier one is there, or none
            if self.folder.plan().place == self.plan.place:
                again = " --storage URL" if StudyStorage.at(self.storage.shown).lacks_password else ""
                return f"Go on: emotions sweep --resume --output {self.folder}{again}"
        return "Give the same command again."


def sweep(job: SweepJob) -> Generator[SweepEvent]:
    """Search for the best settings and write the best trial's bundle, yielding what happens.

    Raises:
        DependencyMissing: The ``sweep`` or ``train`` extra is not installed.
        DataError: The data can't be trained on.
        ModelError: A base model is not there, or no trial could use any of them.
        TrainingError: The folder is taken, the study is another sweep's, or no trial came to its end.
        TrainingStopped: The job was stopped; it can be resumed.
        StorageError: The disk or the study's database refuses; what was saved before is untouched.
    """
    require("sweep", "Sweeping")
    require("train", "Training")
    check_trainable(job.dataset)
    if job.begin:
        job.folder.refuse_if_taken(force=job.force)
    check_models(job.dataset, job.settings, job.space)
    with job.folder.held():
        plan, settings = job.plan, record_text(job.settings)
        if job.begin:
            # another process may have been faster
            job.folder.refuse_if_taken(force=job.force)
        if job.begin and plan.storage is None:
            job.folder.begin(plan, settings)
        with SweepStudy.opened(job.storage, plan.study, job.metric, job.space, job.settings.training.seed) as study:
            if job.begin and plan.storage is not None and job.folder.begun:
                _leave_earlier(job.folder, study)
            study.agree(plan.place, _identity(job))
            if not job.begin:
                job.folder.keep(plan)
            elif plan.storage is not None:
                # not before this machine may take part
                job.folder.begin(plan, settings)
            yield from _Sweep(job, plan, study).events()


def _leave_earlier(folder: SweepFolder, study: SweepStudy) -> None:
    """Refuse to replace the sweep of a folder where trials in the study may be its own: their runs would be gone."""
    if study.records():
        raise TrainingError(
            f"The study '{study.name}' in '{study.storage}' has trials already; the sweep in '{folder}' is not replaced.",
            "Choose another --study, go on with --resume, or take part with another --output.",
        )
    with suppress(TrainingError):
        study.withdraw(folder.plan().place)


def _identity(job: SweepJob) -> dict[str, Any]:
    """Describe what all trials of a study have in common, by plain values."""
    training = job.settings.training
    searched = {SECTION + param.key: f"searched in {param}" for param in job.space}
    shared: dict[str, Any] = {"pruning": job.plan.prune}
    if SECTION + "base_model" not in searched:
        shared["base model"] = base_model_of(job.settings, training.base_model).sha256
    identity = {**identity_of(job.dataset, training), **shared, **searched}
    return {key: value for key, value in identity.items() if key not in _FREE}


@dataclass
class _Outcome:
    """How a trial ended, or stands."""

    best: float | None = None
    state: State = State.COMPLETE
    note: str = ""
    over: bool = False

    def give_up(self, note: str) -> None:
        """Let the trial end before its time."""
        self.state, self.note, self.over = State.PRUNED, note, True


@dataclass(frozen=True)
class _Sweep:
    """A sweep whose folder is held and whose study is open."""

    job: SweepJob
    plan: SweepPlan
    study: SweepStudy

    def events(self) -> Iterator[SweepEvent]:
        """Run trials until there are enough, then write the best one's bundle."""
        job = self.job
        yield Opened(job.folder.path, self.plan.study, job.storage.shown, self._ended(), self.plan.trials)
        unfinished = [trial for trial in self.study.records() if trial.state is State.RUNNING and trial.place == self.plan.place]
        for trial in unfinished:
            yield from self._trial(trial, resumed=True)
        while True:
            if job.stop():
                raise TrainingStopped(
                    f"Stopped after {self._ended():,} of {self.plan.trials:,} trials; all is saved.", self.job.next_step
                )
            begun = self.study.begin(self.plan.place, job.folder.place, self.plan.trials)
            if begun is None:
                break
            yield from self._trial(begun, resumed=False)
        yield from self._conclude()

    def _ended(self) -> int:
        return sum(trial.ended for trial in self.study.records())

    def _trial(self, trial: TrialRecord, *, resumed: bool) -> Iterator[SweepEvent]:
        trial = self.study.choose(trial)
        yield TrialBegan(trial.number, trial.params, resumed, self._ended())
        earlier = self._same(trial)
        if earlier is not None:
            for share, value in earlier.reports.items():
                self.study.report(trial, share, value)
            trial = self.study.end(trial, earlier.state, earlier.value, f"same values as trial {earlier.name}")
        else:
            outcome = _Outcome()
            began = time.monotonic()
            try:
                yield from self._train(trial, outcome)
            finally:
                # also when it is stopped
                self.study.spent(trial, trial.seconds + time.monotonic() - began)
            trial = self.study.end(trial, outcome.state, outcome.best, outcome.note)
        self._tidy()
        self._report()
        yield TrialEnded(trial, best_of(self.study.records(), self.job.metric))

    def _same(self, trial: TrialRecord) -> TrialRecord | None:
        """Return a trial that ended with the same values: training is repeatable, so would this one."""
        return next(
            (
                other
                for other in self.study.records()
                if other.ended and other.number < trial.number and other.params == trial.params
            ),
            None,
        )

    def _train(self, trial: TrialRecord, outcome: _Outcome) -> Iterator[SweepEvent]:
        """Run a trial up to the point where its bundle would be written, or to where it is given up."""
        run = self.job.folder.run(trial.name)
        if not run.checkpoints.steps():
            # of a process that was killed before it saved
            shutil.rmtree(run.path, ignore_errors=True)
        steps = 0
        job = replace(self._run_job(trial, run), bundle=False, enough=lambda: outcome.over)
        with closing(train(job)) as events:
            try:
                for event in events:
                    match event:
                        case Started():
                            steps = event.steps
                        case Resumed():
                            outcome.best = event.best
                            # the process may have been killed between the evaluation and the end of the trial
                            self._give_up_hopeless(trial, round(WHOLE * event.step / steps), outcome)
                        case Evaluated():
                            outcome.best = event.value if event.improved else outcome.best
                            self._judge(trial, event, round(WHOLE * event.step / steps), outcome)
                        case _:
                            pass
                    yield Trained(trial.number, event)
            except LossNotFinite as error:
                outcome.give_up(f"diverged: {error.message}")
            except ModelError as error:
                if not self._own_fault(trial):
                    raise
                outcome.give_up(f"can't be trained: {error.message}")
            except TrainingStopped as error:
                raise TrainingStopped(f"Trial {trial.name}: {error.message}", self.job.next_step) from error
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                outcome.give_up(f"out of memory: {str(error).splitlines()[0]}")

    def _own_fault(self, trial: TrialRecord) -> bool:
        """Say whether a model that can't be built comes from what was chosen for the trial."""
        # one that was there before the first trial and is gone now is missed by others too: such a trial goes on some day
        base_model_of(self.job.settings, with_params(self.job.settings, trial.params).training.base_model)
        return not trial.params.keys().isdisjoint(BUILDS)

    def _judge(self, trial: TrialRecord, event: Evaluated, share: int, outcome: _Outcome) -> None:
        if event.value == event.value:
            self.study.report(trial, share, event.value)
        self._give_up_hopeless(trial, share, outcome)

    def _give_up_hopeless(self, trial: TrialRecord, share: int, outcome: _Outcome) -> None:
        """Give a trial up if it falls behind by what was reported of it so far."""
        if not self.plan.prune:
            return
        # a process that was killed before it saved may have reported more: that is judged when the run comes there again
        reports = {at: value for at, value in self.study.read(trial).reports.items() if at <= share}
        if self.study.hopeless(reports):
            outcome.give_up(f"fell behind after {max(reports) / WHOLE:.0%} of its run")

    def _run_job(self, trial: TrialRecord, run: RunFolder) -> TrainingJob:
        job = self.job
        settings = with_params(job.settings, trial.params)
        wandb = settings.wandb.model_copy(update={"name": f"trial-{trial.name}", "group": self.plan.study})
        return TrainingJob(
            job.dataset,
            settings.model_copy(update={"wandb": wandb}),
            run,
            job.tracker(run, wandb),
            resume=Resume.AUTO,
            # only what the study leaves free can be other than it was
            allow_changed=True,
            stop=job.stop,
            cache=job.cache,
        )

    def _tidy(self) -> None:
        """Remove the checkpoints of this machine's trials that are over, but for the study's best."""
        records = self.study.records()
        best = best_of(records, self.job.metric)
        for trial in records:
            if trial.place == self.plan.place and trial.ended and trial != best:
                self.job.folder.run(trial.name).checkpoints.clear()

    def _report(self) -> None:
        """Write what is known by now."""
        job, records = self.job, self.study.records()
        best = best_of(records, job.metric)
        if best is not None:
            with whole_file(job.folder.best) as part:
                part.write_text(record_text(with_params(job.settings, best.params)), encoding="utf-8")
        report = SweepReport(
            self.plan.study,
            job.dataset.reference,
            job.settings.training.base_model,
            job.metric,
            self.plan.trials,
            job.space,
            ranked(records, job.metric),
            self.study.importances(),
        )
        write_table(report, job.folder.table)
        write_page(report, job.folder.page)

    def _conclude(self) -> Iterator[SweepEvent]:
        job, records = self.job, self.study.records()
        self._tidy()
        self._report()
        best = best_of(records, job.metric)
        elsewhere = [trial for trial in records if trial.state is State.RUNNING]
        if elsewhere:
            where = ", ".join(dict.fromkeys(trial.folder or "an unknown place" for trial in elsewhere))
            yield SweepNote(
                f"{len(elsewhere):,} of the trials did not end yet, at {where}; when they have, --resume looks again for the best"
            )
        if best is None:
            raise TrainingError(
                f"No trial of '{self.plan.study}' came to its end: there is no best one.",
                "Look at the notes in trials.csv; give more --trials, other --param bounds, or --no-prune.",
            )
        model = None
        if best.place != self.plan.place:
            yield SweepNote(f"the best trial, {best.name}, was run at {best.folder}: its model is written there")
            if job.folder.model.exists():
                yield SweepNote(f"{job.folder.model} is of an earlier best trial")
        else:
            yield from self._write_model(best)
            model = job.folder.model
        if not elsewhere:
            job.folder.keep(replace(self.plan, concluded=self.plan.trials))
        yield SweepFinished(job.folder.path, job.metric, ranked(records, job.metric), self.study.importances(), model)

    def _write_model(self, best: TrialRecord) -> Iterator[SweepEvent]:
        """Put the best trial's bundle in its place, unless it is there."""
        folder, run = self.job.folder, self.job.folder.run(best.name)
        if run.finished:
            # a process was killed before it moved it
            folder.take_model(run)
        if self._is_model_of(best.params):
            yield SweepNote(f"the model of the best trial, {best.name}, is written: {folder.model}")
            return
        yield Concluding(best.number)
        if not run.checkpoints.steps():
            yield SweepNote(f"the checkpoints of trial {best.name} are gone: it is trained again")
        # no step is left; what was measured was tracked before
        untracked = self.job.settings.wandb.model_copy(update={"mode": "disabled"})
        last = replace(self._run_job(best, run), tracker=self.job.tracker(run, untracked), force=True)
        with closing(train(last)) as events:
            for event in events:
                yield Trained(best.number, event)
        folder.take_model(run)

    def _is_model_of(self, params: Mapping[str, Any]) -> bool:
        if not self.job.folder.model.exists():
            return False
        manifest = Bundle.open(self.job.folder.model, verify=False).manifest
        training = with_params(self.job.settings, params).training
        return not differences(recorded_identity(manifest), identity_of(self.job.dataset, training))


def _out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)
