"""Kernel methods equal scikit-learn's own pipelines and searches, though they share kernels; components make them small."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from worlds import made

from memorability.core.errors import TrainingError
from memorability.families import kernel_ridge, svr
from memorability.families.blocks import gaussian
from memorability.families.blocks.penalties import penalised

CS, GAMMAS, ALPHAS = (0.03, 0.3, 3.0), (0.3, 1.0, 3.0), (0.03, 0.3, 3.0)
FAMILIES = {"svr": svr, "kernel_ridge": kernel_ridge}
every = pytest.mark.parametrize("name", FAMILIES)


def data(n=90, d=12, seed=0):
    """Train features of different scales, scores that bend with them, groups, and new features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 20, d)) * np.exp(rng.normal(size=d)) + rng.normal(size=d)
    y = 0.7 + 0.15 * np.tanh(x[:, 0] * x[:, 1]) + rng.normal(0, 0.03, n + 20)
    return x[:n], y[:n], rng.integers(0, n // 2, n), x[n:]


def searched(model, grid, x, y, groups):
    """scikit-learn's own search; its kernel ridge has no intercept, so scores are centred by each fold's own mean."""
    search = GridSearchCV(model, grid, cv=GroupKFold(5), scoring="neg_mean_squared_error")
    return search.fit(x, y, groups=groups)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("d", [5, 150])
def test_svr_is_what_a_search_over_scikit_learn_s_pipeline_finds(d, seed):
    x, y, groups, new = data(d=d, seed=seed)
    model = make_pipeline(StandardScaler(), SVR(epsilon=0.05))
    grid = {"svr__C": list(CS), "svr__gamma": [gamma / d for gamma in GAMMAS]}
    expected = searched(model, grid, x, y, groups)
    own = made("svr", of="images", cs=CS, gammas=GAMMAS, epsilon=0.05)
    state = svr.fit(own, x, y, groups=groups)
    assert state["c"] == expected.best_params_["svr__C"]
    assert state["gamma"] == expected.best_params_["svr__gamma"]
    for part in (x, new):
        np.testing.assert_allclose(svr.predict(own, state, part), expected.predict(part), rtol=0, atol=1e-9)


def test_svr_of_more_rows_than_a_kernel_is_kept_of_is_the_same(monkeypatch):
    x, y, groups, new = data()
    own = made("svr", of="images", cs=CS, gammas=GAMMAS)
    expected = svr.fit(own, x, y, groups=groups)
    monkeypatch.setattr(svr, "LARGEST", 10)
    monkeypatch.setattr(gaussian.Inputs, "distances", property(lambda self: pytest.fail("a kernel matrix")))
    found = svr.fit(own, x, y, groups=groups)
    assert found["c"] == expected["c"]
    np.testing.assert_allclose(
        svr.predict(own, found, new), svr.predict(own, expected, new), rtol=0, atol=1e-9
    )


class Centred(KernelRidge):
    """scikit-learn's kernel ridge, of scores less their mean."""

    def fit(self, x, y):
        self.mean_ = y.mean()
        return super().fit(x, y - self.mean_)

    def predict(self, x):
        return super().predict(x) + self.mean_


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("d", [5, 150])
def test_kernel_ridge_is_what_a_search_over_scikit_learn_s_pipeline_finds(d, seed):
    x, y, groups, new = data(d=d, seed=seed)
    model = make_pipeline(StandardScaler(), Centred(kernel="rbf"))
    grid = {"centred__alpha": list(ALPHAS), "centred__gamma": [gamma / d for gamma in GAMMAS]}
    expected = searched(model, grid, x, y, groups)
    own = made("kernel_ridge", of="images", alphas=ALPHAS, gammas=GAMMAS)
    state = kernel_ridge.fit(own, x, y, groups=groups)
    assert state["alpha"] == expected.best_params_["centred__alpha"]
    assert state["gamma"] == expected.best_params_["centred__gamma"]
    for part in (x, new):
        found = kernel_ridge.predict(own, state, part)
        np.testing.assert_allclose(found, expected.predict(part), rtol=0, atol=1e-9)


@pytest.mark.parametrize("d", [12, 150])
@every
def test_components_are_principal_ones_of_each_fold_s_own_part(name, d):
    x, y, groups, new = data(d=d)
    family, key = FAMILIES[name], {"svr": "cs", "kernel_ridge": "alphas"}[name]
    model = SVR(epsilon=0.05, gamma=1 / d) if name == "svr" else Centred(kernel="rbf", gamma=1 / d)
    pipeline = make_pipeline(StandardScaler(), PCA(4, svd_solver="full"), model)
    grid = {f"{type(model).__name__.lower()}__{'C' if name == 'svr' else 'alpha'}": list(CS)}
    expected = searched(pipeline, grid, x, y, groups)
    own = made(
        name, of="images", components=4, gammas=[1.0], **{key: CS} | {"svr": {"epsilon": 0.05}}.get(name, {})
    )
    state = family.fit(own, x, y, groups=groups)
    assert state["axes"].shape == (4, d)
    assert state["support"].shape[1] == 4
    assert float(state["c" if name == "svr" else "alpha"]) in expected.best_params_.values()
    np.testing.assert_allclose(family.predict(own, state, new), expected.predict(new), rtol=0, atol=1e-8)


@every
def test_all_components_leave_the_kernel_of_train_as_it_is(name):
    """New rows leave the space that the 40 rows of train span, of which components know nothing."""
    x, y, groups, _ = data(n=40, d=60)
    one = {"svr": {"cs": [0.3]}, "kernel_ridge": {"alphas": [0.1], "gammas": [1.0]}}[name]
    owns = [made(name, of="images", components=count, **one) for count in (None, 1000)]
    found = [FAMILIES[name].predict(own, FAMILIES[name].fit(own, x, y, groups=groups), x) for own in owns]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (20, 20)])
