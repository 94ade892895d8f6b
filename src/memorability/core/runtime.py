"""Where and how computing runs: threads, device, precision. Found at run time, but for the params."""

from __future__ import annotations

import csv
import ctypes
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from threadpoolctl import threadpool_limits

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


def limit_threads(threads: int) -> None:
    """Pins the number of CPU threads of BLAS and OpenMP, on which the last bits of results depend."""
    threadpool_limits(threads)


def rank() -> int:
    """Which of the processes that `torchrun` started this is, from 0; the first one writes for all."""
    return int(os.environ.get("RANK", 0))


def world() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def leave_the_others() -> None:
    """Makes this process work as the only one, whatever `torchrun` started."""
    for name in ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)


def cores() -> int:
    """CPU cores that this one of the machine's processes may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


class Stopping:
    """Ctrl-C and SIGTERM as a wish that long work can ask for between two steps.

    A second signal stops at once, unless it is an echo of the first (a scheduler and torchrun both send
    one). Outside a main thread signals are left as they are.
    """

    signal: int | None = None
    ECHO = 1.0  # seconds

    def __enter__(self) -> Stopping:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: object) -> None:
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > self.ECHO:
            raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def on_gpu(device: str | None) -> bool:
    """Whether a network that is put on `device` computes on a GPU; None: on one if there is one."""
    if device is not None:
        return device != "cpu"
    import torch

    return torch.cuda.is_available()


def gpu() -> str | None:
    """The name of the NVIDIA GPU that networks compute on; None without one."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None  # no driver: torch, which takes seconds to load, need not be asked
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def processor() -> str:
    """The kind of processor, such as `x86_64 AMD EPYC, AVX2`: what results may be compared to the bit."""
    model, flags = platform.processor() or "unknown", ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        model, flags = fields.get("model name", model), fields.get("flags", "")
    wide = [name for name in ("avx2", "avx512f", "amx_tile") if name in flags.split()]
    return " ".join([platform.machine(), model, *wide])


@contextmanager
def timed(stage: str, log: Path) -> Iterator[None]:
    """Appends the wall time of the block to a CSV, apart from the metrics, which must reproduce.

    A log that cannot be written is a warning: the block has done its work.
    """
    start = time.perf_counter()
    yield
    if rank() > 0:
        return
    finished, seconds = time.strftime("%Y-%m-%dT%H:%M:%S"), round(time.perf_counter() - start, 2)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        new = not log.exists()
        with log.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(("finished", "stage", "seconds", "processor"))
            writer.writerow((finished, stage, seconds, processor()))
    except OSError as error:
        print(f"warning: {log}: the {seconds} s of {stage} are not logged ({error})", file=sys.stderr)
