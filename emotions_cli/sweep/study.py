"""A study: the trials of a sweep in Optuna's storage, those of this machine and those of others."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from emotions_cli.errors import TrainingError
from emotions_cli.metrics.judgement import LOWER_IS_BETTER
from emotions_cli.sweep.pruning import Reports, falls_behind
from emotions_cli.sweep.space import SECTION, Space
from emotions_cli.sweep.storage import StudyStorage
from emotions_cli.training.identity import differences

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

# before the place of a participant: under it a study keeps what that one's trials have in common
_IDENTITY = "emotions sweep "
# with fewer complete trials the shares would be noise
IMPORTANCE_TRIALS = 4


class State(StrEnum):
    """How far a trial has come."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class TrialRecord:
    """A trial, as the study knows it.

    Attributes:
        id: In the storage.
        number: In the study, from 0.
        state: How far it has come.
        value: Its best value of the metric; ``None`` before the first evaluation.
        params: Chosen values, by the settings' keys without their section.
        place: Which sweep folder runs it: a word that no other has.
        folder: Where that is, for people: host and path.
        reports: Its evaluations.
        seconds: How long it ran.
        note: What else there is to say.
        began: When.
    """

    id: int
    number: int
    state: State
    value: float | None
    params: Mapping[str, Any]
    place: str
    folder: str
    reports: Reports
    seconds: float = 0.0
    note: str = ""
    began: datetime | None = None

    @property
    def name(self) -> str:
        """Its number as folders, tables and runs have it: ``0007``."""
        return f"{self.number:04}"

    @property
    def ended(self) -> bool:
        """Whether it is complete or was given up."""
        return self.state in {State.COMPLETE, State.PRUNED}


