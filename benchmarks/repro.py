"""The whole demo pipeline in a fresh clone, and what a `dvc repro` with nothing to do costs.

    python benchmarks/repro.py

The second is set against DVC's own time for as many stages that do nothing, in the same run.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
REPEATS = 9


def run(where: Path, *command: str) -> float:
    """Seconds that a command takes in `where`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = kept | {  # as a user's shell does: Python writes __pycache__ beside the code
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(where / "src"),
        "MEMORABILITY_CACHE": str(where.parent / "cache"),
    }
    start = time.perf_counter()
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


def trivial(where: Path, stages: int) -> None:
    """A repository of as many stages as ours, each of which writes one small file."""
    where.mkdir()
    do = {"cmd": "echo ${item} > out-${item}", "outs": ["out-${item}"]}
    text = yaml.safe_dump({"stages": {"echo": {"foreach": list(range(stages)), "do": do}}})
    (where / "dvc.yaml").write_text(text)
    run(where, "git", "init", "-q")
    run(where, "dvc", "init", "-q")
    run(where, "dvc", "repro")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        clone, other = Path(scratch, "clone"), Path(scratch, "trivial")
        run(Path(scratch), "git", "clone", "-q", str(ROOT), str(clone))
        whole = run(clone, "dvc", "repro")
        print(
            f"dvc repro in a fresh clone, empty caches: {whole:.0f} s on {os.cpu_count()} cores (wanted: <= 540)"
        )
        with (clone / "logs" / "times.csv").open(newline="", encoding="utf-8") as stream:
            within = sum(float(row["seconds"]) for row in csv.DictReader(stream))
        print(f"  in stages {within:.0f} s, in starting them {whole - within:.0f} s")
        stages = len(yaml.safe_load((clone / "dvc.lock").read_text())["stages"])
        trivial(other, stages)
        times = [(run(clone, "dvc", "repro"), run(other, "dvc", "repro")) for _ in range(REPEATS)]
        ours, theirs = (statistics.median(side) for side in zip(*times, strict=True))
        print(f"no-op dvc repro, {stages} stages: {ours:.2f} s; as many trivial stages: {theirs:.2f} s")
        print(f"  ratio = {ours / theirs:.2f}  (wanted: <= 1.30)")


if __name__ == "__main__":
    main()
