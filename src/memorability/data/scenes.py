"""Drawn scenes: the pictures of the demo data set, with a category mask for each. Here they are thought up.

What they are made of and how they are drawn is in `scene_drawing`, what their things look like in `scene_shapes`.
"""

from __future__ import annotations

import numpy as np

from memorability.data.scene_drawing import (
    ABOVE,
    BELOW,
    CATEGORIES,
    GROUPS,
    HORIZON,
    OPEN_PLACES,
    PLACES,
    Scene,
    Thing,
    film,
    render,
)
from memorability.data.scene_shapes import FIXED, THINGS, tones

__all__ = [
    "ABOVE",
    "BELOW",
    "CATEGORIES",
    "FIXED",
    "FREQUENCY",
    "GROUPS",
    "HABITAT",
    "HORIZON",
    "OPEN_PLACES",
    "PLACES",
    "THINGS",
    "Scene",
    "Thing",
    "draw",
    "film",
    "render",
    "sample",
    "tones",
]

# Where each thing may stand; boats and fish need water.
HABITAT: dict[str, tuple[str, ...]] = {
    "person": ("meadow", "street", "room", "hall"),
    "face": PLACES,
    "cat": ("meadow", "street", "room", "hall"),
    "bird": ("meadow", "sea", "street", "mountains"),
    "fish": ("sea",),
    "car": ("street", "meadow", "mountains"),
    "boat": ("sea",),
    "chair": ("room", "hall"),
    "lamp": ("room", "hall"),
    "house": ("meadow", "street", "mountains"),
    "tree": ("meadow", "street", "mountains"),
    "flower": ("meadow", "room"),
}

# How often a category is the main thing: some are rare on purpose.
FREQUENCY = {
    "person": 0.12,
    "face": 0.08,
    "cat": 0.10,
    "bird": 0.07,
    "fish": 0.03,
    "car": 0.11,
    "boat": 0.04,
    "chair": 0.08,
    "lamp": 0.03,
    "house": 0.09,
    "tree": 0.09,
    "flower": 0.05,
    "open": 0.11,
}


def draw(count: int, *, stream: int, seed: int) -> list[Scene]:
    """`count` random scenes; each has its own generator, so the first n are the same for any count."""
    return [sample(np.random.default_rng([stream, seed, i])) for i in range(count)]


def sample(rng: np.random.Generator) -> Scene:
    """Draws one random scene: a main thing (or an open landscape) and up to four others."""
    names = list(FREQUENCY)
    kind = str(rng.choice(names, p=list(FREQUENCY.values())))
    place = str(rng.choice(OPEN_PLACES if kind == "open" else HABITAT[kind]))
    others = [name for name, places in HABITAT.items() if place in places and name != "face"]
    count = int(rng.integers(0, 2 if kind == "open" else 5))
    small = (0.08, 0.16) if kind == "open" else (0.16, 0.30)
    things = [_place(rng, str(rng.choice(others)), place, *small) for _ in range(count)]
    things.sort(key=lambda thing: thing.y)
    main = None
    if kind != "open":
        reach = (0.62, 0.85) if kind in ("face", "person", "tree") else (0.38, 0.58)
        things.append(_place(rng, kind, place, *reach, front=True))
        main = len(things) - 1
    return Scene(
        place=place,
        things=tuple(things),
        main=main,
        light=float(rng.uniform(0.75, 1.15)),
        contrast=float(rng.uniform(0.55, 1.35)),
        saturation=float(rng.uniform(0.35, 1.5)),
        hue=float(rng.uniform(0, 1)),
        grain=int(rng.integers(2**31)),
    )


def _place(
    rng: np.random.Generator, category: str, place: str, low: float, high: float, front: bool = False
) -> Thing:
    if category == "face":
        y = 1.0
    elif front:
        y = rng.uniform(max(HORIZON[place] + 0.15, 0.78), 0.97)
    else:
        y = rng.uniform(HORIZON[place] + 0.03, HORIZON[place] + 0.25)
    return Thing(
        category=category,
        x=float(rng.uniform(0.25, 0.75) if front else rng.uniform(0.08, 0.92)),
        y=float(y),
        size=float(rng.uniform(low, high)),
        hue=float(rng.uniform(0, 1)),
        flip=bool(rng.random() < 0.5),
    )
