"""Titles become what scikit-learn's TfidfVectorizer and Ridge make of them, also after a round trip to disk."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from worlds import paths

from memorability.core.errors import ParamsError, TrainingError
from memorability.core.settings import checked
from memorability.evaluation.score_measures import spearman
from memorability.families import caption_ridge
from memorability.training import artifacts

ALPHAS = (0.1, 1.0, 10.0)
HEAD = {
    **{"family": "caption_ridge", "track": "videos", "target": "short_term", "input": "data/raw/videos"},
    **{"backbone": "none", "alphas": ALPHAS},
}
WORDS = [
    "a",
    "dog",
    "cat",
    "runs",
    "sleeps",
    "on-the",
    "beach",
    "café",
    "東京",
    "kitchen",
    "woman-smiling",
    "4k",
]
titles = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=8)


def made(**changes):
    return checked(caption_ridge.Params, HEAD | changes, at="models.m")


def data(n=40, seed=0):
    """Titles of a few words, and scores that some of them raise."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, len(WORDS), (n, 5))
    x = np.array([" ".join(WORDS[i] for i in row) for row in words])
    effect = rng.normal(0, 0.3, len(WORDS))
    return x, 0.7 + effect[words].mean(1) + rng.normal(0, 0.01, n)


def learnt(settings, x, y):
    return caption_ridge.fit(settings, x, y, groups=np.arange(len(y)))


def pipeline(min_titles, words, x, y):
    """scikit-learn's own search, each fold with its own words."""
    model = make_pipeline(TfidfVectorizer(min_df=min_titles, ngram_range=(1, words)), Ridge())
    grid, folds = {"ridge__alpha": ALPHAS}, GroupKFold(5)
    search = GridSearchCV(model, grid, cv=folds, scoring="neg_mean_squared_error")
    return search.fit(x, y, groups=np.arange(len(y))).best_estimator_


@pytest.mark.parametrize("words", [1, 2, 3])
@pytest.mark.parametrize("min_titles", [1, 3])
@settings(max_examples=2, deadline=None)
@given(new=titles, seed=st.integers(0, 99))
def test_predictions_equal_those_of_scikit_learn(words, min_titles, new, seed):
    x, y = data(seed=seed)
    own = made(words=words, min_titles=min_titles)
    state, expected = learnt(own, x, y), pipeline(min_titles, words, x, y)
    for part in (x, np.array(new)):
        found = caption_ridge.predict(own, state, part)
        assert found.shape == part.shape
        assert np.allclose(found, expected.predict(part), atol=1e-9)
    assert state["alpha"] == expected[-1].alpha


def test_the_terms_are_those_that_enough_titles_have():
    x = np.array(["Dog runs", "dog sleeps", "a cat", "cat, cat!"])
    y = np.array([0.9, 0.8, 0.5, 0.4])
    for min_titles, expected in ((1, "cat dog runs sleeps"), (2, "cat dog")):
        state = learnt(made(min_titles=min_titles), x, y)
        assert state["terms"].tobytes().decode().split("\n") == expected.split()
        assert state["idf"].shape == state["weight"].shape == (len(expected.split()),)
    state = learnt(made(min_titles=1, words=2), x, y)
    assert "dog sleeps" in state["terms"].tobytes().decode().split("\n")


def test_the_model_is_the_same_after_the_disk(tmp_path):
    x, y = data()
    own = made(words=2)
    state = learnt(own, x, y)
    artifacts.save(tmp_path / "m", config={"settings": {}}, arrays=state)
    _, known = artifacts.load(tmp_path / "m")
    assert known.keys() == state.keys()
    assert all(np.array_equal(known[name], state[name]) for name in state)
    new = np.array([*x, "café in 東京", ""])
    assert np.array_equal(caption_ridge.predict(own, known, new), caption_ridge.predict(own, state, new))
    assert any("東京" in term for term in known["terms"].tobytes().decode().split("\n"))


def test_unknown_words_and_no_words_give_the_same_score():
    x, y = data()
    state = learnt(made(), x, y)
    new = np.array(["", "   ", "zebra quagga", "!?", "dog zebra", "dog"])
    found = caption_ridge.predict(made(), state, new)
    assert found[:4] == pytest.approx([float(state["bias"])] * 4)
    assert found[4] == found[5] != found[0]


def test_case_and_hyphens_do_not_matter():
    x, y = data()
    state = learnt(made(), x, y)
    found = caption_ridge.predict(made(), state, np.array(["woman-smiling Dog", "Woman smiling DOG"]))
    assert found[0] == found[1]


@pytest.mark.parametrize("title", ["", "a b c", "? !"])
def test_titles_without_a_word(title):
    with pytest.raises(TrainingError, match="the titles of 5 training clips have no term in 2 of them"):
        learnt(made(), np.array([title] * 5), np.linspace(0, 1, 5))


def test_titles_without_a_common_word():
    x = np.array(["dog", "cat", "beach"])
    with pytest.raises(TrainingError, match="the titles of 3 training clips have no term in 2 of them"):
        learnt(made(), x, np.linspace(0, 1, 3))
    with pytest.raises(TrainingError, match="no term in 9 of them"):
        learnt(made(min_titles=9), np.array(["dog", "dog"]), np.array([0.5, 0.6]))


def test_the_inputs_are_left_as_they_were():
    x, y = data()
    copies = x.copy(), y.copy()
    x.setflags(write=False)
    y.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caption_ridge.predict(made(), learnt(made(), x, y), x)
    assert np.array_equal(x, copies[0])
    assert np.array_equal(y, copies[1])


# Whole fits.


def fit(root, rows):
    found = worlds.fit(made(), rows, paths(root, "m", input="raw"))
    return found.table, found.arrays


def table(n=160):
    x, y = data(n, seed=3)
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(n)], "title": x, "short_term": y})
    rows["short_term_responses"] = pd.array([38] * n, "Int64")
    return rows.assign(split=["train", "train", "val", "test"] * (n // 4), group=range(n), dataset="demo")


@pytest.mark.parametrize("missing", [False, True])
def test_it_learns_from_titles_where_there_are_any(tmp_path, missing):
    rows = table()
    without = rows.index[::7] if missing else rows.index[:0]
    rows.loc[without, "title"] = None
    found, state = fit(tmp_path, rows)
    with_title = found.drop(without)
    for split in ("val", "test"):
        part = with_title[with_title["split"] == split]
        assert spearman(part["score"].to_numpy(float), part["prediction"].to_numpy(float)) > 0.8
    assert found.loc[without, "prediction"].to_numpy() == pytest.approx(float(state["bias"]))
    assert "nan" not in state["terms"].tobytes().decode().split("\n")


def test_only_titles_of_train_are_counted(tmp_path):
    rows = table()
    rows.loc[rows["split"] != "train", "title"] += " zebra"
    found, state = fit(tmp_path / "one", rows)
    assert "zebra" not in state["terms"].tobytes().decode().split("\n")
    plain, again = fit(tmp_path / "other", table())
    assert all(np.array_equal(state[name], again[name]) for name in state)
    assert np.allclose(found["prediction"], plain["prediction"])


def test_a_track_without_titles(tmp_path):
    with pytest.raises(ParamsError, match="caption_ridge reads titles; track videos has none"):
        fit(tmp_path, table().drop(columns="title"))


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"alphas": []}, "alphas"), ({"alphas": [0.0]}, "alphas"), ({"min_titles": 0}, "min_titles")]
    + [({"words": words}, "words") for words in (0, 4)],
)
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)


def test_what_it_reads():
    assert caption_ridge.READS == "titles"
