"""Splitting a track: who trains, who validates, who is tested. Near-duplicates never straddle."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from memorability import params, tables
from memorability.errors import DataError, listing


def split(rows: pd.DataFrame, settings: params.Split) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Checks a raw index and splits it.

    Returns:
        the split table (`memorability.tables.SPLIT`); id, fold and split of each row, for git; and a
        report: rows per split, groups of near-duplicates, which of them straddle a published split.
    """
    check(rows)
    groups = near_duplicates(list(rows["phash"]), bits=settings.near_duplicate_bits)
    labelled = ~rows["split"].eq("unlabelled").fillna(False).to_numpy(bool)
    names = np.full(len(rows), "unlabelled", dtype="<U10")
    folds = np.full(len(rows), -1)
    straddling: list[str] = []
    if settings.method == "published":
        names, straddling = published_split(rows, groups)
    elif settings.method == "folds":
        folds[labelled] = fold = fold_numbers(groups[labelled], folds=settings.folds, seed=settings.seed)
        names[labelled] = fold_split(
            groups[labelled], fold, test_fold=settings.fold, val=settings.val, seed=settings.seed
        )
    else:
        names[labelled] = random_split(
            groups[labelled], val=settings.val, test=settings.test, seed=settings.seed
        )
    table = rows.assign(split=names)[tables.SPLIT]
    ids = pd.DataFrame({"id": rows["id"], "fold": folds, "split": names})
    sizes = np.bincount(groups)
    report = {
        "rows": {name: int((names == name).sum()) for name in tables.SPLITS},
        "near_duplicate_groups": int((sizes > 1).sum()),
        "near_duplicate_pictures": int(sizes[sizes > 1].sum()),
        "near_duplicates_across_published_splits": straddling,
    }
    return table, ids, report


def check(rows: pd.DataFrame) -> None:
    """Raises one DataError that lists every row which cannot be used.

    Offences: a picture that is missing or undecodable, an id that appears twice, a score outside
    [0, 1], no score outside `unlabelled`, an unknown split name.
    """
    offences = [f"{r.id}: {r.problem}" for r in rows[rows["problem"].notna()].itertuples()]
    for name, count in rows["id"].value_counts().items():
        if count > 1:
            offences.append(f"{name}: this id appears {count} times")
    outside = rows[(rows["score"] < 0) | (rows["score"] > 1)]
    offences += [f"{r.id}: score {r.score} is outside [0, 1]" for r in outside.itertuples()]
    unlabelled = rows["split"].eq("unlabelled").fillna(False)
    offences += [f"{r.id}: no score" for r in rows[rows["score"].isna() & ~unlabelled].itertuples()]
    unknown = rows[rows["split"].notna() & ~rows["split"].isin(tables.SPLITS)]
    offences += [
        f"{r.id}: split {r.split!r} is none of {', '.join(tables.SPLITS)}" for r in unknown.itertuples()
    ]
    if offences:
        raise DataError(f"{len(offences)} problems in {len(rows)} rows:\n{listing(offences)}")


def near_duplicates(hashes: list[str], *, bits: int) -> np.ndarray:
    """Groups pictures whose perceptual hashes differ in at most `bits` of 64 (and chains of them).

    By the pigeonhole principle two such hashes agree in at least one of `bits` + 1 bands, so only
    pictures that share a band are compared.

    Returns:
        group number of each picture, int [N].
    """
    if not 0 <= bits <= 15:
        raise DataError(f"near-duplicate bits must be 0 to 15, received {bits}")
    values = np.array([int(h, 16) for h in hashes], dtype=np.uint64)
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    edges = np.linspace(0, 64, bits + 2).astype(int)
    for low, high in itertools.pairwise(edges):
        mask = (1 << int(high - low)) - 1
        band = (values >> np.uint64(low)) & np.uint64(mask)
        order = np.argsort(band, kind="stable")
        borders = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, borders):
            for position, i in enumerate(bucket[:-1]):  # a row at a time: large buckets stay small
                others = bucket[position + 1 :]
                close = others[np.bitwise_count(values[others] ^ values[i]) <= bits]
                left.append(np.full(len(close), i))
                right.append(close)
    rows, columns = np.concatenate(left), np.concatenate(right)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(values),) * 2)
    return connected_components(graph, directed=False)[1]


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


def published_split(rows: pd.DataFrame, groups: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The split as the data set states it, and the near-duplicates that straddle it, for a report."""
    if rows["split"].isna().any():
        lacking = rows[rows["split"].isna()]["dataset"].unique()
        raise DataError(
            f"split method 'published': {', '.join(lacking)} publishes no split; use 'random' or 'folds'"
        )
    split = rows["split"].to_numpy(str)
    straddling = pd.Series(split).groupby(groups).nunique()
    offenders = [" ~ ".join(rows["id"][groups == group]) for group in straddling.index[straddling > 1]]
    return split, offenders
