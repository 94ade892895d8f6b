"""The closed-form families equal scikit-learn's own pipelines, from plain arrays alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.families import kernel_ridge, mean, ridge, svr

HEAD = {"track": "images", "target": "score", "input": "data/features/x", "backbone": "none"}
ALPHAS = (0.1, 1.0, 10.0, 100.0)
SIZES = {"n": st.integers(6, 40), "d": st.integers(1, 60), "seed": st.integers(0, 999)}


def made(family, **changes):
    name = family.__name__.rpartition(".")[2]
    own = {
        "ridge": {"alphas": ALPHAS},
        "svr": {"cs": [0.5], "epsilon": 0.02},
        "kernel_ridge": {"alphas": [0.5], "gammas": [1.0]},
    }.get(name, {})
    return checked(family.Params, {"family": name, **HEAD, **own, **changes}, at="models.x")


def data(n, d, seed, kind=np.float64):
    """Train and test features of very different scales, and scores that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 7, d)) * np.exp(rng.normal(size=d)) + rng.normal(size=d)
    y = 0.7 + 0.1 * np.tanh(x @ rng.normal(size=d)) + rng.normal(0, 0.03, n + 7)
    return x[:n].astype(kind), y[:n], x[n:].astype(kind)


def fit(family, settings, x, y, groups=None):
    return family.fit(settings, x, y, groups=np.arange(len(y)) if groups is None else groups)


def fitted(family, x, y):
    """scikit-learn's own search over the values that the settings name, by folds of rows."""
    if family is ridge:
        model, grid = make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": ALPHAS}
    else:
        svr = SVR(epsilon=0.02, gamma=1 / x.shape[1])
        model, grid = make_pipeline(StandardScaler(), svr), {"svr__C": [0.5]}
    folds = GroupKFold(min(5, len(y)))
    search = GridSearchCV(model, grid, cv=folds, scoring="neg_mean_squared_error")
    return search.fit(x, y, groups=np.arange(len(y))).best_estimator_


@settings(max_examples=8, deadline=None)
@given(**SIZES)
@pytest.mark.parametrize("family", [ridge, svr])
def test_predictions_equal_those_of_scikit_learn(family, n, d, seed):
    x, y, new = data(n, d, seed)
    state, expected = fit(family, made(family), x, y), fitted(family, x, y)
    for part in (x, new):
        assert np.allclose(family.predict(made(family), state, part), expected.predict(part), atol=1e-7)


@pytest.mark.parametrize(
    ("family", "values", "name"),
    [
        (ridge, {"alphas": ALPHAS}, "alpha"),
        (svr, {"cs": [0.001, 0.1, 10.0]}, "c"),
        (kernel_ridge, {"alphas": [0.01, 0.1, 1.0, 10.0]}, "alpha"),
    ],
)
def test_what_is_chosen_has_the_least_error_over_folds_within_train(family, values, name):
    """Each fold's part is fitted by itself, with one value at a time."""
    ((key, options),) = values.items()
    chosen = set()
    for seed in range(4):
        x, y, new = data(40, 6, seed)
        state = fit(family, made(family, **values), x, y)
        errors = []
        for value in options:
            own, squares = made(family, **{key: [value]}), []
            for inside, outside in GroupKFold(5).split(x, y, np.arange(40)):
                alone = fit(family, own, x[inside], y[inside])
                squares.append(((family.predict(own, alone, x[outside]) - y[outside]) ** 2).mean())
            errors.append(np.mean(squares))
        assert state[name] == options[np.argmin(errors)]
        alone = fit(family, made(family, **{key: [float(state[name])]}), x, y)
        predict = [family.predict(made(family), found, new) for found in (state, alone)]
        assert np.array_equal(*predict)
        chosen.add(float(state[name]))
    assert len(chosen) > 1


def test_ridge_with_one_strength_is_plain_ridge():
    x, y, new = data(30, 20, 0)
    settings = made(ridge, alphas=[10.0])
    expected = make_pipeline(StandardScaler(), Ridge(10.0)).fit(x, y).predict(new)
    assert np.allclose(ridge.predict(settings, fit(ridge, settings, x, y), new), expected)


