"""Checkpoints: everything needed to go on, in folders that are whole or not there.

::

    checkpoints/
      step-000001500/
        model.safetensors        the weights
        optimizer.bin            AdamW's moments
        scheduler.bin            where on the learning rate's schedule
        random_states_0.pkl      Python's, NumPy's and PyTorch's generators, a file a process
        scaler.pt                fp16's loss scale, where there is one
        checkpoint.json          progress, identity of the run, tracker, sha256 of the other files

A folder is written beside its place and moved there; ``checkpoint.json`` is its last file. What does not match it is no
checkpoint. PyTorch reads its own files here with ``weights_only``, which runs no code from them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions_cli.errors import BundleCorrupt, TrainingError
from emotions_cli.models.bundle import WEIGHTS_FILE
from emotions_cli.streams.atomic import storage_errors, whole_directory
from emotions_cli.streams.hashing import sha256_of
from emotions_cli.training.progress import Progress

STATE_FILE = "checkpoint.json"
FORMAT_VERSION = 1
PREFIX = "step-"
KEPT = 2
"""The newest ones; the best is kept beside them."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        folder: Where it lies.
        progress: How far the run had come.
        identity: What the run is made of, see :mod:`emotions_cli.training.identity`.
        tracker: What the tracker needs to go on.
    """

    folder: Path
    progress: Progress
    identity: Mapping[str, Any]
    tracker: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The model's weights."""
        return self.folder / WEIGHTS_FILE


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: Where they lie; need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(
        self, progress: Progress, identity: Mapping[str, Any], tracker: Mapping[str, Any], write: Callable[[Path], None]
    ) -> None:
        """Write a checkpoint, then remove those that are needed no more.

        Args:
            progress: How far the run has come.
            identity: What it is made of.
            tracker: What the tracker needs to go on.
            write: Puts weights, optimiser, schedule and generators into a folder.

        Raises:
            StorageError: The disk refuses; the earlier ones are untouched.
        """
        with whole_directory(self.at(progress.step)) as part:
            write(part)
            state: dict[str, Any] = {
                "format": FORMAT_VERSION,
                "progress": progress.to_json(),
                "identity": dict(identity),
                "tracker": dict(tracker),
                "files": {file.name: sha256_of(file) for file in sorted(part.iterdir())},
            }
            state["sha256"] = _digest(state)
            (part / STATE_FILE).write_text(json.dumps(state, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        self._remove_old()

    def at(self, step: int) -> Path:
        """Return the place of the checkpoint of a step."""
        return self.folder / f"{PREFIX}{step:09}"

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, whole or damaged, the newest first."""
        if not self.folder.is_dir():
            return []
        names = (path.name.removeprefix(PREFIX) for path in self.folder.iterdir() if path.name.startswith(PREFIX))
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """Find the newest checkpoint that is whole, and whose best weights are there.

        Returns:
            The checkpoint, and a sentence about each newer one that is damaged.
        """
        notes = []
        for step in self.steps():
            try:
                checkpoint = self.read(step)
                best = checkpoint.progress.selection.best_step
                if best not in {0, step}:
                    self.read(best)
            except BundleCorrupt as error:
                notes.append(f"{error.message} It is left out.")
            else:
                return checkpoint, notes
        return None, notes

    def read(self, step: int) -> Checkpoint:
        """Read the checkpoint of a step, every file checked.

        Raises:
            BundleCorrupt: It is not there, not whole, or was changed.
        """
        folder = self.at(step)
        try:
            state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
            if state["format"] != FORMAT_VERSION:
                raise BundleCorrupt(f"Checkpoint '{folder}' has format {state['format']!r}; this version reads {FORMAT_VERSION}.")
            files: Mapping[str, str] = state["files"]
            changed = [name for name, expected in files.items() if sha256_of(folder / Path(name).name) != expected]
            if state["sha256"] != _digest(state):
                changed.append(STATE_FILE)
            if changed:
                raise BundleCorrupt(f"Checkpoint '{folder}' is damaged: {', '.join(changed)} changed since it was saved.")
            return Checkpoint(folder, Progress.from_json(state["progress"]), state["identity"], state["tracker"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleCorrupt(f"Checkpoint '{folder}' is damaged: {error}.") from error

    def best(self, progress: Progress) -> Checkpoint:
        """Return the checkpoint of the best evaluation.

        Raises:
            TrainingError: It was damaged while the run went on.
        """
        try:
            return self.read(progress.selection.best_step)
        except BundleCorrupt as error:
            raise TrainingError(f"The best weights are lost. {error.message}", "Train again.") from error

    def begin(self) -> None:
        """Remove all of them; their folder stays, empty, as long as the run goes on.

        Raises:
            StorageError: They can't be removed.
        """
        self.clear()
        with storage_errors(self.folder):
            self.folder.mkdir()

    def clear(self) -> None:
        """Remove all of them, and their folder: at once, so that a killed process leaves all or nothing.

        Raises:
            StorageError: They can't be removed.
        """
        if self.folder.is_dir():
            with storage_errors(self.folder):
                self.folder.replace(self._gone)
                shutil.rmtree(self._gone)

    def forget_behind(self, step: int) -> None:
        """Remove those behind a step from which the run goes on: they are damaged, and would count as the newest.

        Raises:
            StorageError: They can't be removed.
        """
        for newer in self.steps():
            if newer > step:
                self._remove(newer)

    def sweep(self) -> None:
        """Remove what killed processes left half-written or half-removed, and put back what was half-replaced."""
        shutil.rmtree(self._gone, ignore_errors=True)
        for set_aside in self.set_aside():
            if not (self.folder / set_aside.name).exists():
                set_aside.replace(self.folder / set_aside.name)
        if self.folder.is_dir():
            for left in self.folder.iterdir():
                if left.name.startswith(f".{PREFIX}"):
                    shutil.rmtree(left, ignore_errors=True)

    def set_aside(self) -> list[Path]:
        """Return checkpoints that killed processes had moved away to make room for another of the same step."""
        return list(self.folder.glob(f".{PREFIX}*.old/{PREFIX}*"))

    @property
    def _gone(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.old")

    def _remove_old(self) -> None:
        steps = self.steps()
        for step in set(steps) - kept_steps(steps, self.best_of):
            self._remove(step)

    def _remove(self, step: int) -> None:
        # under another name first: half of it would look like a damaged one
        old = self.folder / f".{PREFIX}{step:09}.old"
        with storage_errors(self.at(step)):
            self.at(step).replace(old)
        shutil.rmtree(old, ignore_errors=True)

    def best_of(self, step: int) -> int:
        """Return the step of the best evaluation that a checkpoint knows; 0 when it knows none, or is damaged."""
        try:
            return best_step((self.at(step) / STATE_FILE).read_bytes())
        except OSError:
            return 0


def best_step(state: bytes) -> int:
    """Return the step of the best evaluation that a ``checkpoint.json`` knows; 0 when it knows none, or is damaged."""
    try:
        return int(json.loads(state)["progress"]["selection"]["best_step"])
    except (ValueError, KeyError, TypeError):
        return 0


def kept_steps(steps: Sequence[int], best_of: Callable[[int], int]) -> set[int]:
    """Return the steps whose checkpoints are kept: the last two, and what was the best when they were made.

    Were the newest one damaged later, the one before would be taken: with its own best.

    Args:
        steps: All that have one, the newest first.
        best_of: The step of the best evaluation that a checkpoint knows.
    """
    newest = steps[:KEPT]
    return {*newest, *map(best_of, newest)}


def _digest(state: Mapping[str, Any]) -> str:
    values = {key: value for key, value in state.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
