import numpy as np
import pandas as pd
import pytest
from scipy import stats

from memorability.core.errors import DataError
from memorability.evaluation import people, scores


def simulated(*, pictures=300, responses=40, spread=0.15, seed=0):
    """Counts of pictures whose hit rates have the standard deviation `spread`: hits, false alarms, responses."""
    rng = np.random.default_rng(seed)
    rate = np.clip(rng.normal(0.6, spread, pictures), 0.02, 0.98)
    total = np.full(pictures, responses)
    return rng.binomial(total, rate), rng.binomial(total, 0.1), total


def split_half(hits, alarms, total, new=None, *, repeats=10, seed=0):
    return people.split_half(hits, alarms, total, total if new is None else new, repeats=repeats, seed=seed)


def mean_split_half(*counts):
    return np.mean(split_half(*counts))


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
    found = split_half(hits, alarms, total, repeats=25)
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.03)
    assert np.std(found) == pytest.approx(np.std(expected), rel=0.6)


def test_one_correlation_a_repeat_by_the_seed():
    counts = simulated(pictures=40, responses=9)  # an odd number: halves of four and five
    one, two, other = (split_half(*counts, repeats=7, seed=s) for s in (0, 0, 1))
    assert one == two != other
    assert len(one) == 7
    assert all(-1 <= rho <= 1 for rho in one)


def test_pictures_may_differ_in_responses():
    hits, alarms, total = simulated(pictures=100)
    total = total + np.arange(100) % 13
    assert len(split_half(hits, alarms, total, repeats=3)) == 3


def test_unanimous_people_agree_in_full():
    total = np.full(20, 10)
    hits = np.where(np.arange(20) % 2, 10, 0)
    assert split_half(hits, np.zeros(20, int), total, repeats=3) == [1.0, 1.0, 1.0]


def test_each_half_is_scored_by_its_own_size():
    total = np.array([3, 2, 3, 2] * 5)
    hits = np.where(np.arange(20) % 4 < 2, total, 0)  # halves of 1 and 2, and of 1 and 1
    assert split_half(hits, np.zeros(20, int), total, repeats=2) == [1.0, 1.0]


def test_false_alarms_are_of_new_trials_however_many_there_were():
    """Twice as many new trials with the same rate give the same scores; counted by old ones, they would not."""
    hits = np.arange(30) % 11
    total, alarms = np.full(30, 10), np.where(np.arange(30) % 2, 10, 0)
    assert split_half(np.full(30, 10), 2 * alarms, total, 2 * total, repeats=2) == [1.0, 1.0]
    with pytest.raises(DataError):  # 20 of 10
        split_half(np.full(30, 10), 2 * alarms, total, repeats=2)
    noisy = [np.mean(split_half(hits, np.full(30, n // 2), total, np.full(30, n))) for n in (4, 4000)]
    assert noisy[0] + 0.1 < noisy[1]  # few new trials are noise


def test_no_consistency_without_spread_or_with_one_picture():
    assert split_half([5, 5], [0, 0], [5, 5], repeats=3) == []
    assert split_half([3], [1], [8], repeats=3) == []


@pytest.mark.parametrize(
    "counts", [([6], [0], [5]), ([0], [6], [5]), ([-1], [0], [5]), ([0], [-1], [5]), ([1], [0], [1])]
)
def test_impossible_counts_are_refused(counts):
    with pytest.raises(DataError, match="0 <= hits"):
        split_half(*(np.array([2, *c]) for c in counts), repeats=1)


# What that leaves to a model


def test_a_published_agreement_and_what_is_attainable():
    """MemCat's .78 between halves of the answers."""
    agreed = people.agreement([0.77, 0.79])
    assert agreed == pytest.approx((0.78, 2 * 0.78 / 1.78, np.sqrt(2 * 0.78 / 1.78)))
    assert agreed.reliability == pytest.approx(0.876, abs=5e-4)
    assert agreed.attainable == pytest.approx(0.936, abs=5e-4)


def test_reliability_is_that_of_twice_as_many_answers():
    """Spearman and Brown: of scores of all answers against scores of as many others."""
    rng = np.random.default_rng(3)
    rate = np.clip(rng.normal(0.6, 0.15, 3000), 0.02, 0.98)
    hits, others = (rng.binomial(40, rate) for _ in range(2))
    total, none = np.full(3000, 40), np.zeros(3000, int)
    found = people.agreement(split_half(hits, none, total))
    assert found.reliability == pytest.approx(stats.spearmanr(hits, others).statistic, abs=0.03)
    assert found.attainable == pytest.approx(stats.spearmanr(hits, rate).statistic, abs=0.03)


def test_people_who_disagree_leave_nothing_to_attain():
    assert people.agreement([-0.2]).attainable is None
    assert people.agreement([-1.0]) == (-1.0, -1.0, None)
    assert people.agreement([]) is None


# From tables


def rows(**columns):
    hits, alarms, total = simulated(pictures=60)
    counts = {"hits": hits, "false_alarms": alarms, "responses": total, "false_alarm_responses": total}
    return pd.DataFrame(counts | columns).astype("Int64")


def agreement(table):
    return scores.agreement(table, halves=5, seed=0)


def test_one_count_serves_both_where_new_trials_are_not_counted():
    missing = rows(false_alarm_responses=pd.NA)
    assert agreement(missing) == agreement(rows()) == agreement(rows().drop(columns="false_alarm_responses"))
    assert agreement(rows(false_alarm_responses=400)) != agreement(rows())
    assert list(agreement(rows())) == ["split_half", "reliability", "attainable"]


def test_rows_with_under_two_answers_have_no_halves():
    few = np.arange(60) % 9 == 0
    for column in ("responses", "false_alarm_responses"):
        some = rows()
        some[column] = some[column].where(~few, 1)
        some["hits"] = some[["hits", "responses"]].min(axis=1)
        some["false_alarms"] = some[["false_alarms", "false_alarm_responses"]].min(axis=1)
        assert agreement(some) == agreement(some[~few])


def test_rows_that_lack_a_count_are_left_out():
    some = rows()
    for row, column in enumerate(("hits", "false_alarms", "responses")):
        some.loc[row, column] = pd.NA
    assert agreement(some) == agreement(rows()[3:]) != {}


def test_without_counts_nothing_is_known():
    assert agreement(rows(hits=pd.NA)) == {}
    assert agreement(rows(responses=pd.NA, false_alarm_responses=pd.NA)) == {}
    assert agreement(rows()[:1]) == {}
    assert agreement(rows()[["hits"]]) == {}
