"""Compares the rebuilt metrics/ with the committed ones; exits 1 where they differ.

A track that was evaluated on the same kind of processor, with the same kernels and number of threads (its
processor.json), must be equal to the byte. On another one, where rounding differs and training amplifies that, every
number must be within the tolerance that tolerances.py gives it; the same models must be better than the same others and
beat the baseline, unless that was a near thing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from comparison import MACHINE, Comparison

NO_STAGE = ("metrics/crossval/", "metrics/ablations/", "metrics/searches/")  # made by commands of their own


def committed(path: str) -> str:
    return subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, text=True, check=True).stdout


def rebuilt(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def by_track(paths: list[str]) -> dict[str, list[str]]:
    """Paths such as metrics/maps.json and metrics/maps/unet.json by `maps`, without those that no stage makes."""
    tracks: dict[str, list[str]] = {}
    for path in sorted(paths):
        if not path.startswith(NO_STAGE):
            tracks.setdefault(Path(path).parts[1].removesuffix(".json"), []).append(path)
    return tracks


def compare(track: str, paths: list[str]) -> list[str]:
    """What differs too much in the files of one track; says what it was held to."""
    machine = f"metrics/{track}/{MACHINE}"
    if machine not in paths:
        return [f"{machine}: not committed, so that nothing says what the metrics of {track} were made on"]
    if rebuilt(machine) == committed(machine):
        print(
            f"{track}: the same processor, kernels and threads: {len(paths)} files must be equal to the byte"
        )
        return [f"{path}: not equal to the byte" for path in paths if rebuilt(path) != committed(path)]
    found = Comparison(paths, old=committed, new=rebuilt)
    for path in paths:
        found.judge(path)
    share, where = found.most
    print(f"{track}: another processor, kernels or threads: {found.judged} values within their tolerance")
    if where:
        print(f"  the farthest uses {share:.0%} of its own: {where}")
    return found.problems


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "metrics"], capture_output=True, text=True, check=True)
    tracks = by_track(listed.stdout.splitlines())
    present = by_track([path.as_posix() for path in Path("metrics").rglob("*") if path.is_file()])
    problems = [] if tracks else ["metrics: nothing is committed"]
    for track in {**tracks, **present}:
        sides = set(tracks.get(track, [])), set(present.get(track, []))
        lacking = [f"{path}: committed, not rebuilt" for path in sorted(sides[0] - sides[1])]
        lacking += [f"{path}: rebuilt, not committed" for path in sorted(sides[1] - sides[0])]
        problems += lacking or compare(track, tracks[track])
    print("\n".join(problems) if problems else "metrics: as committed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
