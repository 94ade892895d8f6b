"""Splitting a track: who trains, who validates, who is tested. Near-duplicates never straddle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import DataError, listing
from memorability.data import duplicates, offenders, tables
from memorability.data.draws import fold_numbers, fold_split, random_split
from memorability.data.settings import Split

REPORTED = 100  # offenders in a report, which git keeps


def split(rows: pd.DataFrame, settings: Split) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Checks a raw index and splits it.

    Returns:
        the split table (see `memorability.data.tables`), with the group of near-duplicates of each row; id,
        fold and split of each row, for git; and a report: rows per split, rows left out and why, groups of
        near-duplicates, which of them straddle a published split, and what of a published split is not used.

    Raises:
        DataError: rows cannot be used and `on_bad_item` is `fail`, none is left, or a part that is asked for
            gets no row.
    """
    if settings.method == "published" and "split_scores" in rows:
        rows = rows.assign(score=published_scores(rows, fold=settings.fold))
    rows, offences = _usable(rows, settings)
    groups = duplicates.groups(rows, bits=settings.near_duplicate_bits)
    folds = np.full(len(rows), -1)
    straddling: list[str] = []
    if settings.method == "published":
        names, straddling = published_split(rows, groups, settings)
    else:
        names = np.full(len(rows), "unlabelled", dtype="<U10")
        labelled = ~offenders.unlabelled(rows)
        names[labelled], folds[labelled] = _drawn(groups[labelled], settings)
    _check_parts(names, rows, groups, settings)
    table = rows.assign(split=names, group=groups)[tables.split(rows)]
    ids = pd.DataFrame({"id": rows["id"], "fold": folds, "split": names})
    sizes = np.bincount(groups)
    report = {
        "rows": {name: int((names == name).sum()) for name in tables.SPLITS},
        "left_out": len({row for row, _ in offences}),
        "left_out_because": [text for _, text in offences[:REPORTED]],
        "near_duplicate_groups": int((sizes > 1).sum()),
        "near_duplicate_pictures": int(sizes[sizes > 1].sum()),
        "near_duplicates_across_published_splits": len(straddling),
        "such_as": straddling[:REPORTED],
    }
    return table, ids, report | _unused_split(rows, names, settings)


def _usable(rows: pd.DataFrame, settings: Split) -> tuple[pd.DataFrame, list[tuple[int, str]]]:
    """The rows that can be used, and what is wrong with the others."""
    offences = offenders.problems(rows)
    if offences and settings.on_bad_item == "fail":
        raise DataError(
            f"{len(offences)} problems in {len(rows)} rows:\n{listing(text for _, text in offences)}\n"
            "Mend them, or leave these rows out: on_bad_item: skip in the split block."
        )
    usable = rows[~np.isin(np.arange(len(rows)), [row for row, _ in offences])].reset_index(drop=True)
    if len(usable) == 0:
        raise DataError(f"none of {len(rows)} rows can be used:\n{listing(text for _, text in offences)}")
    if usable["phash"].isna().any():
        raise DataError("these rows have no perceptual hash: split.TRACK.input of clips is data/frames/NAME")
    return usable, offences


def _drawn(groups: np.ndarray, settings: Split) -> tuple[np.ndarray, np.ndarray]:
    """Split name and fold (-1 without folds) of each labelled row."""
    seed, val = settings.seed, settings.val
    if settings.method == "random":
        return random_split(groups, val=val, test=settings.test, seed=seed), np.full(len(groups), -1)
    fold = fold_numbers(groups, folds=settings.folds, seed=seed)
    return fold_split(groups, fold, test_fold=settings.fold, val=val, seed=seed), fold


def _check_parts(names: np.ndarray, rows: pd.DataFrame, groups: np.ndarray, settings: Split) -> None:
    """A part that is asked for and is empty would leave models unjudged without a word."""
    if (names == "unlabelled").all():
        return
    drawn = settings.method != "published" or rows["split"].isna().any()
    asked = {"train": True, "val": settings.val > 0, "test": drawn and settings.test > 0}
    asked["test"] |= settings.method == "folds"
    empty = [name for name, wanted in asked.items() if wanted and not (names == name).any()]
    if empty:
        sizes = np.bincount(groups)
        largest = rows["id"][groups == sizes.argmax()]
        why = "there are too few rows"
        if sizes.max() > 1:
            why = (
                f"the largest group of near-duplicates, which is never divided, has {sizes.max()} of them, such as "
                f"{', '.join(largest.head(3))}; near_duplicate_bits: null compares bytes alone"
            )
        raise DataError(f"{' and '.join(empty)} would be empty, of {len(rows)} rows: {why}")


def _unused_split(rows: pd.DataFrame, names: np.ndarray, settings: Split) -> dict[str, Any]:
    """What a drawn split leaves unused of one that came with the data."""
    parts = set(tables.LABELLED)
    came = rows["split"].map(lambda text: bool(parts & set(text.split())), na_action="ignore").fillna(False)
    if settings.method == "published" or not came.any():
        return {}
    test = rows["split"].eq("test").fillna(False).to_numpy(bool)
    trained = int((test & (names == "train")).sum())
    return {"published_split_not_used": int(came.sum()), "published_test_rows_in_train": trained}


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
