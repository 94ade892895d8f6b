"""Child processes that start in a moment, to be killed: a server that has imported torch forks them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "pytest",
        "lightning_fabric",
        "memorability.experiments.train",
        "memorability.features.extraction",
        "memorability.features.extractor",
        "memorability.training.loop",
    ]
    + [
        f"memorability.families.{name}"
        for name in ("memnet", "resmem", "ridge", "pix2pix", "wgan", "palette")
    ]
)


class Child:
    """`work(*arguments)` in a process of its own; what it prints goes to the end of `output`.

    When this object is there, the work has begun.
    """

    def __init__(self, work: Callable[..., Any], *arguments: Any, output: Path) -> None:
        begun, here = _context.Pipe(duplex=False)
        self._output, self._before = output, output.stat().st_size if output.exists() else 0
        self._process = _context.Process(target=_run, args=(here, output, work, arguments))
        self._process.start()
        here.close()
        begun.recv()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ends_within(self, seconds: float) -> bool:
        self._process.join(seconds)
        return self._process.exitcode is not None

    def printed(self) -> str:
        return self._output.read_text()[self._before :]

    def kill(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(self.pid, number)

    def end(self) -> tuple[int, str]:
        """Waits; returns the exit code (under 0: killed by that signal) and what it printed."""
        assert self.ends_within(600), self.printed()  # on a machine that others use too
        return self._process.exitcode, self.printed()


def _run(here: Any, output: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import torch
    from tqdm import tqdm

    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore that a killed process leaves behind
    with output.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    here.send(None)
    work(*arguments)
