"""Small tracks on disk, of pictures and of maps, and small models of any family: for tests of whole fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from memorability import families
from memorability.core.files import write_json
from memorability.core.layout import ModelPaths
from memorability.core.settings import checked
from memorability.data import splits, tables
from memorability.data.acquire import acquire
from memorability.data.datasets import demo, pairs
from memorability.data.settings import Split
from memorability.experiments.train import train
from memorability.features import backbones
from memorability.training import artifacts, fitting

ARCH = "squeezenet1_1"
CUT = {"layers": ["features.8"], "pools": ["mean"], "dtype": "float32", "batch_size": 8}
TRANSFORM = {"resize": 40, "crop": 36, "mean": [0.4, 0.5, 0.6], "std": [0.25, 0.3, 0.35]}
SPLIT = Split(input="raw", method="random", val=0.2, test=0.3, near_duplicate_bits=0)
COMPUTE = fitting.Compute(seed=0, precision="32-true", threads=1)
SIDE, BLOCK = 32, 8  # of maps and of what is marked on them, in pixels

# Small models, by family.
SCORES: dict[str, dict[str, Any]] = {
    "mean": {},
    "ridge": {"alphas": [1.0, 100.0]},
    "svr": {"cs": [0.5], "epsilon": 0.02},
    "memnet": {"width": 12, "hidden": 16},
    "resmem": {"hidden": 128, "epochs": 1, "backbone": "small"},
}
OF_PLACES: dict[str, dict[str, Any]] = {  # which read features that a world has not by itself
    "m3m": {"hidden": 128, "width": 4, "epochs": 1, "backbone": "small", "input": "data/features/places"},
    "amnet": {"hidden": 16, "width": 16, "head": 8, "input": "data/features/places"},
}
MAPS: dict[str, dict[str, Any]] = {
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
OF = {"images": SCORES, "maps": MAPS}
OF_FEATURES = ("features", "sequences", "places", "places_or_pictures", "pictures_and_places")
GRADIENT = ("unet", "pix2pix", "wgan", "palette")  # families of maps that are trained by gradients
HEADS = {
    "images": {"track": "images", "target": "score", "input": "data/raw/images"},
    "videos": {"track": "videos", "target": "short_term", "input": "data/features/clips"},
    "maps": {"track": "maps", "target": "map", "input": "data/raw/maps", "pixels": SIDE},
}
TRAINED = {
    "images": {"resize": 72, "crop": 67, "lr": 0.001, "epochs": 2, "batch_size": 8},
    "videos": {"lr": 0.01, "epochs": 2, "batch_size": 8},
    "maps": {"lr": 0.002, "epochs": 2, "batch_size": 4, "translation": 0.0, "cutout": 0.0},
}


def made(family: str, *, of: str = "", **changes: Any) -> Any:
    """The settings of a small model, of the track `of` where a family has several."""
    of = of or next((t for t, known in (*OF.items(), ("images", OF_PLACES)) if family in known), "videos")
    schema = families.load(family).Params
    trained = {key: value for key, value in TRAINED[of].items() if key in schema.model_fields}
    own = OF.get(of, {}).get(family, OF_PLACES.get(family, {}))
    return checked(schema, {"family": family, **HEADS[of], **trained, **own, **changes}, at="models.m")


def paths(root: Path, name: str, *, input: str | Path) -> ModelPaths:
    """Where the model `name` reads and writes below `root`."""
    return ModelPaths(
        input=root / input,
        models=root / "models",
        raw=root / "raw",
        model=root / "models" / name,
        predictions=root / "predictions" / name,
        state=root / "states" / name,
    )


def written(where: ModelPaths) -> dict[str, bytes]:
    """All that a finished fit leaves behind, by name."""
    return {
        f"{folder.parent.name}/{file.name}": file.read_bytes()
        for folder in (where.model, where.predictions)
        for file in sorted(folder.iterdir())
    }


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted: its table of predictions (and, of maps, the maps), its config and its arrays."""

    where: ModelPaths

    @property
    def table(self) -> pd.DataFrame:
        return tables.read(self.where.predictions / "predictions.csv")

    @property
    def history(self) -> pd.DataFrame:
        return pd.read_csv(self.where.predictions / "history.csv")

    @property
    def maps(self) -> np.ndarray:
        return np.load(self.where.predictions / "maps.npy")

    @property
    def config(self) -> artifacts.Config:
        return artifacts.load(self.where.model)[0]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        return artifacts.load(self.where.model)[1]


def fit(settings: Any, rows: pd.DataFrame, where: ModelPaths, compute: fitting.Compute = COMPUTE) -> Fitted:
    train(settings, rows, where, compute)
    return Fitted(where)


