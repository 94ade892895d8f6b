"""Drawing parts and folds in whole groups."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from memorability.data import draws

QUICK = settings(deadline=None, max_examples=40)


def whole(groups, names):
    """Whether no group has rows under two names."""
    return (pd.Series(names).groupby(np.asarray(groups)).nunique() == 1).all()


# random_split

group_lists = st.lists(st.integers(0, 30), min_size=1, max_size=120).map(np.array)


@QUICK
@given(group_lists, st.floats(0, 0.45), st.floats(0, 0.45), st.integers(0, 9))
def test_random_split_keeps_groups_whole_and_shares_close(groups, val, test, seed):
    names = draws.random_split(groups, val=val, test=test, seed=seed)
    assert set(names) <= {"train", "val", "test"}
    assert whole(groups, names)
    largest = np.unique(groups, return_counts=True)[1].max()
    tested, validated = (names == "test").sum(), (names == "val").sum()
    assert test * len(groups) - largest - 1 < tested <= test * len(groups) + 0.5
    assert val * len(groups) - largest - 1 < validated <= val * len(groups) + 0.5


def test_random_split_without_groups_has_exact_shares():
    names = draws.random_split(np.arange(1000), val=0.15, test=0.25, seed=0)
    assert pd.Series(names).value_counts().to_dict() == {"train": 600, "test": 250, "val": 150}


def test_random_split_is_that_of_its_seed():
    one, two, other = (draws.random_split(np.arange(300), val=0.2, test=0.2, seed=s) for s in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_random_split_without_val_and_test_is_all_train():
    assert set(draws.random_split(np.arange(10), val=0.0, test=0.0, seed=0)) == {"train"}


# folds


@QUICK
@given(group_lists, st.integers(2, 8), st.integers(0, 9))
def test_fold_numbers_are_balanced_and_keep_groups_whole(groups, folds, seed):
    found = draws.fold_numbers(groups, folds=folds, seed=seed)
    assert whole(groups, found)
    sizes = np.bincount(found, minlength=folds)
    assert len(sizes) == folds
    assert sizes.max() - sizes.min() <= np.unique(groups, return_counts=True)[1].max()


def test_fold_numbers_without_groups_differ_by_one_at_most():
    sizes = np.bincount(draws.fold_numbers(np.arange(503), folds=5, seed=0))
    assert sorted(sizes) == [100, 100, 101, 101, 101]


def test_each_row_is_tested_by_exactly_one_fold():
    groups = np.random.default_rng(0).integers(0, 150, 400)
    fold = draws.fold_numbers(groups, folds=5, seed=0)
    runs = [draws.fold_split(groups, fold, test_fold=k, val=0.1, seed=0) for k in range(5)]
    tested = np.array([names == "test" for names in runs])
    assert (tested.sum(axis=0) == 1).all()
    for k, names in enumerate(runs):
        assert (tested[k] == (fold == k)).all()
        assert whole(groups, names)
        assert abs((names == "val").sum() - 40) <= np.bincount(groups).max()
        assert set(names) == {"train", "val", "test"}


def test_folds_validate_on_different_rows():
    groups = np.arange(200)
    fold = draws.fold_numbers(groups, folds=4, seed=0)
    runs = [draws.fold_split(groups, fold, test_fold=k, val=0.2, seed=0) == "val" for k in range(4)]
    assert all((a != b).any() for i, a in enumerate(runs) for b in runs[:i])
