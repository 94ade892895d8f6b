import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.parallel import map_ahead, map_in_processes

LONG = 60  # seconds after which a thread that waits for another fails instead


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


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(), max_size=50), st.integers(1, 6), st.integers(0, 12))
def test_results_come_as_those_of_map(numbers, threads, ahead):
    watched = Watched()
    assert list(map_ahead(watched, numbers, threads=threads, ahead=ahead)) == [2 * n for n in numbers]
    assert sorted(watched.called) == sorted(numbers)


def test_results_keep_their_order_whatever_takes_longest():
    others = threading.Event()

    def first_last(number):
        if number == 0:
            assert others.wait(LONG)
        if number == 19:
            others.set()
        return number

    assert list(map_ahead(first_last, range(20), threads=4, ahead=20)) == list(range(20))


@pytest.mark.parametrize("ahead", [0, 3, 8])
def test_no_more_than_that_many_are_begun_early(ahead):
    read = []

    def endless():
        while True:
            read.append(len(read))
            yield read[-1]

    results = map_ahead(Watched(), endless(), threads=2, ahead=ahead)
    assert read == []  # nothing starts before the first is asked for
    for taken in range(1, 30):
        assert next(results) == 2 * (taken - 1)
        assert len(read) == taken + ahead
    results.close()


def test_threads_work_at_the_same_time():
    meeting = threading.Barrier(3, timeout=LONG)
    assert list(map_ahead(lambda _: meeting.wait() >= 0, range(3), threads=3, ahead=3)) == [True] * 3


def test_an_error_comes_in_its_place_and_ends_the_work():
    watched, results = Watched(bad=20), []
    with pytest.raises(Stop, match="20"):
        for result in map_ahead(watched, range(1000), threads=2, ahead=6):
            results.append(result)
    assert results == list(range(0, 40, 2))
    assert len(watched.called) <= 20 + 6 + 1


def test_an_error_of_the_items_ends_the_work():
    def broken():
        yield from range(5)
        raise Stop

    watched = Watched()
    with pytest.raises(Stop):
        list(map_ahead(watched, broken(), threads=2, ahead=2))
    assert len(watched.called) <= 5


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


def halved(number, of=2):
    if number == 13:
        raise Stop("thirteen")
    return number // of, os.getpid()


def test_processes_answer_in_order():
    results, processes = zip(*map_in_processes(halved, range(0, 12), [3] * 12, processes=2), strict=True)
    assert results == tuple(number // 3 for number in range(12))
    assert os.getpid() not in processes


def test_an_error_in_a_process_comes_in_its_place():
    results = map_in_processes(halved, range(10, 100), processes=2)
    with pytest.raises(Stop, match="thirteen"):
        list(results)


def test_processes_end_with_the_one_that_started_them_even_by_force(tmp_path):
    program = """
import os, sys, time
from memorability.core.parallel import map_in_processes

def write(number):
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(600)

list(map_in_processes(write, range(100), processes=2))
"""
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not any(running(int(path.name)) for path in tmp_path.iterdir()))


def running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")  # nobody may be there to take note of the end of an orphan
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def wait_for(condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
