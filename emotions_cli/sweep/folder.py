"""The folder of a sweep, and what lies where in it.

::

    sweeps/NAME/
      sweep.json         what is searched, how many trials, where the study is
      settings.toml      resolved settings that all trials share
      study.db           Optuna's study, unless --storage keeps it elsewhere
      trials/0007/       a run folder a trial; checkpoints of the best and the running one only
      trials.csv         a line a trial
      sweep.html         what came out, to look at
      best.toml          settings of the best trial: repeat it with emotions train --settings
      model/             the best trial's bundle, once the sweep is over
"""

from __future__ import annotations

import json
import platform
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emotions_cli.errors import TrainingError
from emotions_cli.models.ref import MODEL_FOLDER
from emotions_cli.streams.atomic import storage_errors, whole_file
from emotions_cli.training.run_folder import LOCK, SWEEP_FILE, RunFolder

FORMAT_VERSION = 1


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep's folder keeps about it, so that it goes on without being told again.

    Attributes:
        study: The study's name.
        params: What is searched, as the command line has it.
        trials: How many the study is to have in the end.
        prune: Whether trials are given up.
        storage: The study's database without its password; ``None``: in the folder.
        place: A word by which the folder's trials are known from those of other machines.
        concluded: How many trials the study was to have when this sweep last came to its end; 0: it never did.
    """

    study: str
    params: tuple[str, ...]
    trials: int
    prune: bool
    storage: str | None = None
    place: str = field(default_factory=lambda: secrets.token_hex(8))
    concluded: int = 0


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder.

    Attributes:
        path: Where it lies.
    """

    path: Path

    def __str__(self) -> str:
        """Return its place."""
        return str(self.path)

    @classmethod
    def named_after(cls, runs_dir: Path, data_reference: str) -> SweepFolder:
        """Make up a name from the data and the time: ``runs/sweep-sample-20260131-142501``."""
        run = RunFolder.named_after(runs_dir, data_reference).path
        return cls(run.with_name(f"sweep-{run.name}"))

    @classmethod
    def newest_unfinished(cls, runs_dir: Path) -> SweepFolder | None:
        """Return the sweep that wrote last among those that have trials to come, and that no process works in."""
        sweeps = [cls(path) for path in runs_dir.iterdir()] if runs_dir.is_dir() else []
        unfinished = [sweep for sweep in sweeps if sweep.unfinished and not RunFolder(sweep.path).busy]
        return max(unfinished, key=lambda sweep: sweep.path.stat().st_mtime, default=None)

    @property
    def settings(self) -> Path:
        """What all trials share."""
        return self.path / "settings.toml"

    @property
    def study(self) -> Path:
        """The study, where it is kept here."""
        return self.path / "study.db"

    @property
    def model(self) -> Path:
        """The best trial's bundle."""
        return self.path / MODEL_FOLDER

    @property
    def table(self) -> Path:
        """A line a trial."""
        return self.path / "trials.csv"

    @property
    def page(self) -> Path:
        """What came out, to look at."""
        return self.path / "sweep.html"

    @property
    def best(self) -> Path:
        """Settings of the best trial."""
        return self.path / "best.toml"

    @property
    def begun(self) -> bool:
        """Whether a sweep was begun here."""
        return self._plan.exists()

    @property
    def unfinished(self) -> bool:
        """Whether a sweep was begun here, or extended, and did not come to its end since; not so where its plan is damaged."""
        try:
            plan = self.plan()
        except TrainingError:
            return False
        return plan.concluded < plan.trials

    @property
    def place(self) -> str:
        """Where it is, said to other machines: host and path."""
        return f"{platform.node()}:{self.path.resolve()}"

    def run(self, name: str) -> RunFolder:
        """Return the run folder of a trial."""
        return RunFolder(self.path / "trials" / name)

    def plan(self) -> SweepPlan:
        """Read what the sweep is to do.

        Raises:
            TrainingError: There is no sweep, or it can't be read.
        """
        try:
            values: dict[str, Any] = json.loads(self._plan.read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT_VERSION:
                raise TrainingError(f"'{self._plan}' is of another version of this tool.", "Begin another sweep.")
            return SweepPlan(**{**values, "params": tuple(values["params"])})
        except FileNotFoundError:
            raise TrainingError(
                f"'{self}' holds no sweep to go on with.", "Leave out --resume to begin; --resume auto does what fits."
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"'{self._plan}' can't be read: {error}.", "Begin another sweep.") from error

    def keep(self, plan: SweepPlan) -> None:
        """Write what the sweep is to do.

        Raises:
            StorageError: The folder can't be written.
        """
        with whole_file(self._plan) as part:
            part.write_text(json.dumps({"format": FORMAT_VERSION, **asdict(plan)}, indent=2, ensure_ascii=False) + "\n", "utf-8")

    def refuse_if_taken(self, *, force: bool) -> None:
        """Raise when something is in the way of a new sweep; nothing is written.

        Args:
            force: Allow an earlier sweep to be replaced.

        Raises:
            TrainingError: An earlier sweep, or something that is none, stands there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"'{self}' is a file, not a sweep's folder.", "Choose another --output.")
        if self.begun and not force:
            raise TrainingError(
                f"'{self}' holds a sweep.", "Go on with --resume, choose another --output, or replace it with --force."
            )
        # a process that was killed right at its beginning leaves the settings
        left = {LOCK, self.settings.name}
        if not self.begun and self.path.exists() and any(path.name not in left for path in self.path.iterdir()):
            raise TrainingError(f"'{self}' is not empty, and no sweep.", "Choose another --output.")

    def begin(self, plan: SweepPlan, settings_text: str) -> None:
        """Forget an earlier sweep but for its model, and write what this one is to do.

        Raises:
            StorageError: The folder can't be written.
        """
        if self.begun:
            with storage_errors(self.path):
                self._plan.unlink()
                for file in (self.table, self.page, self.best, *self.path.glob(f"{self.study.name}*")):
                    file.unlink(missing_ok=True)
                shutil.rmtree(self.path / "trials", ignore_errors=True)
        with storage_errors(self.settings):
            self.settings.write_text(settings_text, encoding="utf-8")
        self.keep(plan)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from working in it; made when it is not there.

        Raises:
            TrainingError: One does already.
            StorageError: The folder can't be written.
        """
        with RunFolder(self.path).held():
            shutil.rmtree(self._old_model, ignore_errors=True)
            yield

    def take_model(self, run: RunFolder) -> None:
        """Move a finished run's bundle to the sweep's own place.

        Raises:
            StorageError: It can't be moved.
        """
        with storage_errors(self.model):
            if self.model.exists():
                # a folder can't be replaced in one step; killed in between, the next process does the second one
                self.model.replace(self._old_model)
            run.model.replace(self.model)
            shutil.rmtree(self._old_model, ignore_errors=True)

    @property
    def _plan(self) -> Path:
        return self.path / SWEEP_FILE

    @property
    def _old_model(self) -> Path:
        return self.path / f".{MODEL_FOLDER}.old"
