"""Small trained models that tests of explanations look into."""

from __future__ import annotations

import pytest
import worlds
from PIL import Image

from memorability.data import scenes
from memorability.predict.predictor import Predictor


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    """A network of pixels, two closed forms on a backbone's features, and a constant."""
    world = worlds.pictures(tmp_path_factory.mktemp("explained"), 30)
    worlds.extract_features(world)
    for family in ("memnet", "ridge", "svr", "mean"):
        world.fit(family)
    return world


@pytest.fixture(scope="package")
def opened(world):
    """A model by its name; a new one each time."""
    return lambda name: Predictor(world.root / "models" / name, device="cpu")


@pytest.fixture(scope="package")
def picture() -> Image.Image:
    """Wider than high."""
    [scene] = scenes.draw(1, stream=9, seed=0)
    return scenes.render(scene, size=120)[0].crop((0, 0, 120, 80))
