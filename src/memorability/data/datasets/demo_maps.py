"""The demo's maps: drawn scenes, and what simulated people mark in them as what made them remember.

Written in VISCHEMA's layout and read back by its adapter. Every participant is shown every picture, first
as a new one and later again, and says whether it was seen before, as in `datasets.demo`. Who says "seen"
marks one to three rectangles: around things, people before trees and the main thing before others, drawn
with an unsteady hand and at times around a part only; now and then around a place that is no thing, such
as a window, a peak or a stretch of the horizon. Those who are mistaken choose more at random. A map's red
is the share of all participants who knew the picture again and marked a place, its green the share of
those who took it for seen when it was new; only these sums are written.

The generator is frozen: models are compared on it, it is never adapted to them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from memorability.core import runtime
from memorability.core.files import staged
from memorability.core.parallel import map_in_processes
from memorability.core.progress import bar
from memorability.data import scenes
from memorability.data.datasets import demo, vischema
from memorability.data.datasets.common import Source

Box = tuple[float, float, float, float]  # left, top, right, bottom, in sides of a picture or of a thing
SCENE_STREAM, LAYOUT_STREAM, ANSWER_STREAM, MARK_STREAM = 9, 10, 11, 12  # the other tracks' are others
MAIN_APPEAL = 0.9  # of the main thing, added to that of its category
SURE, MISTAKEN = 1.3, 0.5  # how much appeal counts for those who remember, and for those who are mistaken
ASTRAY, ASTRAY_MISTAKEN = 0.12, 0.35  # chance of a mark on no thing, in scenes about a thing
ASTRAY_OPEN = 0.45  # the same in open landscapes
MARKS = (0.45, 0.80)  # chances of at most one and of at most two rectangles, of three
HAND = 0.06  # how far each edge is off, as a share of the rectangle's side (SD)
# What is marked instead of a whole thing: chance, and the part of the thing's unit box.
PARTS: dict[str, tuple[tuple[float, Box], ...]] = {
    "person": ((0.35, (0.0, 0.0, 1.0, 0.55)), (0.30, (0.2, 0.0, 0.8, 0.28))),
    "face": ((0.30, (0.2, 0.1, 0.8, 0.82)), (0.30, (0.25, 0.34, 0.75, 0.52)), (0.10, (0.3, 0.6, 0.7, 0.75))),
    "cat": ((0.45, (0.0, 0.0, 0.55, 0.65)),),
    "bird": ((0.35, (0.0, 0.0, 0.5, 0.45)),),
    "fish": ((0.25, (0.0, 0.1, 0.45, 0.9)), (0.15, (0.62, 0.1, 1.0, 0.9))),
    "car": ((0.20, (0.0, 0.36, 0.4, 1.0)), (0.15, (0.18, 0.0, 0.86, 0.44)), (0.10, (0.66, 0.55, 0.9, 1.0))),
    "boat": ((0.35, (0.1, 0.0, 0.95, 0.7)), (0.15, (0.0, 0.7, 1.0, 1.0))),
    "chair": ((0.30, (0.05, 0.0, 0.95, 0.47)),),
    "lamp": ((0.45, (0.0, 0.0, 1.0, 0.38)),),
    "house": ((0.25, (0.0, 0.0, 1.0, 0.46)), (0.20, (0.38, 0.62, 0.62, 1.0)), (0.1, (0.12, 0.5, 0.37, 0.78))),
    "tree": ((0.40, (0.0, 0.0, 1.0, 0.66)),),
    "flower": ((0.50, (0.05, 0.0, 0.95, 0.55)),),
}


class Params(Source):
    """How many pictures of which side (pixels), and how many people are shown each."""

    pictures: int = Field(ge=20, le=99_999)
    pixels: int = Field(ge=32, le=1024)
    participants: int = Field(60, ge=10, le=1000)


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """Generates the set below `work` and reads it with VISCHEMA's adapter."""
    generate(work, params, seed=seed)
    settings = vischema.Params(root=work, pictures="images", maps="vms")
    return vischema.read(settings, work=work, seed=seed)


