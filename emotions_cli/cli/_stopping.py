"""Signals that ask a long job to end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stop:
    """Whether a signal asked to end, and which.

    Attributes:
        signal: Its number.
        at_once: Whether it ends what is being done right there, by ``KeyboardInterrupt``, instead of waiting to be asked.
        ended: Whether it did.
    """

    signal: int | None = None
    at_once: bool = False
    ended: bool = False

    def asked(self) -> bool:
        """Say whether one came."""
        return self.signal is not None

    def end_if_asked(self) -> None:
        """Raise ``KeyboardInterrupt`` if one came while it waited to be asked."""
        if self.asked():
            self.ended = True
            raise KeyboardInterrupt


@contextmanager
def stopped_by(*signals: signal.Signals, at_once: bool = False) -> Iterator[Stop]:
    """Note the first of some signals; a second one ends the process at once."""
    stop = Stop(at_once=at_once)

    def note(number: int, _: object) -> None:
        stop.signal = number
        for one, handler in before.items():
            signal.signal(one, handler)
        if stop.at_once:
            stop.end_if_asked()

    before = {one: signal.signal(one, note) for one in signals}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