@dataclass(frozen=True)
class World:
    """A track on disk: packed in `raw`, a backbone with random weights in `models/small`, perhaps `features`."""

    root: Path
    index: pd.DataFrame  # the raw index
    rows: pd.DataFrame  # the split table

    @property
    def backbone(self) -> Path:
        return self.root / "models" / "small"

    def paths(self, family: str, name: str = "") -> ModelPaths:
        """Where a model of the family lies, called as the family is if it has no name."""
        reads = families.load(family).READS
        return paths(
            self.root,
            name or family,
            input="features" if reads in OF_FEATURES else "raw",
        )

    def fit(
        self,
        family: str,
        name: str = "",
        *,
        rows: pd.DataFrame | None = None,
        where: ModelPaths | None = None,
        compute: fitting.Compute = COMPUTE,
        **changes: Any,
    ) -> Fitted:
        of = "maps" if "map" in self.rows else "images"
        rows = self.rows if rows is None else rows
        return fit(made(family, of=of, **changes), rows, where or self.paths(family, name), compute)


def backbone(folder: Path, *, arch: str = ARCH) -> None:
    """Saves a backbone with random weights."""
    torch.manual_seed(0)
    state = backbones.build(arch, classes=4).state_dict()
    backbones.save(folder, arch=arch, state=state, transform=TRANSFORM, source="file")


def pictures(root: Path, count: int) -> World:
    """A track of generated pictures with scores."""
    source = demo.Params(pictures=count, pixels=72, participants=30, responses=20)
    acquire(
        "images", {"demo": source}, root / "raw", work=root / "work", store=root / "store", seed=0, threads=1
    )
    return _world(root)


def pair(rng: np.random.Generator, size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with a few bright blocks, and the map of these blocks: uint8 [3 or C, size, size]."""
    marked = np.kron(rng.random((size // BLOCK, size // BLOCK)) < 0.3, np.ones((BLOCK, BLOCK), bool))
    picture = np.where(marked, 220, 60) + rng.integers(-15, 16, (3, size, size))
    drawn = np.zeros((channels, size, size), np.uint8)
    drawn[: 2 if channels == 3 else 1] = marked * 200
    return picture.astype(np.uint8), drawn


def pictures_with_maps(root: Path, count: int = 24, *, channels: int = 3) -> World:
    """A track of pairs, with the mean colours of places as features of its pictures."""
    rng = np.random.default_rng(0)
    for folder in ("images", "maps"):
        (root / "own" / folder).mkdir(parents=True)
    for i in range(count):
        picture, drawn = pair(rng, 48, channels)
        Image.fromarray(picture.transpose(1, 2, 0)).save(root / "own" / "images" / f"{i:02d}.png")
        grey = drawn[0] if channels == 1 else drawn.transpose(1, 2, 0)
        Image.fromarray(grey).save(root / "own" / "maps" / f"{i:02d}.png")
    source = pairs.Params(root=root / "own", channels=channels)
    acquire(
        "maps", {"pairs": source}, root / "raw", work=root / "work", store=root / "store", seed=0, threads=1
    )
    world = _world(root)
    files = [root / "own" / name.removeprefix("pairs/") for name in world.rows["id"]]
    small = [np.asarray(Image.open(file).resize((6, 6), Image.Resampling.BOX)) for file in files]
    x = np.stack(small).transpose(0, 3, 1, 2).astype(np.float32)
    features(
        root / "features",
        list(world.rows["id"]),
        x,
        config={"pixels": 48, "layers": ["none"], "pools": ["none"]},
    )
    return world


def _world(root: Path) -> World:
    index = tables.read(root / "raw" / "index.csv")
    tables.write(splits.split(index, SPLIT)[0], root / "split.csv")
    world = World(root, index, tables.read(root / "split.csv"))
    backbone(world.backbone)
    return world


def features(
    folder: Path,
    ids: Sequence[str],
    x: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    config: dict[str, Any] | None = None,
) -> None:
    """A features artifact, in an order that is not that of `ids`."""
    folder.mkdir(parents=True)
    table = pd.DataFrame({"id": ids}) if lengths is None else pd.DataFrame({"id": ids, "length": lengths})
    np.save(folder / "features.npy", x[::-1])
    table.iloc[::-1].to_csv(folder / "ids.csv", index=False)
    write_json(folder / "config.json", config or {"layers": ["avgpool"]})


def extract_features(world: World) -> None:
    """Features of every picture by the world's backbone, as the features stage makes them."""
    from memorability.features.extraction import Extractor, extract
    from memorability.features.inputs import Pictures

    out = world.root / "features"
    out.mkdir()
    rows = world.index.iloc[::-1]  # an order that is not the split table's
    rows[["id"]].to_csv(out / "ids.csv", index=False)
    extractor = Extractor(world.backbone, **CUT, device="cpu")
    picture = Pictures(rows, world.root / "raw").picture
    extract(list(rows["sha256"]), picture, extractor, out=out, cache_root=world.root / "cache", threads=1)
