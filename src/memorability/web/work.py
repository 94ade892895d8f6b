"""Where requests compute: a few threads beside the event loop, and a bound on how many requests are inside."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from memorability.web.limits import Limits
from memorability.web.refusals import Busy, Gone

Result = TypeVar("Result")
LONGEST = 60  # seconds that anybody is told to wait
LOOK = 0.5  # seconds after which it is asked whether somebody still waits
WEIGHT = 0.2  # of the last request in the mean of how long they take


class Workers:
    """Counts are changed on the event loop alone, and so need no lock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.running, thread_name_prefix="memorability")
        self._seconds = 1.0  # that a request takes to compute, a moving mean
        self.inside = self.running = self.refused = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place for a request, from before its first byte is read.

        Raises:
            Busy: there is none.
        """
        if self.inside >= self._limits.slots:
            self.refused += 1
            raise Busy(self._after())
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def run(self, function: Callable[[], Result], *, gone: Callable[[], Awaitable[bool]]) -> Result:
        """What `function` returns, computed in a thread once one is free.

        Raises:
            Gone: nobody waits for it any more; if it had not begun, it never does.
        """
        working = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, function)
        self.running += 1
        try:
            while not working.done():
                done, _ = await asyncio.wait({working}, timeout=LOOK)
                if not done and await gone():
                    working.cancel()
                    raise Gone("nobody waits for the answer")
            taken, result = working.result()
        finally:
            self.running -= 1
        self._seconds += WEIGHT * (taken - self._seconds)
        return result

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @staticmethod
    def _timed(function: Callable[[], Result]) -> tuple[float, Result]:
        start = time.monotonic()
        result = function()
        return time.monotonic() - start, result

    def _after(self) -> int:
        """Seconds until a place may be free: half of what is inside has to be done by then."""
        rounds = self._limits.slots / self._limits.running / 2
        return max(1, min(LONGEST, math.ceil(rounds * self._seconds)))
