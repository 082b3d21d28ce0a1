"""Work that is done ahead in another thread, while this one computes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

# how long a thread that is closed is waited for: one that computes ends soon, one that waits for a pipe may never
SECONDS_TO_END = 5.0
SECONDS_FOR_A_PIPE = 0.2
POLL_SECONDS = 0.1


class ReadAhead(Generic[T]):
    """Takes items from an iterator in a thread of its own, up to some room, and hands them out in handfuls.

    Close it in the end: a thread that is still inside native code when the interpreter ends would abort the process. Only one
    that waits for a pipe is left to itself; it is a daemon, so that it does not keep the process.

    Args:
        items: What is taken; an exception it raises comes out of :meth:`take`.
        room: Most items that wait.
        weigh: Says how much an item weighs; by default nothing.
        most_weight: What a handful may weigh, unless it is one item; twice as much may wait.
        seconds_to_end: How long :meth:`close` waits for the thread.
    """

    def __init__(
        self,
        items: Iterable[T],
        *,
        room: int,
        weigh: Callable[[T], int] = lambda _: 0,
        most_weight: int = 1,
        seconds_to_end: float = SECONDS_TO_END,
    ) -> None:
        self._items = items
        self._room = room
        self._weigh = weigh
        self._most_weight = most_weight
        self._seconds_to_end = seconds_to_end
        self._waiting: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._thread = threading.Thread(target=self._fill, name="read-ahead", daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        try:
            for item in self._items:
                weight = self._weigh(item)
                with self._changed:
                    self._changed.wait_for(self._has_room)
                    if self._closed:
                        return
                    self._waiting.append((item, weight))
                    self._weight += weight
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            if isinstance(self._items, Generator):
                with suppress(Exception):
                    self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def take(self, most: int, *, all_of_them: bool, stop: Callable[[], bool] | None = None) -> list[T]:
        """Return up to ``most`` items of no more than the most weight, at least one; none at the end.

        Args:
            most: How many at most.
            all_of_them: Wait for so many, or the end; else what is there is handed out, so that a slow pipe is answered at once.
            stop: Asked now and then; when it says yes, that is the end.

        Raises:
            BaseException: What the iterator raised, behind all items before it; with ``all_of_them`` a handful that the error
                cut short is not handed out.
        """
        wanted = min(most, self._room) if all_of_them else 1
        with self._changed:
            # an exception out of a signal's handler could tear the lock: stopping is asked for instead
            while not self._changed.wait_for(
                lambda: self._holds(wanted) or self._ended or self._closed, POLL_SECONDS if stop else None
            ):
                if stop is not None and stop():
                    return []
            if stop is not None and stop():
                return []
            if all_of_them and self._error is not None and not self._holds(wanted):
                raise self._error
            handful = self._pop(most)
            self._changed.notify_all()
            if not handful and self._error is not None:
                raise self._error
        return handful

    def _has_room(self) -> bool:
        return self._closed or (len(self._waiting) < self._room and self._weight < 2 * self._most_weight)

    def _holds(self, wanted: int) -> bool:
        return len(self._waiting) >= wanted or self._weight > self._most_weight

    def _pop(self, most: int) -> list[T]:
        handful: list[T] = []
        weight = 0
        while self._waiting and len(handful) < most:
            item, own = self._waiting[0]
            if handful and weight + own > self._most_weight:
                break
            handful.append(item)
            weight += own
            self._waiting.popleft()
        self._weight -= weight
        return handful

    def close(self) -> None:
        """Let the thread end at its next item, and wait for that a moment."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(self._seconds_to_end)


def one_ahead(items: Iterable[T], *, stop: Callable[[], bool] | None = None) -> Generator[T]:
    """Yield items of which the next one is already being made in another thread, until ``stop`` says yes."""
    ahead = ReadAhead(items, room=1)
    try:
        while handful := ahead.take(1, all_of_them=False, stop=stop):
            yield handful[0]
    finally:
        ahead.close()
