"""Reading ahead in a thread: everything comes out, in order, errors behind what came before them, and the thread ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from emotions_cli.answering.ahead import ReadAhead, one_ahead

SECONDS = 20.0


class Broken(Exception):
    """Ends an iterator."""


class Gated:
    """Items that come when the test lets them; ``began`` counts how many were asked for."""

    def __init__(self, count: int, *, error: bool = False) -> None:
        self.gate = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.began = 0
        self.closed = threading.Event()
        self._count, self._error = count, error

    def __iter__(self) -> Iterator[int]:
        try:
            for i in range(self._count):
                self.began += 1
                self.asked.release()
                assert self.gate.acquire(timeout=SECONDS)
                yield i
            if self._error:
                raise Broken
        finally:
            self.closed.set()


def failing(count: int) -> Iterator[int]:
    yield from range(count)
    raise Broken


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def ended(before: list[threading.Thread]) -> bool:
    """Wait for the threads that are not in ``before`` to end."""
    new = [thread for thread in readers() if thread not in before]
    for thread in new:
        thread.join(SECONDS)
    return not any(thread.is_alive() for thread in new)


@pytest.mark.parametrize("all_of_them", [True, False])
@pytest.mark.parametrize("room", [1, 7, 1000])
def test_all_items_come_out_in_order(room: int, all_of_them: bool) -> None:
    ahead = ReadAhead(range(500), room=room)
    taken: list[int] = []
    while handful := ahead.take(64, all_of_them=all_of_them):
        assert len(handful) <= 64
        taken += handful
    assert taken == list(range(500))
    assert ahead.take(64, all_of_them=all_of_them) == []


def test_whole_handfuls_are_waited_for() -> None:
    ahead = ReadAhead(range(150), room=1000)
    assert [len(ahead.take(64, all_of_them=True)) for _ in range(4)] == [64, 64, 22, 0]


def test_a_live_handful_is_what_is_there() -> None:
    items = Gated(3)
    ahead = ReadAhead(items, room=100)
    for expected in range(3):
        items.gate.release()
        assert ahead.take(64, all_of_them=False) == [expected]
    assert ahead.take(64, all_of_them=False) == []
    assert items.closed.is_set()


def test_a_whole_handful_waits_for_a_slow_source() -> None:
    items = Gated(3)
    ahead = ReadAhead(items, room=100)
    taken: list[list[int]] = []
    taker = threading.Thread(target=lambda: taken.append(ahead.take(2, all_of_them=True)))
    taker.start()
    items.gate.release()
    assert items.asked.acquire(timeout=SECONDS)
    assert items.asked.acquire(timeout=SECONDS)  # the first item was taken, the second is asked for
    assert taken == []
    items.gate.release()
    taker.join(SECONDS)
    assert taken == [[0, 1]]
    items.gate.release()
    assert ahead.take(2, all_of_them=True) == [2]


def test_an_error_comes_behind_the_items_before_it() -> None:
    ahead = ReadAhead(failing(5), room=100)
    taken: list[int] = []

    def take_all() -> None:
        while handful := ahead.take(2, all_of_them=False):
            taken.extend(handful)

    with pytest.raises(Broken):
        take_all()
    assert taken == [0, 1, 2, 3, 4]
    with pytest.raises(Broken):
        ahead.take(2, all_of_them=False)


def test_a_handful_that_an_error_cut_short_is_not_handed_out() -> None:
    ahead = ReadAhead(failing(5), room=100)
    assert ahead.take(4, all_of_them=True) == [0, 1, 2, 3]
    with pytest.raises(Broken):
        ahead.take(4, all_of_them=True)
    exact = ReadAhead(failing(8), room=100)
    assert exact.take(4, all_of_them=True) == [0, 1, 2, 3]
    assert exact.take(4, all_of_them=True) == [4, 5, 6, 7]
    with pytest.raises(Broken):
        exact.take(4, all_of_them=True)


def test_no_more_is_read_than_there_is_room_for() -> None:
    items = Gated(50)
    ahead = ReadAhead(items, room=3)
    for _ in range(50):
        items.gate.release()
    # three wait, and the fourth is in the thread's hand
    for _ in range(4):
        assert items.asked.acquire(timeout=SECONDS)
    assert not items.asked.acquire(blocking=False)
    assert ahead.take(1, all_of_them=True) == [0]
    assert items.asked.acquire(timeout=SECONDS)
    assert not items.asked.acquire(blocking=False)
    ahead.close()
    assert items.closed.wait(SECONDS)
    assert items.began == 5


def test_more_is_wanted_than_there_is_room_for() -> None:
    ahead = ReadAhead(range(10), room=4)
    assert len(ahead.take(8, all_of_them=True)) == 4


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_handful_weighs_no_more_than_it_may(all_of_them: bool) -> None:
    weights = [1, 1, 1, 9, 1, 1, 3, 1, 30, 1, 2, 2, 2]
    ahead = ReadAhead(weights, room=100, weigh=int, most_weight=5)
    handfuls = []
    while handful := ahead.take(4, all_of_them=all_of_them):
        handfuls.append(handful)
    assert [weight for handful in handfuls for weight in handful] == weights
    assert all(sum(handful) <= 5 or len(handful) == 1 for handful in handfuls)
    if all_of_them:
        assert handfuls == [[1, 1, 1], [9], [1, 1, 3], [1], [30], [1, 2, 2], [2]]


def test_heavy_items_wait_in_small_numbers() -> None:
    items = Gated(50)
    ahead = ReadAhead(items, room=100, weigh=lambda _: 10, most_weight=15)
    for _ in range(50):
        items.gate.release()
    # three of them weigh twice the most, and the fourth is in the thread's hand
    for _ in range(4):
        assert items.asked.acquire(timeout=SECONDS)
    assert not items.asked.acquire(blocking=False)
    assert ahead.take(9, all_of_them=True) == [0]
    ahead.close()
    assert items.closed.wait(SECONDS)


def test_a_closed_reader_ends_its_thread() -> None:
    before = readers()
    ahead = ReadAhead(iter(int, 1), room=2)  # zeros without end
    assert ahead.take(2, all_of_them=True) == [0, 0]
    ahead.close()
    assert ended(before)


def test_a_reader_that_came_to_the_end_has_no_thread() -> None:
    before = readers()
    assert len(ReadAhead(range(3), room=9).take(9, all_of_them=True)) == 3
    assert ended(before)


def test_one_item_is_made_while_another_is_used() -> None:
    items = Gated(3)
    stream = one_ahead(items)
    items.gate.release()
    assert next(stream) == 0
    assert items.asked.acquire(timeout=SECONDS)
    assert items.asked.acquire(timeout=SECONDS)  # the second is being made
    items.gate.release()
    items.gate.release()
    assert list(stream) == [1, 2]


def test_leaving_early_ends_the_maker() -> None:
    before = readers()
    stream = one_ahead(iter(int, 1))
    assert next(stream) == 0
    stream.close()  # type: ignore[attr-defined]
    assert ended(before)


def test_the_error_of_a_maker_reaches_the_user() -> None:
    stream = one_ahead(failing(2))
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(Broken):
        next(stream)