@pytest.mark.parametrize("family", [ridge, svr])
def test_a_feature_that_never_changes_is_harmless(family):
    x, y, new = data(20, 5, 0)
    x[:, 2] = new[:, 2] = 3.5
    prediction = family.predict(made(family), fit(family, made(family), x, y), new)
    assert np.allclose(prediction, fitted(family, x, y).predict(new))
    assert np.isfinite(prediction).all()


@pytest.mark.parametrize("family", [ridge, svr])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_features_of_low_precision_are_computed_with_in_full(family, kind):
    x, y, new = data(30, 8, 0, kind)
    state = fit(family, made(family), x, y)
    assert all(value.dtype == np.float64 for value in state.values())
    expected = fitted(family, x.astype(float), y).predict(new.astype(float))
    assert np.allclose(family.predict(made(family), state, new), expected)


@pytest.mark.parametrize("family", [mean, ridge, svr, kernel_ridge])
def test_the_inputs_are_left_as_they_were(family):
    x, y, _ = data(20, 5, 0)
    copies = x.copy(), y.copy()
    x.setflags(write=False)
    y.setflags(write=False)
    family.predict(made(family), fit(family, made(family), x, y), x)
    assert np.array_equal(x, copies[0])
    assert np.array_equal(y, copies[1])


@pytest.mark.parametrize("family", [mean, ridge, svr, kernel_ridge])
def test_a_state_is_plain_arrays(family):
    x, y, _ = data(20, 5, 0)
    state = fit(family, made(family), x, y)
    assert all(isinstance(v, np.ndarray | np.generic) and v.dtype == np.float64 for v in state.values())


@pytest.mark.parametrize("family", [mean, ridge, svr, kernel_ridge])
def test_equal_scores_are_predicted_for_everything(family):
    x, _, new = data(20, 5, 0)
    prediction = family.predict(made(family), fit(family, made(family), x, np.full(20, 0.625)), new)
    assert np.allclose(prediction, 0.625)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 5))
def test_mean_predicts_the_mean_of_train(scores, count):
    state = fit(mean, made(mean), np.empty((len(scores), 0)), np.array(scores))
    prediction = mean.predict(made(mean), state, np.empty((count, 0)))
    assert prediction.shape == (count,)
    assert np.allclose(prediction, np.mean(scores))


@pytest.mark.parametrize(
    ("family", "changes", "key"),
    [
        (ridge, {"alphas": []}, "alphas"),
        (ridge, {"alphas": [1.0, 0.0]}, "alphas"),
        (ridge, {"alphas": [-1.0]}, "alphas"),
        (svr, {"cs": []}, "cs"),
        (svr, {"cs": [1.0, 0.0]}, "cs"),
        (svr, {"epsilon": -0.1}, "epsilon"),
        (svr, {"gamma": 1.0}, "gamma"),
        (svr, {"gammas": [0.0]}, "gammas"),
        (svr, {"components": 0}, "components"),
        (kernel_ridge, {"alphas": [0.0]}, "alphas"),
        (kernel_ridge, {"gammas": []}, "gammas"),
        (mean, {"lr": 0.1}, "lr"),
    ],
)
def test_settings_out_of_range(family, changes, key):
    with pytest.raises(ParamsError, match=rf"models\.x\.{key}"):
        made(family, **changes)


def test_what_they_read():
    assert (mean.READS, ridge.READS, svr.READS) == ("nothing", "features", "features")


# Maps


def test_the_mean_map_is_the_same_for_every_picture():
    maps = np.random.default_rng(0).random((5, 3, 8, 8))
    block = {"family": "mean", "track": "maps", "target": "map", "input": "data/raw/maps", "backbone": "none"}
    own = checked(mean.Params, block | {"pixels": 8}, at="models.x")
    state = fit(mean, own, np.empty((5, 0)), maps)
    found = mean.predict(own, state, np.empty((4, 0)))
    assert found.shape == (4, 3, 8, 8)
    assert np.allclose(found, maps.mean(axis=0))
    with pytest.raises(ParamsError, match=r"models\.x\.pixels: received 4"):
        checked(mean.Params, block | {"pixels": 4}, at="models.x")
