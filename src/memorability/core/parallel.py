"""Work in threads with bounded memory, and in processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int
) -> Iterator[Result]:
    """As `map`, computed by `threads` threads in order, at most `ahead` results early.

    `ThreadPoolExecutor.map` would start everything at once and keep every result that the caller
    has not yet taken.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def map_in_processes(
    function: Callable[..., Result], *items: Iterable[Any], processes: int
) -> Iterator[Result]:
    """As `map`, in order, by `processes`: for work in Python, in which threads would wait for each other.

    The function, what it takes and what it gives are pickled. When the caller stops, what has not begun is not begun.
    """
    with pool_of_processes(processes) as pool:
        yield from pool.map(function, *items, chunksize=4)


@contextmanager
def pool_of_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool that leaves nothing behind: neither an error, nor Ctrl-C, nor the end of this process by force.

    Ctrl-C reaches every process of a terminal; here only the one that knows what it means takes notice.
    """
    pool = ProcessPoolExecutor(count, initializer=_attend)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _attend() -> None:
    """Makes a process of a pool leave Ctrl-C to its parent, and end when its parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
