"""A clip's score is the mean of those of its frames that are there, as they are or on a fitted line."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.evaluation.score_measures import mse, spearman
from memorability.families import frame_average
from memorability.training import artifacts

HEAD = {
    **{"family": "frame_average", "track": "videos", "target": "short_term", "input": "data/frames/x"},
    "backbone": "memnet",
}
SIZES = {"n": st.integers(2, 30), "steps": st.integers(1, 6), "seed": st.integers(0, 999)}


def made(calibrate="none", **changes):
    return checked(frame_average.Params, HEAD | {"calibrate": calibrate} | changes, at="models.m")


def data(n=20, steps=4, seed=0):
    """Scores of frames with NaN after the last one, and the clips' own."""
    rng = np.random.default_rng(seed)
    x, length = rng.uniform(0.4, 0.9, (n, steps)), rng.integers(1, steps + 1, n)
    x[np.arange(steps) >= length[:, None]] = np.nan
    mean = np.array([row[:count].mean() for row, count in zip(x, length, strict=True)])
    return x, 0.9 - 0.5 * mean + rng.normal(0, 0.02, n), mean


def learnt(settings, x, y):
    return frame_average.fit(settings, x, y, groups=np.arange(len(y)))


def fitted(settings, x, y):
    return frame_average.predict(settings, learnt(settings, x, y), x)


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_as_they_are(n, steps, seed):
    x, y, mean = data(n, steps, seed)
    assert np.allclose(fitted(made(), x, y), mean)
    assert np.array_equal(fitted(made(), x, y), fitted(made(), x, 1 - y))  # nothing is fitted


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_on_a_line_of_least_squares(n, steps, seed):
    x, y, mean = data(n, steps, seed)
    found = fitted(made("linear"), x, y)
    slope = np.cov(mean, y, bias=True)[0, 1] / mean.var()
    assert np.allclose(found, y.mean() + slope * (mean - mean.mean()))


def test_new_clips_are_on_the_line_of_train():
    x, y, _ = data()
    new, _, mean = data(seed=1)
    state = learnt(made("linear"), x, y)
    assert np.allclose(
        frame_average.predict(made("linear"), state, new), state["slope"] * mean + state["offset"]
    )


def test_a_rising_line_changes_no_rank():
    x, _, mean = data()
    y = mean**2
    found = fitted(made("linear"), x, y)
    assert spearman(found, mean) == pytest.approx(1)
    assert mse(y, found) < mse(y, mean)


@pytest.mark.parametrize("calibrate", ["none", "linear"])
def test_frames_have_the_scores_that_the_clip_is_the_mean_of(calibrate):
    x, y, _ = data()
    state = learnt(made(calibrate), x, y)
    said = frame_average.frame_values(made(calibrate), state, x)
    assert frame_average.FRAME_VALUES == "score"
    assert np.array_equal(np.isnan(said), np.isnan(x))
    assert np.allclose(np.nanmean(said, axis=1), frame_average.predict(made(calibrate), state, x))


@pytest.mark.parametrize("calibrate", ["none", "linear"])
def test_scores_that_are_all_the_same_stay_as_they_are(calibrate):
    x = np.full((5, 3), 0.75)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(fitted(made(calibrate), x, np.linspace(0, 1, 5)), 0.75)
        assert np.allclose(fitted(made(calibrate), x[:1], np.ones(1)), 0.75)


def test_a_state_is_plain_arrays(tmp_path):
    x, y, _ = data()
    state = learnt(made("linear"), x, y)
    artifacts.save(tmp_path / "m", config={"settings": {}}, arrays=state)
    _, known = artifacts.load(tmp_path / "m")
    assert set(known) == {"slope", "offset"}
    assert np.array_equal(
        frame_average.predict(made("linear"), known, x), frame_average.predict(made("linear"), state, x)
    )


def test_settings_out_of_range():
    with pytest.raises(ParamsError, match=r"models\.m\.calibrate"):
        made("isotonic")


def test_what_it_reads():
    assert frame_average.READS == "frame_scores"
