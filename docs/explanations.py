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
QUALITY = 88


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
    yield Classifier(BACKBONE), "cam", {"category": "cat"}


def explained(to: Path) -> None:
    """One picture by several methods, a row each."""
    picture, _ = scenes.render(scene(), size=PIXELS)
    rows = list[Image.Image]()
    with TemporaryDirectory() as scratch:
        for number, (asked, how, options) in enumerate(_asked()):
            drawn = Path(scratch, f"{number}.png")
            found = method(how)(asked, picture, **options)
            drawing.draw(found, picture, title=f"{asked.folder.name}: {how}", to=drawn)
            rows.append(Image.open(drawn).convert("RGB"))
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(to, quality=QUALITY)


def seen(layers: list[str], to: Path, *, title: str) -> None:
    """The most selective unit of each layer, beside the demo's pictures that it answers to most."""
    found = features.shown(BACKBONE, layers, [], features.pictures_of(layout.RAW / "images"))
    with TemporaryDirectory() as scratch:
        drawn = Path(scratch, "seen.png")
        features.draw(found, title=title, to=drawn)
        Image.open(drawn).convert("RGB").save(to, quality=QUALITY)
    for row in features.rows(found):
        print(row)


def make(folder: Path) -> None:
    """explain.jpg, visualise.jpg and layers.jpg."""
    explained(folder / "explain.jpg")
    seen(list(STAGES), folder / "visualise.jpg", title=f"{BACKBONE.name}: what units answer to most")
    nearest = units.numbered(BACKBONE, SHOWN, of=OF)
    title = f"{BACKBONE.name}: the layers nearest by depth to {', '.join(map(str, SHOWN))} of {OF}"
    seen(nearest, folder / "layers.jpg", title=title)
