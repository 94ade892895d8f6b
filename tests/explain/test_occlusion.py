"""Covering a place tells what the score owes to it, with its sign; sections are scored alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.explain import METHODS, method, occlusion, sections
from memorability.media import parts


class Bright:
    """A model whose score is the brightest red of a picture less the brightest blue, or the mean of each."""

    clips = maps = False
    family, folder = "bright", "models/bright"

    def __init__(self, of=np.max):
        self.asked, self.of = 0, of
        self.model = SimpleNamespace(predict=self.predict)

    def predict(self, items):
        self.asked += len(items)
        pixels = [np.asarray(item.picture, float) / 255 for item in items]
        return np.array([self.of(p[..., 0]) - self.of(p[..., 2]) for p in pixels]), None


def spotted(width=100, height=50):
    """Black, with a red tenth in the upper left corner and a blue one in the lower right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 10, : width // 10, 0] = 255
    pixels[-height // 10 :, -width // 10 :, 2] = 255
    return Image.fromarray(pixels)


def test_what_raises_the_score_is_positive_and_what_lowers_it_negative():
    model = Bright()
    found = occlusion.explain(model, spotted(), fill="blur")
    assert found.values.shape == (10, 10)
    assert model.asked == 1 + 81
    assert found.score == pytest.approx(0, abs=1e-9)
    assert np.unravel_index(found.values.argmax(), (10, 10)) == (0, 0)
    assert np.unravel_index(found.values.argmin(), (10, 10)) == (9, 9)
    assert found.values.max() > 0 > found.values.min()
    assert np.abs(found.values[3:7, 3:7]).max() < 1e-6
    summary = found.summary()
    assert (summary["highest"]["x"], summary["highest"]["y"]) == (0.05, 0.05)
    assert summary["lowest"]["x"] == 0.95


def test_a_mean_keeps_what_the_score_is_the_mean_of():
    found = occlusion.explain(Bright(np.mean), spotted(), fill="mean")
    assert np.abs(found.values).max() < 1e-4


def test_a_value_is_the_mean_over_the_patches_that_cover_its_cell():
    score, losses = occlusion.changes(Bright(), spotted(), cells=10, wide=2, fill="blur")
    found = occlusion.explain(Bright(), spotted())
    assert found.values[0, 0] == pytest.approx(losses[0, 0])
    assert found.values[4, 1] == pytest.approx(losses[3:5, 0:2].mean())
    assert (score, losses.shape) == (found.score, (9, 9))


def test_patches_are_shares_of_the_picture():
    boxes = [parts.box(r, c, cells=10, wide=2, width=103, height=50) for r, c in ((0, 0), (8, 8), (3, 4))]
    assert boxes == [(0, 0, 21, 10), (82, 40, 103, 50), (41, 15, 62, 25)]


def test_a_large_picture_is_made_smaller_first_and_a_tiny_one_is_not_too_small():
    assert parts.reduced(Image.new("RGB", (4096, 1024))).size == (1024, 256)
    tiny = Image.new("RGB", (3, 2))
    assert parts.reduced(tiny) is tiny
    assert occlusion.explain(Bright(), tiny).values.shape == (10, 10)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"patch": 0.1, "stride": 0.2}, "received patch 0.1 and stride 0.2; valid: 0 < stride <= patch < 1"),
        ({"patch": 1.0}, "valid: 0 < stride <= patch < 1"),
        ({"stride": 0.005}, "from 0.02 on"),
        ({"fill": "grey"}, "fill: received 'grey'; valid: blur, mean"),
    ],
)
def test_options_that_are_not_valid(options, text):
    with pytest.raises(DataError, match=text):
        occlusion.explain(Bright(), spotted(), **options)


def test_sections_are_scored_alone():
    found = sections.explain(Bright(), spotted(), sections=5)
    assert found.values.shape == (5, 5)
    assert found.values[0, 0] == pytest.approx(1)
    assert found.values[4, 4] == pytest.approx(-1)
    assert found.values[2, 2] == 0
    assert found.centre == pytest.approx(float(found.values.mean()))
    for count in (1, 51):
        with pytest.raises(DataError, match="valid: 2 to 50"):
            sections.explain(Bright(), spotted(), sections=count)


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", ["clips", "maps"])
def test_models_of_other_things_are_refused(how, kind):
    model = Bright()
    setattr(model, kind, True)
    with pytest.raises(DataError, match="explanations are of scores of pictures"):
        method(how)(model, spotted())


def test_any_model_is_explained(opened, picture):
    for name in ("memnet", "ridge", "svr", "mean"):
        model = opened(name)
        found = occlusion.explain(model, picture)
        assert found.score == pytest.approx(model.predict(picture)[0].score, abs=1e-6)
        assert (np.ptp(found.values) == 0) == (name == "mean")
