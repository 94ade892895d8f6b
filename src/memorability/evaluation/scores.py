"""Judging models of scores; the names are those of `memorability.evaluation.Judge`.

A model's predictions are a table, `predictions.csv`: id, split, score (the truth), prediction, of a model that ranks
`ranking` in [0, 1], of one that sorts scores into classes `class` and `true_class`, and of one that says something of
each frame NAME_0, NAME_1 and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.data import tables
from memorability.evaluation import (
    Array,
    Judged,
    Measure,
    Measured,
    Resampled,
    Truth,
    conformal,
    people,
    predictions,
    score_measures,
)
from memorability.evaluation.settings import Evaluate
from memorability.evaluation.statistics import Ranks, resamples

MEASURES = {
    "spearman": Measure(score_measures.spearman, higher_is_better=True, label="rho", digits=3),
    "pearson": Measure(score_measures.pearson, higher_is_better=True, label="r", digits=3),
    "l1": Measure(score_measures.l1, higher_is_better=False, label="L1", digits=4),
    "mse": Measure(score_measures.mse, higher_is_better=False, label="MSE", digits=4),
}
COMPARED = ("spearman", "mse")
CORRELATIONS = ("spearman", "pearson")  # judge the ranking of a model that ranks, the others its prediction


def for_target(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """The score and the answers of `target` in the columns score, hits and so on; without a score: unlabelled."""
    return tables.for_target(rows, target).reset_index(drop=True)


def read_truth(rows: pd.DataFrame, *, settings: Any, raw: Path, threads: int) -> Truth:
    """The scores of all rows, NaN where there is none."""
    return Truth(rows["score"].to_numpy(float), np.arange(len(rows)))


def as_floats(values: Array) -> Array:
    """Scores are what they are."""
    return values


def build_options(values: Array) -> dict[str, Any]:
    """None: a network of scores has one output."""
    return {}


def write(
    folder: Path, rows: pd.DataFrame, kept: Array, prediction: Array, more: Mapping[str, Array]
) -> None:
    """Args: prediction, and each of `more`, [M], of the rows `kept`; `rows` with the split that is to be written."""
    table = rows[["id", "split", "score"]].iloc[kept].assign(prediction=prediction, **more)
    tables.write(table, folder / predictions.TABLE)


def read(folder: Path, rows: pd.DataFrame, *, raw: Path, settings: Evaluate, threads: int) -> Judged:
    """Raises: DataError, as `predictions.joined`."""
    rows, table = predictions.joined(folder, rows, columns=("prediction",))
    ranking = table["ranking"].to_numpy(float) if "ranking" in table else None
    more = table.drop(columns=["id", "split", "score", "prediction", "ranking"], errors="ignore")
    truth, prediction = rows["score"].to_numpy(float), table["prediction"].to_numpy(float)
    return Judged(rows, truth, prediction, ranking, more)


def measure(truth: Array, prediction: Array, ranking: Array | None = None) -> Measured:
    """All of `MEASURES` by name."""
    ranked = prediction if ranking is None else ranking
    return {
        name: measure.function(truth, ranked if name in CORRELATIONS else prediction)
        for name, measure in MEASURES.items()
    }


def resampled(judged: Judged, *, repeats: int, seed: int) -> Resampled:
    """Raises: DataError, as the measures."""
    values = measure(judged.truth, judged.prediction, judged.ranking)
    truth, ranked = judged.truth, judged.prediction if judged.ranking is None else judged.ranking
    t, r = truth - truth.mean(), ranked - ranked.mean()
    error = truth - judged.prediction
    columns = np.stack([t, r, t * t, r * r, t * r, np.abs(error), error * error], axis=1)
    true_ranks, ranks = Ranks(truth), Ranks(ranked)
    parts: dict[str, list[Array]] = {name: [] for name in MEASURES}
    for counts in resamples(len(truth), repeats=repeats, seed=seed).counts():
        (a, a_squares), (b, b_squares) = true_ranks.of(counts), ranks.of(counts)
        mt, mr, mtt, mrr, mtr, l1, mse = (counts @ columns).T / len(truth)
        constant = (a_squares == 0) | (b_squares == 0)
        products = np.einsum("bn,bn,bn->b", counts, a, b)
        parts["spearman"].append(_ratio(products, a_squares * b_squares, constant))
        parts["pearson"].append(_ratio(mtr - mt * mr, (mtt - mt * mt) * (mrr - mr * mr), constant))
        parts["l1"].append(l1)
        parts["mse"].append(mse)
    samples = {name: np.concatenate(part) for name, part in parts.items()}
    items = pd.DataFrame({"id": judged.rows["id"], "truth": truth, "prediction": judged.prediction})
    return Resampled(values, samples, items)


def _ratio(products: Array, squares: Array, constant: Array) -> Array:
    """A correlation of its parts: [B], NaN where a side is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(constant, np.nan, np.clip(products / np.sqrt(squares), -1, 1))


def describe(judged: Judged, items: pd.DataFrame) -> dict[str, Any]:
    """Spearman within categories, the truth of extreme predictions, and how far predictions spread.

    Of a model that ranks also the share of pairs in the right order; of one that sorts into classes its accuracy.
    """
    ranked = judged.prediction if judged.ranking is None else judged.ranking
    described: dict[str, Any] = {}
    if judged.ranking is not None:
        described["scores_from_ranks_by"] = "isotonic regression on val"
        described["pair_accuracy"] = score_measures.pair_accuracy(judged.truth, ranked)
    if judged.more is not None and "true_class" in judged.more:
        described["accuracy"] = float((judged.more["class"] == judged.more["true_class"]).mean())
    if judged.rows["category"].notna().all():
        category = judged.rows["category"].to_numpy(str)
        described["spearman_within_category"] = score_measures.within_category(judged.truth, ranked, category)
    extremes = score_measures.extremes(judged.truth, ranked)
    return described | extremes | score_measures.spread(judged.truth, judged.prediction)


def coverage(judged: Judged) -> dict[str, Any]:
    """Of intervals on test rows that the residuals of the validation rows make (`conformal.coverage`)."""
    return conformal.coverage(judged.of_split("val"), judged.of_split("test"))


def signs(report: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    """None: models of scores are judged by their splits alone."""
    return {}


def agreement(rows: pd.DataFrame, *, halves: int, seed: int) -> Measured:
    """`people.Agreement` by name, of `halves` random halves; empty where answers are not counted.

    Rows that lack a count, and those with under two answers, which have no halves, are left out. Where answers to new
    pictures are not counted apart, there were as many as to old ones.
    """
    counts = rows.reindex(columns=["hits", "false_alarms", "responses", "false_alarm_responses"])
    counts["false_alarm_responses"] = counts["false_alarm_responses"].fillna(counts["responses"])
    counts = counts.dropna()
    few = (counts[["responses", "false_alarm_responses"]] < 2).any(axis=1)
    counts = counts[~few.to_numpy(bool)]
    if len(counts) < 2:
        return {}
    by_name = {str(name): values.to_numpy(np.int64) for name, values in counts.items()}
    agreed = people.agreement(people.split_half(**by_name, repeats=halves, seed=seed))
    return {} if agreed is None else agreed._asdict()


def distances(judged: Judged, *, settings: Evaluate, models: Path, threads: int) -> dict[str, float]:
    """None: scores need no network to be measured by."""
    return {}
