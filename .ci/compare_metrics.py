"""Compares the rebuilt metrics/ with the committed ones; exits 1 where they differ.

On the same kind of processor and number of threads they must be equal to the byte. Elsewhere, where
rounding differs, Spearman may differ by 0.02 and the losses by 5 %.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

CORRELATION, LOSSES = "spearman", ("l1", "mse")
NO_STAGE = ("metrics/crossval/", "metrics/ablations/")  # made by commands of their own
ABSOLUTE, RELATIVE = 0.02, 0.05


def committed(path: str) -> str:
    return subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, text=True, check=True).stdout


def tolerable(name: str, old: Any, new: Any) -> bool:
    """Whether one number of a report may differ so, by its name: `.test.mse`, `.images.svr.val_spearman`.

    Intervals, spreads and extremes follow from the predictions that Spearman and the losses judge.
    """
    measure = name.rsplit(".", 1)[-1]
    measure = measure.removeprefix("val_").removeprefix("test_")
    if measure != CORRELATION and measure not in LOSSES:
        return True
    if old is None or new is None:
        return old is new
    return abs(old - new) <= ABSOLUTE if measure == CORRELATION else math.isclose(old, new, rel_tol=RELATIVE)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in flat(inner, f"{name}.{key}").items()}


def differences(path: str) -> list[str]:
    """The numbers of one JSON report that differ too much, or are on one side only."""
    old, new = flat(json.loads(committed(path))), flat(json.loads(Path(path).read_text()))
    names = sorted(set(old) | set(new))
    bad = [n for n in names if n not in old or n not in new or not tolerable(n, old[n], new[n])]
    return [f"{path}{n}: committed {old.get(n, 'nothing')}, rebuilt {new.get(n, 'nothing')}" for n in bad]


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "metrics"], capture_output=True, text=True, check=True)
    paths = [p for p in listed.stdout.split() if not p.startswith(NO_STAGE)]
    machines = [p for p in paths if Path(p).name == "processor.json"]
    lost = [p for p in paths if not Path(p).is_file()]
    if not paths or lost:
        print(f"metrics: {len(paths)} files are committed; not rebuilt: {', '.join(lost) or 'none'}")
        return 1
    if all(Path(p).read_text() == committed(p) for p in machines):
        bad = [p for p in paths if Path(p).read_text() != committed(p)]
        kind = "the same processor and threads: the metrics must be equal to the byte"
    else:
        reports = [p for p in paths if p.endswith(".json") and p not in machines]
        bad = [line for p in reports for line in differences(p)]
        kind = f"another processor: Spearman within {ABSOLUTE}, losses within {RELATIVE:.0%}"
    print(f"metrics: {kind}")
    print("\n".join(bad) if bad else f"metrics: {len(paths)} files agree with the commit")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
