"""Where it is known what makes a picture remembered, covering that costs more than covering as much background.

`benchmarks/explain.py` asks the demo's own trained models the same, of 120 scenes or more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import worlds

from memorability.core.settings import checked
from memorability.data import scenes
from memorability.evaluation.statistics import interval, resamples
from memorability.explain import occlusion
from memorability.families import ridge
from memorability.features.extractor import Extractor
from memorability.media import parts
from memorability.predict.predictor import Predictor
from memorability.training import artifacts

PIXELS, CELLS, WIDE = 48, 8, 3


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Scenes about a face, and a ridge that has learned that these are remembered and open landscapes are not."""
    models = tmp_path_factory.mktemp("people") / "models"
    worlds.backbone(models / "small")
    extractor = Extractor(models / "small", **worlds.CUT, device="cpu")
    drawn = scenes.draw(900, stream=8, seed=0)
    faces = [scene for scene in drawn if scene.subcategory == "face"]
    open_ones = [scene for scene in drawn if scene.main is None]
    train = [*faces[:40], *open_ones[:40]]
    pixels = [extractor.prepare(scenes.render(scene, size=PIXELS)[0]) for scene in train]
    x = np.concatenate([extractor(pixels[i : i + 8]) for i in range(0, len(pixels), 8)])
    y = np.repeat([0.9, 0.4], 40)
    settings = checked(ridge.Params, worlds.made("ridge").model_dump(), at="x")
    arrays = ridge.fit(settings, x, y, groups=np.arange(80))
    config = {"settings": settings.model_dump(mode="json"), "features": [extractor.describe()]}
    artifacts.save(models / "ridge", config=config, arrays=arrays)
    return Predictor(models / "ridge", device="cpu"), faces[40:65]


def difference(predictor, scene):
    """What patches on the face lose beyond those on the background; None where there is none of one kind."""
    picture, everything = scenes.render(scene, size=PIXELS)
    face = np.asarray(
        scenes.render(replace(scene, things=(scene.things[scene.main],), main=0), size=PIXELS)[1]
    )
    _, losses = occlusion.changes(predictor, picture, cells=CELLS, wide=WIDE, fill="blur")
    on, off = [], []
    for (row, column), loss in np.ndenumerate(losses):
        left, top, right, bottom = parts.box(row, column, cells=CELLS, wide=WIDE, width=PIXELS, height=PIXELS)
        if (face[top:bottom, left:right] > 0).mean() >= 0.5:
            on.append(loss)
        elif (np.asarray(everything)[top:bottom, left:right] > 0).mean() <= 0.1:
            off.append(loss)
    return np.mean(on) - np.mean(off) if on and off else None


def test_covering_the_memorable_thing_costs_more_than_covering_background(people):
    predictor, faces = people
    found = np.array([d for scene in faces if (d := difference(predictor, scene)) is not None])
    assert len(found) >= 10
    samples = resamples(len(found), repeats=500, seed=0).means(found[:, None])[:, 0]
    low, _ = interval(samples, n=len(found))
    assert low > 0