def test_axes_are_those_of_a_singular_value_decomposition(shape):
    z = np.random.default_rng(0).normal(size=shape)
    z -= z.mean(axis=0)
    axes = gaussian.principal_axes(z, count=5)
    expected = np.linalg.svd(z, full_matrices=False)[2][:5]
    np.testing.assert_allclose(axes @ axes.T, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(np.abs((axes * expected).sum(axis=1)), 1, atol=1e-10)


def test_axes_without_variance_are_left_out():
    z = np.outer(np.arange(6) - 2.5, [1.0, 2.0, 0.0])
    assert gaussian.principal_axes(z, count=3).shape == (1, 3)
    assert gaussian.principal_axes(np.zeros((4, 3)), count=3).shape == (0, 3)


@every
def test_weights_of_half_precision_predict_the_same(name):
    x, y, groups, new = data()
    own = made(name, of="images", components=4)
    state = FAMILIES[name].fit(own, x, y, groups=groups)
    small = {key: value.astype(np.float32) for key, value in state.items()}
    found, expected = (FAMILIES[name].predict(own, arrays, new) for arrays in (small, state))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@every
def test_many_pictures_are_predicted_in_parts(name, monkeypatch):
    x, y, groups, new = data()
    own = made(name, of="images")
    state = FAMILIES[name].fit(own, x, y, groups=groups)
    expected = FAMILIES[name].predict(own, state, new)
    monkeypatch.setattr(gaussian, "BLOCK", 3)
    np.testing.assert_allclose(FAMILIES[name].predict(own, state, new), expected, rtol=0, atol=1e-12)
    assert FAMILIES[name].predict(own, state, new[:0]).shape == (0,)


def test_kernel_ridge_of_more_rows_than_a_kernel_can_have(monkeypatch):
    monkeypatch.setattr(kernel_ridge, "LARGEST", 50)
    x, y, groups, _ = data()
    with pytest.raises(TrainingError, match="90 training rows; valid: up to 50"):
        kernel_ridge.fit(made("kernel_ridge", of="images"), x, y, groups=groups)


def test_one_system_under_several_penalties():
    rng = np.random.default_rng(0)
    z, right = rng.normal(size=(6, 9)), rng.normal(size=6)
    found = penalised(z @ z.T, right, (0.1, 10.0))
    expected = [np.linalg.inv(z @ z.T + penalty * np.eye(6)) @ right for penalty in (0.1, 10.0)]
    np.testing.assert_allclose(found.T, expected)


def test_a_penalty_that_is_lost_in_rounding():
    with pytest.raises(TrainingError, match="penalty 1e-300 is too small"):
        penalised(np.ones((3, 3)), np.ones(3), [1e-300])
