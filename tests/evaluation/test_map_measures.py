import numpy as np
import pytest
import small_maps
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import special, stats
from scipy.ndimage import gaussian_filter

from memorability.core.errors import DataError
from memorability.evaluation import map_measures, maps

# Few different values, so that ties and zeros are common, and of a size that a person can check.
SHAPE = (2, 3, 4, 5)
tied = arrays.arrays(np.float64, SHAPE, elements=st.integers(0, 8).map(lambda i: i / 8))
QUICK = settings(deadline=None, max_examples=40)


def blocks(n=6, *, channels=3):
    return small_maps.blocks(n, channels=channels)


def directly(measure, truth, prediction):
    """A measure of flat maps, averaged over the channels whose truth varies: [N]."""
    found = []
    for true, predicted in zip(truth, prediction, strict=True):
        pairs = [(t.ravel(), p.ravel()) for t, p in zip(true, predicted, strict=True) if np.ptp(t) > 0]
        found.append(np.mean([measure(t, p) for t, p in pairs]) if pairs else np.nan)
    return found


def correlation(of):
    return lambda t, p: of(t, p).statistic if np.ptp(p) > 0 else 0.0  # as pysaliency has it


def normal(values):
    positive = np.maximum(values, 0)
    return positive / positive.sum() if positive.sum() > 0 else np.full(len(values), 1 / len(values))


def kldiv(truth, prediction):
    """KLdiv.m of the MIT benchmark, line by line, but for negative predictions, which count as 0."""
    map1, map2 = np.maximum(prediction, 0), truth
    if map1.any():
        map1 = map1 / map1.sum()
    if map2.any():
        map2 = map2 / map2.sum()
    eps = 2.2204e-16
    return (map2 * np.log(eps + map2 / (map1 + eps))).sum()


def floored(truth, prediction):
    floor = map_measures.FLOOR
    mixed = (1 - floor) * normal(prediction) + floor / len(prediction)
    return special.rel_entr(normal(truth), mixed).sum()


DIRECT = {
    "cc": correlation(stats.pearsonr),
    "spearman": correlation(stats.spearmanr),
    "sim": lambda t, p: np.minimum(normal(t), normal(p)).sum(),
    "kl": kldiv,
    "kl_floored": floored,
}


# Values against SciPy and NumPy


@pytest.mark.parametrize("name", DIRECT)
@QUICK
@given(truth=tied, prediction=tied)
def test_measures_of_places_are_those_of_scipy(name, truth, prediction):
    prediction = prediction - 0.125  # some negative ones
    expected = directly(DIRECT[name], truth, prediction)
    np.testing.assert_allclose(maps.MEASURES[name].function(truth, prediction), expected, atol=1e-10)


@QUICK
@given(truth=tied, prediction=tied)
def test_errors_are_those_of_numpy(truth, prediction):
    for row, (t, p) in enumerate(zip(truth, prediction, strict=True)):
        assert map_measures.l1(truth, prediction)[row] == pytest.approx(
            np.linalg.norm((t - p).ravel(), 1) / 60
        )
        assert map_measures.mse(truth, prediction)[row] == pytest.approx(np.linalg.norm(t - p) ** 2 / 60)


@QUICK
@given(truth=tied, prediction=tied)
def test_ranges(truth, prediction):
    found = map_measures.every_measure(truth, prediction)
    found = {name: values[np.isfinite(values)] for name, values in found.items()}
    assert (found["kl"] >= -1e-12).all()
    assert (found["kl_floored"] >= -1e-12).all()
    assert ((found["sim"] >= 0) & (found["sim"] <= 1 + 1e-9)).all()
    assert (np.abs([*found["cc"], *found["spearman"]]) <= 1).all()


@QUICK
@given(truth=tied, prediction=tied)
def test_all_at_once_are_those_of_each_by_itself(truth, prediction):
    found = map_measures.every_measure(truth, prediction)
    assert set(found) == {*maps.MEASURES, "cc_channel_0", "cc_channel_1", "cc_channel_2"}
    for name, measure in maps.MEASURES.items():
        np.testing.assert_array_equal(found[name], measure.function(truth, prediction))
    channels = [map_measures.cc(truth[:, [c]], prediction[:, [c]]) for c in range(3)]
    np.testing.assert_array_equal([found[f"cc_channel_{c}"] for c in range(3)], channels)
    assert set(map_measures.every_measure(truth[:, :1], prediction[:, :1])) == set(maps.MEASURES)


