"""Small models of maps, and a small track of pairs on disk: for tests of the families of maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from memorability import families
from memorability.core.files import write_json
from memorability.core.settings import checked
from memorability.data import splits, tables
from memorability.data.acquire import acquire
from memorability.data.datasets import pairs
from memorability.data.settings import Split
from memorability.features import backbones
from memorability.training import fitting

SIZE, BLOCK = 32, 8
TRANSFORM = {"resize": 72, "crop": 64, "mean": [0.4, 0.5, 0.6], "std": [0.25, 0.3, 0.35]}
COMPUTE = fitting.Compute(seed=0, precision="32-true", threads=1)
HEAD = {"track": "maps", "target": "map", "input": "data/raw/maps", "backbone": "none", "size": SIZE}
TRAINED = {"lr": 0.002, "epochs": 2, "batch_size": 4, "translation": 0.0, "cutout": 0.0}
BLOCKS: dict[str, dict[str, Any]] = {
    "mean": {},
    "place_ridge": {"alphas": [0.01, 1.0, 100.0]},
    "unet": {"width": 8},
    "pix2pix": {"width": 8, "discriminator": {"width": 8}},
    "wgan": {"width": 8, "n_critic": 2, "discriminator": {"width": 8, "normalisation": "layer"}},
    "palette": {
        **{"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": []},
        **{"timesteps": 20, "noise": "cosine", "steps": 2, "ema": 0.9},
    },
}
GRADIENT = ("unet", "pix2pix", "wgan", "palette")
SPLIT = Split(
    **{"input": "raw", "method": "random", "val": 0.2, "test": 0.2, "folds": 5, "fold": 0, "seed": 0},
    near_duplicate_bits=0,
)


def made(family: str, **changes: object) -> Any:
    trained = TRAINED if family in GRADIENT else {}
    block = {"family": family, **HEAD, **trained, **BLOCKS[family], **changes}
    return checked(families.load(family).Params, block, at="models.m")


def build(settings: Any, *, channels: int = 3, backbone: backbones.Network | None = None) -> nn.Module:
    torch.manual_seed(0)
    shape = (3, settings.side, settings.side)
    return families.load(settings.family).build(settings, shape=shape, backbone=backbone, channels=channels)


def network(arch: str, *, device: str = "cpu") -> backbones.Network:
    """A backbone with random weights, whose features of any picture are of the order of 1."""
    torch.manual_seed(0)
    with torch.device(device):
        return backbones.Network(backbones.build(arch, classes=4), {"arch": arch, "transform": TRANSFORM})


def pair(rng: np.random.Generator, size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with a few bright blocks, and the map of these blocks: uint8 [3 or C, size, size]."""
    there = np.kron(rng.random((size // BLOCK, size // BLOCK)) < 0.3, np.ones((BLOCK, BLOCK), bool))
    picture = np.where(there, 220, 60) + rng.integers(-15, 16, (3, size, size))
    drawn = np.zeros((channels, size, size), np.uint8)
    drawn[: 2 if channels == 3 else 1] = there * 200
    return picture.astype(np.uint8), drawn


def batch(
    count: int = 4, *, channels: int = 3, size: int = SIZE, side: int | None = None
) -> dict[str, Tensor]:
    """Pairs as they come from `loading.load`: in [0, 1]; the pictures have `side` pixels."""
    rng = np.random.default_rng(1)
    found = [pair(rng, size, channels) for _ in range(count)]
    x, y = (torch.from_numpy(np.stack(part)).float().div(255) for part in zip(*found, strict=True))
    by = (side or size) // size
    return {"x": x.repeat_interleave(by, -1).repeat_interleave(by, -2), "y": y}


def stepped(settings: Any, net: nn.Module, data: dict[str, Tensor], times: int) -> list[dict[str, float]]:
    """The losses of some steps on the same batch, each step with a seed of its own."""
    family: ModuleType = families.load(settings.family)
    by, found = family.optimisers(settings, net), []
    net.train()
    for number in range(times):
        torch.manual_seed(number)
        losses = family.step(settings, net, data, by, torch.Tensor.backward)
        assert not any(loss.requires_grad for loss in losses.values())
        found.append({name: float(loss) for name, loss in losses.items()})
    return found


def predicted(settings: Any, net: nn.Module, data: dict[str, Tensor]) -> Tensor:
    """As the training loop asks for it."""
    net.eval()
    with torch.inference_mode():
        return families.load(settings.family).predict(settings, net, data)


def values(net: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.detach().clone() for name, value in (*net.named_parameters(), *net.named_buffers())}


def changed(before: dict[str, Tensor], net: nn.Module) -> set[str]:
    """The names of the weights and buffers that are not what they were."""
    return {name for name, value in values(net).items() if not value.equal(before[name])}


# On disk


@dataclass(frozen=True)
class World:
    """`root` holds pairs in `raw` and features of places of their pictures in `features`."""

    root: Path
    rows: pd.DataFrame  # the split table


def make(root: Path, *, pictures: int = 24, channels: int = 3) -> World:
    """Draws pairs in folders of their own, packs and splits them."""
    rng = np.random.default_rng(0)
    for folder in ("images", "maps"):
        (root / "own" / folder).mkdir(parents=True)
    for i in range(pictures):
        picture, drawn = pair(rng, 48, channels)
        Image.fromarray(picture.transpose(1, 2, 0)).save(root / "own" / "images" / f"{i:02d}.png")
        grey = drawn[0] if channels == 1 else drawn.transpose(1, 2, 0)
        Image.fromarray(grey).save(root / "own" / "maps" / f"{i:02d}.png")
    source = {"pairs": pairs.Params(root=root / "own", channels=channels)}
    beside = {"work": root / "work", "store": root / "store", "seed": 0, "threads": 1}
    acquire("maps", source, root / "raw", **beside)
    rows = splits.split(tables.read(root / "raw" / "index.csv"), SPLIT)[0]
    tables.write(rows, root / "split.csv")
    rows = tables.read(root / "split.csv")
    _features(root, rows)
    return World(root, rows)


def _features(root: Path, rows: pd.DataFrame, side: int = 6) -> None:
    """The mean colour of each place as its features, in an order that is not the split table's."""
    (root / "features").mkdir()
    listed = rows.iloc[::-1]
    pictures = [Image.open(root / "own" / name.removeprefix("pairs/")) for name in listed["id"]]
    small = [np.asarray(picture.resize((side, side), Image.Resampling.BOX)) for picture in pictures]
    np.save(root / "features" / "features.npy", np.stack(small).transpose(0, 3, 1, 2).astype(np.float32))
    listed[["id"]].to_csv(root / "features" / "ids.csv", index=False)
    write_json(root / "features" / "config.json", {"size": 48, "layer": "none", "pool": "none"})


def place(world: World, family: str, name: str, *, backbone: Path | None = None) -> fitting.Place:
    root = world.root
    return fitting.Place(
        input=root / ("features" if family == "place_ridge" else "raw"),
        backbone=backbone,
        model=root / "models" / name,
        predictions=root / "predictions" / name / "predictions.csv",
        history=root / "history" / name,
        state=root / "states" / name,
        raw=root / "raw",
    )


def written(where: fitting.Place) -> dict[str, bytes]:
    """All that a finished fit leaves behind, by name."""
    folders = {"model": where.model, "predictions": where.predictions.parent, "history": where.history}
    return {
        f"{kind}/{file.name}": file.read_bytes()
        for kind, folder in folders.items()
        for file in folder.iterdir()
    }
