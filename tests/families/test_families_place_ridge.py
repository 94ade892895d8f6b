"""The linear map from the features of a place to the map there: recovered, enlarged, chosen within train."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from worlds import made

from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.families import place_ridge
from memorability.media import maps


def learnt(settings, x, y, groups=None):
    return place_ridge.fit(settings, x, y, groups=np.arange(len(x)) if groups is None else groups)


def world(count=12, *, channels=3, side=8, seed=0, kind=np.float32):
    """Features of very different scales; at each place the map is a linear function of them, constant over it."""
    rng = np.random.default_rng(seed)
    weight = np.random.default_rng(7).normal(0, 0.05, (6, channels))
    x = (rng.normal(size=(count, 6, side, side))).astype(kind)
    coarse = np.einsum("ndhw,dc->nchw", x.astype(float), weight) + 0.5
    stretch = np.exp(np.linspace(-3, 3, 6))[:, None, None]
    return (x * stretch).astype(kind), np.kron(coarse, np.ones((8, 8))).clip(0, 1), coarse.clip(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_recovers_a_linear_map_of_features(channels):
    settings = made("place_ridge", alphas=[1e-6, 1.0, 1000.0], pixels=8)
    x, y, _ = world(channels=channels)
    new, _, coarse = world(5, channels=channels, seed=1)
    state = learnt(settings, x, y)
    assert state["weight"].shape == (6, channels)
    assert state["bias"].shape == (channels,)
    assert state["alpha"] == 1e-6
    found = place_ridge.predict(settings, state, new)
    assert found.shape == (5, channels, 8, 8)
    assert np.allclose(found, coarse, atol=0.005)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_scikit_learns_ridge_on_scaled_features_of_all_places(channels):
    settings = made("place_ridge", alphas=[10.0], pixels=8)
    x, _, coarse = world(channels=channels)
    noisy = (coarse + np.random.default_rng(0).normal(0, 0.1, coarse.shape)).clip(0, 1)
    state = learnt(settings, x, np.kron(noisy, np.ones((8, 8))))
    places = x.transpose(0, 2, 3, 1).reshape(-1, 6).astype(float)
    scaler = StandardScaler().fit(places)
    ridge = Ridge(10.0).fit(scaler.transform(places), noisy.transpose(0, 2, 3, 1).reshape(-1, channels))
    expected = ridge.predict(scaler.transform(places)).reshape(12, 8, 8, channels).transpose(0, 3, 1, 2)
    assert np.allclose(place_ridge.predict(settings, state, x), expected.clip(0, 1), atol=2e-3)


def test_maps_are_enlarged_and_within_their_range():
    settings = made("place_ridge", pixels=64)
    x, y, _ = world()
    state = learnt(settings, x, y)
    found = place_ridge.predict(settings, state, x * 10)
    assert found.shape == (12, 3, 64, 64)
    assert found.min() == 0
    assert found.max() == 1
    small = place_ridge.predict(made("place_ridge", pixels=8), state, x)
    assert np.allclose(
        place_ridge.predict(settings, state, x), maps.at_size(small, width=64, height=64), atol=1e-5
    )


def test_noise_is_met_by_a_stronger_penalty():
    settings = made("place_ridge", alphas=[1e-3, 1e5])
    x, y, _ = world()
    assert learnt(settings, x, np.random.default_rng(0).random(y.shape))["alpha"] == 1e5
    assert learnt(settings, x, y)["alpha"] == 1e-3


def test_whole_pictures_are_held_out_when_the_strength_is_chosen(monkeypatch):
    told, plain = [], place_ridge.chosen

    def watched(*args, groups):
        told.append(groups)
        return plain(*args, groups=groups)

    monkeypatch.setattr(place_ridge, "chosen", watched)
    x, y, _ = world(count=7)
    learnt(made("place_ridge"), x, y)
    learnt(made("place_ridge"), x, y, groups=np.array([3, 3, 1, 1, 5, 5, 5]))  # near-duplicates together
    assert np.array_equal(told[0], np.repeat(np.arange(7), 64))
    assert np.array_equal(told[1], np.repeat([3, 3, 1, 1, 5, 5, 5], 64))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_features_in_any_precision(kind):
    settings = made("place_ridge", pixels=8)
    x, y, coarse = world(kind=kind)
    found = place_ridge.predict(settings, learnt(settings, x, y), x)
    assert np.abs(found - coarse).mean() < 0.01


def test_a_feature_that_never_changes():
    x, y, _ = world()
    x[:, 2] = 5.0
    state = learnt(made("place_ridge"), x, y)
    assert all(np.isfinite(values).all() for values in state.values())


def test_settings_that_do_not_fit():
    with pytest.raises(ParamsError, match=r"models\.m\.alphas"):
        made("place_ridge", alphas=[])
    with pytest.raises(ParamsError, match=r"models\.m\.alphas\.0"):
        made("place_ridge", alphas=[0.0])


def test_another_track_is_refused():
    block = {"family": "place_ridge", "track": "images", "target": "score", "input": "x", "backbone": "none"}
    with pytest.raises(ParamsError, match="received 'score'; Input should be 'map'"):
        checked(place_ridge.Params, block | {"alphas": [1.0]}, at="models.m")
