"""A map from a score model's answers about sections: which answers, how they become a map, and what a model must be asked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError, ParamsError
from memorability.core.settings import checked
from memorability.evaluation.maps import measure
from memorability.families import section_scores
from memorability.features.items import Item
from memorability.features.reads import KINDS, Where

HEAD = {
    **{"family": "section_scores", "track": "maps", "input": "data/raw/maps", "backbone": "red"},
    **{"sections": 2, "pixels": 8},
}


def made(**changes):
    return checked(section_scores.Params, HEAD | changes, at="models.m")


class Red:
    """A model of pictures whose score is their mean red."""

    def __init__(self, track="images"):
        self.settings = SimpleNamespace(track=track)

    def predict(self, items):
        return np.array([np.asarray(item.picture, float)[..., 0].mean() / 255 for item in items]), None


def where(tmp_path, track="images"):
    return Where(models=tmp_path, open_model=lambda folder: Red(track))


def quarters(reds):
    """A picture of 40 x 40 whose quarters have these reds."""
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[..., 0] = np.kron(np.reshape(reds, (2, 2)), np.ones((20, 20)))
    return Image.fromarray(pixels)


def asked(settings, tmp_path, *pictures):
    source = KINDS["section_scores"].files(settings, {}, where(tmp_path))
    return source.read([Item(tmp_path / "x.png", picture) for picture in pictures])[0]


def test_sections_that_are_cut_out_are_scored_alone(tmp_path):
    settings = made(how="cut_out")
    x = asked(settings, tmp_path, quarters([0, 255, 51, 102]))
    assert x.shape == (1, 5)
    np.testing.assert_allclose(x[0], [0.4, 0.0, 1.0, 0.2, 0.4])
    np.testing.assert_allclose(section_scores.answers(settings, x)[0], [[0.0, 1.0], [0.2, 0.4]])


def test_sections_that_are_covered_tell_what_the_score_owes_to_them(tmp_path):
    settings = made(how="occluded", fill="blur")
    said = section_scores.answers(settings, asked(settings, tmp_path, quarters([0, 255, 0, 0])))[0]
    assert said[0, 1] > 0.02
    assert said[0, 1] > max(said[0, 0], said[1, 0], said[1, 1])


def test_a_mean_colour_keeps_a_score_that_is_the_mean(tmp_path):
    settings = made(how="occluded", fill="mean")
    x = asked(settings, tmp_path, quarters([0, 255, 51, 102]))
    assert np.abs(section_scores.answers(settings, x)).max() < 0.002


def world(count=30, *, channels=3, sections=2, noise=0.0, seed=0):
    """Scores, and maps that are a line of them: of the channels one rises, one falls and one is empty."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.3, 0.9, (count, 1 + sections**2))
    said = x[:, 1:].reshape(count, 1, sections, sections)
    slope = np.array([0.5, -0.3, 0.0])[:channels, None, None]
    offset = np.array([0.1, 0.4, 0.0])[:channels, None, None]
    coarse = slope * said + offset + rng.normal(0, noise, said.shape)
    return x, np.kron(coarse, np.ones((4, 4))).clip(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_line_of_each_channel_is_recovered(channels):
    settings = made(how="cut_out")
    x, y = world(channels=channels)
    state = section_scores.fit(settings, x, y, groups=np.arange(len(x)))
    np.testing.assert_allclose(state["slope"], [0.5, -0.3, 0.0][:channels], atol=1e-6)
    np.testing.assert_allclose(state["offset"], [0.1, 0.4, 0.0][:channels], atol=1e-6)
    new, truth = world(6, channels=channels, seed=1)
    found = section_scores.predict(settings, state, new)
    assert found.shape == (6, channels, 8, 8)
    assert found.dtype == np.float32
    assert measure((truth * 255).round().astype(np.uint8), found)["cc"] > 0.8  # it is enlarged bilinearly


def test_the_line_is_that_of_least_squares():
    settings = made(how="cut_out")
    x, y = world(noise=0.05)
    state = section_scores.fit(settings, x, y, groups=np.arange(len(x)))
    coarse = y.reshape(len(y), 3, 2, 4, 2, 4).mean(axis=(3, 5))
    for channel in range(3):
        slope, offset = np.polyfit(x[:, 1:].ravel(), coarse[:, channel].ravel(), 1)
        assert state["slope"][channel] == pytest.approx(slope)
        assert state["offset"][channel] == pytest.approx(offset)


def test_answers_that_never_differ_give_the_mean_map_and_no_line():
    settings = made(how="cut_out")
    _, y = world()
    x = np.full((len(y), 5), 0.7)
    state = section_scores.fit(settings, x, y, groups=np.arange(len(x)))
    assert not state["slope"].any()
    np.testing.assert_allclose(
        section_scores.predict(settings, state, x[:1])[0, :, 0, 0], y.mean(axis=(0, 2, 3)), rtol=1e-5
    )


def test_maps_are_within_their_range():
    settings = made(how="cut_out")
    state = {"slope": np.array([9.0]), "offset": np.array([-4.0])}
    found = section_scores.predict(settings, state, world(channels=1)[0])
    assert (found.min(), found.max()) == (0, 1)


def test_a_picture_with_fewer_pixels_than_sections_is_named(tmp_path):
    with pytest.raises(DataError, match="a picture of 1 x 9 pixels has no 2 x 2 sections"):
        asked(made(), tmp_path, Image.new("RGB", (1, 9)))


def test_who_is_asked_is_a_model_of_pictures(tmp_path):
    for settings, track, said in (
        (made(backbone="none"), "images", "needs an image model as its backbone; received none"),
        (made(), "maps", "needs an image model as its backbone; red is one of track maps"),
    ):
        with pytest.raises(ParamsError, match=said):
            KINDS["section_scores"].files(settings, {}, where(tmp_path, track))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sections": 1}, r"models\.m\.sections"),
        ({"how": "asked"}, r"models\.m\.how: received 'asked'"),
        ({"fill": "grey"}, r"models\.m\.fill: received 'grey'"),
        ({"target": "composite"}, r"models\.m\.target"),
        ({"track": "images", "target": "score"}, "models"),
    ],
)
def test_settings_that_do_not_fit(changes, text):
    with pytest.raises(ParamsError, match=text):
        made(**changes)
