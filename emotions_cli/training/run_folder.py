"""The folder of a run, and what lies where in it.

::

    runs/NAME/
      settings.toml           resolved settings: repeat the run with --settings
      metrics.jsonl           a line a step, a line an evaluation
      best.safetensors        the best weights so far, while the run goes on
      model/                  the bundle, once the run is finished
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from emotions_cli.errors import TrainingError
from emotions_cli.models.bundle import MANIFEST_FILE
from emotions_cli.models.ref import MODEL_FOLDER
from emotions_cli.streams.atomic import storage_errors


@dataclass(frozen=True)
class RunFolder:
    """A run's folder."""

    path: Path

    @classmethod
    def named_after(cls, runs_dir: Path, data_reference: str) -> RunFolder:
        """Make up a name from the data and the time: ``runs/dair-emotion-20260131-142501``."""
        data = re.sub(r"[^a-z0-9]+", "-", Path(data_reference.split(":")[-1].split("@")[0]).stem.lower()).strip("-")
        return cls(runs_dir / f"{data or 'run'}-{datetime.now(UTC):%Y%m%d-%H%M%S}")

    @property
    def settings(self) -> Path:
        """The resolved settings."""
        return self.path / "settings.toml"

    @property
    def metrics(self) -> Path:
        """What the run measured."""
        return self.path / "metrics.jsonl"

    @property
    def best_weights(self) -> Path:
        """The best weights so far."""
        return self.path / "best.safetensors"

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.path / MODEL_FOLDER

    def refuse_if_taken(self, *, force: bool) -> None:
        """Raise when something is in the way; nothing is written.

        Args:
            force: Allow an earlier run to be replaced; its bundle stays until the new one is complete.

        Raises:
            TrainingError: An earlier run, or something that is no run, stands there.
        """
        if not force and (self.model / MANIFEST_FILE).exists():
            raise TrainingError(f"'{self.path}' holds a finished run.", "Choose another --output, or replace it with --force.")
        if not force and self.best_weights.exists():
            raise TrainingError(f"'{self.path}' holds a run that was cut off.", "Choose another --output, or use --force.")
        if self.path.exists() and not self.path.is_dir():
            raise TrainingError(f"'{self.path}' is a file, not a run folder.", "Choose another --output.")
        if self.path.exists() and any(self.path.iterdir()) and not self.settings.exists():
            raise TrainingError(f"'{self.path}' is not empty, and no run.", "Choose another --output.")

    def begin(self, settings_text: str) -> None:
        """Make the folder and write the resolved settings, when a run is about to take its first step.

        Raises:
            StorageError: The folder can't be written.
        """
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.settings.write_text(settings_text, encoding="utf-8")
