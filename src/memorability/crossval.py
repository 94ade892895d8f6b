"""Cross-validation: every picture predicted once by a model that never saw it, over several fold seeds."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability import fitting, metrics, params, splits
from memorability.progress import bar


def out_of_fold(
    settings: params.Model,
    rows: pd.DataFrame,
    place: fitting.Place,
    *,
    split: params.Split,
    folds: int,
    fold_seed: int,
    **options: Any,
) -> pd.DataFrame:
    """Fits `folds` models, each tested on its fold, and joins their test predictions.

    Args:
        rows: a track's raw index; `place` as for `fitting.fit`, whose `options` are passed on.
        split: its val share validates within the other folds; near-duplicates stay together.

    Returns:
        the rows of all folds as a split table with the column `prediction`.
    """
    parts = []
    for fold in range(folds):
        drawn = split.model_copy(update={"method": "folds", "folds": folds, "fold": fold, "seed": fold_seed})
        table, _, _ = splits.split(rows, drawn)
        with tempfile.TemporaryDirectory() as scratch:
            here = replace(place, model=Path(scratch, "model"), history=Path(scratch, "history"))
            fitted = fitting.fit(settings, table, here, **options)
        tested = table.assign(prediction=fitted["prediction"].to_numpy(float))
        parts.append(tested[tested["split"] == "test"])
    return pd.concat(parts)


def cross_validate(
    settings: params.Model, rows: pd.DataFrame, place: fitting.Place, *, seeds: int, **options: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`out_of_fold` for fold seeds 0 to `seeds` - 1.

    Returns:
        the pooled out-of-fold measures of each fold seed, and the predictions under the first one.
    """
    found, first = [], pd.DataFrame()
    for seed in bar(range(seeds), of="fold seeds", unit="seed"):
        pooled = out_of_fold(settings, rows, place, fold_seed=seed, **options)
        first = pooled if seed == 0 else first
        truth, prediction = pooled["score"].to_numpy(float), pooled["prediction"].to_numpy(float)
        line: dict[str, Any] = {"fold_seed": seed, **metrics.measure(truth, prediction)}
        if pooled["category"].notna().all():
            category = pooled["category"].to_numpy(str)
            line["within_category"] = metrics.within_category(truth, prediction, category)
        found.append(line)
    return pd.DataFrame(found).astype(float).astype({"fold_seed": int}), first


def text(name: str, measured: pd.DataFrame) -> str:
    """Mean, SD and range over the fold seeds, a line a measure."""
    lines = [f"{name}: {len(measured)} fold seeds, pooled out-of-fold predictions"]
    for column in measured.columns.drop("fold_seed"):
        values = measured[column].to_numpy(float)
        spread = f"SD {np.std(values, ddof=1):.4f}" if len(values) > 1 else "one seed"
        lines.append(
            f"  {column:16} mean {values.mean():.4f}  {spread}  {values.min():.4f} to {values.max():.4f}"
        )
    return "\n".join(lines)
