"""Hand-made features: known answers on made pictures, their artifact, and the same numbers of a user's file."""

from __future__ import annotations

import numpy as np
import pytest
import worlds
from PIL import Image
from pydantic import ValidationError

from memorability.core.errors import DataError
from memorability.features import handmade, items, recomputed, stored
from memorability.features.descriptors import codebook, dense_sift, gist, sift_words
from memorability.features.inputs import Pictures
from memorability.features.settings import Features, Handmade

ALL = Handmade(pixels=64)


def seen(values):
    """A picture of 64 x 64 pixels from uint8 [h, w, 3] or one colour."""
    array = np.broadcast_to(np.asarray(values, np.uint8), (64, 64, 3)).copy()
    return handmade.seen(Image.fromarray(array), pixels=64)


def stripes(*, angle: int, period: int = 8):
    """Grey [64, 64] of vertical (0) or horizontal (90) stripes."""
    wave = (np.sin(2 * np.pi * np.arange(64) / period) > 0).astype(float)
    return np.tile(wave, (64, 1)) if angle == 0 else np.tile(wave[:, None], (1, 64))


@pytest.mark.parametrize(("colour", "turn"), [((255, 0, 0), 0), ((0, 255, 0), 1 / 3), ((0, 0, 255), 2 / 3)])
def test_hue_of_one_colour(colour, turn):
    mean, cosine, sine, spread = handmade.hue(seen(colour))
    assert mean == pytest.approx(turn)
    assert (cosine, sine) == pytest.approx((np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)))
    assert spread == pytest.approx(0, abs=1e-6)


def test_hue_is_of_what_has_colour():
    half = np.zeros((64, 64, 3), np.uint8) + 128  # grey, which has no hue
    assert handmade.hue(seen(half)).tolist() == [0, 0, 0, 1]
    half[:, :32] = (0, 0, 255)
    assert handmade.hue(seen(half))[0] == pytest.approx(2 / 3)


def test_opposite_hues_have_no_mean():
    both = np.zeros((64, 64, 3), np.uint8)
    both[:, :32], both[:, 32:] = (255, 0, 0), (0, 255, 255)
    assert handmade.hue(seen(both))[3] == pytest.approx(1, abs=0.02)  # the resampled edge has hues between


def test_levels_and_their_spread():
    assert handmade.saturation(seen((255, 0, 0))) == pytest.approx([1, 0])
    assert handmade.value(seen((51, 51, 51))) == pytest.approx([0.2, 0])
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, :32] = 255
    assert handmade.contrast(seen(half)) == pytest.approx([0.5, 1])
    assert handmade.entropy(seen(half)) == pytest.approx([1])  # two levels, one bit
    assert handmade.entropy(seen((9, 9, 9))) == pytest.approx([0])


def test_a_colour_histogram_has_shares():
    found = handmade.colours(seen((255, 0, 0)))
    assert (len(found), found.sum(), found.max()) == (72, 1, 1)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:32] = (255, 0, 0)
    assert sorted(handmade.colours(seen(half)))[-2:] == [0.5, 0.5]


def test_edges_are_where_levels_change():
    half = np.zeros((64, 64, 3), np.uint8)
    assert handmade.edges(seen(half)).tolist() == [0, 0]
    half[:, 32:] = 255
    density, strength = handmade.edges(seen(half))
    assert 1 / 64 <= density <= 2 / 64  # one or two columns
    assert strength > 0


def test_hog_tells_directions_apart():
    def of(angle):
        grey = (255 * stripes(angle=angle)).astype(np.uint8)
        found = handmade.hog(seen(np.repeat(grey[..., None], 3, axis=2)))
        return found.reshape(3, 3, 2, 2, 9).sum((0, 1, 2, 3))

    across, along = of(0), of(90)
    assert len(across) == 9
    assert across.argmax() != along.argmax()
    assert across.argmax() in (0, 8) or along.argmax() in (0, 8)


def test_gist_has_the_energy_at_the_angle_and_scale_of_stripes():
    across = gist(stripes(angle=0, period=6)).reshape(4, 8, 16)
    along = gist(stripes(angle=90, period=6)).reshape(4, 8, 16)
    assert across.shape == (4, 8, 16)
    by_angle = across.sum((0, 2))
    assert by_angle.argmax() == 0  # a wave along x
    assert along.sum((0, 2)).argmax() == 4
    coarse = gist(stripes(angle=0, period=20)).reshape(4, 8, 16)
    assert coarse[:, 0].sum(1).argmax() > across[:, 0].sum(1).argmax()
    assert gist(np.full((64, 64), 0.3)) == pytest.approx(0, abs=1e-6)


