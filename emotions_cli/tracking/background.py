"""A tracker that is spoken to from a thread of its own: one that fails or hangs stops no training."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from emotions_cli.tracking.protocol import NOTHING, Ending, Tracker

# lines that wait for a tracker that is slow; behind them new ones are left out
MOST_WAITING = 10_000


class BackgroundTracker:
    """Passes everything on in the order it came.

    Args:
        tracker: Takes what is logged, at its own pace; its ``state`` must answer at once.
        name: What it is called in messages.
        patience_seconds: How long the end of a run waits for it.
        hurry_seconds: How long that of a run does which was stopped, and goes on later.
    """

    def __init__(self, tracker: Tracker, name: str, *, patience_seconds: float = 40.0, hurry_seconds: float = 4.0) -> None:
        self._tracker = tracker
        self._name = name
        self._patience = patience_seconds
        self._hurry = hurry_seconds
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST_WAITING)
        self._problems: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._left_out = 0

    def start(self, run: Mapping[str, Any], config: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
        self._thread.start()
        self._put(partial(self._tracker.start, run, config, state))

    def log(self, step: int, values: Mapping[str, Any], clock: Mapping[str, Any] = NOTHING) -> None:
        self._put(partial(self._tracker.log, step, values, clock))

    def state(self) -> Mapping[str, Any]:
        return self._tracker.state()

    def problems(self) -> Iterator[str]:
        while not self._problems.empty():
            yield self._problems.get()

    def hangs(self) -> bool:
        return self._thread.is_alive()

    def conclude(self, values: Mapping[str, Any]) -> None:
        self._put(partial(self._tracker.conclude, values))

    def finish(self, ending: Ending) -> None:
        if not self._thread.is_alive():
            return
        patience = self._hurry if ending is Ending.STOPPED else self._patience
        deadline = time.monotonic() + patience
        with suppress(queue.Full):
            self._waiting.put(partial(self._tracker.finish, ending), timeout=patience)
            self._waiting.put(None, timeout=max(deadline - time.monotonic(), 0.0))
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if self._thread.is_alive():
            self._problems.put(f"{self._name} does not answer: what it has not taken is in the run's folder only.")
        elif self._left_out:
            self._problems.put(f"{self._name} was too slow: it lacks {self._left_out:,} lines, which the run's folder has.")

    def _put(self, action: Callable[[], None]) -> None:
        try:
            self._waiting.put_nowait(action)
        except queue.Full:
            self._left_out += 1

    def _work(self) -> None:
        failed = False
        while (action := self._waiting.get()) is not None:
            # a run that is not told of its end would seem to go on
            if failed and getattr(action, "func", None) != self._tracker.finish:
                continue
            try:
                action()
            except Exception as error:  # whatever it is, training goes on
                if failed:
                    continue
                failed = True
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                self._problems.put(
                    f"{self._name} takes no more: {reason.rstrip('.')}. Training goes on; the run's folder has everything."
                )
