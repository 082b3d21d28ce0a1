"""Signals that ask a long job to end."""

from __future__ import annotations

import os
import signal
import sys
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
def stopped_by(*signals: signal.Signals, at_once: bool = False, patience: str = "") -> Iterator[Stop]:
    """Note the first of some signals. A second Ctrl-C ends the process at once.

    A second SIGTERM does nothing: whoever ends a group of processes sends one to each, and a parent one more to its children.

    Args:
        signals: Which.
        at_once: See :class:`Stop`.
        patience: What to say on stderr when a first Ctrl-C has to wait.
    """
    stop = Stop(at_once=at_once)
    before = {one: signal.getsignal(one) for one in signals}

    def note(number: int, _: object) -> None:
        if stop.asked():
            return
        stop.signal = number
        if signal.SIGINT in before:
            signal.signal(signal.SIGINT, before[signal.SIGINT])
        if stop.at_once:
            stop.end_if_asked()
        if patience and number == signal.SIGINT:
            # print may be what is being interrupted
            os.write(sys.stderr.fileno(), f"\nnote: {patience}\n".encode())

    for one in signals:
        signal.signal(one, note)
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
