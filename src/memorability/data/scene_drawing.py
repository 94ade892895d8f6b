"""A scene as plain data, and how it is drawn: at any size and, with its things moved, at any moment.

Coordinates are fractions of the picture's side, y pointing down.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from memorability.data.scene_shapes import FIXED, THINGS, Colour, tones

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