def test_the_truth_itself():
    truth = blocks()
    found = maps.measure(truth, truth / 255)
    assert found["l1"] == pytest.approx(0, abs=1e-12)
    assert found["kl"] == pytest.approx(0, abs=1e-9)
    assert [found[name] for name in ("cc", "spearman", "sim", "variety")] == pytest.approx([1] * 4)
    assert 0 <= found["kl_floored"] < 2 * map_measures.FLOOR


@QUICK
@given(tied, st.floats(0.1, 2), st.floats(0, 0.5))
def test_scale_and_offset_change_no_correlation_and_scale_no_distribution(truth, scale, offset):
    prediction = np.roll(truth, 1, axis=2)
    for measure, changed in (
        (map_measures.cc, scale * prediction + offset),
        (map_measures.sim, scale * prediction),
        (map_measures.kl, scale * prediction),
    ):
        np.testing.assert_allclose(measure(truth, changed), measure(truth, prediction), atol=1e-9)


def test_uint8_truth_is_of_255():
    truth, prediction = blocks(), np.random.default_rng(0).random((6, 3, 16, 16)).astype(np.float32)
    for measure in maps.MEASURES.values():
        np.testing.assert_array_equal(
            measure.function(truth, prediction), measure.function(truth / 255, prediction)
        )


# What is flat


def test_channels_with_constant_truth_count_for_errors_alone():
    truth = blocks(channels=3)
    prediction = np.random.default_rng(0).random(truth.shape)
    for name in DIRECT:
        measure = maps.MEASURES[name].function
        np.testing.assert_allclose(measure(truth, prediction), measure(truth[:, :2], prediction[:, :2]))
    assert (map_measures.l1(truth, prediction) != map_measures.l1(truth[:, :2], prediction[:, :2])).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_a_map_predicted_as_flat_has_a_correlation_of_0(value):
    truth = blocks(channels=1)
    flat = np.full(truth.shape, value, np.float32)
    found = maps.measure(truth, flat)
    assert (found["cc"], found["spearman"], found["variety"]) == (0, 0, 0)
    assert map_measures.is_flat(truth, flat).all()


def test_flatness_on_hard_pictures_is_not_rewarded():
    """Of a model that is good at half of the pictures: flat on the others is no better than wrong on them."""
    truth = blocks(8)
    good, rng = truth / 255, np.random.default_rng(0)
    noise, flat = good.copy(), good.copy()
    noise[4:], flat[4:] = rng.random(good[4:].shape), 0.1
    means = {name: maps.measure(truth, p)["cc"] for name, p in (("noise", noise), ("flat", flat))}
    assert means["flat"] == pytest.approx(0.5)
    assert means["noise"] == pytest.approx(0.5, abs=0.05)
    assert map_measures.is_flat(truth, flat).tolist() == [False] * 4 + [True] * 4


def test_flat_is_a_map_that_is_flat_in_all_channels_that_are_not_flat_in_truth():
    truth = blocks(channels=3)
    prediction = truth / 255
    prediction[0, :2], prediction[1, 0], prediction[:, 2] = 0.2, 0.2, np.arange(16) / 16
    assert map_measures.is_flat(truth, prediction).tolist() == [True] + [False] * 5
    nothing = np.zeros_like(truth)
    assert not map_measures.is_flat(nothing, np.zeros(truth.shape)).any()  # nothing was to be predicted


def test_the_rounding_of_a_constant_is_no_pattern():
    truth = blocks(channels=1)
    almost = np.float32(0.3) + np.random.default_rng(0).random(truth.shape).astype(np.float32) * 1e-7
    assert (map_measures.cc(truth, almost) == 0).all()
    assert (map_measures.spearman(truth, almost) == 0).all()


def test_a_flat_channel_beside_others_counts_as_0():
    truth = blocks(channels=2)
    prediction = truth / 255
    prediction[:, 1] = 0.2
    found = map_measures.every_measure(truth, prediction)
    np.testing.assert_allclose(found["cc"], 0.5)
    np.testing.assert_allclose(found["cc_channel_0"], 1)
    np.testing.assert_allclose(found["cc_channel_1"], 0)


def test_a_map_of_nothing_is_left_out_of_the_means():
    truth = blocks()
    prediction = np.roll(truth, 2, axis=3) / 255
    empty = truth.copy()
    empty[1] = 0
    for name in DIRECT:
        values = maps.MEASURES[name].function(empty, prediction)
        assert np.flatnonzero(np.isnan(values)).tolist() == [1]
    rest = np.delete(np.arange(6), 1)
    expected = map_measures.cc(truth[rest], prediction[rest]).mean()
    assert maps.measure(empty, prediction)["cc"] == pytest.approx(expected)


