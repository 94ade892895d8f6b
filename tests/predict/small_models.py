"""Models of few numbers with their boards and splits on disk: for tests of which model predicts."""

from __future__ import annotations

import csv

import numpy as np
import torch

from memorability import families
from memorability.core.settings import checked
from memorability.features.settings import Transform
from memorability.training import artifacts

HEAD = {"input": "x", "backbone": "none"}
OF = {
    "images": {"track": "images", "target": "score"},
    "videos": {"track": "videos", "target": "short_term"},
    "maps": {"track": "maps", "target": "map"},
}
NETWORK = {"resize": 72, "crop": 67, "width": 6, "hidden": 4}
FRAMES = {"method": "fps", "fps": 1.0, "count": 4, "quality": 2}
TITLES = {"terms": np.frombuffer(b"cat", np.uint8), **{name: np.ones(1) for name in ("idf", "weight")}}


def backbone_config(**changes):
    """What the config of a model says of the backbone in it."""
    made = {"arch": "resnet18", "classes": 3, "headless": False, "source": "file", "sha256": "0" * 64}
    return made | {"transform": Transform().model_dump(mode="json")} | changes


def save(project, name, family, track="images", *, evidence=None, **config):
    """A model of few numbers."""
    params = families.load(family).Params
    own = config.pop("settings", {}) | (NETWORK if family == "memnet" else {})
    settings = checked(params, {"family": family, **HEAD, **OF[track], **own}, at="x")
    arrays = {"mean": np.full((3, 64, 64) if track == "maps" else (), 0.5)}
    if family == "memnet":
        torch.manual_seed(0)
        net = families.load(family).build(settings, shape=(3, 67, 67), backbone=None)
        arrays = {key: value.numpy() for key, value in net.state_dict().items()}
        config |= {"shape": [3, 67, 67]}
    elif family == "frame_average":
        arrays, config = {"slope": np.array(1.0), "offset": np.array(0.0)}, config | {"frames": FRAMES}
    elif family == "caption_ridge":
        arrays = TITLES | {"bias": np.array(0.5), "alpha": np.array(1.0)}
    config = {"settings": settings.model_dump(mode="json"), **config}
    artifacts.save(project.models / name, config=config, arrays=arrays, evidence=evidence)


def board(project, track, target, **models):
    """A leaderboard with a figure on validation for each model, best first; None where there is none."""
    path = project.board(track, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    measure = "cc" if track == "maps" else "spearman"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ("model", "trained_on", "fitted_on_val", "val_n", f"val_{measure}", "val_mse", "test_n")
        )
        for name, value in models.items():
            on_val = "all" if name.startswith("fused") else ""
            writer.writerow((name, target, on_val, 9, "" if value is None else value, 0.1, 9))


def split(project, track, *datasets):
    """A split table with these data sets in train, and another one in test."""
    project.splits.mkdir(parents=True, exist_ok=True)
    lines = ["id,dataset,split", *(f"{i},{name},train" for i, name in enumerate(datasets)), "x,other,test"]
    (project.splits / f"{track}.csv").write_text("\n".join(lines) + "\n")
