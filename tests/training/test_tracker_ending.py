"""What a tracker is told when a run ends, and when."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from resuming import job_of

from emotions_cli.errors import EmotionsError, TrainingError, TrainingStopped
from emotions_cli.models.bundle import Bundle
from emotions_cli.tracking import Ending
from emotions_cli.training import Finishing, TrainingJob, train


class Witness:
    """A tracker that keeps how a run ended, and whether its bundle stood then."""

    def __init__(self, model: Path) -> None:
        self.heard: list[object] = []
        self._model = model

    def start(self, *_: object) -> None:
        self.heard.append("start")

    def log(self, step: int, *_: object) -> None:
        self.heard.append(step)

    def state(self) -> Mapping[str, Any]:
        return {}

    def problems(self) -> Iterator[str]:
        return iter(())

    def hangs(self) -> bool:
        return False

    def conclude(self, values: Mapping[str, Any]) -> None:
        self.heard.append(values)

    def finish(self, ending: Ending) -> None:
        self.heard.append((ending, self._model.is_dir()))


def _ended(job: TrainingJob, *, weights_lost: bool = False) -> tuple[Witness, Exception | None]:
    """Train, and return what the tracker heard and the error that the run ended with."""
    witness = Witness(job.folder.model)
    try:
        for event in train(replace(job, tracker=witness)):
            if weights_lost and isinstance(event, Finishing):
                shutil.rmtree(job.folder.checkpoints.folder)
    except EmotionsError as error:
        return witness, error
    return witness, None


def test_the_tracker_ends_behind_the_bundle_and_knows_its_weights(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "run", epochs=2)
    witness, error = _ended(job)
    assert error is None
    weights = Bundle.open(job.folder.model).manifest.files["model.safetensors"]
    assert witness.heard[-2:] == [{"weights_sha256": weights}, (Ending.DONE, True)]


def test_a_run_without_a_bundle_has_failed_and_one_that_is_stopped_has_not(
    tiny_base: Path, easy_data: Path, tmp_path: Path
) -> None:
    job = job_of(tiny_base, easy_data, tmp_path / "run", epochs=2)
    witness, error = _ended(job, weights_lost=True)
    assert isinstance(error, TrainingError)
    assert witness.heard[-1] == (Ending.FAILED, False)
    witness, error = _ended(replace(job_of(tiny_base, easy_data, tmp_path / "other", epochs=2), stop=lambda: True))
    assert isinstance(error, TrainingStopped)
    assert witness.heard[-1] == (Ending.STOPPED, False)
