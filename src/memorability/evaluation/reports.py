"""One model's report: every measure on every split, from its predictions alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.evaluation import metrics

SPLITS = ("train", "val", "test")
DIGITS = 6  # written; far below any interval


def report(joined: pd.DataFrame, *, bootstrap: int, halves: int, seed: int) -> dict[str, Any]:
    """All measures of one model by split.

    Args:
        joined: rows of the split table with the column `prediction`.
        bootstrap, halves: resamples behind the intervals and behind the human consistency.

    Returns:
        split -> name -> number (None where a statistic does not exist). Where several data sets are
        combined, the numbers are of all pooled, and `by_dataset` has those of each.
    """
    found: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        part = joined[joined["split"] == split]
        if len(part):
            found[split] = rounded(_measure(part, bootstrap=bootstrap, halves=halves, seed=seed))
        if part["dataset"].nunique() > 1:
            found[split]["by_dataset"] = {
                str(name): rounded(_measure(rows, bootstrap=bootstrap, halves=halves, seed=seed))
                for name, rows in part.groupby("dataset", sort=True)
            }
    return found


def join(predictions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The split table's rows with their prediction (id by id), and their `ranking` by models that rank.

    Raises:
        DataError: a row has no prediction.
    """
    lacking = sorted(set(table["id"]) - set(predictions["id"]))
    if lacking:
        raise DataError(f"{len(lacking)} of {len(table)} rows have no prediction, such as {lacking[0]}")
    columns = [name for name in ("id", "prediction", "ranking") if name in predictions]
    return table.merge(predictions[columns], on="id", validate="one_to_one")


def judged(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Truth, prediction and, of models that rank, ranking of joined rows: float [N] each."""
    ranking = part["ranking"].to_numpy(float) if "ranking" in part else None
    return part["score"].to_numpy(float), part["prediction"].to_numpy(float), ranking


def _measure(part: pd.DataFrame, *, bootstrap: int, halves: int, seed: int) -> dict[str, Any]:
    truth, prediction, ranking = judged(part)
    ranked = prediction if ranking is None else ranking
    found: dict[str, Any] = {"n": len(part)}
    samples = metrics.resampled(truth, prediction, repeats=bootstrap, seed=seed, ranking=ranking)
    for name, value in metrics.measure(truth, prediction, ranking).items():
        interval = metrics.interval(samples[name]) if value is not None else None
        low, high = interval or (None, None)
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    if ranking is not None:
        found["scores_from_ranks_by"] = "isotonic regression on val"
    if part["category"].notna().all():
        category = part["category"].to_numpy(str)
        found["spearman_within_category"] = metrics.within_category(truth, ranked, category)
    consistency = human_consistency(part, repeats=halves, seed=seed)
    found["human_split_half_spearman"] = consistency
    return found | metrics.extremes(truth, ranked) | metrics.spread(truth, prediction)


def human_consistency(part: pd.DataFrame, *, repeats: int, seed: int) -> float | None:
    """Mean split-half Spearman of the participants; None where answers are not counted.

    Rows with under two answers, which have no halves, are left out.
    """
    part = part[part["responses"].isna() | (part["responses"] >= 2)]
    counts = part[["hits", "false_alarms", "responses"]]
    if counts.isna().any(axis=None) or len(part) < 2:
        return None
    hits, alarms, responses = (counts[name].to_numpy(np.int64) for name in counts)
    found = metrics.split_half(hits, alarms, responses, repeats=repeats, seed=seed)
    return float(np.mean(found)) if found else None


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in values.items()}
