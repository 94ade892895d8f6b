import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memorability.core.errors import DataError
from memorability.evaluation import metrics

# Few different values, so that ties are common; at least two on each side.
tied = st.integers(0, 12).map(lambda i: i / 12)
pairs = st.lists(st.tuples(tied, tied), min_size=2, max_size=60).map(lambda rows: np.array(rows).T)
QUICK = settings(deadline=None, max_examples=50)


def noisy(n=200, *, seed=0, noise=0.15):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.2, 0.9, n)
    return truth, truth + rng.normal(0, noise, n)


def constant(values):
    return np.ptp(values) == 0


# Values against SciPy and NumPy


@QUICK
@given(pairs)
def test_spearman_is_that_of_scipy_with_ties(columns):
    truth, prediction = columns
    found = metrics.spearman(truth, prediction)
    if constant(truth) or constant(prediction):
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(truth, prediction).statistic, abs=1e-12)


@QUICK
@given(pairs)
def test_pearson_is_that_of_scipy(columns):
    truth, prediction = columns
    found = metrics.pearson(truth, prediction)
    if constant(truth) or constant(prediction):
        assert found is None
    else:
        assert found == pytest.approx(stats.pearsonr(truth, prediction).statistic, abs=1e-12)


@QUICK
@given(pairs)
def test_errors_are_those_of_numpy(columns):
    truth, prediction = columns
    difference = truth - prediction
    assert metrics.l1(truth, prediction) == pytest.approx(np.linalg.norm(difference, 1) / len(truth))
    assert metrics.mse(truth, prediction) == pytest.approx(difference @ difference / len(truth))
    assert metrics.l1(truth, prediction) ** 2 <= metrics.mse(truth, prediction) + 1e-12


@QUICK
@given(pairs)
def test_spearman_sees_the_order_alone(columns):
    truth, prediction = columns
    assert metrics.spearman(truth, np.exp(3 * prediction)) == metrics.spearman(truth, prediction)


def test_perfect_and_reversed():
    truth = np.array([0.1, 0.5, 0.3, 0.9])
    assert metrics.measure(truth, truth) == {"l1": 0.0, "mse": 0.0, "spearman": 1.0, "pearson": 1.0}
    assert metrics.spearman(truth, -truth) == metrics.pearson(truth, -truth) == -1.0


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1 / 3])
def test_a_constant_has_no_correlation(value):
    truth, flat = np.linspace(0, 1, 7), np.full(7, value)
    for metric in (metrics.spearman, metrics.pearson):
        assert metric(truth, flat) is None
        assert metric(flat, truth) is None
        assert metric(flat, flat) is None
    assert metrics.measure(truth, flat)["mse"] is not None


def test_one_value_has_no_correlation():
    one = np.array([0.5])
    assert metrics.spearman(one, one) is None
    assert metrics.pearson(one, one) is None
    assert metrics.l1(one, one) == 0.0


BAD = {
    "NaN": ([0.1, np.nan], [0.1, 0.2]),
    "infinity": ([0.1, 0.2], [np.inf, 0.2]),
    "lengths": ([0.1, 0.2, 0.3], [0.1, 0.2]),
    "two dimensions": ([[0.1, 0.2]], [[0.1, 0.2]]),
    "broadcast": ([0.1, 0.2], [0.1]),
    "empty": ([], []),
}


@pytest.mark.parametrize(("truth", "prediction"), BAD.values(), ids=BAD)
def test_bad_arrays_are_refused(truth, prediction):
    calls = [
        *metrics.METRICS.values(), metrics.measure, metrics.extremes, metrics.spread,
        lambda t, p: metrics.resampled(t, p, repeats=10, seed=0),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(DataError, match=r"must be (finite|non-empty)"):
            call(np.array(truth, float), np.array(prediction, float))


# Bootstrap


def test_resampled_metrics_are_those_of_the_samples():
    truth, prediction = noisy(30)
    found = metrics.resampled(truth, prediction, repeats=20, seed=5)
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 30, (20, 30))
    for name, metric in metrics.METRICS.items():
        expected = [metric(truth[sample], prediction[sample]) for sample in rows]
        np.testing.assert_allclose(found[name], expected, atol=1e-12)


def test_two_calls_draw_the_same_samples():
    truth, prediction = noisy()
    one, two = (metrics.resampled(truth, prediction, repeats=50, seed=1) for _ in range(2))
    assert all((one[name] == two[name]).all() for name in metrics.METRICS)
    other = metrics.resampled(truth, prediction, repeats=50, seed=2)
    assert (one["mse"] != other["mse"]).any()


