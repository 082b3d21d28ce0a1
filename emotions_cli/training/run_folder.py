"""The folder of a run, and what lies where in it.

::

    runs/NAME/
      settings.toml           resolved settings: repeat the run with --settings
      metrics.jsonl           a line a step, a line an evaluation; the same bytes when the run is repeated
      throughput.jsonl        how fast the steps were
      checkpoints/            what a stopped run goes on from, while it is not finished
      model/                  the bundle, once the run is finished
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from emotions_cli.errors import StorageError, TrainingError
from emotions_cli.models.bundle import MANIFEST_FILE
from emotions_cli.models.ref import MODEL_FOLDER
from emotions_cli.streams.atomic import storage_errors
from emotions_cli.streams.locking import open_locked
from emotions_cli.training.checkpoints import Checkpoints

LOCK = ".lock"
# in the folder of a sweep, which holds runs but is none
SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        path: Where it lies.
        uri: The folder on a store that this one is the local copy of, if it is one.
    """

    path: Path
    uri: str = ""

    def __str__(self) -> str:
        """Return its place as the user knows it."""
        return self.uri or str(self.path)

    @classmethod
    def named_after(cls, runs_dir: Path, data_reference: str) -> RunFolder:
        """Make up a name from the data and the time: ``runs/dair-emotion-20260131-142501``."""
        data = re.sub(r"[^a-z0-9]+", "-", Path(data_reference.split(":")[-1].split("@")[0]).stem.lower()).strip("-")
        return cls(runs_dir / f"{data or 'run'}-{datetime.now(UTC):%Y%m%d-%H%M%S}")

    @classmethod
    def newest_unfinished(cls, runs_dir: Path) -> RunFolder | None:
        """Return the run that was saved last among those that are not finished, and that no process trains."""
        runs = [cls(path) for path in runs_dir.iterdir()] if runs_dir.is_dir() else []
        unfinished = [run for run in runs if run.checkpoints.steps() and not run.busy]
        return max(unfinished, key=lambda run: run.checkpoints.folder.stat().st_mtime, default=None)

    @property
    def settings(self) -> Path:
        """The resolved settings."""
        return self.path / "settings.toml"

    @property
    def metrics(self) -> Path:
        """What the run measured."""
        return self.path / "metrics.jsonl"

    @property
    def throughput(self) -> Path:
        """How fast its steps were."""
        return self.path / "throughput.jsonl"

    @property
    def checkpoints(self) -> Checkpoints:
        """What it goes on from."""
        return Checkpoints(self.path / "checkpoints")

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.path / MODEL_FOLDER

    @property
    def model_place(self) -> str:
        """The bundle's place as the user knows it."""
        return f"{self.uri}/{MODEL_FOLDER}" if self.uri else str(self.model)

    @property
    def finished(self) -> bool:
        """Whether the bundle is there, and no other run that would replace it has begun."""
        return (self.model / MANIFEST_FILE).exists() and not self.checkpoints.folder.exists()

    @property
    def busy(self) -> bool:
        """Whether a process trains it now."""
        lock = self.path / LOCK
        if not lock.exists():
            return False
        try:
            with open_locked(lock):
                return False
        except StorageError:
            return True

    def refuse_if_taken(self, *, force: bool) -> None:
        """Raise when something is in the way of a new run; nothing is written.

        Args:
            force: Allow an earlier run to be replaced; its bundle stays until the new one is complete.

        Raises:
            TrainingError: An earlier run, or something that is no run, stands there.
        """
        if not force and self.finished:
            raise TrainingError(f"'{self}' holds a finished run.", "Choose another --output, or replace it with --force.")
        if not force and self.checkpoints.steps():
            raise TrainingError(
                f"'{self}' holds a run that was cut off.",
                "Go on with --resume, choose another --output, or replace it with --force.",
            )
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"'{self}' is a file, not a run folder.", "Choose another --output.")
        if self.path.exists() and any(path.name != LOCK for path in self.path.iterdir()) and not self.settings.exists():
            raise TrainingError(f"'{self}' is not empty, and no run.", "Choose another --output.")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from writing to the run; made when it is not there.

        Raises:
            TrainingError: One does already.
            StorageError: The folder can't be written.
        """
        lock = self.path / LOCK
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            with open_locked(lock):
                try:
                    self._sweep()
                    yield
                finally:
                    # Windows removes no open file; an empty one that nobody holds locks nobody out
                    with suppress(OSError):
                        lock.unlink()
        except StorageError as error:
            if str(lock) in error.message:
                raise TrainingError(f"'{self}' is being trained by another process.", "Wait for its end, or stop it.") from error
            raise

    def begin(self, settings_text: str) -> None:
        """Forget an earlier run but for its bundle, and write the resolved settings: a run is about to take its first step.

        Raises:
            StorageError: The folder can't be written.
        """
        self.checkpoints.begin()
        with storage_errors(self.path):
            self.settings.write_text(settings_text, encoding="utf-8")

    def _sweep(self) -> None:
        """Remove what killed processes left half-written."""
        self.checkpoints.sweep()
        for left in self.path.glob(f".{MODEL_FOLDER}.*.part"):
            shutil.rmtree(left, ignore_errors=True)
