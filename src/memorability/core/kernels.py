"""Which CPU kernels NumPy, SciPy and torch compute with: AVX2's on every x86-64 processor, or the widest it has.

These libraries choose kernels by the processor, and kernels differ in the order in which they add: the same training
ends in other weights. Each can be told by an environment variable, which it reads when it is loaded or first
computes. So whatever starts a process calls `start` first; this module imports nothing that computes.
docs/numerics.md says what was measured, and what is promised.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Literal

import yaml

Kernels = Literal["pinned", "native"]

PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions and recurrent layers
    # torch's matrix products; "COMPATIBLE", MKL's mode for every maker's processor, takes them twice the time
    "MKL_CBWR": "AVX2,STRICT",
    "OPENBLAS_CORETYPE": "Haswell",  # matrix products and decompositions of NumPy and SciPy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's functions; names as of NumPy 2.4
}
_OPPOSITE = "NPY_ENABLE_CPU_FEATURES"  # beside which NumPy refuses the other one
_TOO_LATE = ("numpy", "scipy", "torch")


def start(params: Path = Path("params.yaml")) -> None:
    """Pins the kernels of this process and of those it starts, unless a project's params say `kernels: native`."""
    if _chosen(params) == "pinned":
        pin()


def pin() -> None:
    """Pins the kernels of this process and of those it starts. What the user has set stays.

    Does nothing on a processor without AVX2, and in a process that has loaded one of the libraries: half of its
    kernels are chosen by then. `setting` says what came of it.
    """
    if not _has_avx2() or any(name in sys.modules for name in _TOO_LATE):
        return
    for name, value in PINNED.items():
        if name != "NPY_DISABLE_CPU_FEATURES" or _OPPOSITE not in os.environ:
            os.environ.setdefault(name, value)


def setting() -> str:
    """`pinned`, `native` or the variables as a user has set them: part of the key of all that is kept."""
    found = {name: os.environ[name] for name in (*PINNED, _OPPOSITE) if name in os.environ}
    if not found:
        return "native"
    return "pinned" if found == PINNED else " ".join(f"{name}={value}" for name, value in found.items())


def _chosen(params: Path) -> Kernels:
    """`kernels` of a params file, `pinned` where it says nothing.

    The one value that is read before the file is checked, since that loads NumPy: what is wrong with the file, this
    value included, is said by `memorability.params.load`.
    """
    try:
        if not params.is_file():  # a pipe would be waited for
            return "pinned"
        with params.open(encoding="utf-8-sig") as stream:
            values = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return "native" if values["kernels"] == "native" else "pinned"
    except Exception:
        return "pinned"


def _has_avx2() -> bool:
    """Of Linux on x86-64; elsewhere it is not known."""
    info = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not info.is_file():
        return False
    lines = (line.split(":") for line in info.read_text().splitlines() if line.startswith("flags"))
    return "avx2" in next((line[-1].split() for line in lines), [])
