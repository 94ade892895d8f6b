import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import special, stats

from memorability.core.errors import DataError
from memorability.evaluation import map_metrics

# Few different values, so that ties and zeros are common, and of a size that a person can check.
SHAPE = (2, 3, 4, 5)
tied = arrays.arrays(np.float64, SHAPE, elements=st.integers(0, 8).map(lambda i: i / 8))
QUICK = settings(deadline=None, max_examples=40)


def blocks(n=6, *, channels=3, size=16, seed=0):
    """Maps of a few rectangles that lie on each other, uint8; the third channel is empty, as in VISCHEMA's."""
    rng = np.random.default_rng(seed)
    found = np.zeros((n, channels, size, size), np.uint8)
    for row in range(n):
        for channel in range(min(channels, 2)):
            for _ in range(4):
                x, y = rng.integers(0, size - 4, 2)
                found[row, channel, y : y + 4, x : x + 6] += 20
    return found


def directly(measure, truth, prediction):
    """A measure of flat maps, averaged over the channels whose truth varies: [N]."""
    found = []
    for true, predicted in zip(truth, prediction, strict=True):
        values = [
            measure(t.ravel(), p.ravel()) for t, p in zip(true, predicted, strict=True) if np.ptp(t) > 0
        ]
        exist = [value for value in values if not np.isnan(value)]
        found.append(sum(exist) / len(values) if exist else np.nan)
    return found


def correlation(of):
    return lambda t, p: of(t, p).statistic if np.ptp(p) > 0 else np.nan


def normal(values):
    positive = np.maximum(values, 0)
    return positive / positive.sum() if positive.sum() > 0 else np.full(len(values), 1 / len(values))


def divergence(truth, prediction):
    floor = map_metrics.FLOOR
    mixed = (1 - floor) * normal(prediction) + floor / len(prediction)
    return special.rel_entr(normal(truth), mixed).sum()


DIRECT = {
    "cc": correlation(stats.pearsonr),
    "spearman": correlation(stats.spearmanr),
    "sim": lambda t, p: np.minimum(normal(t), normal(p)).sum(),
    "kl": divergence,
}


# Values against SciPy and NumPy


@pytest.mark.parametrize("name", DIRECT)
@QUICK
@given(truth=tied, prediction=tied)
def test_measures_of_places_are_those_of_scipy(name, truth, prediction):
    prediction = prediction - 0.125  # some negative ones
    expected = directly(DIRECT[name], truth, prediction)
    np.testing.assert_allclose(map_metrics.MEASURES[name](truth, prediction), expected, atol=1e-10)


@QUICK
@given(truth=tied, prediction=tied)
def test_errors_are_those_of_numpy(truth, prediction):
    for row, (t, p) in enumerate(zip(truth, prediction, strict=True)):
        assert map_metrics.l1(truth, prediction)[row] == pytest.approx(
            np.linalg.norm((t - p).ravel(), 1) / 60
        )
        assert map_metrics.mse(truth, prediction)[row] == pytest.approx(np.linalg.norm(t - p) ** 2 / 60)


@QUICK
@given(truth=tied, prediction=tied)
def test_ranges(truth, prediction):
    found = {name: measure(truth, prediction) for name, measure in map_metrics.MEASURES.items()}
    found = {name: values[np.isfinite(values)] for name, values in found.items()}
    assert (found["kl"] >= -1e-12).all()
    assert ((found["sim"] >= 0) & (found["sim"] <= 1 + 1e-9)).all()
    assert (np.abs([*found["cc"], *found["spearman"]]) <= 1).all()


def test_the_truth_itself():
    truth = blocks()
    found = map_metrics.measure(truth, truth / 255)
    assert found["l1"] == pytest.approx(0, abs=1e-12)
    assert (found["cc"], found["spearman"], found["variety"]) == pytest.approx((1, 1, 1))
    assert 0 <= found["kl"] < 2 * map_metrics.FLOOR
    np.testing.assert_allclose(map_metrics.sim(truth, truth / 255), 1)


@QUICK
@given(tied, st.floats(0.1, 2), st.floats(0, 0.5))
def test_scale_and_offset_change_no_correlation_and_scale_no_distribution(truth, scale, offset):
    prediction = np.roll(truth, 1, axis=2)
    for name, changed in (("cc", scale * prediction + offset), ("sim", scale * prediction)):
        measure = map_metrics.MEASURES[name]
        np.testing.assert_allclose(measure(truth, changed), measure(truth, prediction), atol=1e-9)