def test_gist_is_of_places():
    half = stripes(angle=0, period=6)
    half[:, 32:] = 0.5
    parts = gist(half).reshape(4, 8, 4, 4)[:, 0].sum(0)
    assert parts[:, 0].mean() > 3 * parts[:, 3].mean()


def test_sift_descriptors_are_of_length_one_and_do_not_change_with_contrast():
    rng = np.random.default_rng(0)
    grey = rng.random((64, 64))
    found, shown = dense_sift(grey)
    assert found.shape == (169, 128)  # 13 x 13 patches of 16 pixels, one every 4
    assert shown.all()
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(dense_sift(0.5 * grey + 0.2)[0] - found).max() < 1e-5
    assert not dense_sift(np.full((64, 64), 0.5))[1].any()


def test_words_are_shares_of_patches():
    assert codebook().shape == (200, 128)
    assert np.array_equal(codebook(), codebook.__wrapped__())
    found = sift_words(np.random.default_rng(0).random((64, 64)))
    assert (len(found), found.sum(), found[0]) == (201, pytest.approx(1), 0)
    assert sift_words(np.full((64, 64), 0.5))[0] == 1  # all flat


def test_each_number_has_a_name_of_its_block():
    found = handmade.names(ALL)
    assert len(set(found)) == len(found) == len(handmade.compute(Image.new("RGB", (50, 40)), ALL))
    assert found[:4] == ("hue.mean", "hue.cos", "hue.sin", "hue.spread")
    some = Handmade(blocks=("entropy", "hue"), pixels=32)
    assert handmade.names(some) == ("entropy.grey", "hue.mean", "hue.cos", "hue.sin", "hue.spread")


@pytest.mark.parametrize(
    "given", [{"blocks": ["hue", "hue"]}, {"blocks": []}, {"blocks": ["huw"]}, {"pixels": 30}, {"pixels": 66}]
)
def test_settings_that_are_none(given):
    with pytest.raises(ValidationError):
        Handmade(**given)


def test_features_have_one_origin():
    with pytest.raises(ValidationError, match="received backbone: small and handmade"):
        Features(input="data/raw/images", backbone="small", handmade=ALL)
    with pytest.raises(ValidationError, match="received backbone: none and handmade, labels"):
        Features(input="data/raw/images", backbone="none", handmade=ALL, labels=("category",))


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """The raw data of a small track of drawn pictures."""
    return worlds.pictures(tmp_path_factory.mktemp("track"), 20)


def test_an_artifact_has_the_numbers_of_each_picture_and_is_computed_once(track, tmp_path):
    def extract(name):
        out = tmp_path / name
        out.mkdir()
        return handmade.extract(track.root / "raw", out, ALL, cache_root=tmp_path / "cache", threads=2), out

    (computed, out), (again, twin) = extract("first"), extract("second")
    assert (computed, again) == (len(track.rows), 0)
    assert (out / stored.VALUES).read_bytes() == (twin / stored.VALUES).read_bytes()
    ids = list(track.rows["id"])
    found = stored.read(out, ids, family="ridge")
    assert stored.names(out) == list(handmade.names(ALL))
    assert np.ptp(np.asarray(found.values), axis=0).max() > 0
    # Of a user's file the same numbers, by what the model's config says.
    (source,) = recomputed.sources({"features": [found.config]}, models=tmp_path, device=None)
    picture = Pictures(track.rows, track.root / "raw").picture(0)
    x, lengths = source.read([items.Item(tmp_path / "a.jpg", picture=picture)])
    assert lengths is None
    assert np.array_equal(x[0], np.asarray(found.values)[0])


def test_features_of_another_version_are_not_computed(tmp_path):
    config = handmade.describe(ALL) | {"version": handmade.VERSION + 1}
    with pytest.raises(DataError, match=f"hand-made features of version {handmade.VERSION + 1}"):
        recomputed.sources({"features": [config]}, models=tmp_path, device=None)


@pytest.mark.parametrize("idle", [{"pools": ["max"]}, {"views": "mirror"}, {"dtype": "float16"}])
def test_a_setting_of_networks_is_refused(idle):
    block = {"input": "data/raw/images", "backbone": "none", "handmade": {}}
    assert Features(**block).handmade is not None
    with pytest.raises(ValidationError, match=f"{next(iter(idle))}: of no use for features by handmade"):
        Features(**block, **idle)
