import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.parallel import map_ahead


class Stop(Exception):
    pass


class Watched:
    """Doubles numbers and records which ones it was called with; number `bad` raises."""

    def __init__(self, bad=None):
        self.called, self.bad, self._lock = [], bad, threading.Lock()

    def __call__(self, number):
        with self._lock:
            self.called.append(number)
        if number == self.bad:
            raise Stop(number)
        return 2 * number


def settled(watched):
    """How often it was called, once all that was started has been worked on."""
    before = -1
    while before < len(watched.called):
        before = len(watched.called)
        time.sleep(0.02)
    return before


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(), max_size=50), st.integers(1, 6), st.integers(0, 12))
def test_results_come_as_those_of_map(numbers, threads, ahead):
    watched = Watched()
    assert list(map_ahead(watched, numbers, threads=threads, ahead=ahead)) == [2 * n for n in numbers]
    assert sorted(watched.called) == sorted(numbers)


def test_results_keep_their_order_whatever_takes_longest():
    def slow_at_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number

    assert list(map_ahead(slow_at_first, range(20), threads=4, ahead=20)) == list(range(20))


@pytest.mark.parametrize("ahead", [0, 3, 8])
def test_no_more_than_that_many_are_computed_early(ahead):
    watched = Watched()
    results = map_ahead(watched, range(1000), threads=2, ahead=ahead)
    assert settled(watched) == 0  # nothing starts before the first is asked for
    for taken in range(1, 30, 7):
        while next(results) < 2 * (taken - 1):
            pass
        assert taken <= settled(watched) <= taken + ahead
    results.close()


def test_items_without_end_are_read_as_needed():
    read = []

    def endless():
        while True:
            read.append(0)
            yield len(read)

    results = map_ahead(Watched(), endless(), threads=2, ahead=4)
    assert [next(results) for _ in range(10)] == list(range(2, 22, 2))
    assert len(read) <= 15
    results.close()


def test_threads_work_at_the_same_time():
    meeting = threading.Barrier(3, timeout=10)
    assert list(map_ahead(lambda _: meeting.wait() >= 0, range(3), threads=3, ahead=3)) == [True] * 3


def test_an_error_comes_in_its_place_and_ends_the_work():
    watched, results = Watched(bad=20), []
    with pytest.raises(Stop, match="20"):
        for result in map_ahead(watched, range(1000), threads=2, ahead=6):
            results.append(result)
    assert results == list(range(0, 40, 2))
    assert settled(watched) <= 20 + 6 + 1


def test_an_error_of_the_items_ends_the_work():
    def broken():
        yield from range(5)
        raise Stop

    watched = Watched()
    with pytest.raises(Stop):
        list(map_ahead(watched, broken(), threads=2, ahead=2))
    assert settled(watched) <= 5


def test_nothing_goes_on_when_the_caller_stops(monkeypatch):
    def held_up(number):
        if number:
            closing.wait()
        return watched(number)

    def shutdown(pool, *args, _shutdown=ThreadPoolExecutor.shutdown, **options):
        closing.set()  # the two that have begun may end
        _shutdown(pool, *args, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    before, watched, closing = threading.active_count(), Watched(), threading.Event()
    results = map_ahead(held_up, range(1000), threads=2, ahead=100)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert sorted(watched.called) in ([0], [0, 1], [0, 1, 2])  # what had not begun is not begun
