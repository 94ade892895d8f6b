"""The pictures of docs/explain.md, of the demo's trained models: `pictures.py` calls this."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from memorability.core import layout
from memorability.data import scenes
from memorability.explain import Method, drawing, features, method, units
from memorability.explain.cam import Classifier
from memorability.predict.predictor import Predictor

STREAM, PIXELS = 51, 192  # a stream that no data set is drawn from
BACKBONE = layout.MODELS / "demo_resnet18"
STAGES = ("layer1", "layer2", "layer3", "layer4")
SHOWN, OF = (
    (13, 35, 81, 96, 105, 126, 139),
    152,
)  # layers in Needell and Bainbridge (2022), and how many there are
QUALITY, SMALLER = 85, 0.75


def scene() -> scenes.Scene:
    """The first scene about a person, large and with a cat."""
    return next(
        one
        for one in scenes.draw(2000, stream=STREAM, seed=0)
        if one.subcategory == "person" and any(thing.category == "cat" for thing in one.things)
    )


def _asked() -> Iterator[tuple[Any, Method, dict[str, Any]]]:
    yield Predictor(layout.MODELS / "ridge", device="cpu"), "occlusion", {}
    yield Predictor(layout.MODELS / "memnet", device="cpu"), "occlusion", {}
    yield Predictor(layout.MODELS / "amnet", device="cpu"), "attention", {}
    yield Classifier(BACKBONE), "cam", {"category": "person"}


def explained(to: Path) -> None:
    """One picture by several methods."""
    picture, _ = scenes.render(scene(), size=PIXELS)
    panels = list[Image.Image]()
    with TemporaryDirectory() as scratch:
        for number, (asked, how, options) in enumerate(_asked()):
            drawn = Path(scratch, f"{number}.png")
            found = method(how)(asked, picture, **options)
            drawing.draw(found, picture, title=f"{asked.folder.name}: {how}", to=drawn)
            panels.append(Image.open(drawn).convert("RGB"))
    together(panels).save(to, quality=QUALITY)


def together(panels: list[Image.Image]) -> Image.Image:
    """Panels of one height from left to right, in as many rows as they need, made smaller."""
    high, wide = panels[0].height, max(2 * panels[0].width, *(panel.width for panel in panels))
    places, left, top = list[tuple[int, int]](), 0, 0
    for panel in panels:
        if left + panel.width > wide:
            left, top = 0, top + high
        places.append((left, top))
        left += panel.width
    sheet = Image.new("RGB", (wide, top + high), "white")
    for panel, place in zip(panels, places, strict=True):
        sheet.paste(panel, place)
    return sheet.resize((round(SMALLER * wide), round(SMALLER * sheet.height)), Image.Resampling.LANCZOS)


def seen(layers: list[str], to: Path, *, title: str) -> None:
    """The most selective unit of each layer, beside the demo's pictures that it answers to most."""
    found = features.shown(BACKBONE, layers, [], features.pictures_of(layout.RAW / "images"))
    with TemporaryDirectory() as scratch:
        drawn = Path(scratch, "seen.png")
        features.draw(found, title=title, to=drawn)
        Image.open(drawn).convert("RGB").save(to, quality=QUALITY)
    for row in features.rows(found):
        print(row)


def stages(to: Path) -> None:
    """The four stages of the demo's backbone."""
    seen(list(STAGES), to, title=f"{BACKBONE.name}: what units answer to most")


def nearest(to: Path) -> None:
    """The layers of the demo's backbone that are nearest by depth to those that the paper shows."""
    title = f"{BACKBONE.name}: the layers nearest by depth to {', '.join(map(str, SHOWN))} of {OF}"
    seen(units.numbered(BACKBONE, SHOWN, of=OF), to, title=title)
