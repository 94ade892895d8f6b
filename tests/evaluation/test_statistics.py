import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memorability.evaluation.score_measures import spearman
from memorability.evaluation.statistics import (
    SMALLEST,
    Ranks,
    Resamples,
    holm,
    interval,
    paired_p,
    resamples,
)

QUICK = settings(deadline=None, max_examples=50)
P = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array)


# Bootstrap samples


def rows_of(n, repeats, seed):
    """The samples themselves, as rows of indices."""
    return np.random.default_rng(seed).integers(0, n, (repeats, n))


def test_counts_are_those_of_the_samples():
    (counts,) = Resamples(7, repeats=5, seed=3).counts()
    expected = [np.bincount(rows, minlength=7) for rows in rows_of(7, 5, 3)]
    np.testing.assert_array_equal(counts, expected)


def test_more_repeats_begin_with_the_same_samples_whatever_is_drawn_at_once():
    few, many = (np.concatenate(list(Resamples(500, repeats=n, seed=0).counts())) for n in (50, 4100))
    assert many.shape == (4100, 500)  # more than are drawn in one go
    np.testing.assert_array_equal(many[:50], few)
    assert len({row.tobytes() for row in many}) == 4100


def test_samples_are_drawn_once_for_all_models():
    assert resamples(40, repeats=100, seed=0) is resamples(40, repeats=100, seed=0)
    assert resamples(40, repeats=100, seed=0) is not resamples(40, repeats=100, seed=1)


def test_means_are_those_of_the_values_that_exist():
    columns = np.random.default_rng(0).random((6, 2))
    columns[2, 1] = np.nan
    means = Resamples(6, repeats=40, seed=1).means(columns)
    for sample, mean in zip(rows_of(6, 40, 1), means, strict=True):
        assert mean[0] == pytest.approx(columns[sample, 0].mean())
        assert mean[1] == pytest.approx(np.nanmean(columns[sample, 1]))
    assert np.isnan(Resamples(3, repeats=4, seed=0).means(np.full((3, 1), np.nan))).all()


@QUICK
@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.integers(0, 99))
def test_ranks_are_those_of_scipy_within_each_sample(values, seed):
    values = np.array(values, float)
    (counts,) = Resamples(len(values), repeats=8, seed=seed).counts()
    ranks, squares = Ranks(values).of(counts)
    for sample, row, total in zip(rows_of(len(values), 8, seed), ranks, squares, strict=True):
        expected = stats.rankdata(values[sample])
        np.testing.assert_allclose(row[sample], expected - expected.mean(), atol=1e-12)
        assert total == pytest.approx(((expected - expected.mean()) ** 2).sum())
        assert (total == 0) == (np.ptp(values[sample]) == 0)


# Intervals


def test_interval_is_the_percentile_one():
    samples = np.linspace(0, 1, 1001)
    assert interval(samples, n=50) == pytest.approx((0.025, 0.975))
    assert interval(samples, n=50, level=0.5) == pytest.approx((0.25, 0.75))
    assert interval(np.append(samples, [np.nan] * 50), n=50) == pytest.approx((0.025, 0.975))
    assert interval(np.full(5, np.nan), n=50) is None


def test_too_few_rows_have_no_interval():
    samples = np.linspace(0, 1, 1001)
    assert interval(samples, n=SMALLEST) is not None
    assert interval(samples, n=SMALLEST - 1) is None


def test_interval_of_a_mean_is_that_of_scipy():
    error = np.abs(np.random.default_rng(0).normal(0, 0.15, 150))
    low, high = interval(Resamples(150, repeats=4000, seed=0).means(error[:, None])[:, 0], n=150)
    expected = stats.bootstrap(
        (error,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.06 * width)
    assert width == pytest.approx(2 * 1.96 * error.std() / np.sqrt(150), rel=0.08)


def test_intervals_cover_the_truth_as_often_as_stated():
    expected, covered = 0.15 * np.sqrt(2 / np.pi), 0  # mean of |N(0, 0.15)|
    for seed in range(100):
        error = np.abs(np.random.default_rng(seed).normal(0, 0.15, 80))
        low, high = interval(Resamples(80, repeats=200, seed=seed).means(error[:, None])[:, 0], n=80)
        covered += low <= expected <= high
    assert 88 <= covered <= 99


# Comparisons


def paired(values, *, seed=0):
    """p that the mean of differences is 0."""
    samples = Resamples(len(values), repeats=1000, seed=seed).means(values[:, None])[:, 0]
    return paired_p(values.mean(), samples, n=len(values))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3, 0.6])
def test_p_of_a_mean_is_that_of_the_t_test(shift):
    values = np.random.default_rng(1).normal(shift, 1, 120)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert np.log(paired(values)) == pytest.approx(np.log(expected), rel=0.12, abs=0.05)


def test_p_is_small_enough_to_survive_a_correction():
    assert 0 < paired(np.random.default_rng(1).normal(1, 1, 120)) * 1000 < 0.001


def test_p_of_what_cannot_be_told():
    values = np.random.default_rng(0).normal(5, 1, SMALLEST - 1)
    assert paired(values) == 1.0  # too few
    assert paired_p(0.0, np.zeros(100), n=50) == 1.0  # the same models
    assert paired_p(0.3, np.full(100, np.nan), n=50) == 1.0
    assert paired_p(0.3, np.full(100, 0.3), n=50) == 0.0  # by as much on every item


def test_p_is_uniform_where_models_do_not_differ():
    found = [paired(np.random.default_rng(seed).normal(0, 1, 40)) for seed in range(300)]
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_holm_as_published():
    """Holm 1979: the smallest of m times m, the next times m - 1, and none under one before it."""
    assert holm(np.array([0.04, 0.01, 0.03, 0.9])).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm(np.array([0.5, 0.5])).tolist() == [1.0, 1.0]
    assert len(holm(np.array([]))) == 0


@QUICK
@given(P)
def test_holm_is_between_the_p_itself_and_bonferroni(p):
    corrected = holm(p)
    assert (corrected >= p - 1e-15).all()
    assert (corrected <= np.minimum(1, len(p) * p) + 1e-15).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()


def test_of_many_true_hypotheses_hardly_ever_any_is_rejected():
    rng, any_plain, any_corrected = np.random.default_rng(0), 0, 0
    for _ in range(200):
        p = rng.random(100)
        any_plain += (p < 0.05).any()
        any_corrected += (holm(p) < 0.05).any()
    assert any_plain > 190
    assert any_corrected <= 18  # 5 % of 200, and some


def test_correlations_of_samples_are_those_of_the_rows():
    """The weights give what drawing rows gives."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 6, 25) / 5
    prediction = truth + rng.normal(0, 0.3, 25)
    (counts,) = Resamples(25, repeats=30, seed=4).counts()
    (a, aa), (b, bb) = Ranks(truth).of(counts), Ranks(prediction).of(counts)
    found = np.einsum("bn,bn,bn->b", counts, a, b) / np.sqrt(aa * bb)
    expected = [spearman(truth[rows], prediction[rows]) for rows in rows_of(25, 30, 4)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
