"""One model's report: every measure on every split, from its predictions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from memorability.data.tables import LABELLED
from memorability.evaluation import Judged, Measured, Resampled
from memorability.evaluation.protocols import Judge
from memorability.evaluation.settings import Evaluate
from memorability.evaluation.statistics import interval

DIGITS = 6  # written; far below any interval
BY_DATASET = "by_dataset"


def report(
    judge: Judge,
    judged: Judged,
    history: pd.DataFrame,
    *,
    settings: Evaluate,
    seed: int,
    models: Path,
    threads: int,
) -> tuple[dict[str, Any], Resampled | None]:
    """All measures of one model by split (of train, of the part that was predicted).

    Args:
        history: of its training, a line an epoch.
        models: folder of the networks that measure distances.

    Returns:
        split -> name -> number (None where a statistic does not exist), with NAME_low and NAME_high, the ends of its
        95 % bootstrap interval (None under `statistics.SMALLEST` rows). Where several data sets are combined, the
        numbers are of all pooled, and `by_dataset` has those of each. Beside the splits, what the judge says of
        the training. And the test split's measures with their samples, if it has rows.
    """
    written: dict[str, Any] = {}
    test: Resampled | None = None
    for split in LABELLED:
        part = judged.of_split(split)
        if len(part) == 0:
            continue
        written[split], measured = measure(judge, part, settings=settings, seed=seed)
        datasets = sorted(set(part.rows["dataset"]))
        if len(datasets) > 1:
            written[split][BY_DATASET] = {
                name: measure(judge, part.where(part.rows["dataset"] == name), settings=settings, seed=seed)[
                    0
                ]
                for name in datasets
            }
        if split == "test":
            test = measured
            distances = judge.distances(part, settings=settings, models=models, threads=threads)
            written[split] |= rounded(distances)
    return written | judge.signs(written, history), test


def measure(
    judge: Judge, judged: Judged, *, settings: Evaluate, seed: int
) -> tuple[dict[str, Any], Resampled]:
    """All measures of some rows, with intervals, as numbers to be written; and with their bootstrap samples."""
    resampled = judge.resampled(judged, repeats=settings.bootstrap, seed=seed)
    numbers: dict[str, Any] = {"n": len(judged)}
    for name, value in resampled.values.items():
        low, high = interval(resampled.samples[name], n=len(judged)) or (None, None)
        numbers |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return rounded(numbers | judge.describe(judged, resampled.items)), resampled


def evidence(judge: Judge, judged: Judged, *, seen: frozenset[str], fitted_on_val: bool) -> dict[str, Any]:
    """How far the test numbers, and intervals around single scores, may be believed.

    Args:
        seen: ids of which the model was fitted or selected on a near-duplicate.

    Returns:
        `seen`: how many test items are among these; `intervals`: `Judge.coverage`, of models not fitted on validation.
    """
    covered = {} if fitted_on_val else judge.coverage(judged)
    count = int(judged.of_split("test").rows["id"].isin(seen).sum())
    return {"seen": count} | ({"intervals": covered} if covered else {})


def agreement(judge: Judge, rows: pd.DataFrame, *, settings: Evaluate, seed: int) -> dict[str, Any]:
    """How far people agree on each split of the rows of `Judge.for_target`, and on each data set of several."""

    def of(part: pd.DataFrame) -> Measured:
        return rounded(judge.agreement(part, halves=settings.halves, seed=seed))

    agreed: dict[str, Any] = {}
    for split in LABELLED:
        part = rows[rows["split"] == split]
        if numbers := of(part):
            agreed[split] = numbers
            if part["dataset"].nunique() > 1:
                by_dataset = {str(name): of(one) for name, one in part.groupby("dataset", sort=True)}
                agreed[split] = numbers | {BY_DATASET: by_dataset}
    return agreed


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, DIGITS) if isinstance(value, float) else value for name, value in values.items()
    }