def generate(root: Path, params: Params, *, seed: int) -> None:
    """Writes `images/CATEGORY/NNNNN.jpg` and `vms/CATEGORY/NNNNN.png`."""
    drawn = compose(params.pictures, seed=seed)
    rng = np.random.default_rng([ANSWER_STREAM, seed])
    people = params.participants
    asked = demo.Params(pictures=params.pictures, pixels=params.pixels, participants=people, responses=people)
    answers = np.stack(demo.answers(demo.latent(drawn, rng), asked, rng), axis=1)

    save = partial(_save, root, params=params, seed=seed)
    done = map_in_processes(save, range(params.pictures), drawn, answers, processes=runtime.cores())
    list(bar(done, of="demo maps", unit="picture", total=params.pictures))


def _save(
    root: Path, number: int, scene: scenes.Scene, answers: np.ndarray, *, params: Params, seed: int
) -> None:
    place = Path(scene.category, f"{number:05d}")
    marked = (root / "vms" / place).with_suffix(".png")
    if marked.is_file():  # made by a run that was stopped
        return
    picture, _ = scenes.render(scene, size=params.pixels)
    marks_of = np.random.default_rng([MARK_STREAM, seed, number])
    shares = np.zeros((params.pixels, params.pixels, 3))
    for channel, (count, mistaken) in enumerate(zip(answers, (False, True), strict=True)):
        marks = draw_marks(scene, count, marks_of, mistaken=mistaken)
        people = params.participants
        shares[..., channel] = covered(*marks, people=people, size=params.pixels).sum(axis=0) / people
    with staged((root / "images" / place).with_suffix(".jpg")) as scratch:
        picture.save(scratch, format="JPEG", quality=92)
    with staged(marked) as scratch:
        Image.fromarray(np.rint(255 * shares).astype(np.uint8)).save(scratch, format="PNG")


def compose(count: int, *, seed: int) -> list[scenes.Scene]:
    """Scenes whose main thing is smaller and farther from the middle than in the pictures of `datasets.demo`.

    Else one map, of the middle, would fit most of them.
    """
    found = scenes.draw(count, stream=SCENE_STREAM, seed=seed)
    for i, scene in enumerate(found):
        if scene.main is not None:
            rng, things = np.random.default_rng([LAYOUT_STREAM, seed, i]), list(scene.things)
            main = things[scene.main]
            size = main.size * float(rng.uniform(0.5, 1.0))
            things[scene.main] = replace(main, x=0.5 + 1.5 * (main.x - 0.5), size=size)
            found[i] = replace(scene, things=tuple(things))
    return found


def covered(boxes: np.ndarray, who: np.ndarray, *, people: int, size: int) -> np.ndarray:
    """Which pixels the rectangles of each person cover: bool [people, size, size]."""
    found = np.zeros((people, size, size), bool)
    edges = np.rint(boxes * size).astype(int).clip(0, size).tolist()
    for person, (left, top, right, bottom) in zip(who, edges, strict=True):
        found[person, top:bottom, left:right] = True
    return found