def test_samples_are_paired_between_models():
    truth, prediction = noisy()
    one = metrics.resampled(truth, prediction, repeats=200, seed=0)
    shifted = metrics.resampled(truth, 2 * prediction - 0.1, repeats=200, seed=0)
    np.testing.assert_allclose(one["spearman"], shifted["spearman"], atol=1e-12)
    np.testing.assert_allclose(one["pearson"], shifted["pearson"], atol=1e-12)


def test_more_repeats_begin_with_the_same_samples():
    truth, prediction = noisy(500)
    few, many = (metrics.resampled(truth, prediction, repeats=n, seed=0) for n in (50, 4100))
    for name in metrics.METRICS:  # more than are drawn in one go
        assert many[name].shape == (4100,)
        assert (many[name][:50] == few[name]).all()
        assert len(set(many[name])) > 4000


def test_samples_without_a_correlation_are_nan():
    found = metrics.resampled(np.linspace(0, 1, 20), np.full(20, 0.5), repeats=10, seed=0)
    assert np.isnan(found["spearman"]).all()
    assert np.isnan(found["pearson"]).all()
    assert np.isfinite(found["mse"]).all()
    few = metrics.resampled(np.array([0.1, 0.2]), np.array([0.1, 0.2]), repeats=100, seed=0)
    assert 20 < np.isnan(few["spearman"]).sum() < 80  # both rows are the same one half of the time


def test_interval_is_the_percentile_one():
    samples = np.linspace(0, 1, 1001)
    assert metrics.interval(samples) == pytest.approx((0.025, 0.975))
    assert metrics.interval(samples, level=0.5) == pytest.approx((0.25, 0.75))
    assert metrics.interval(np.append(samples, [np.nan] * 50)) == pytest.approx((0.025, 0.975))
    assert metrics.interval(np.full(5, np.nan)) is None


