"""Repeating a run: what has to be the same for the same weights, and whether they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emotions_cli.models.bundle import MANIFEST_FILE, WEIGHTS_FILE, Bundle
from emotions_cli.training.identity import differences, identity_of, recorded_identity
from emotions_cli.training.job import TrainingJob
from emotions_cli.training.parts import Origins
from emotions_cli.training.run_folder import RunFolder
from emotions_cli.training.versions import versions


@dataclass(frozen=True)
class Recorded:
    """What is known about an earlier run.

    Attributes:
        name: What the user calls it.
        identity: What it was made of, see :mod:`emotions_cli.training.identity`.
        versions: Of this package, Python and the libraries.
        weights: sha256 of the weights it ended with; ``None`` where it did not end.
    """

    name: str
    identity: Mapping[str, Any]
    versions: Mapping[str, str]
    weights: str | None

    @classmethod
    def of(cls, folder: RunFolder) -> Recorded:
        """Read a run's folder.

        Raises:
            ModelError: Its bundle can't be read.
        """
        if (folder.model / MANIFEST_FILE).is_file():
            manifest = Bundle.open(folder.model, verify=False).manifest
            return cls(str(folder), recorded_identity(manifest), manifest.versions, manifest.files.get(WEIGHTS_FILE))
        checkpoint, _ = folder.checkpoints.newest()
        return cls(str(folder), {} if checkpoint is None else checkpoint.identity, {}, None)

    def doubts(self, job: TrainingJob) -> list[str]:
        """Return a sentence about each thing that makes a job another run than this one.

        Raises:
            ModelError: The base model, or a teacher, can't be found.
        """
        now = identity_of(job.dataset, job.settings.training, **Origins.of(job).hashes())
        changed = [*differences(self.identity, now).values()]
        changed += [*differences(self.versions, versions()).values()]
        return [f"not the run of {self.name}: {phrase}" for phrase in changed]

    def verdict(self, job: TrainingJob) -> str:
        """Say whether a finished job has the weights of this run."""
        if self.weights is None:
            return f"{self.name} was not finished: its weights can't be compared"
        same = Bundle.open(job.folder.model, verify=False).manifest.files.get(WEIGHTS_FILE) == self.weights
        return f"the weights are those of {self.name}" if same else f"the weights are not those of {self.name}"
