"""Where and how computing runs: threads, device, precision. Found at run time, but for the params."""

from __future__ import annotations

import csv
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from memorability.params import Precision


def limit_threads(threads: int) -> None:
    """Pins the number of CPU threads of BLAS and OpenMP, on which the last bits of results depend."""
    threadpool_limits(threads)


def fabric(*, precision: Precision, threads: int) -> Fabric:
    """A launched Fabric on the GPU if there is one, else the CPU, with deterministic kernels."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    import torch
    from lightning.fabric import Fabric

    torch.set_num_threads(threads)
    # A few CUDA kernels have no deterministic form; there a warning says so.
    torch.use_deterministic_algorithms(True, warn_only=True)
    made = Fabric(accelerator="auto", devices=1, precision=precision)
    made.launch()
    return made


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
    """Appends the wall time of the block to a CSV, apart from the metrics, which must reproduce."""
    start = time.perf_counter()
    yield
    log.parent.mkdir(parents=True, exist_ok=True)
    new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(("finished", "stage", "seconds", "processor"))
        finished = time.strftime("%Y-%m-%dT%H:%M:%S")
        writer.writerow((finished, stage, round(time.perf_counter() - start, 2), processor()))
