"""Words are made of train's windows alone, a clip is the share of each, and that is learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import worlds

from memorability.core.errors import ParamsError, TrainingError
from memorability.core.settings import checked
from memorability.evaluation.score_measures import spearman
from memorability.families import bag_ridge

CENTRES = np.array([[4.0, 0, 0], [0, 4, 0], [0, 0, 4]])


def made(**changes):
    head = {"family": "bag_ridge", "track": "videos", "target": "short_term", "backbone": "none"}
    given = head | {"input": "data/features/x", "words": 3, "alphas": [0.001, 0.1]}
    return checked(bag_ridge.Params, given | changes, at="models.m")


def clips(count, seed=0):
    """Windows about three centres, as many as a clip likes; the score is the share of those about the first."""
    rng = np.random.default_rng(seed)
    x, shares = np.zeros((count, 30, 3), np.float32), np.empty(count)
    for row, clip in enumerate(x):
        there = rng.integers(15, 31)
        kinds = rng.choice(3, there, p=rng.dirichlet(np.ones(3)))
        clip[:there] = CENTRES[kinds] + 0.2 * rng.normal(size=(there, 3))
        shares[row] = (kinds == 0).mean()
    return x, shares


def fit(x, y, **changes):
    return bag_ridge.fit(made(**changes), x, y, groups=np.arange(len(x)))


def test_the_words_are_the_kinds_of_windows():
    x, y = clips(40)
    state = fit(x, y)
    words = state["words"] * state["scale"] + state["mean"]
    order = np.argmax(CENTRES @ words.T, axis=1)
    np.testing.assert_allclose(words[order], CENTRES, atol=0.1)


def test_a_clip_is_the_root_of_the_share_of_each_word():
    state = {"words": CENTRES, "mean": np.ones(3), "scale": np.full(3, 2.0)}
    windows = 1 + 2 * CENTRES[[0, 0, 0, 2]]
    x = np.zeros((2, 6, 3))
    x[0, :4] = windows
    x[1, 1] = windows[3]  # the others of it are zero, and so none
    expected = [[np.sqrt(3 / 4), 0, np.sqrt(1 / 4)], [0, 0, 1]]
    np.testing.assert_allclose(bag_ridge.histograms(state, x), expected)
    np.testing.assert_array_equal(bag_ridge.histograms(state, np.zeros((1, 6, 3))), np.zeros((1, 3)))


def test_it_learns_what_a_mean_and_a_deviation_do_not_say():
    (x, y), (new, truth) = clips(80), clips(40, seed=1)
    rho = spearman(truth, bag_ridge.predict(made(), fit(x, y), new))
    assert rho is not None
    assert rho > 0.95


def test_the_size_of_a_part_and_the_places_behind_change_nothing(monkeypatch):
    x, y = clips(20)
    state = fit(x, y)
    expected = bag_ridge.predict(made(), state, x)
    monkeypatch.setattr(bag_ridge, "AT_ONCE", 3)
    longer = np.concatenate([x, np.zeros((20, 7, 3), np.float32)], axis=1)
    np.testing.assert_allclose(bag_ridge.predict(made(), state, longer), expected)


def test_at_most_so_many_windows_of_each_clip_make_the_words(monkeypatch):
    x, y = clips(20)
    seen, plain = [], bag_ridge.KMeans.fit
    monkeypatch.setattr(bag_ridge.KMeans, "fit", lambda self, given: seen.append(given) or plain(self, given))
    one = fit(x, y, windows=60)
    assert seen[0].shape == (60, 3)
    for name, value in fit(x, y, windows=60).items():
        np.testing.assert_array_equal(value, one[name])


def test_words_are_of_train_alone(tmp_path):
    (x, y), n = clips(60), 60
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(n)], "short_term": y})
    rows["short_term_responses"] = pd.array([38] * n, "Int64")
    rows["split"] = ["train", "train", "val", "train", "test", "train"] * (n // 6)
    rows = rows.assign(sha256=[f"{i:064x}" for i in range(n)], dataset="demo", group=np.arange(n))
    lengths = (x != 0).any(axis=2).sum(axis=1)
    other = np.where((rows["split"] == "train").to_numpy()[:, None, None], x, 100 * x).astype(np.float32)
    found = []
    for name, windows in (("one", x), ("other", other)):
        worlds.features(tmp_path / name, list(rows["id"]), windows, lengths=lengths)
        fitted = worlds.fit(made(), rows, worlds.paths(tmp_path, f"m-{name}", input=name))
        found.append(fitted.arrays)
    for name in ("words", "mean", "scale", "weight"):
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_more_words_than_windows():
    x, y = clips(4)
    with pytest.raises(TrainingError, match=r"bag_ridge: 500 words of \d+ different windows of train"):
        fit(x, y, words=500)
    with pytest.raises(ParamsError, match=r"models\.m\.words"):
        made(words=1)