def test_uint8_truth_is_of_255():
    truth, prediction = blocks(), np.random.default_rng(0).random((6, 3, 16, 16)).astype(np.float32)
    for measure in map_metrics.MEASURES.values():
        np.testing.assert_array_equal(measure(truth, prediction), measure(truth / 255, prediction))


# What does not exist


def test_channels_with_constant_truth_count_for_errors_alone():
    truth = blocks(channels=3)
    prediction = np.random.default_rng(0).random(truth.shape)
    for name in DIRECT:
        without = map_metrics.MEASURES[name](truth[:, :2], prediction[:, :2])
        np.testing.assert_allclose(map_metrics.MEASURES[name](truth, prediction), without)
    assert (map_metrics.l1(truth, prediction) != map_metrics.l1(truth[:, :2], prediction[:, :2])).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_a_constant_prediction_has_no_correlation_and_is_uniform(value):
    truth = blocks(channels=1)
    flat = np.full(truth.shape, value, np.float32)
    found = map_metrics.measure(truth, flat)
    assert found["cc"] is found["spearman"] is None
    assert found["variety"] == 0
    uniform = np.full(truth[0].size, 1 / truth[0].size)
    expected = [special.rel_entr(normal(t.ravel() / 255), uniform).sum() for t in truth]
    np.testing.assert_allclose(map_metrics.kl(truth, flat), expected)


def test_the_rounding_of_a_constant_is_no_pattern():
    truth = blocks(channels=1)
    almost = np.float32(0.3) + np.random.default_rng(0).random(truth.shape).astype(np.float32) * 1e-7
    assert np.isnan(map_metrics.cc(truth, almost)).all()
    assert np.isnan(map_metrics.spearman(truth, almost)).all()


def test_a_flat_channel_beside_others_counts_as_0():
    truth = blocks(channels=2)
    prediction = truth / 255
    prediction[:, 1] = 0.2
    np.testing.assert_allclose(map_metrics.cc(truth, prediction), 0.5)
    channels = map_metrics.cc_by_channel(truth, prediction)
    np.testing.assert_allclose(channels[:, 0], 1)
    assert np.isnan(channels[:, 1]).all()


def test_a_map_of_nothing_is_left_out_of_the_means():
    truth = blocks()
    prediction = np.roll(truth, 2, axis=3) / 255
    empty = truth.copy()
    empty[1] = 0
    for name in DIRECT:
        values = map_metrics.MEASURES[name](empty, prediction)
        assert np.flatnonzero(np.isnan(values)).tolist() == [1]
    rest = np.delete(np.arange(6), 1)
    expected = map_metrics.cc(truth[rest], prediction[rest]).mean()
    assert map_metrics.measure(empty, prediction)["cc"] == pytest.approx(expected)


def test_nothing_but_maps_of_nothing():
    found = map_metrics.measure(np.zeros((2, 1, 4, 4), np.uint8), np.full((2, 1, 4, 4), 0.5))
    assert found == {"l1": 0.5, "mse": 0.25, "cc": None, "spearman": None, "kl": None, "variety": None}


# The floor


def test_one_exact_zero_under_the_truth_does_not_decide():
    truth = np.full((1, 1, 64, 64), 0.25)
    truth[0, 0, :32] = 0.75
    hole = truth.copy()
    hole[0, 0, 3, 3] = 0
    cost = map_metrics.kl(truth, hole) - map_metrics.kl(truth, truth)
    assert 0 < cost < 0.005
    mass = 0.75 / truth.sum()
    np.testing.assert_allclose(cost, mass * np.log(mass / (map_metrics.FLOOR / 4096)), atol=5e-4)


def test_all_of_the_truth_under_zeros_costs_about_7_nats():
    truth, wrong = np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 8))
    truth[0, 0, :4], wrong[0, 0, 4:] = 1, 1
    expected = np.log(2 / map_metrics.FLOOR)  # the truth has twice the mass of a uniform map at its places
    np.testing.assert_allclose(map_metrics.kl(truth, wrong), expected)


# Sharpness and variety