@dataclass
class SweepStudy:
    """An open study.

    Attributes:
        storage: Where it lies.
        name: Its name there.
        metric: What trials are judged by.
        space: What is searched.
        seed: Seeds what is chosen.
    """

    storage: StudyStorage
    name: str
    metric: str
    space: Space
    seed: int
    _study: Study
    _database: Any

    @classmethod
    @contextmanager
    def opened(cls, storage: StudyStorage, name: str, metric: str, space: Space, seed: int) -> Iterator[SweepStudy]:
        """Open a study, made when it is not there, and close its database at the end.

        Raises:
            StorageError: The database can't be used.
        """
        import optuna

        # what it logs, it raises or returns too
        optuna.logging.disable_default_handler()
        logging.getLogger("alembic").setLevel(logging.WARNING)
        connection = storage.connect()
        try:
            with storage.errors():
                database = optuna.storages.get_storage(connection)
                study = optuna.create_study(
                    storage=database,
                    study_name=name,
                    direction="minimize" if metric in LOWER_IS_BETTER else "maximize",
                    # the rule of sweep.pruning decides
                    pruner=optuna.pruners.NopPruner(),
                    load_if_exists=True,
                )
            yield cls(storage, name, metric, space, seed, study, database)
        finally:
            connection.remove_session()
            connection.engine.dispose()

    def agree(self, place: str, identity: Mapping[str, Any]) -> None:
        """Take part in the study only with what its other trials have in common.

        Each participant says what its trials have in common, and then looks what the others have said: of two that begin at once
        the later one sees the other's word. Who differs takes its own back; two that differ and see each other both do. Once
        there are trials only the words of those that ran them count: whoever differs from these is about to take its own back, or
        was killed before it could.

        Args:
            place: Which sweep folder takes part.
            identity: Data, fixed settings and search space, as plain values by name.

        Raises:
            TrainingError: There are differences; all are listed. Or the study is no sweep's.
            StorageError: The database can't be used.
        """
        said = self._identities()
        if not said and self.records():
            raise TrainingError(f"The study '{self.name}' in '{self.storage}' is no sweep.", "Choose another --study.")
        joins = place not in said
        if joins:
            self._say(place, identity)
            said = self._identities()
            ran = {trial.place for trial in self.records()}
            others = {other: words for other, words in said.items() if other in ran} or said
        else:
            # it has agreed with them before
            others = {place: said[place]}
        different = {key: phrase for words in others.values() for key, phrase in differences(words, identity).items()}
        if different:
            if joins:
                self.withdraw(place)
            raise TrainingError(
                f"The sweep can't go on with other settings, data or parameters: {'; '.join(different.values())}.",
                "Give what it began with, or begin another sweep with another --output and --study.",
            )

    def withdraw(self, place: str) -> None:
        """Take back what a participant without trials has said.

        Raises:
            StorageError: The database can't be used.
        """
        if place in self._identities():
            self._say(place, None)

    def _say(self, place: str, identity: Mapping[str, Any] | None) -> None:
        with self.storage.errors():
            self._study.set_user_attr(_IDENTITY + place, None if identity is None else json.dumps(identity, sort_keys=True))

    def _identities(self) -> dict[str, Any]:
        with self.storage.errors():
            said = self._study.user_attrs
        return {
            key.removeprefix(_IDENTITY): json.loads(value)
            for key, value in said.items()
            if key.startswith(_IDENTITY) and value is not None
        }

    def records(self) -> list[TrialRecord]:
        """Return all trials by number.

        Raises:
            StorageError: The database can't be used.
        """
        with self.storage.errors():
            return [self._record(trial) for trial in self._study.get_trials(deepcopy=False)]

    def begin(self, place: str, folder: str, most: int) -> TrialRecord | None:
        """Begin a trial of this machine, its values not chosen yet.

        Args:
            place: Which sweep folder runs it.
            folder: Where that is, for people.
            most: How many trials the study is to have.

        Returns:
            The trial, or ``None`` when there are enough.

        Raises:
            StorageError: The database can't be used.
        """
        from optuna.trial import TrialState, create_trial

        if sum(trial.state is not State.FAILED for trial in self.records()) >= most:
            return None
        with self.storage.errors():
            # in one transaction: a trial without a place would belong to nobody
            template = create_trial(state=TrialState.RUNNING, user_attrs={"place": place, "folder": folder})
            study_id = self._database.get_study_id_from_name(self.name)
            identifier = self._database.create_new_trial(study_id, template)
        records = self.records()
        trial = next(record for record in records if record.id == identifier)
        if sum(other.state is not State.FAILED and other.number < trial.number for other in records) >= most:
            # another machine was faster
            with self.storage.errors():
                self._study.tell(trial.number, state=TrialState.FAIL)
            return None
        return trial

    def choose(self, trial: TrialRecord) -> TrialRecord:
        """Choose the values of a trial; those chosen by a process that was killed meanwhile stay.

        The sampler is TPE, multivariate and aware of trials that run elsewhere. It is made anew for each trial, seeded by the
        trial's number: what is chosen depends on the trials before it alone, not on when processes were stopped.

        Raises:
            StorageError: The database can't be used.
        """
        import optuna

        def sampler(*what: str) -> optuna.samplers.TPESampler:
            digest = hashlib.sha256(repr((self.seed, trial.number, *what)).encode()).digest()
            seed = int.from_bytes(digest[:4], "big")
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)

        with self.storage.errors():
            self._study.sampler = sampler()
            asked = optuna.trial.Trial(self._study, trial.id)
            # all together, even where some are kept already
            _ = asked.relative_params
            for param in self.space:
                self._study.sampler = sampler(param.key)
                param.suggest(asked)
        return self.read(trial)

    def read(self, trial: TrialRecord) -> TrialRecord:
        """Return a trial as it is now.

        Raises:
            StorageError: The database can't be used.
        """
        with self.storage.errors():
            return self._record(self._database.get_trial(trial.id))

    def report(self, trial: TrialRecord, share: int, value: float) -> None:
        """Keep an evaluation; one at the same share stays: it was made by a process that was killed before it saved.

        Args:
            trial: A running one.
            share: Thousandths of the run.
            value: The metric's.

        Raises:
            StorageError: The database can't be used.
        """
        if share not in self.read(trial).reports:
            with self.storage.errors():
                self._database.set_trial_intermediate_value(trial.id, share, value)

    def hopeless(self, reports: Reports) -> bool:
        """Say whether a trial falls behind those that are complete, see :func:`emotions_cli.sweep.pruning.falls_behind`.

        Args:
            reports: Of the trial, up to where it stands.

        Raises:
            StorageError: The database can't be used.
        """
        others = [other.reports for other in self.records() if other.state is State.COMPLETE]
        return falls_behind(reports, others, lower_is_better=self.metric in LOWER_IS_BETTER)

    def spent(self, trial: TrialRecord, seconds: float) -> None:
        """Keep how long a trial ran.

        Raises:
            StorageError: The database can't be used.
        """
        with self.storage.errors():
            self._database.set_trial_user_attr(trial.id, "seconds", seconds)

    def end(self, trial: TrialRecord, state: State, value: float | None, note: str = "") -> TrialRecord:
        """End a trial.

        Args:
            trial: A running one.
            state: Complete or pruned.
            value: The best value of the metric, of a complete one.
            note: What else there is to say.

        Raises:
            StorageError: The database can't be used.
        """
        from optuna.trial import TrialState

        with self.storage.errors():
            if note:
                self._database.set_trial_user_attr(trial.id, "note", note)
            if state is State.COMPLETE:
                self._study.tell(trial.number, value, state=TrialState.COMPLETE)
            else:
                self._study.tell(trial.number, state=TrialState.PRUNED)
        return self.read(trial)

    def importances(self) -> dict[str, float]:
        """Return how much the metric depends on each setting, as shares of 1, the largest first.

        PED-ANOVA (Watanabe et al., IJCAI 2023), as Optuna has it. Empty with one setting, with few complete trials, and where
        all came to the same value.

        Raises:
            StorageError: The database can't be used.
        """
        import optuna

        complete = [record for record in self.records() if record.state is State.COMPLETE]
        if len(self.space) < 2 or len(complete) < IMPORTANCE_TRIALS or len({record.value for record in complete}) < 2:
            return {}
        with self.storage.errors():
            found = optuna.importance.get_param_importances(self._study)
        return {name.removeprefix(SECTION): float(share) for name, share in found.items()}

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        reports = {int(share): float(value) for share, value in trial.intermediate_values.items()}
        values = [value for value in reports.values() if value == value]
        pick = min if self.metric in LOWER_IS_BETTER else max
        return TrialRecord(
            trial._trial_id,
            trial.number,
            _STATES[trial.state.name],
            trial.value if trial.state.name == "COMPLETE" else pick(values, default=None),
            {name.removeprefix(SECTION): value for name, value in trial.params.items()},
            str(trial.user_attrs.get("place", "")),
            str(trial.user_attrs.get("folder", "")),
            reports,
            float(trial.user_attrs.get("seconds", 0.0)),
            str(trial.user_attrs.get("note", "")),
            trial.datetime_start,
        )


_STATES = {
    "RUNNING": State.RUNNING,
    "WAITING": State.RUNNING,
    "COMPLETE": State.COMPLETE,
    "PRUNED": State.PRUNED,
    "FAIL": State.FAILED,
}


def ranked(trials: Sequence[TrialRecord], metric: str) -> list[TrialRecord]:
    """Return trials in the order of their worth: complete ones by value, the first of equals first, then all others by number."""
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0

    def worth(trial: TrialRecord) -> tuple[bool, float, int]:
        complete = trial.state is State.COMPLETE and trial.value is not None
        return not complete, sign * trial.value if complete and trial.value is not None else 0.0, trial.number

    return sorted((trial for trial in trials if trial.state is not State.FAILED), key=worth)


def best_of(trials: Sequence[TrialRecord], metric: str) -> TrialRecord | None:
    """Return the best complete trial, the first of equals; ``None`` while there is none."""
    return next((trial for trial in ranked(trials, metric) if trial.state is State.COMPLETE), None)
