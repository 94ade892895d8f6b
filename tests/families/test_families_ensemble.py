"""Members weigh as much as they were right on validation, and never less than nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import DataError, ParamsError, TrainingError
from memorability.core.settings import checked
from memorability.data import tables
from memorability.evaluation.score_measures import spearman
from memorability.families import ensemble

HEAD = {"family": "ensemble", "track": "videos", "target": "short_term", "members": ["good", "poor"]}


def made(**changes):
    return checked(ensemble.Params, HEAD | changes, at="models.m")


def learnt(settings, x, y):
    return ensemble.fit(settings, x, y, groups=np.arange(len(y)))["weight"]


def members(n=60, seed=0, noise=(0.02, 0.1, 0.4)):
    rng = np.random.default_rng(seed)
    y = rng.uniform(0.3, 0.9, n)
    return np.stack([y + rng.normal(0, spread, n) for spread in noise], axis=1), y


def test_weights_are_the_correlations_on_validation():
    x, y = members()
    rho = np.array([spearman(y, column) for column in x.T])
    assert (rho > 0).all()
    weight = learnt(made(), x, y)
    assert weight == pytest.approx(rho / rho.sum())
    assert weight.dtype == np.float64
    state = {"weight": weight, "bias": np.array(0.0)}
    assert ensemble.predict(made(), state, x) == pytest.approx(x @ rho / rho.sum())


def test_a_member_that_is_worse_than_none_weighs_nothing():
    x, y = members()
    x[:, 1] = 1 - x[:, 1]
    weight = learnt(made(), x, y)
    assert weight[1] == 0
    assert weight[0] > weight[2] > 0
    assert weight.sum() == pytest.approx(1)


def test_the_best_one_alone():
    x, y = members(noise=(0.1, 0.02, 0.4))
    state = ensemble.fit(made(weights="best"), x, y, groups=np.arange(len(y)))
    assert state["weight"].tolist() == [0, 1, 0]
    assert ensemble.predict(made(weights="best"), state, x).tolist() == x[:, 1].tolist()
    same = np.stack([x[:, 0], x[:, 0]], axis=1)
    assert learnt(made(weights="best"), same, y).tolist() == [1, 0]


def test_a_member_that_is_constant_weighs_nothing():
    x, y = members()
    x[:, 0] = 0.7
    assert learnt(made(), x, y)[0] == 0


@pytest.mark.parametrize("x", [1 - members()[0], np.full((60, 3), 0.5)], ids=["reversed", "frozen"])
def test_members_that_are_all_worse_than_none_weigh_the_same(x):
    assert learnt(made(), x, members()[1]) == pytest.approx([1 / 3] * 3)


def test_equal_weights_look_at_no_truth():
    x, y = members()
    for truth in (y, 1 - y):
        assert learnt(made(weights="equal"), x, truth) == pytest.approx([1 / 3] * 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 30), st.integers(0, 999), st.sampled_from(["spearman", "equal"]))
def test_it_is_a_mean_of_its_members(count, n, seed, weights):
    rng = np.random.default_rng(seed)
    x, y = rng.random((n, count)), rng.random(n)
    state = ensemble.fit(made(weights=weights), x, y, groups=np.arange(n))
    assert state["weight"].sum() == pytest.approx(1)
    assert (state["weight"] >= 0).all()
    found = ensemble.predict(made(weights=weights), state, x)
    assert (found >= x.min(1) - 1e-12).all()
    assert (found <= x.max(1) + 1e-12).all()


def least_squares(x, y):
    own = made(weights="least_squares")
    state = ensemble.fit(own, x, y, groups=np.arange(len(y)))
    return state, ensemble.predict(own, state, x)


def test_least_squares_without_a_bound_in_reach_are_the_ordinary_ones():
    x, y = members()
    state, found = least_squares(x[:, :2], y)
    design = np.column_stack([x[:, :2], np.ones(60)])
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    assert (expected[:2] > 0).all()
    assert np.append(state["weight"], state["bias"]) == pytest.approx(expected)
    assert found == pytest.approx(design @ expected)


def test_least_squares_spread_out_members_that_regress_to_the_mean():
    _, y = members()
    narrow = np.stack([0.7 + 0.25 * (y - 0.7), np.full(60, 0.7)], axis=1)
    state, found = least_squares(narrow, y)
    assert state["weight"] == pytest.approx([4, 0])
    assert found == pytest.approx(y)


def test_least_squares_never_subtract_a_member():
    x, y = members()
    x[:, 1] = 1 - x[:, 1]
    state, found = least_squares(x[:, 1:2], y)
    assert state["weight"] == pytest.approx([0])
    assert found == pytest.approx(np.full(60, y.mean()))


# Whole fits.


@pytest.fixture
def world(tmp_path):
    """A split table, and the tables of two members in orders of their own."""
    x, y = members(90, noise=(0.02, 0.1))
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(90)], "short_term": y, "group": range(90)})
    rows["short_term_responses"] = pd.array([38] * 90, "Int64")
    rows["split"] = ["train", "val", "test"] * 30
    rows["dataset"] = "demo"
    for seed, name in enumerate(("good", "poor")):
        table = rows[["id", "split"]].assign(score=y, prediction=x[:, seed])
        path = tmp_path / "predictions" / "models" / name / "predictions.csv"
        tables.write(table.sample(frac=1, random_state=seed), path)
    return tmp_path, rows, x


def fit(world, rows=None, **changes):
    where = worlds.paths(world[0], "m", input="predictions/models")
    found = worlds.fit(made(**changes), world[1] if rows is None else rows, where)
    return found.table, found.arrays["weight"]


def test_it_is_fitted_on_validation_alone(world):
    _, rows, x = world
    val = (rows["split"] == "val").to_numpy()
    found, weight = fit(world)
    expected = learnt(made(), x[val], rows["short_term"].to_numpy()[val])
    assert np.allclose(weight, expected)
    assert np.allclose(found["prediction"], x @ expected)
    assert list(found["id"]) == list(rows["id"])
    others = rows.assign(short_term=rows["short_term"].where(val, 1 - rows["short_term"]))
    again, same = fit(world, others)
    assert np.array_equal(weight, same)
    assert again["prediction"].equals(found["prediction"])


def test_no_row_to_validate_on(world):
    with pytest.raises(TrainingError, match="no row of the videos split is 'val'"):
        fit(world, world[1][world[1]["split"] != "val"])


def test_a_member_without_predictions(world):
    with pytest.raises(DataError, match=r"none/predictions\.csv: no such table"):
        fit(world, members=["good", "none"])


# Settings.


def test_each_member_is_there_once():
    with pytest.raises(ParamsError, match="members: each model once, received good, poor, good"):
        made(members=["good", "poor", "good"])


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"members": []}, "members"), ({"weights": "pearson"}, "weights")],
)
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)


def test_what_it_reads():
    assert (ensemble.READS, ensemble.FIT_ON) == ("predictions", "val")