def test_interval_of_a_mean_is_that_of_scipy():
    truth, prediction = noisy(150)
    samples = metrics.resampled(truth, prediction, repeats=4000, seed=0)
    error = np.abs(truth - prediction)
    expected = stats.bootstrap(
        (error,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert metrics.interval(samples["l1"]) == pytest.approx((expected.low, expected.high), abs=0.06 * width)
    assert width == pytest.approx(2 * 1.96 * error.std() / np.sqrt(150), rel=0.08)


def test_intervals_cover_the_truth_as_often_as_stated():
    expected = 0.15 * np.sqrt(2 / np.pi)  # mean of |N(0, 0.15)|
    covered = 0
    for seed in range(100):
        truth, prediction = noisy(80, seed=seed)
        low, high = metrics.interval(metrics.resampled(truth, prediction, repeats=200, seed=seed)["l1"])
        covered += low <= expected <= high
    assert 88 <= covered <= 99


# Human consistency


def simulated(*, pictures=300, responses=40, spread=0.15, seed=0):
    """Counts of pictures whose hit rates have the standard deviation `spread`."""
    rng = np.random.default_rng(seed)
    rate = np.clip(rng.normal(0.6, spread, pictures), 0.02, 0.98)
    total = np.full(pictures, responses)
    return rng.binomial(total, rate), rng.binomial(total, 0.1), total


def mean_split_half(*counts):
    return np.mean(metrics.split_half(*counts, repeats=10, seed=0))


def test_people_who_answer_at_random_do_not_agree():
    assert abs(mean_split_half(*simulated(spread=0.0))) < 0.12


def test_consistency_grows_with_responses_and_spread():
    few, some, many = (mean_split_half(*simulated(responses=n)) for n in (10, 40, 640))
    assert few + 0.1 < some < many - 0.1
    assert many > 0.9
    assert mean_split_half(*simulated(spread=0.05)) < some - 0.1


def test_consistency_is_near_the_reliability_of_a_half():
    hits, _, total = simulated(pictures=2000, responses=40)
    found = mean_split_half(hits, np.zeros(2000, int), total)
    rate = np.clip(np.random.default_rng(0).normal(0.6, 0.15, 2000), 0.02, 0.98)
    noise = (rate * (1 - rate)).mean() / 20
    assert found == pytest.approx(rate.var() / (rate.var() + noise), abs=0.04)


def test_consistency_is_that_of_halves_of_people():
    hits, alarms, total = simulated(pictures=150, responses=20)
    rng = np.random.default_rng(9)
    expected = []
    for _ in range(25):
        first, second = np.zeros(150), np.zeros(150)
        for i in range(150):
            for count, sign in ((hits[i], 1), (alarms[i], -1)):
                seen = rng.permutation(20) < count
                first[i] += sign * seen[:10].sum()
                second[i] += sign * seen[10:].sum()
        expected.append(stats.spearmanr(first, second).statistic)
    found = metrics.split_half(hits, alarms, total, repeats=25, seed=0)
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.03)
    assert np.std(found) == pytest.approx(np.std(expected), rel=0.6)


def test_one_correlation_a_repeat_by_the_seed():
    counts = simulated(pictures=40, responses=9)  # an odd number: halves of four and five
    one, two, other = (metrics.split_half(*counts, repeats=7, seed=s) for s in (0, 0, 1))
    assert one == two != other
    assert len(one) == 7
    assert all(-1 <= rho <= 1 for rho in one)


def test_pictures_may_differ_in_responses():
    hits, alarms, total = simulated(pictures=100)
    total = total + np.arange(100) % 13
    assert len(metrics.split_half(hits, alarms, total, repeats=3, seed=0)) == 3


def test_unanimous_people_agree_in_full():
    total = np.full(20, 10)
    hits = np.where(np.arange(20) % 2, 10, 0)
    assert metrics.split_half(hits, np.zeros(20, int), total, repeats=3, seed=0) == [1.0, 1.0, 1.0]


def test_each_half_is_scored_by_its_own_size():
    total = np.array([3, 2, 3, 2] * 5)
    hits = np.where(np.arange(20) % 4 < 2, total, 0)  # halves of 1 and 2, and of 1 and 1
    assert metrics.split_half(hits, np.zeros(20, int), total, repeats=2, seed=0) == [1.0, 1.0]


def test_no_consistency_without_spread_or_with_one_picture():
    assert metrics.split_half([5, 5], [0, 0], [5, 5], repeats=3, seed=0) == []
    assert metrics.split_half([3], [1], [8], repeats=3, seed=0) == []


@pytest.mark.parametrize(
    "counts", [([6], [0], [5]), ([0], [6], [5]), ([-1], [0], [5]), ([0], [-1], [5]), ([1], [0], [1])]
)
def test_impossible_counts_are_refused(counts):
    with pytest.raises(DataError, match="0 <= hits"):
        metrics.split_half(*(np.array([2, *c]) for c in counts), repeats=1, seed=0)


# Within category, extremes, spread


def test_within_category_is_weighted_by_size():
    rising, falling = np.linspace(0, 1, 30), np.linspace(1, 0, 10)
    truth = np.concatenate([np.linspace(0, 1, 30), np.linspace(0, 1, 10)])
    category = np.array(["a"] * 30 + ["b"] * 10)
    found = metrics.within_category(truth, np.concatenate([rising, falling]), category)
    assert found == pytest.approx((30 * 1 + 10 * -1) / 40)


def test_within_category_leaves_small_and_constant_ones_out():
    truth, category = np.linspace(0, 1, 39), np.array(["a"] * 20 + ["b"] * 9 + ["c"] * 10)
    prediction = np.where(category == "b", -truth, truth)
    prediction[category == "c"] = 0.5
    assert metrics.within_category(truth, prediction, category) == pytest.approx(1.0)
    assert metrics.within_category(truth, prediction, category, smallest=9) == pytest.approx((20 - 9) / 29)
    assert metrics.within_category(truth, prediction, category, smallest=21) is None


def test_a_model_of_categories_alone_has_nothing_within():
    category = np.repeat(["a", "b"], 50)
    truth = np.random.default_rng(0).random(100) + (category == "b")
    prediction = (category == "b") * 1.0
    assert metrics.spearman(truth, prediction) > 0.8
    assert metrics.within_category(truth, prediction, category) is None


def test_extremes_are_means_of_the_truth():
    truth, prediction = noisy(250, seed=3)
    found = metrics.extremes(truth, prediction)
    ranked = truth[np.argsort(prediction)]
    expected = {
        "top_20": ranked[-20:],
        "bottom_20": ranked[:20],
        "top_100": ranked[-100:],
        "bottom_100": ranked[:100],
    }
    assert found == pytest.approx({name: values.mean() for name, values in expected.items()})


@pytest.mark.parametrize(("n", "names"), [(39, set()), (40, {"top_20", "bottom_20"})])
def test_extremes_do_not_overlap(n, names):
    assert set(metrics.extremes(*noisy(n))) == names


def test_a_constant_has_no_extremes():
    assert metrics.extremes(np.linspace(0, 1, 300), np.full(300, 0.4)) == {}


@QUICK
@given(pairs)
def test_spread_is_that_of_numpy_and_scipy(columns):
    truth, prediction = columns
    found = metrics.spread(truth, prediction)
    assert found["wasserstein"] == pytest.approx(stats.wasserstein_distance(truth, prediction))
    ends = ("true_low", "true_high", "predicted_low", "predicted_high")
    assert [found[e] for e in ends] == [truth.min(), truth.max(), prediction.min(), prediction.max()]
    if not constant(truth):
        assert found["sd_ratio"] == pytest.approx(np.std(prediction) / np.std(truth))


def test_spread_in_closed_form():
    truth = np.array([0.25, 0.5, 0.75])
    assert metrics.spread(truth, truth + 0.125)["wasserstein"] == pytest.approx(0.125)
    assert metrics.spread(truth, 0.5 + (truth - 0.5) / 4)["sd_ratio"] == pytest.approx(0.25)
    assert metrics.spread(truth, np.full(3, 0.5))["sd_ratio"] == 0.0
    assert metrics.spread(np.full(3, 0.5), truth)["sd_ratio"] is None


# Models that rank


@QUICK
@given(pairs, st.integers(0, 99))
def test_correlations_are_those_of_the_ranking(columns, seed):
    truth, prediction = columns
    ranking = np.random.default_rng(seed).random(len(truth))
    found = metrics.measure(truth, prediction, ranking)
    by_prediction, by_ranking = metrics.measure(truth, prediction), metrics.measure(truth, ranking)
    assert {name: found[name] for name in ("l1", "mse")} == {
        name: by_prediction[name] for name in ("l1", "mse")
    }
    assert {name: found[name] for name in metrics.ORDER} == {name: by_ranking[name] for name in metrics.ORDER}


def test_resamples_of_the_ranking_are_those_of_the_prediction():
    truth, prediction = noisy(40)
    ranking = np.random.default_rng(7).random(40)
    both = metrics.resampled(truth, prediction, repeats=30, seed=3, ranking=ranking)
    by_prediction, by_ranking = (
        metrics.resampled(truth, values, repeats=30, seed=3) for values in (prediction, ranking)
    )
    for name in metrics.METRICS:
        expected = by_ranking if name in metrics.ORDER else by_prediction
        assert np.array_equal(both[name], expected[name])


def test_a_ranking_that_is_its_own_prediction_changes_nothing():
    truth, prediction = noisy(40)
    assert metrics.measure(truth, prediction, prediction) == metrics.measure(truth, prediction)


@pytest.mark.parametrize("ranking", [np.array([0.1, np.nan]), np.array([0.1]), np.zeros((2, 1))])
def test_bad_rankings_are_refused(ranking):
    truth = np.array([0.2, 0.4])
    for call in (
        lambda: metrics.measure(truth, truth, ranking),
        lambda: metrics.resampled(truth, truth, repeats=10, seed=0, ranking=ranking),
    ):
        with pytest.raises(DataError, match=r"must be (finite|non-empty)"):
            call()


# Relative scores


@QUICK
@given(st.lists(st.integers(1, 12).map(lambda i: i / 12), min_size=1, max_size=40).map(np.array))
def test_relative_scores_are_as_the_report_has_them(values):
    n = len(values)
    found = {method: metrics.rank_transform(values, method) for method in metrics.RANKS}
    assert np.array_equal(found["halved"], values / 2)
    places = {place: k + 1 for k, place in enumerate(sorted(range(n), key=lambda i: (values[i], i)))}
    assert found["ordinal"] == pytest.approx([places[i] / n for i in range(n)])
    assert found["max"] == pytest.approx([sum(values <= value) / n for value in values])
    different = sorted(set(values))
    dense = [(different.index(value) + 1) / len(different) for value in values]
    assert found["dense"] == pytest.approx(dense)
    for method in ("ordinal", "max", "dense"):
        assert found[method].min() > 0
        assert found[method].max() == 1


@QUICK
@given(pairs)
def test_relative_scores_are_in_the_same_order(columns):
    values, other = columns
    for method in ("halved", "max", "dense"):
        assert metrics.spearman(metrics.rank_transform(values, method), other) == metrics.spearman(
            values, other
        )


def test_a_rank_transform_that_is_not_known():
    with pytest.raises(DataError, match="'average' is not known; valid: halved, ordinal, max, dense"):
        metrics.rank_transform(np.array([0.1, 0.2]), "average")
