"""Splitting a track: who trains, who validates, who is tested. Near-duplicates never straddle."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from memorability.core.errors import DataError, listing
from memorability.data import tables
from memorability.data.settings import Split

REPORTED = 100  # offenders in a report, which git keeps


def split(rows: pd.DataFrame, settings: Split) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Checks a raw index and splits it.

    Returns:
        the split table (see `memorability.data.tables`), with the group of near-duplicates of each row; id, fold and split of each row, for git; and a
        report: rows per split, rows left out and why, groups of near-duplicates, which of them
        straddle a published split.

    Raises:
        DataError: rows cannot be used and `on_bad_item` is `fail`, or none is left.
    """
    if settings.method == "published" and "split_scores" in rows:
        rows = rows.assign(score=published_scores(rows, fold=settings.fold))
    offences = problems(rows)
    if offences and settings.on_bad_item == "fail":
        raise DataError(
            f"{len(offences)} problems in {len(rows)} rows:\n{listing(text for _, text in offences)}\n"
            "Mend them, or leave these rows out: on_bad_item: skip in the split block."
        )
    left_out = {row for row, _ in offences}
    received = len(rows)
    rows = rows[~np.isin(np.arange(received), list(left_out))].reset_index(drop=True)
    if len(rows) == 0:
        raise DataError(f"none of {received} rows can be used:\n{listing(text for _, text in offences)}")
    if rows["phash"].isna().any():
        raise DataError("these rows have no perceptual hash: split.TRACK.input of clips is data/frames/NAME")
    groups = near_duplicates(list(rows["phash"]), bits=settings.near_duplicate_bits)
    folds = np.full(len(rows), -1)
    straddling: list[str] = []
    if settings.method == "published":
        names, straddling = published_split(rows, groups, settings)
    else:
        names = np.full(len(rows), "unlabelled", dtype="<U10")
        labelled = ~_unlabelled(rows)
        shares, seed = {"val": settings.val, "test": settings.test}, settings.seed
        if settings.method == "folds":
            folds[labelled] = fold = fold_numbers(groups[labelled], folds=settings.folds, seed=seed)
            names[labelled] = fold_split(
                groups[labelled], fold, test_fold=settings.fold, val=settings.val, seed=seed
            )
        else:
            names[labelled] = random_split(groups[labelled], **shares, seed=seed)
    table = rows.assign(split=names, group=groups)[tables.split(rows)]
    ids = pd.DataFrame({"id": rows["id"], "fold": folds, "split": names})
    sizes = np.bincount(groups)
    report = {
        "rows": {name: int((names == name).sum()) for name in tables.SPLITS},
        "left_out": len(left_out),
        "left_out_because": [text for _, text in offences[:REPORTED]],
        "near_duplicate_groups": int((sizes > 1).sum()),
        "near_duplicate_pictures": int(sizes[sizes > 1].sum()),
        "near_duplicates_across_published_splits": len(straddling),
        "such_as": straddling[:REPORTED],
    }
    return table, ids, report


def problems(rows: pd.DataFrame) -> list[tuple[int, str]]:
    """Every row of a raw index that cannot be used: its number and why, in order.

    Offences: a picture that is missing or undecodable, an id that appears twice, a score outside
    [0, 1], no score at all (or no map) outside `unlabelled`, an unknown split name.
    """
    unlabelled = _unlabelled(rows)
    unknown = rows["split"].map(_strange_names, na_action="ignore")
    counts = rows["id"].map(rows["id"].value_counts())
    scores = {name: rows[name].to_numpy(float) for name in tables.targets(rows) if name != "map"}
    if "map" in rows:
        lacking, none = "map", rows["map"].isna().to_numpy()
    else:
        lacking, none = "score", np.all([np.isnan(score) for score in scores.values()], axis=0)
    found = []
    for mask, text in (
        (rows["problem"].notna(), rows["problem"]),
        (counts > 1, "this id appears " + counts.astype(str) + " times"),
        *(
            (
                (score < 0) | (score > 1),
                f"{target.replace('_', '-')} "
                + rows[target].astype(str)
                + " is outside [0, 1]"
                + _hint(score),
            )
            for target, score in scores.items()
        ),
        (none & ~unlabelled & rows["problem"].isna().to_numpy(), f"no {lacking}"),
        (unknown.fillna("") != "", "split " + unknown + f" is none of {', '.join(tables.SPLITS)}"),
    ):
        texts = text if isinstance(text, pd.Series) else pd.Series(text, index=rows.index)
        found += [(int(i), f"{rows['id'].iloc[i]}: {texts.iloc[i]}") for i in np.flatnonzero(mask)]
    return found


