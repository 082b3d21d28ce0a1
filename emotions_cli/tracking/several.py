"""Several trackers as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emotions_cli.tracking.protocol import NOTHING, Ending, Tracker


class Trackers:
    """Hands everything to each of some trackers.

    Args:
        trackers: By name, under which a checkpoint keeps their states.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self._trackers = dict(trackers)

    def start(self, run: Mapping[str, Any], config: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
        for name, tracker in self._trackers.items():
            tracker.start(run, config, None if state is None else state.get(name))

    def log(self, step: int, values: Mapping[str, Any], clock: Mapping[str, Any] = NOTHING) -> None:
        for tracker in self._trackers.values():
            tracker.log(step, values, clock)

    def state(self) -> Mapping[str, Any]:
        return {name: tracker.state() for name, tracker in self._trackers.items()}

    def problems(self) -> Iterator[str]:
        for tracker in self._trackers.values():
            yield from tracker.problems()

    def hangs(self) -> bool:
        return any(tracker.hangs() for tracker in self._trackers.values())

    def conclude(self, values: Mapping[str, Any]) -> None:
        for tracker in self._trackers.values():
            tracker.conclude(values)

    def finish(self, ending: Ending) -> None:
        for tracker in self._trackers.values():
            tracker.finish(ending)
