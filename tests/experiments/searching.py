"""A small project to search in: pictures with features and scores, pairs of pictures and maps, a model of each kind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import worlds
import yaml

from memorability.core.settings import checked
from memorability.data import tables
from memorability.experiments import search
from memorability.experiments.search import settings, trials
from memorability.params import Params

TOP = {
    **{"seed": 0, "threads": 1, "precision": "32-true", "compile": False},
    **{"lr": None, "epochs": None, "batch_size": None},
}
WIDTH = 8  # of the features


def params(**top: Any) -> Params:
    models = {family: worlds.made(family).model_dump(mode="json") for family in ("memnet", "ridge")}
    models |= {family: worlds.made(family).model_dump(mode="json") for family in ("unet", "pix2pix")}
    models["ridge"] |= {"input": "data/features/small", "alphas": [1.0]}
    models["memnet"] |= {"resize": 72, "crop": 67}
    models["pix2pix"] |= {"layers": 4}
    members = {"family": "ensemble", "track": "images", "members": ["ridge"], "backbone": "none"}
    return checked(
        Params,
        {
            **(TOP | top),
            "acquire": {track: {"watch": "x", "datasets": ["demo"]} for track in ("images", "maps")},
            "split": {track: {"input": f"data/raw/{track}"} for track in ("images", "maps")},
            "features": {"small": {"input": "data/raw/images", "backbone": "none", "handmade": {}}},
            "models": models,
            "ensembles": {"both": members},
            "evaluate": {
                track: {"bootstrap": 100, "halves": 5, "map_size": worlds.SIDE}
                for track in ("images", "maps")
            },
        },
        at="",
    )


def made(root: Path, count: int = 24) -> Path:
    """The project's folder, with both tracks."""
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "splits").mkdir()
    for track, make in (("images", worlds.pictures), ("maps", worlds.pictures_with_maps)):
        world = make(root / "made" / track, count)
        (world.root / "raw").rename(root / "data" / "raw" / track)
        (world.root / "split.csv").rename(root / "data" / "splits" / f"{track}.csv")
    rows = table(root, "images")
    x = np.random.default_rng(0).normal(size=(len(rows), WIDTH))
    x[:, 0] += 10 * rows["score"].to_numpy(float)
    worlds.features(root / "data" / "features" / "small", list(rows["id"]), x.astype(np.float32))
    return root


def table(root: Path, track: str) -> pd.DataFrame:
    return tables.read(root / "data" / "splits" / f"{track}.csv")


def asked(root: Path, name: str, **block: Any) -> None:
    """Makes this search the only one."""
    (root / settings.FILE).write_text(yaml.safe_dump({name: block}, sort_keys=False))


def found(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / "metrics" / "searches" / name / "trials.csv", keep_default_na=False)


def worker(root: Path, name: str, killed_at: int | None = None, log: str = "") -> None:
    """A process of its own that searches; it is killed in its trial `killed_at`, from 1, behind the first epoch."""
    os.chdir(root)
    count, train = 0, trials.train

    def counted(*arguments: Any, watch: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if log:
            with Path(log).open("a") as stream:
                stream.write(f"{os.getpid()} {arguments[0].model_dump_json()}\n")

        def seen(line: dict[str, Any]) -> None:
            watch(line)
            if count == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

        train(*arguments, watch=seen, **options)
        if count == killed_at:  # of a closed form, which has no epochs
            os.kill(os.getpid(), signal.SIGKILL)

    trials.train = counted
    print(search.run(params(), name), flush=True)
