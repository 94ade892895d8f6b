"""A small track on disk, with what the models of every family need: for tests of whole fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from memorability import families
from memorability.core.settings import checked
from memorability.data import splits, tables
from memorability.data.acquire import acquire
from memorability.data.datasets import demo
from memorability.data.settings import Split
from memorability.features import backbones
from memorability.training import fitting
from memorability.training.settings import Model

ARCH = "squeezenet1_1"
CUT = {"layer": "features.8", "pool": "mean", "dtype": "float32", "batch_size": 8}
TRANSFORM = {"resize": 40, "crop": 36, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
SPLIT = Split(
    **{"input": "raw", "method": "random", "val": 0.2, "test": 0.3, "folds": 5, "fold": 0, "seed": 0},
    near_duplicate_bits=0,
)
BLOCKS = {
    "mean": {},
    "ridge": {"alphas": [1.0, 100.0]},
    "svr": {"cs": [0.5], "epsilon": 0.02},
    "memnet": {"width": 12, "hidden": 16},
    "resmem": {"hidden": 128, "epochs": 1},
}
PICTURES = {"resize": 72, "crop": 67, "lr": 0.001, "epochs": 2, "batch_size": 8}
COMPUTE = fitting.Compute(seed=0, precision="32-true", threads=1)


@dataclass(frozen=True)
class World:
    """`root` holds the raw pictures in `raw`, a random backbone, and features if they were made."""

    root: Path
    index: pd.DataFrame  # the raw index
    rows: pd.DataFrame  # the split table
    backbone: Path


def make(root: Path, *, pictures: int) -> World:
    """Generates and packs pictures, splits them, and saves a backbone with random weights."""
    source = demo.Params(pictures=pictures, size=72, participants=30, responses=20)
    beside = {"work": root / "work", "store": root / "store"}
    acquire("images", {"demo": source}, root / "raw", **beside, seed=0, threads=2)
    index = tables.read(root / "raw" / "index.csv")
    tables.write(splits.split(index, SPLIT)[0], root / "split.csv")
    torch.manual_seed(0)
    state = backbones.build(ARCH, classes=4).state_dict()
    folder = root / "models" / "small"
    backbones.save(folder, arch=ARCH, state=state, transform=TRANSFORM, source="file")
    return World(root, index, tables.read(root / "split.csv"), folder)


def add_features(world: World) -> None:
    """Features of every picture, in an order that is not the split table's."""
    from memorability.features.extraction import Extractor, extract
    from memorability.features.inputs import Pictures

    out = world.root / "features"
    out.mkdir()
    rows = world.index.iloc[::-1]
    rows[["id"]].to_csv(out / "ids.csv", index=False)
    extractor = Extractor(world.backbone, **CUT, device="cpu")
    pictures = Pictures(rows, world.root / "raw")
    cache = world.root / "cache"
    threads = torch.get_num_threads()
    torch.set_num_threads(COMPUTE.threads)  # the last bits of features depend on it
    extract(list(rows["sha256"]), pictures.picture, extractor, out=out, cache_root=cache, threads=1)
    torch.set_num_threads(threads)


def settings(family: str, **changes: object) -> Model:
    gradient = PICTURES if family in ("memnet", "resmem") else {}
    block = {"family": family, "track": "images", "target": "score", "input": "x", "backbone": "none"}
    return checked(families.load(family).Params, block | gradient | BLOCKS[family] | changes, at="models.x")


def place(world: World, family: str, name: str) -> fitting.Place:
    root = world.root
    return fitting.Place(
        input=root / ("features" if family in ("ridge", "svr") else "raw"),
        backbone=world.backbone if family == "resmem" else None,
        model=root / "models" / name,
        predictions=root / "predictions" / f"{name}.csv",
        history=root / "history" / name,
        state=root / "states" / name,
    )


def written(place: fitting.Place) -> dict[str, bytes]:
    """All that a finished fit leaves behind, by name."""
    model = {file.name: file.read_bytes() for file in sorted(place.model.iterdir())}
    table = (place.history / "history.csv").read_bytes()
    return model | {"predictions": place.predictions.read_bytes(), "history": table}