def draw_marks(
    scene: scenes.Scene, people: int, rng: np.random.Generator, *, mistaken: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The rectangles of all who say "seen": boxes [M, 4], and whose each is, int [M] in [0, people)."""
    astray = ASTRAY_OPEN if scene.main is None else ASTRAY
    astray = max(astray, ASTRAY_MISTAKEN) if mistaken else astray
    appeal = (MISTAKEN if mistaken else SURE) * _appeals(scene)
    # With Gumbel noise, the order is that of drawing from the softmax without replacement.
    orders = np.argsort(-(appeal + rng.gumbel(size=(people, len(appeal)))), axis=1).tolist()
    counts = 1 + np.searchsorted(MARKS, rng.random(people))
    boxes, who, sights = [], [], _sights(scene)
    for person, (order, count) in enumerate(zip(orders, counts, strict=True)):
        for _ in range(count):
            if rng.random() < astray or not scene.things:
                boxes.append(_nowhere(scene, sights, rng))
            elif order:
                boxes.append(_around(scene.things[order.pop(0)], rng))
            else:  # every thing is marked
                break
            who.append(person)
    whose = np.array(who, int)
    return _by_hand(np.array(boxes).reshape(-1, 4), whose, people, rng), whose


def _by_hand(boxes: np.ndarray, whose: np.ndarray, people: int, rng: np.random.Generator) -> np.ndarray:
    """The boxes as people draw them: each edge a little off, and a person's all rather wide or narrow."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    wide = rng.normal(0.03, 0.04, people)[whose, None] * np.array([-1, -1, 1, 1])
    return boxes + sides * (wide + rng.normal(0, HAND, boxes.shape))


def _appeals(scene: scenes.Scene) -> np.ndarray:
    """How much each thing of a scene asks to be marked: logits, [things]."""
    found = np.zeros(len(scene.things))
    boxes = [_box(thing) for thing in scene.things]
    for i, thing in enumerate(scene.things):
        left, top, right, bottom = boxes[i]
        place = 0.3 * (1 - (top + bottom) / 2) + 0.3 * (1 - abs(left + right - 1))  # high, in the middle
        size = 0.25 * np.log(max(1e-3, (right - left) * (bottom - top)))
        seen = math.prod(1 - _hidden(boxes[i], other) for other in boxes[i + 1 :])  # things in front of it
        found[i] = demo.APPEAL[thing.category] + place + size + np.log(max(seen, 0.02))
        found[i] += MAIN_APPEAL * (i == scene.main)
    return found


def _box(thing: scenes.Thing, part: Box = (0.0, 0.0, 1.0, 1.0)) -> Box:
    """What a thing, or a part of it, covers of the picture."""
    left, top, right, bottom = part
    if thing.flip:
        left, right = 1 - right, 1 - left
    width = thing.size * scenes.THINGS[thing.category][0]
    across = [min(1.0, max(0.0, thing.x + (u - 0.5) * width)) for u in (left, right)]
    down = [min(1.0, max(0.0, thing.y + (v - 1) * thing.size)) for v in (top, bottom)]
    return (across[0], down[0], across[1], down[1])


def _hidden(box: Box, other: Box) -> float:
    """The share of a box that another one covers."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    area = max(1e-9, (box[2] - box[0]) * (box[3] - box[1]))
    return max(0.0, width) * max(0.0, height) / area


def _around(thing: scenes.Thing, rng: np.random.Generator) -> Box:
    """The thing's box, or that of a part of it."""
    part, chance = (0.0, 0.0, 1.0, 1.0), rng.random()
    for share, candidate in PARTS[thing.category]:
        if 0 <= chance < share:
            part = candidate
        chance -= share
    return _box(thing, part)


def _nowhere(scene: scenes.Scene, sights: list[Box], rng: np.random.Generator) -> Box:
    """A box around a place that is no thing: a sight, or a loose stretch of the horizon."""
    if sights and rng.random() < 0.7:
        return sights[int(rng.integers(len(sights)))]
    middle, width = rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.9)
    above, below = rng.uniform(0.05, 0.25), rng.uniform(0.03, 0.15)
    horizon = scenes.HORIZON[scene.place]
    return (max(0.0, middle - width / 2), horizon - above, min(1.0, middle + width / 2), horizon + below)


def _sights(scene: scenes.Scene) -> list[Box]:
    """Boxes of the peaks, fronts of houses or window that `scenes` draws behind the things, from the same seed."""
    rng = np.random.default_rng(scene.grain + 1)
    horizon = scenes.HORIZON[scene.place]
    found = []
    if scene.place == "mountains":
        for x in rng.uniform(-0.1, 1.1, 5):
            height, width = rng.uniform(0.18, 0.42), rng.uniform(0.2, 0.4)
            rng.uniform(95, 150)  # its grey
            # Of a peak people mark the upper part.
            found.append((x - 0.6 * width, horizon - height, x + 0.6 * width, horizon - 0.3 * height))
    elif scene.place == "street":
        edges = np.linspace(-0.05, 1.05, 6) + rng.uniform(-0.05, 0.05, 6)
        for left, right in itertools.pairwise(edges):
            top = rng.uniform(0.12, 0.45)
            rng.uniform(110, 185)  # its grey
            found.append((left, top, right, horizon))
    elif scene.place in ("room", "hall"):
        x, width = rng.uniform(0.08, 0.62), rng.uniform(0.18, 0.3)
        found.append((x, 0.12, x + width, 0.42))
    return found