def _unlabelled(rows: pd.DataFrame) -> np.ndarray:
    return rows["split"].eq("unlabelled").fillna(False).to_numpy(bool)


def _strange_names(published: str) -> str:
    return " ".join(repr(name) for name in published.split() if name not in (*tables.SPLITS, "-"))


def _hint(score: np.ndarray) -> str:
    """What scores that are all far over 1 probably are."""
    known = score[~np.isnan(score)]
    in_per_cent = len(known) > 0 and np.median(known) > 1 and known.min() >= 0 and known.max() <= 100
    return "; are they per cent? Data set `table` has `scale: 100` for those" if in_per_cent else ""


def near_duplicates(hashes: list[str], *, bits: int) -> np.ndarray:
    """Groups pictures whose perceptual hashes differ in at most `bits` of 64 (and chains of them).

    By the pigeonhole principle two such hashes agree in at least one of `bits` + 1 bands, so only
    pictures that share a band are compared.

    Returns:
        group number of each picture, int [N].
    """
    if not 0 <= bits <= 15:
        raise DataError(f"near-duplicate bits must be 0 to 15, received {bits}")
    everything = np.array([int(h, 16) for h in hashes], dtype=np.uint64)
    # Equal hashes are one group from the start: a set with many of them would fill the memory with pairs.
    values, which = np.unique(everything, return_inverse=True)
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
    groups = connected_components(graph, directed=False)[1][which]
    # Numbered as they first appear, so that a seed draws the same whatever the hashes are.
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


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


def published_scores(rows: pd.DataFrame, *, fold: int) -> pd.Series:
    """The scores in the published split `fold` of sets with some for each; the only ones of the others.

    Returns:
        score of each row, [N]; of a picture that is not in that split the mean of its others.
    """
    texts = [_of_fold(texts.split(), fold) for texts in rows["split_scores"].astype("string").fillna("-")]
    scores = [mean if text == "-" else float(text) for text, mean in zip(texts, rows["score"], strict=True)]
    return pd.Series(scores, index=rows.index, dtype=float)


def published_split(rows: pd.DataFrame, groups: np.ndarray, settings: Split) -> tuple[np.ndarray, list[str]]:
    """The split as the data sets state it; what they leave open is drawn.

    Where a data set publishes several splits, `settings.fold` picks one; pictures outside it are
    unlabelled. In a data set without a val part, val is drawn from train; a data set without a split
    is drawn whole. What is drawn never straddles: near-duplicates of a published picture go with it.

    Returns:
        split name of each row, [N], and the near-duplicates that straddle published parts.

    Raises:
        DataError: no data set publishes a split, or there is no such fold.
    """
    published = rows["split"].map(lambda names: _of_fold(names.split(), settings.fold), na_action="ignore")
    published = published.replace("-", "unlabelled")
    if published.isna().all():
        lacking = ", ".join(rows["dataset"].unique())
        raise DataError(f"split method 'published': {lacking} publishes no split; use 'random' or 'folds'")
    names = published.astype("string")
    judged = names.mask(names == "unlabelled")  # a picture without a part straddles nothing
    straddling = (judged.groupby(groups).transform("nunique") > 1) & judged.notna()
    offenders = rows["id"][straddling].groupby(groups[straddling])
    names = _val_from_train(names, rows["dataset"], groups, settings)
    known = names.mask(names == "unlabelled")
    names = names.fillna(known.groupby(groups).transform("first"))  # near-duplicates go with it
    free = names.isna().to_numpy()
    names[free] = random_split(groups[free], val=settings.val, test=settings.test, seed=settings.seed)
    return names.to_numpy(str), [" ~ ".join(found) for _, found in offenders]


def _val_from_train(names: pd.Series, dataset: pd.Series, groups: np.ndarray, settings: Split) -> pd.Series:
    """Moves a share of train to val in data sets that publish a split without val."""
    has_val = names.eq("val").fillna(False).groupby(dataset).transform("any")
    without = ~has_val & names.notna()
    eligible = (without & names.eq("train")).fillna(False)
    # A group of near-duplicates moves as a whole or, if a part of it may not move, not at all.
    free = (eligible | names.isna()).groupby(groups).transform("all") & eligible
    share = settings.val * without.sum() / max(1, free.sum())
    drawn = random_split(groups[free], val=min(share, 1.0), test=0.0, seed=settings.seed)
    return names.mask(free, pd.Series(drawn, index=names.index[free], dtype="string").reindex(names.index))


def _of_fold(names: list[str], fold: int) -> str:
    if len(names) > 1 and fold >= len(names):
        raise DataError(f"fold {fold}: {len(names)} splits are published; valid: 0 to {len(names) - 1}")
    return names[fold] if len(names) > 1 else names[0]  # one split is that of all folds
