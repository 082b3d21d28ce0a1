"""What a run tells, and whoever listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Protocol

NOTHING: Mapping[str, Any] = {}
# what is told at the end: sha256 of the bundle's weights
WEIGHTS = "weights_sha256"


class Ending(StrEnum):
    """How a process's part of a run ended."""

    DONE = "done"
    STOPPED = "stopped"
    """It is to go on."""
    FAILED = "failed"


class Tracker(Protocol):
    """Receives what a run measures: ``start``, then ``log`` any number of times, then ``finish``, come what may."""

    def start(self, run: Mapping[str, Any], config: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
        """Begin a run, or go on where an earlier :meth:`state` was given; what was logged behind it is measured again.

        Args:
            run: What it is, in a few plain values.
            config: What it was made of: settings, data, versions; plain values, nested.
            state: Of an earlier process.
        """

    def log(self, step: int, values: Mapping[str, Any], clock: Mapping[str, Any] = NOTHING) -> None:
        """Take the values measured at an optimiser step; ``clock`` holds those that depend on the machine's pace."""

    def state(self) -> Mapping[str, Any]:
        """Return plain values from which a later process can go on; all that was logged before is safe."""

    def problems(self) -> Iterator[str]:
        """Yield a sentence about each thing that went wrong since the last call and stops nothing."""

    def hangs(self) -> bool:
        """Say whether it is still at work behind its end, so that the process had better not wait for it."""

    def conclude(self, values: Mapping[str, Any]) -> None:
        """Take what is known of the run as a whole, once its bundle is written."""

    def finish(self, ending: Ending) -> None:
        """End the run, or this process's part of it; called exactly once, also after an error."""
