"""How work in a project starts: params, threads, and a line on how long it took."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from memorability import params
from memorability.core import layout, runtime


@contextmanager
def started(work: str) -> Iterator[params.Params]:
    """The project's params, with CPU threads limited as they say; the wall time of the block is logged as `work`."""
    settings = params.load()
    runtime.limit_threads(settings.threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
    with runtime.timed(work, layout.TIMES):
        yield settings
