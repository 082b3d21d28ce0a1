"""Repeating a run: what has to be the same for the same weights, and whether they are."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions_cli.errors import TrainingError
from emotions_cli.models.bundle import MANIFEST_FILE, WEIGHTS_FILE, Bundle
from emotions_cli.settings.sources import Record
from emotions_cli.tracking import TrackedRun
from emotions_cli.training.build import arithmetic_of
from emotions_cli.training.identity import differences, identity_from, identity_of, recorded_identity
from emotions_cli.training.job import TrainingJob
from emotions_cli.training.parts import Origins
from emotions_cli.training.remote import fetch_record, uri_of
from emotions_cli.training.run_folder import SWEEP_FILE, RunFolder
from emotions_cli.training.versions import versions
from emotions_cli.wandb_client import WandbRef, is_wandb


@dataclass(frozen=True)
class Recorded:
    """What is known about an earlier run.

    Attributes:
        name: What the user calls it.
        settings: Those it was resolved to.
        identity: What it was made of, see :mod:`emotions_cli.training.identity`.
        versions: Of this package, Python and the libraries.
        arithmetic: What computed it, as far as that is known.
        weights: sha256 of the weights it ended with; ``None`` where it did not end.
    """

    name: str
    settings: Record
    identity: Mapping[str, Any]
    versions: Mapping[str, str]
    arithmetic: Mapping[str, Any]
    weights: str | None

    @classmethod
    def named(cls, reference: str) -> Recorded:
        """Read a run's folder, or what W&B has of it.

        Args:
            reference: A folder, ``gs://…``, or ``wandb:entity/project/run``.

        Raises:
            UsageError: The reference is of neither form.
            TrainingError: The folder is no run.
            SettingsError: Its settings can't be read.
            ModelError: Its bundle can't be read.
            StorageError: The store can't be read.
            WandbError: W&B can't be read, or the run comes from another tool.
        """
        if is_wandb(reference):
            return cls._tracked(TrackedRun.read(WandbRef.parse_run(reference)))
        if (uri := uri_of(reference)) is not None:
            with tempfile.TemporaryDirectory() as folder:
                return cls._kept(fetch_record(uri, Path(folder)))
        return cls._kept(RunFolder(Path(reference)))

    @classmethod
    def _tracked(cls, run: TrackedRun) -> Recorded:
        config = run.config
        settings = Record.of_values(run.name, config["settings"])
        identity = identity_from(config["settings"], config["fingerprint"], config.get("base_model_sha256"))
        return cls(run.name, settings, identity, config.get("versions") or {}, config.get("arithmetic") or {}, run.weights)

    @classmethod
    def _kept(cls, folder: RunFolder) -> Recorded:
        if (folder.path / SWEEP_FILE).exists():
            raise TrainingError(
                f"'{folder}' is a sweep, not a run.",
                f"Name a trial of it, {folder}/trials/NNNN, or train with the best settings: --settings {folder}/best.toml",
            )
        if not folder.settings.is_file():
            raise TrainingError(f"'{folder}' is no run: it has no {folder.settings.name}.", "Name the folder of a run.")
        settings = Record.of_file(folder.settings)
        if (folder.model / MANIFEST_FILE).is_file():
            manifest = Bundle.open(folder.model, verify=False).manifest
            weights = manifest.files.get(WEIGHTS_FILE)
            return cls(str(folder), settings, recorded_identity(manifest), manifest.versions, manifest.arithmetic, weights)
        checkpoint, _ = folder.checkpoints.newest()
        return cls(str(folder), settings, {} if checkpoint is None else checkpoint.identity, {}, {}, None)

    def doubts(self, job: TrainingJob) -> list[str]:
        """Return a sentence about each thing that makes a job another run than this one.

        Raises:
            ModelError: The base model, or a teacher, can't be found.
        """
        now = identity_of(job.dataset, job.settings.training, **Origins.of(job).hashes())
        changed = [*differences(self.identity, now).values()]
        changed += differences(self.versions, versions()).values()
        changed += differences(self.arithmetic, arithmetic_of(job.settings.training, job.processes)).values()
        return [f"not the run of {self.name}: {phrase}" for phrase in changed]

    def verdict(self, job: TrainingJob) -> str:
        """Say whether a finished job has the weights of this run."""
        if self.weights is None:
            return f"{self.name} was not finished: its weights can't be compared"
        same = Bundle.open(job.folder.model, verify=False).manifest.files.get(WEIGHTS_FILE) == self.weights
        if same:
            return f"the weights are those of {self.name}"
        unexplained = "" if self.doubts(job) else ", though all that is recorded is the same: another CPU rounds otherwise"
        return f"the weights are not those of {self.name}{unexplained}"
