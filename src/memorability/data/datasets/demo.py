"""The demo data set: drawn scenes, remembered by simulated participants; no download needed.

It is written in MemCat's layout and read back by MemCat's adapter, so that the road from files to scores
is the real one. A picture's latent memorability has a
semantic part (what it shows, how rare that is), a perceptual part (contrast, saturation, clutter)
and an unexplained part. Participants with abilities of their own then say "seen" or "new", and only
these answers are written: scores are as noisy as counts of answers are.

The generator is frozen: models are compared on it, it is never adapted to them.
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from memorability.core import runtime
from memorability.core.parallel import map_in_processes
from memorability.core.progress import bar
from memorability.data import scenes
from memorability.data.datasets import GIVEN, memcat
from memorability.data.datasets.common import Source

# Mean appeal of a scene by what it is about: people most, open landscapes least (Isola et al. 2011).
APPEAL = {
    "face": 1.3,
    "person": 1.0,
    "cat": 0.6,
    "fish": 0.5,
    "bird": 0.3,
    "boat": 0.2,
    "car": 0.1,
    "lamp": 0.1,
    "chair": -0.1,
    "flower": -0.2,
    "house": -0.5,
    "tree": -0.9,
}
OPEN_APPEAL = -1.3
PICTURE_STREAM, ANSWER_STREAM = 1, 2  # independent random streams of one seed


class Params(Source):
    """How many pictures of which side (pixels), and how many people answer to each."""

    pictures: int = Field(ge=20, le=99_999)
    pixels: int = Field(ge=32, le=1024)
    participants: int = Field(ge=10)
    responses: int = Field(ge=4, description="participants who see any one picture again")
    masks: bool = Field(
        False, description="come with masks of what is where, as features `masks` of 12 classes"
    )

    @model_validator(mode="after")
    def _enough_participants(self) -> Params:
        if self.responses > self.participants:
            raise ValueError(f"responses must be at most participants ({self.participants})")
        return self


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """Generates the set below `work` and reads it with MemCat's adapter."""
    generate(work, params, seed=seed)
    rows = memcat.read_layout(work)
    if params.masks:
        rows[f"{GIVEN}masks"] = pd.Series([[_mask_of(Path(file))] for file in rows["file"]], rows.index)
    return rows


def generate(root: Path, params: Params, *, seed: int) -> None:
    """Writes `images/` and `data/memcat_image_data.csv`."""
    drawn = scenes.draw(params.pictures, stream=PICTURE_STREAM, seed=seed)
    rng = np.random.default_rng([ANSWER_STREAM, seed])
    hits, alarms = answers(latent(drawn, rng), params, rng)
    names = [Path(scene.category, scene.subcategory, f"{i:05d}.jpg") for i, scene in enumerate(drawn)]
    files = [root / "images" / name for name in names]
    done = map_in_processes(partial(_save, params=params), files, drawn, processes=runtime.cores())
    list(bar(done, of="demo pictures", unit="picture", total=len(drawn)))
    rows = []
    for i, (name, scene) in enumerate(zip(names, drawn, strict=True)):
        corrected = (hits[i] - alarms[i]) / params.responses
        # As in MemCat, a score may not be negative.
        scores = (hits[i] / params.responses, max(corrected, 0.0))
        counts = (hits[i], alarms[i], params.responses)
        rows.append((name.name, scene.category, scene.subcategory, *counts, *scores))
    (root / "data").mkdir(parents=True, exist_ok=True)
    with (root / "data" / "memcat_image_data.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        head = ("image_file", "category", "subcategory", "H", "FA", "n_resp")
        writer.writerow((*head, memcat.WITHOUT, memcat.WITH))
        writer.writerows(rows)


def _mask_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}-mask.png")


def _save(path: Path, scene: scenes.Scene, params: Params) -> None:
    if path.is_file():  # drawn by a run that was stopped
        return
    picture, mask = scenes.render(scene, size=params.pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    if params.masks:
        mask.save(_mask_of(path))
    scratch = path.with_name(f".{path.name}")
    picture.save(scratch, format="JPEG", quality=92)
    scratch.replace(path)  # so that what is there is whole


def latent(drawn: list[scenes.Scene], rng: np.random.Generator) -> np.ndarray:
    """Latent memorability of each scene, mean 0 and SD 1 over the set: [N]."""
    semantic = np.array([_semantic(scene) for scene in drawn])
    perceptual = np.array([_perceptual(scene) for scene in drawn])
    unexplained = rng.normal(size=len(drawn))
    return _standard(0.75 * _standard(semantic) + 0.5 * _standard(perceptual) + 0.43 * unexplained)


def _semantic(scene: scenes.Scene) -> float:
    if scene.main is None:
        appeal, frequency = OPEN_APPEAL, scenes.FREQUENCY["open"]
    else:
        appeal, frequency = APPEAL[scene.subcategory], scenes.FREQUENCY[scene.subcategory]
    company = any(t.category == "person" for i, t in enumerate(scene.things) if i != scene.main)
    return appeal - 0.3 * np.log(frequency / 0.08) + 0.3 * company


def _perceptual(scene: scenes.Scene) -> float:
    return 1.6 * scene.contrast + 1.2 * scene.saturation - 0.25 * len(scene.things)


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def answers(
    memorability: np.ndarray, params: Params, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Simulated recognition: hits and false alarms per picture, each out of `params.responses`.

    Participant p says "seen" to a repeated picture with probability logistic(1.2 + 0.8 m + a_p) and
    to a new one with logistic(-2.3 - 0.3 m + b_p), where a_p and b_p are the person's own.
    """
    ability = rng.normal(0, 0.6, params.participants)
    bias = rng.normal(0, 0.6, params.participants)
    hits, alarms = np.zeros(len(memorability), int), np.zeros(len(memorability), int)
    for i, m in enumerate(memorability):
        old, new = (rng.choice(params.participants, params.responses, replace=False) for _ in range(2))
        hits[i] = (rng.random(params.responses) < _logistic(1.2 + 0.8 * m + ability[old])).sum()
        alarms[i] = (rng.random(params.responses) < _logistic(-2.3 - 0.3 * m + bias[new])).sum()
    return hits, alarms


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
