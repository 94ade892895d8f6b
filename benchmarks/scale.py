"""A set of LaMem's size through the road: time, peak memory and bytes of every stage.

    python benchmarks/scale.py [PICTURES ...]          # by default 5874 and 58741

Small pictures are generated in LaMem's layout and go through acquire, split, features (SqueezeNet 1.1
with random weights at 64 pixels) and the closed-form models, in a copy of the repository with
a cache of its own. Two sizes show whether memory grows with the number of pictures.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
SIZES = (5_874, 58_741)  # a tenth of LaMem, and LaMem
STAGES = (
    "acquire images",
    "split images",
    "backbones small",
    "features small",
    "train mean",
    "train ridge",
    "evaluate images",
)
EXAMINE = """
from pathlib import Path
from memorability.core.parallel import map_ahead
from memorability.data.packing import picture
for _ in map_ahead(picture, sorted(Path("external/lamem/images").iterdir()), threads=2, ahead=8):
    pass
"""
WEIGHTS = """
import torch
from memorability.features import backbones
torch.manual_seed(0)
torch.save(backbones.build("squeezenet1_1").state_dict(), "external/weights.pt")
"""
NO_OPS = 5
TRANSFORM = {"resize": 64, "crop": 64, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def main(sizes: list[int]) -> None:
    print(f"{'pictures':>9} {'stage':18} {'seconds':>8} {'a second':>9} {'peak MB':>8}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            measure(Path(scratch, "clone"), size)


def measure(clone: Path, size: int) -> None:
    prepare(clone, size)
    bound, _ = run(clone, sys.executable, "-c", EXAMINE)
    print(f"{size:9} {'reading, decoding and hashing alone':36} {bound:.1f} s, the bound of acquire")
    for stage in STAGES:
        seconds, peak = run(clone, sys.executable, "-m", *f"pipeline.{stage}".split())
        print(f"{size:9} {stage:18} {seconds:8.1f} {size / seconds:9.0f} {peak:8.0f}", flush=True)
    for place in ("external/lamem/images", "data/raw", "data/features", "data/splits"):
        files = [path for path in (clone / place).rglob("*") if path.is_file()]
        print(
            f"{size:9} {place}: {sum(f.stat().st_size for f in files) / 2**20:.0f} MB in {len(files)} files"
        )
    seconds, _ = run(clone, "dvc", "repro")
    print(f"{size:9} the whole dvc repro, features from the cache: {seconds:.1f} s")
    times = [run(clone, "dvc", "repro")[0] for _ in range(NO_OPS)]
    print(f"{size:9} dvc repro with nothing to do: median {statistics.median(times):.2f} s (wanted: <= 3)")


def prepare(clone: Path, size: int) -> None:
    """A copy of the repository whose params name a generated set in LaMem's layout."""
    clone.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "plots/", "dvc.lock", "docs/")):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    generate(clone / "external" / "lamem", size)
    # In a process of its own: a child's peak memory counts from what its parent has at the fork.
    run(clone, sys.executable, "-c", WEIGHTS)
    params = yaml.safe_load((clone / "params.yaml").read_text())
    small = {"arch": "squeezenet1_1", "source": "file", "path": "external/weights.pt", "transform": TRANSFORM}
    features = {"input": "data/raw/images", "backbone": "small", "layers": ["features"]}
    lamem = {
        "watch": "external/lamem/splits",
        "datasets": ["lamem"],
        "lamem": {"root": "external/lamem"},
    }
    models = {name: params["models"][name] for name in ("mean", "ridge")}
    models["ridge"]["input"] = "data/features/small"
    params |= {
        "acquire": {"images": lamem},
        "frames": {},
        "split": {"images": params["split"]["images"] | {"method": "published"}},
        "backbones": {"small": small},
        "features": {"small": features | {"dtype": "float32", "batch_size": 64}},
        "models": models,
        "ensembles": {},
        "evaluate": {"images": {"fid": "none"}},
    }
    (clone / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(clone, "git", "init", "-q")
    run(clone, "git", "add", "--all")
    run(clone, "git", "-c", "user.name=scale", "-c", "user.email=scale@localhost", "commit", "-qm", "scale")


def generate(root: Path, size: int) -> None:
    """Pictures of 96 x 72 with low-frequency noise, and one split in LaMem's proportions."""
    (root / "images").mkdir(parents=True)
    (root / "splits").mkdir()
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(save, root / "images"), range(size), chunksize=500))
    rng = np.random.default_rng(0)
    lines = [f"{i:08d}.jpg {score:.6f}\n" for i, score in enumerate(rng.beta(8, 3, size))]
    borders = {"train": (0, 45_000), "val": (45_000, 48_741), "test": (48_741, 58_741)}
    for part, (low, high) in borders.items():
        own = lines[low * size // 58_741 : high * size // 58_741]
        (root / "splits" / f"{part}_1.txt").write_text("".join(own))


def save(folder: Path, i: int) -> None:
    noise = np.random.default_rng(i).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC)
    picture.save(folder / f"{i:08d}.jpg", quality=90)


def run(where: Path, *command: str) -> tuple[float, float]:
    """Seconds and peak resident memory (MB) of a command in `where`."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(where / "src"),
        "MEMORABILITY_CACHE": str(where.parent / "cache"),
    }
    with (where.parent / "log").open("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=where, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{log.read()}")
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