def test_sharpness_is_the_mean_gradient():
    values = np.random.default_rng(0).random((3, 2, 7, 9))
    down, right = np.diff(values, axis=2)[..., :-1], np.diff(values, axis=3)[:, :, :-1]
    expected = np.sqrt(down**2 + right**2).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(map_metrics.sharpness(values), expected)
    assert map_metrics.sharpness(np.full((1, 1, 5, 5), 0.3)) == 0


def test_blur_lowers_sharpness():
    from scipy.ndimage import gaussian_filter

    truth = blocks() / 255
    ratios = [
        map_metrics.ratio(
            map_metrics.sharpness(gaussian_filter(truth, (0, 0, s, s))), map_metrics.sharpness(truth)
        )
        for s in (0.1, 1, 2, 4)
    ]
    assert ratios[0] == pytest.approx(1)
    assert ratios == sorted(ratios, reverse=True)
    assert map_metrics.ratio(np.ones(2), np.zeros(2)) is None


def test_variety():
    truth = blocks()
    mean = (truth / 255).mean(axis=0, keepdims=True)
    assert map_metrics.variety(truth, mean.repeat(6, axis=0)) == pytest.approx(0, abs=1e-12)
    half = mean + (truth / 255 - mean) / 2
    assert map_metrics.variety(truth, half) == pytest.approx(0.5)
    assert map_metrics.variety(truth[:1], truth[:1] / 255) is None


# The table of single maps


def test_the_table_has_a_line_a_map_whatever_is_computed_together(monkeypatch):
    truth = blocks(7)
    prediction = np.roll(truth, 2, axis=3) / 255
    ids = [f"demo/{i}.jpg" for i in range(7)]
    whole = map_metrics.per_map(truth, prediction, ids)
    monkeypatch.setattr(map_metrics, "AT_ONCE", 2)
    pd.testing.assert_frame_equal(map_metrics.per_map(truth, prediction, ids), whole)
    assert list(whole["id"]) == ids
    channels = [f"cc_channel_{c}" for c in range(3)]
    assert list(whole) == ["id", *map_metrics.MEASURES, *channels, "sharpness", "true_sharpness"]
    assert whole["cc_channel_2"].isna().all()
    np.testing.assert_allclose(whole["cc"], (whole["cc_channel_0"] + whole["cc_channel_1"]) / 2)
    found = map_metrics.measure(truth, prediction)
    assert [found[name] for name in map_metrics.IN_TRAINING] == pytest.approx(
        list(whole[list(map_metrics.IN_TRAINING)].mean())
    )


def test_one_channel_has_no_columns_of_channels():
    truth = blocks(2, channels=1)
    assert not any(
        name.startswith("cc_channel") for name in map_metrics.per_map(truth, truth / 255, ["a", "b"])
    )


# Refusals

GOOD = np.full((2, 1, 4, 4), 0.5)
BAD = {
    "three dimensions": (GOOD[0], GOOD[0]),
    "other size": (GOOD, GOOD[..., :3]),
    "other channels": (GOOD, GOOD.repeat(3, axis=1)),
    "broadcast": (GOOD, GOOD[:1]),
    "empty": (GOOD[:0], GOOD[:0]),
    "NaN": (GOOD, np.where(GOOD > 0, np.nan, 0)),
    "infinity": (GOOD, GOOD * np.inf),
    "truth of another range": (GOOD * 255, GOOD),
    "truth from -1": (GOOD - 1, GOOD),
}


@pytest.mark.parametrize(("truth", "prediction"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused(truth, prediction):
    calls = [
        *map_metrics.MEASURES.values(),
        map_metrics.measure,
        map_metrics.variety,
        map_metrics.cc_by_channel,
        lambda t, p: map_metrics.per_map(t, p, ["a", "b"][: len(t)]),
    ]
    for call in calls:
        with pytest.raises(DataError, match=r"must be (finite|non-empty|in \[0, 1\])"):
            call(truth, prediction)


def test_sharpness_and_tables_refuse_what_they_cannot_use():
    with pytest.raises(DataError, match="no gradient"):
        map_metrics.sharpness(GOOD[..., :1])
    with pytest.raises(DataError, match="non-empty"):
        map_metrics.sharpness(GOOD[0])
    with pytest.raises(DataError, match="1 ids and 2 maps"):
        map_metrics.per_map(GOOD, GOOD, ["a"])
