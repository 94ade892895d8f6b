"""Drawing who trains, validates and is tested: from a seed, and never through a group of near-duplicates."""

from __future__ import annotations

import numpy as np


def random_split(groups: np.ndarray, *, val: float, test: float, seed: int) -> np.ndarray:
    """Seeded random split in which every group stays whole.

    In random order each group goes to test if there is room for it within its share, else to val,
    else to train.

    Args:
        groups: group number of each row, [N].
        val, test: shares in [0, 1) of the rows.

    Returns:
        split name of each row, [N].
    """
    names, sizes = np.unique(groups, return_counts=True)
    room = {"test": round(test * len(groups)), "val": round(val * len(groups))}
    by_group = np.full(len(names), "train", dtype="<U10")
    for i in np.random.default_rng(seed).permutation(len(names)):
        for part, left in room.items():
            if sizes[i] <= left:
                by_group[i] = part
                room[part] -= int(sizes[i])
                break
    return by_group[np.searchsorted(names, groups)]


def fold_numbers(groups: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """Deals whole groups to `folds` folds, the next one always to the smallest fold.

    Returns:
        fold number of each row in [0, folds), [N].
    """
    names, sizes = np.unique(groups, return_counts=True)
    filled, by_group = np.zeros(folds, int), np.empty(len(names), int)
    for i in np.random.default_rng(seed).permutation(len(names)):
        by_group[i] = smallest = int(np.argmin(filled))
        filled[smallest] += sizes[i]
    return by_group[np.searchsorted(names, groups)]


def fold_split(groups: np.ndarray, fold: np.ndarray, *, test_fold: int, val: float, seed: int) -> np.ndarray:
    """Fold `test_fold` is test; of the others a seeded share `val` of all rows validates.

    Returns:
        split name of each row, [N].
    """
    inside = fold == test_fold
    split = np.full(len(fold), "test", dtype="<U10")
    share = val * len(fold) / max(1, (~inside).sum())
    split[~inside] = random_split(groups[~inside], val=share, test=0.0, seed=seed + test_fold + 1)
    return split