def test_nothing_but_maps_of_nothing():
    found = maps.measure(np.zeros((2, 1, 4, 4), np.uint8), np.full((2, 1, 4, 4), 0.5))
    assert found == {
        **{"l1": 0.5, "mse": 0.25},
        **dict.fromkeys(("cc", "spearman", "sim", "kl", "kl_floored", "variety")),
    }


# KL, as published and floored


def half_missed(size=64):
    """A map of which half is predicted as exactly 0, the rest as it is."""
    truth = np.random.default_rng(0).uniform(0.2, 1, (1, 1, size, size))
    prediction = truth.copy()
    prediction[:, :, : size // 2] = 0
    return truth, prediction


def test_what_is_missed_costs_36_nats_as_published_and_7_with_the_floor():
    truth, prediction = half_missed()
    (published,), (floored_one,) = (
        map_measures.kl(truth, prediction),
        map_measures.kl_floored(truth, prediction),
    )
    t, p = (side.ravel() / side.sum() for side in (truth, prediction))
    assert published == pytest.approx((t * np.log(2.2204e-16 + t / (2.2204e-16 + p))).sum())
    assert published > 13
    assert 2.5 < floored_one < 4


def test_a_prediction_of_nothing_stays_nothing_as_published_and_is_uniform_with_the_floor():
    truth = blocks(channels=1)
    zeros = np.zeros(truth.shape)
    assert (map_measures.kl(truth, zeros) > 30).all()
    uniform = np.full(truth[0].size, 1 / truth[0].size)
    expected = [special.rel_entr(normal(t.ravel() / 255), uniform).sum() for t in truth]
    np.testing.assert_allclose(map_measures.kl_floored(truth, zeros), expected)
    np.testing.assert_allclose(map_measures.kl(truth, zeros + 0.3), expected)


def test_one_exact_zero_under_the_truth_hardly_moves_the_floored_one():
    truth = np.full((1, 1, 64, 64), 0.25)
    truth[0, 0, :32] = 0.75
    hole = truth.copy()
    hole[0, 0, 3, 3] = 0
    cost = map_measures.kl_floored(truth, hole) - map_measures.kl_floored(truth, truth)
    mass = 0.75 / truth.sum()
    np.testing.assert_allclose(cost, mass * np.log(mass / (map_measures.FLOOR / 4096)), atol=5e-4)


def test_all_of_the_truth_under_zeros_costs_about_7_floored_nats():
    truth, wrong = np.zeros((1, 1, 8, 8)), np.zeros((1, 1, 8, 8))
    truth[0, 0, :4], wrong[0, 0, 4:] = 1, 1
    expected = np.log(2 / map_measures.FLOOR)  # the truth has twice the mass of a uniform map at its places
    np.testing.assert_allclose(map_measures.kl_floored(truth, wrong), expected)


# Sharpness and variety


def test_sharpness_is_the_mean_gradient():
    values = np.random.default_rng(0).random((3, 2, 7, 9))
    down, right = np.diff(values, axis=2)[..., :-1], np.diff(values, axis=3)[:, :, :-1]
    expected = np.sqrt(down**2 + right**2).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(map_measures.sharpness(values), expected)
    assert map_measures.sharpness(np.full((1, 1, 5, 5), 0.3)) == 0


def test_blur_lowers_sharpness():
    truth = blocks() / 255
    sharpness = map_measures.sharpness
    ratios = [
        map_measures.ratio(sharpness(gaussian_filter(truth, (0, 0, s, s))), sharpness(truth))
        for s in (0.1, 1, 2, 4)
    ]
    assert ratios[0] == pytest.approx(1)
    assert ratios == sorted(ratios, reverse=True)
    assert map_measures.ratio(np.ones(2), np.zeros(2)) is None


def test_variety():
    truth = blocks()
    mean = (truth / 255).mean(axis=0, keepdims=True)
    assert map_measures.variety(truth, mean.repeat(6, axis=0)) == pytest.approx(0, abs=1e-12)
    half = mean + (truth / 255 - mean) / 2
    assert map_measures.variety(truth, half) == pytest.approx(0.5)
    assert map_measures.variety(truth[:1], truth[:1] / 255) is None


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
        *(measure.function for measure in maps.MEASURES.values()),
        *(map_measures.every_measure, map_measures.variety, map_measures.is_flat),
        *(maps.measure, maps.per_map),
    ]
    for call in calls:
        with pytest.raises(DataError, match=r"must be (finite|non-empty|in \[0, 1\])"):
            call(truth, prediction)


def test_sharpness_refuses_what_it_cannot_use():
    with pytest.raises(DataError, match="no gradient"):
        map_measures.sharpness(GOOD[..., :1])
    with pytest.raises(DataError, match="non-empty"):
        map_measures.sharpness(GOOD[0])
