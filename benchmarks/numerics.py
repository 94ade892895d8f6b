"""Do pinned kernels give the same bits, and what do they cost? A hash for each kind of computing.

    python benchmarks/numerics.py [KIND ...]                 # both settings in turn, at 2 threads and at 1
    python benchmarks/numerics.py --here THREADS [KIND ...]  # in this process, as the environment has it

Hashes that are equal on two processors mean that both compute the same bits. Those of one processor mean only that it
repeats itself, which is checked: every number is that of several runs, which must agree.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version

from memorability.core import kernels, runtime

REPEATS = 3
SETTINGS: dict[str, dict[str, str]] = {"as they come": {}, "pinned": kernels.PINNED}
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "av", "imageio-ffmpeg")
Results = dict[str, tuple[str, float]]  # by kind: the hash, and seconds of CPU time


def measure(threads: int, kinds: Sequence[str]) -> Results:
    """In this process; CPU time is that of its children as well."""
    import torch
    from numerics_kinds import KINDS

    if unknown := [kind for kind in kinds if kind not in KINDS]:
        sys.exit(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    runtime.limit_threads(threads)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    found: Results = {}
    for kind in kinds or KINDS:
        before, hashed = sum(os.times()[:4]), hashlib.sha256()
        for part in KINDS[kind]():
            hashed.update(part if isinstance(part, bytes) else part.tobytes())
        found[kind] = (hashed.hexdigest()[:12], sum(os.times()[:4]) - before)
        print(f"{kind:10} {found[kind][0]} {found[kind][1]:6.2f} s", file=sys.stderr)
    return found


def in_child(setting: str, threads: int, kinds: Sequence[str]) -> Results:
    """The same in a process of its own, with kernels by name of the setting."""
    command = [sys.executable, __file__, "--here", str(threads), *kinds]
    # Threads that wait must not count as work, as they would where other processes hold them up.
    quiet = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    environment = os.environ | quiet | SETTINGS[setting]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)  # it has said why
    return {kind: (hashed, seconds) for kind, (hashed, seconds) in json.loads(done.stdout).items()}


def compare(threads: int, kinds: Sequence[str]) -> None:
    """Prints a table of both settings, which take turns."""
    runs: dict[str, list[Results]] = {setting: [] for setting in SETTINGS}
    for _ in range(REPEATS):
        for setting, found in runs.items():
            found.append(in_child(setting, threads, kinds))
    plain, pinned = runs.values()
    print(
        f"\n| {threads} thread{'s' * (threads > 1)} | as they come | pinned | CPU time: pinned / as they come |"
    )
    print("| --- | --- | --- | --- |")
    for kind in plain[0]:
        hashes = [{run[kind][0] for run in side} for side in (plain, pinned)]
        if any(len(several) > 1 for several in hashes):
            sys.exit(f"{kind}: {REPEATS} runs of one setting differ: {hashes}")
        one, other = (statistics.median(run[kind][1] for run in side) for side in (plain, pinned))
        ratio = f"{other:.2f} s / {one:.2f} s = {other / one:.2f}" if one > 0.1 else "under 0.1 s"
        print(f"| {kind} | {' | '.join(hashed for (hashed,) in hashes)} | {ratio} |")
    sums = [[sum(seconds for _, seconds in run.values()) for run in side] for side in (plain, pinned)]
    ratios = sorted(other / one for one, other in zip(*sums, strict=True))
    print(f"| together | | | {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}) |")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--here"]:
        json.dump(measure(int(arguments[1]), arguments[2:]), sys.stdout)
        return
    print(f"{runtime.processor()}; {' '.join(platform.libc_ver())}; median of {REPEATS} runs of each")
    print(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    for threads in (2, 1):
        compare(threads, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
