"""Drawn scenes: the pictures of the demo data set, with a category mask for each.

A scene is plain data (`Scene`, `Thing`), so the same scene can be drawn at any size and, with its
things moved, at any moment. Coordinates are fractions of the picture's side, y pointing down.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

Colour = tuple[int, int, int]
Shape = tuple[str, tuple[float, ...], str]  # form, flat coordinates in the thing's unit box, tone

# Superordinate category -> what can be its main thing, as MemCat's category/subcategory folders.
GROUPS: dict[str, tuple[str, ...]] = {
    "people": ("person", "face"),
    "animal": ("cat", "bird", "fish"),
    "vehicle": ("car", "boat"),
    "object": ("chair", "lamp", "house"),
    "landscape": ("tree", "flower"),
}
# Open landscapes have a place but no main thing; their subcategory is the place.
OPEN_PLACES = ("meadow", "sea", "mountains")
PLACES = (*OPEN_PLACES, "street", "room", "hall")
CATEGORIES = tuple(name for group in GROUPS.values() for name in group)

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

# Width over height, and shapes painted in order. Tones: main, dark, light (of the thing's own hue)
# or the name of a fixed colour.
THINGS: dict[str, tuple[float, tuple[Shape, ...]]] = {
    "person": (
        0.42,
        (
            ("polygon", (0.22, 0.60, 0.46, 0.60, 0.44, 1.0, 0.26, 1.0), "dark"),
            ("polygon", (0.54, 0.60, 0.78, 0.60, 0.74, 1.0, 0.56, 1.0), "dark"),
            ("polygon", (0.18, 0.27, 0.82, 0.27, 0.80, 0.64, 0.20, 0.64), "main"),
            ("polygon", (0.18, 0.27, 0.30, 0.30, 0.12, 0.60, 0.00, 0.57), "light"),
            ("polygon", (0.82, 0.27, 0.70, 0.30, 0.88, 0.60, 1.00, 0.57), "light"),
            ("ellipse", (0.28, 0.0, 0.72, 0.17), "hair"),
            ("ellipse", (0.30, 0.03, 0.70, 0.26), "skin"),
        ),
    ),
    "face": (
        0.85,
        (
            ("ellipse", (0.0, 0.74, 1.0, 1.3), "main"),
            ("ellipse", (0.16, 0.0, 0.84, 0.80), "hair"),
            ("polygon", (0.40, 0.70, 0.60, 0.70, 0.62, 0.90, 0.38, 0.90), "skin"),
            ("ellipse", (0.23, 0.12, 0.77, 0.82), "skin"),
            ("ellipse", (0.33, 0.38, 0.45, 0.47), "white"),
            ("ellipse", (0.55, 0.38, 0.67, 0.47), "white"),
            ("ellipse", (0.37, 0.39, 0.43, 0.46), "black"),
            ("ellipse", (0.59, 0.39, 0.65, 0.46), "black"),
            ("polygon", (0.50, 0.46, 0.54, 0.58, 0.46, 0.58), "hair"),
            ("ellipse", (0.40, 0.63, 0.60, 0.71), "red"),
        ),
    ),
    "cat": (
        1.1,
        (
            ("ellipse", (0.72, 0.10, 0.98, 0.85), "dark"),
            ("ellipse", (0.76, 0.16, 0.90, 0.78), "main"),
            ("ellipse", (0.22, 0.40, 0.88, 1.0), "main"),
            ("polygon", (0.05, 0.02, 0.24, 0.18, 0.06, 0.34), "dark"),
            ("polygon", (0.50, 0.02, 0.31, 0.18, 0.49, 0.34), "dark"),
            ("ellipse", (0.03, 0.12, 0.52, 0.62), "light"),
            ("ellipse", (0.13, 0.28, 0.22, 0.40), "black"),
            ("ellipse", (0.33, 0.28, 0.42, 0.40), "black"),
            ("polygon", (0.24, 0.44, 0.31, 0.44, 0.275, 0.50), "red"),
        ),
    ),
    "bird": (
        1.2,
        (
            ("polygon", (0.70, 0.42, 1.0, 0.30, 1.0, 0.52), "dark"),
            ("polygon", (0.44, 0.70, 0.48, 0.70, 0.48, 1.0, 0.44, 1.0), "orange"),
            ("polygon", (0.54, 0.70, 0.58, 0.70, 0.58, 1.0, 0.54, 1.0), "orange"),
            ("ellipse", (0.20, 0.24, 0.84, 0.78), "main"),
            ("ellipse", (0.42, 0.34, 0.86, 0.62), "dark"),
            ("polygon", (0.0, 0.22, 0.16, 0.12, 0.16, 0.30), "orange"),
            ("ellipse", (0.10, 0.0, 0.44, 0.42), "light"),
            ("ellipse", (0.20, 0.12, 0.27, 0.20), "black"),
        ),
    ),
    "fish": (
        1.7,
        (
            ("polygon", (0.68, 0.50, 1.0, 0.12, 0.94, 0.50, 1.0, 0.88), "dark"),
            ("polygon", (0.30, 0.25, 0.60, 0.0, 0.62, 0.30), "dark"),
            ("ellipse", (0.0, 0.14, 0.80, 0.88), "main"),
            ("polygon", (0.30, 0.18, 0.38, 0.16, 0.38, 0.86, 0.30, 0.84), "light"),
            ("polygon", (0.48, 0.17, 0.55, 0.19, 0.55, 0.84, 0.48, 0.86), "light"),
            ("ellipse", (0.11, 0.33, 0.20, 0.50), "white"),
            ("ellipse", (0.13, 0.37, 0.18, 0.46), "black"),
        ),
    ),
    "car": (
        2.0,
        (
            ("polygon", (0.20, 0.42, 0.34, 0.06, 0.72, 0.06, 0.86, 0.42), "dark"),
            ("polygon", (0.27, 0.40, 0.37, 0.14, 0.51, 0.14, 0.51, 0.40), "glass"),
            ("polygon", (0.55, 0.40, 0.55, 0.14, 0.69, 0.14, 0.79, 0.40), "glass"),
            ("polygon", (0.0, 0.46, 0.08, 0.38, 0.94, 0.38, 1.0, 0.50, 1.0, 0.80, 0.0, 0.80), "main"),
            ("ellipse", (0.12, 0.58, 0.32, 1.0), "black"),
            ("ellipse", (0.68, 0.58, 0.88, 1.0), "black"),
            ("ellipse", (0.18, 0.70, 0.26, 0.88), "grey"),
            ("ellipse", (0.74, 0.70, 0.82, 0.88), "grey"),
            ("ellipse", (0.0, 0.48, 0.06, 0.62), "yellow"),
        ),
    ),
    "boat": (
        1.1,
        (
            ("polygon", (0.47, 0.0, 0.50, 0.0, 0.50, 0.75, 0.47, 0.75), "brown"),
            ("polygon", (0.52, 0.04, 0.52, 0.66, 0.94, 0.66), "light"),
            ("polygon", (0.45, 0.12, 0.45, 0.66, 0.12, 0.66), "white"),
            ("polygon", (0.0, 0.72, 1.0, 0.72, 0.84, 1.0, 0.16, 1.0), "main"),
            ("polygon", (0.0, 0.72, 1.0, 0.72, 0.97, 0.78, 0.03, 0.78), "dark"),
        ),
    ),
    "chair": (
        0.6,
        (
            ("polygon", (0.08, 0.0, 0.24, 0.0, 0.24, 1.0, 0.08, 1.0), "dark"),
            ("polygon", (0.10, 0.04, 0.90, 0.04, 0.90, 0.44, 0.10, 0.44), "main"),
            ("polygon", (0.80, 0.0, 0.92, 0.0, 0.92, 0.62, 0.80, 0.62), "dark"),
            ("polygon", (0.04, 0.54, 0.96, 0.54, 1.0, 0.66, 0.0, 0.66), "light"),
            ("polygon", (0.84, 0.66, 0.98, 0.66, 0.98, 1.0, 0.84, 1.0), "dark"),
        ),
    ),
    "lamp": (
        0.5,
        (
            ("polygon", (0.45, 0.30, 0.55, 0.30, 0.55, 0.94, 0.45, 0.94), "grey"),
            ("ellipse", (0.20, 0.90, 0.80, 1.0), "grey"),
            ("polygon", (0.28, 0.0, 0.72, 0.0, 1.0, 0.36, 0.0, 0.36), "main"),
            ("polygon", (0.02, 0.33, 0.98, 0.33, 1.0, 0.37, 0.0, 0.37), "yellow"),
        ),
    ),
    "house": (
        1.15,
        (
            ("polygon", (0.08, 0.40, 0.92, 0.40, 0.92, 1.0, 0.08, 1.0), "light"),
            ("polygon", (0.0, 0.44, 0.50, 0.0, 1.0, 0.44), "main"),
            ("polygon", (0.42, 0.66, 0.58, 0.66, 0.58, 1.0, 0.42, 1.0), "brown"),
            ("polygon", (0.16, 0.54, 0.33, 0.54, 0.33, 0.74, 0.16, 0.74), "glass"),
            ("polygon", (0.67, 0.54, 0.84, 0.54, 0.84, 0.74, 0.67, 0.74), "glass"),
            ("polygon", (0.72, 0.06, 0.82, 0.06, 0.82, 0.28, 0.72, 0.20), "dark"),
        ),
    ),
    "tree": (
        0.75,
        (
            ("polygon", (0.42, 0.55, 0.58, 0.55, 0.62, 1.0, 0.38, 1.0), "brown"),
            ("ellipse", (0.0, 0.22, 0.60, 0.66), "leaf"),
            ("ellipse", (0.40, 0.22, 1.0, 0.66), "leaf"),
            ("ellipse", (0.18, 0.0, 0.82, 0.50), "foliage"),
        ),
    ),
    "flower": (
        0.7,
        (
            ("polygon", (0.47, 0.40, 0.53, 0.40, 0.53, 1.0, 0.47, 1.0), "leaf"),
            ("ellipse", (0.50, 0.66, 0.86, 0.80), "foliage"),
            ("ellipse", (0.33, 0.0, 0.67, 0.24), "main"),
            ("ellipse", (0.33, 0.30, 0.67, 0.54), "main"),
            ("ellipse", (0.06, 0.13, 0.48, 0.40), "light"),
            ("ellipse", (0.52, 0.13, 0.94, 0.40), "light"),
            ("ellipse", (0.36, 0.17, 0.64, 0.37), "yellow"),
        ),
    ),
}

FIXED: dict[str, Colour] = {
    "skin": (226, 178, 146),
    "hair": (74, 50, 36),
    "white": (246, 246, 242),
    "black": (24, 24, 28),
    "red": (196, 60, 58),
    "orange": (236, 148, 52),
    "yellow": (250, 214, 92),
    "grey": (150, 150, 154),
    "brown": (120, 82, 52),
    "glass": (168, 206, 224),
    "leaf": (58, 112, 52),
    "foliage": (82, 146, 70),
}


@dataclass(frozen=True)
class Thing:
    """One object: `x` is its centre, `y` the ground it stands on, `size` its height."""

    category: str
    x: float
    y: float
    size: float
    hue: float
    flip: bool = False


@dataclass(frozen=True)
class Scene:
    """A place, the things in it from back to front, and how it is lit.

    `main` is the index of the thing the scene is about, or None for an open landscape.
    `contrast` and `saturation` are factors around 1; `grain` seeds the noise of the surface.
    """

    place: str
    things: tuple[Thing, ...]
    main: int | None
    light: float
    contrast: float
    saturation: float
    hue: float
    grain: int

    @property
    def subcategory(self) -> str:
        return self.place if self.main is None else self.things[self.main].category

    @property
    def category(self) -> str:
        for group, members in GROUPS.items():
            if self.subcategory in members:
                return group
        return "landscape"


def tones(hue: float) -> dict[str, Colour]:
    """The palette of a thing with the given hue in [0, 1): its three shades and the fixed colours."""

    def shade(saturation: float, value: float) -> Colour:
        r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
        return (int(r * 255), int(g * 255), int(b * 255))

    return {"main": shade(0.75, 0.80), "dark": shade(0.80, 0.50), "light": shade(0.45, 0.93), **FIXED}


def render(scene: Scene, *, size: int) -> tuple[Image.Image, Image.Image]:
    """Draws `scene` as an RGB picture and a mask, both `size` x `size` pixels.

    The mask's values are 0 for the background and 1 + index in `CATEGORIES` for a thing.
    """
    return next(film([scene], size=size))


def film(moments: Sequence[Scene], *, size: int) -> Iterator[tuple[Image.Image, Image.Image]]:
    """As `render`, for the moments of one scene, which differ in where their things are."""
    side = 2 * size  # drawn at twice the size, then reduced, which smooths the edges
    backdrop = Image.fromarray(_background(moments[0], side))
    _furnish(ImageDraw.Draw(backdrop), moments[0], side)
    for scene in moments:
        picture, mask = backdrop.copy(), Image.new("L", (side, side), 0)
        paint, stencil = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
        for thing in scene.things:
            _draw_thing(paint, stencil, thing, side)
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
        picture = ImageEnhance.Color(picture).enhance(scene.saturation)
        picture = ImageEnhance.Contrast(picture).enhance(scene.contrast)
        picture = ImageEnhance.Brightness(picture).enhance(scene.light)
        yield picture, mask.resize((size, size), Image.Resampling.NEAREST)


HORIZON = {"meadow": 0.55, "sea": 0.45, "mountains": 0.65, "street": 0.60, "room": 0.68, "hall": 0.58}
ABOVE: dict[str, Colour] = {  # sky or wall
    "meadow": (150, 196, 236),
    "sea": (172, 208, 232),
    "mountains": (188, 206, 228),
    "street": (196, 206, 216),
    "room": (222, 206, 178),
    "hall": (196, 196, 206),
}
BELOW: dict[str, Colour] = {  # ground, water or floor
    "meadow": (116, 158, 76),
    "sea": (48, 104, 150),
    "mountains": (124, 132, 96),
    "street": (122, 122, 126),
    "room": (150, 110, 74),
    "hall": (110, 104, 112),
}


def _background(scene: Scene, side: int) -> np.ndarray:
    """Two shaded planes with a soft random grain: uint8 [side, side, 3]."""
    rng = np.random.default_rng(scene.grain)
    horizon = int(HORIZON[scene.place] * side)
    tint = np.array(colorsys.hsv_to_rgb(scene.hue, 0.25, 1.0))
    rows = np.arange(side)[:, None] / side
    sky = np.array(ABOVE[scene.place]) * tint * (0.80 + 0.35 * rows)
    ground = np.array(BELOW[scene.place]) * (0.75 + 0.45 * rows)
    planes = np.where(rows < horizon / side, sky, ground)[:, None, :].repeat(side, axis=1)
    patches = Image.fromarray(rng.normal(0, 12, (12, 12)).astype(np.float32))
    soft = np.asarray(patches.resize((side, side), Image.Resampling.BICUBIC))
    grain = soft + rng.normal(0, 6, (side, side))
    return (planes + grain[:, :, None]).clip(0, 255).astype(np.uint8)


def _furnish(paint: ImageDraw.ImageDraw, scene: Scene, side: int) -> None:
    """What belongs to a place and is no thing of its own: peaks, waves, facades, a window."""
    rng = np.random.default_rng(scene.grain + 1)
    horizon = HORIZON[scene.place]
    if scene.place == "mountains":
        for x in rng.uniform(-0.1, 1.1, 5):
            height, width = rng.uniform(0.18, 0.42), rng.uniform(0.2, 0.4)
            grey = int(rng.uniform(95, 150))
            _shape(
                paint,
                (x - width, horizon, x, horizon - height, x + width, horizon),
                side,
                (grey, grey, grey + 14),
            )
    elif scene.place == "sea":
        for y in rng.uniform(horizon + 0.03, 0.98, 9):
            x, width = rng.uniform(-0.1, 0.9), rng.uniform(0.08, 0.3)
            _shape(paint, (x, y, x + width, y, x + width / 2, y + 0.008), side, (150, 188, 214))
    elif scene.place == "street":
        edges = np.linspace(-0.05, 1.05, 6) + rng.uniform(-0.05, 0.05, 6)
        for left, right in itertools.pairwise(edges):
            top, grey = rng.uniform(0.12, 0.45), int(rng.uniform(110, 185))
            _shape(
                paint,
                (left, top, right, top, right, horizon, left, horizon),
                side,
                (grey, grey - 8, grey - 16),
            )
    elif scene.place == "meadow":
        for x in rng.uniform(-0.2, 1.2, 3):
            box = (x - 0.4, horizon - rng.uniform(0.05, 0.14), x + 0.4, horizon + 0.3)
            paint.ellipse([v * side for v in box], fill=(108, 150, 84))
        paint.rectangle((0, (horizon + 0.05) * side, side, side), fill=(112, 156, 74))
    else:  # room, hall
        x, width = rng.uniform(0.08, 0.62), rng.uniform(0.18, 0.3)
        _shape(paint, (x, 0.12, x + width, 0.12, x + width, 0.42, x, 0.42), side, (204, 226, 238))
        for bar in (x, x + width / 2, x + width):
            paint.rectangle([v * side for v in (bar - 0.008, 0.12, bar + 0.008, 0.42)], fill=FIXED["brown"])


def _draw_thing(paint: ImageDraw.ImageDraw, stencil: ImageDraw.ImageDraw, thing: Thing, side: int) -> None:
    aspect, shapes = THINGS[thing.category]
    width, palette = thing.size * aspect, tones(thing.hue)
    label = 1 + CATEGORIES.index(thing.category)
    for form, unit, tone in shapes:
        xs = [1 - u for u in unit[0::2]] if thing.flip else list(unit[0::2])
        across = [thing.x + (u - 0.5) * width for u in xs]
        down = [thing.y + (v - 1.0) * thing.size for v in unit[1::2]]
        if form == "ellipse":
            box = [c * side for c in (min(across), down[0], max(across), down[1])]
            paint.ellipse(box, fill=palette[tone])
            stencil.ellipse(box, fill=label)
        else:
            flat = tuple(c for point in zip(across, down, strict=True) for c in point)
            _shape(paint, flat, side, palette[tone])
            _shape(stencil, flat, side, label)


def _shape(draw: ImageDraw.ImageDraw, flat: tuple[float, ...], side: int, fill: Colour | int) -> None:
    draw.polygon([(x * side, y * side) for x, y in zip(flat[0::2], flat[1::2], strict=True)], fill=fill)


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
