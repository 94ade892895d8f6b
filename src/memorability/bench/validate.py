"""Any models' scores against people's answers: how much of what can be predicted they predict, and which does so better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from memorability.bench import partial
from memorability.bench.answers import Answers, lines, numbers_of, refuse
from memorability.bench.halves import scored
from memorability.bench.reliability import Reliability, reliability
from memorability.core.errors import DataError
from memorability.data.datasets.common import read_csv
from memorability.evaluation import Judged, Resampled
from memorability.evaluation.comparisons import comparisons
from memorability.evaluation.score_calibration import calibration
from memorability.evaluation.scores import MEASURES, resampled
from memorability.evaluation.statistics import interval

Array = np.ndarray
BOOTSTRAP: Final = 2000
BINS: Final = 10
LEAST: Final = 10  # items
PREDICTED: Final = "predicted_score"


@dataclass(frozen=True)
class Validation:
    """What models are worth on new answers.

    `models`: model, n, rho, r, mse, each with its interval, share (of the ceiling) with its, slope and intercept of the line from
    prediction to score, and partial_rho given the confounds (NaN without any). `pairs`: `evaluation.comparisons`. `curves`: model,
    predicted, score, low, high, n in bins of equally many items. `people`: None where answers are too few to halve.
    `rows`: item, score, a column a model. `left_out`: items of predictions or of answers alone.
    """

    models: pd.DataFrame
    pairs: pd.DataFrame
    curves: pd.DataFrame
    people: Reliability | None
    rows: pd.DataFrame
    measure: str
    confounds: tuple[str, ...]
    left_out: tuple[int, int]


def read_numbers(
    path: Path, *, item: str = "item", columns: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """A table of an item and numbers, such as one of predictions or of confounds: item, and a float column for each; and what
    is to be said of columns that are not read.

    Without `columns`, all that hold numbers are read (`answers.numbers_of`).

    Raises:
        DataError: a column is not there, an item is missing or twice, or a number is missing or not finite (it names the rows).
    """
    table = read_csv(path, [item, *columns])
    numbers, said = numbers_of(table, path, beside=(item, "item"), named=columns)
    if "item" in numbers:
        raise DataError(
            f"{path}: item: received as a column of numbers, with {item} for the items; valid: another name"
        )
    if numbers.columns.empty:
        raise DataError(f"{path}: no column of numbers beside {item}; it has {', '.join(table.columns)}")
    rows = table[[item]].rename(columns={item: "item"}).assign(line=np.arange(2, len(table) + 2))
    wrong = [
        *lines(rows, rows["item"].isna(), "no item"),
        *lines(rows, rows["item"].duplicated() & rows["item"].notna(), "the item is there twice", "item"),
    ]
    for name in numbers:
        finite = np.isfinite(numbers[name].to_numpy())
        wrong += lines(rows, pd.Series(~finite), f"{name} is no finite number")
    refuse(wrong, str(path), of=len(table))
    return rows[["item"]].join(numbers), said


def validate(
    predictions: pd.DataFrame,
    answers: Answers,
    *,
    measure: str = "corrected",
    confounds: pd.DataFrame | None = None,
    repeats: int = 100,
    bootstrap: int = BOOTSTRAP,
    seed: int = 0,
) -> Validation:
    """Holds every column of predictions against the scores of the answers, on the items that both have.

    Intervals are of the bootstrap over items. The share of the ceiling is rho / the root of the reliability (Spearman 1904).

    Args:
        predictions: item, and a float column for each model; one called score is `predicted_score` beside people's.
        measure: of `data.recognition.MEASURES`.
        confounds: item, and float columns that partial correlations hold constant.

    Raises:
        DataError: under 10 items in both, a score that is constant, predictions of both names, or confounds that lack items.
    """
    if {"score", PREDICTED} <= set(predictions):
        raise DataError(
            f"predictions: score would be called {PREDICTED}, and there is one beside it; valid: another name, or one of "
            "the two by --models"
        )
    score = _scores(answers, measure)
    rows = score.merge(predictions.rename(columns={"score": PREDICTED}), on="item", how="inner")
    rows = rows.sort_values("item", ignore_index=True)
    if len(rows) < LEAST:
        raise DataError(
            f"{len(rows)} items are in the predictions and in the answers; valid: {LEAST} or more. Items of the predictions are "
            f"such as {predictions['item'].iloc[0]!r}, of the answers {score['item'].iloc[0]!r}"
        )
    truth = rows["score"].to_numpy(float)
    if np.ptp(truth) == 0:
        raise DataError(
            f"{measure} is {truth[0]:g} of all {len(rows)} items: constant scores cannot be predicted"
        )
    others = None if confounds is None else _aligned(confounds, rows["item"])
    people = _people(answers, rows["item"], measure, repeats, seed)
    tests: dict[str, Resampled] = {}
    measured, curves = [], []
    for name in rows.columns.drop(["item", "score"]):
        said = rows[name].to_numpy(float)
        judged = Judged(pd.DataFrame({"id": rows["item"]}), truth, said)
        tests[str(name)] = resampled(judged, repeats=bootstrap, seed=seed)
        measured.append(_line(str(name), tests[str(name)], truth, said, people, others, bootstrap, seed))
        curves.append(curve(truth, said).assign(model=name))
    left_out = (len(predictions) - len(rows), len(score) - len(rows))
    pairs = comparisons(tests, MEASURES, compared=("spearman", "pearson"))
    names = () if confounds is None else tuple(map(str, confounds.columns.drop("item")))
    return Validation(
        pd.DataFrame(measured),
        pairs,
        pd.concat(curves, ignore_index=True),
        people,
        rows,
        measure,
        names,
        left_out,
    )


def _scores(answers: Answers, measure: str) -> pd.DataFrame:
    items = answers.items
    names = ("hits", "responses", "false_alarms", "false_alarm_responses")
    hits, old, alarms, new = (items[name].to_numpy(float) for name in names)
    values = scored(measure, (hits, old, alarms, new))
    if not np.isfinite(values).any():
        raise DataError(
            f"{measure}: no item has the answers that it needs; take hit_rate, which needs old trials alone"
        )
    return items[["item"]].assign(score=values).dropna(ignore_index=True)


def _people(answers: Answers, items: pd.Series, measure: str, repeats: int, seed: int) -> Reliability | None:
    kept = answers.items[answers.items["item"].isin(items)].reset_index(drop=True)
    trials = None if answers.trials is None else answers.trials[answers.trials["item"].isin(items)]
    try:
        return reliability(Answers(kept, trials), measure=measure, repeats=repeats, bootstrap=200, seed=seed)
    except DataError:  # too few answers to be halved: there is no ceiling, and all else holds
        return None


def _aligned(confounds: pd.DataFrame, items: pd.Series) -> Array:
    found = confounds.set_index("item").reindex(items)
    missing = found.index[found.isna().any(axis=1)]
    if len(missing):
        raise DataError(
            f"confounds: nothing, or NaN, for {len(missing)} of {len(items)} items, such as {missing[0]!r}"
        )
    return found.to_numpy(float)


def _line(
    name: str,
    test: Resampled,
    truth: Array,
    said: Array,
    people: Reliability | None,
    others: Array | None,
    bootstrap: int,
    seed: int,
) -> Mapping[str, float | str | None]:
    line: dict[str, float | str | None] = {"model": name, "n": len(truth)}
    for measure, short in (("spearman", "rho"), ("pearson", "r"), ("mse", "mse")):
        low, high = interval(test.samples[measure], n=len(truth)) or (None, None)
        line |= {short: test.values[measure], f"{short}_low": low, f"{short}_high": high}
    ceiling = None if people is None else people.attainable
    for end in ("", "_low", "_high"):
        value = line[f"rho{end}"]
        line[f"share{end}"] = None if ceiling is None or value is None else float(value) / ceiling
    fitted = calibration(truth, said, repeats=100, seed=seed)
    line |= {"slope": fitted["slope"], "intercept": fitted["intercept"], "partial_rho": None}
    if others is not None:
        line["partial_rho"] = partial.partial(said, truth, others, ranks=True)
    return line


def curve(truth: Array, said: Array, *, bins: int = BINS) -> pd.DataFrame:
    """Mean score of bins of equally many items over their mean prediction, with its 95 % interval by Student's t.

    Returns:
        predicted, score, low, high, n: a row a bin; fewer where predictions are equal.
    """
    order = pd.Series(said).rank(method="first").to_numpy()
    which = np.minimum(((order - 1) * bins / len(said)).astype(int), bins - 1)
    found = []
    for number in np.unique(which):
        values = truth[which == number]
        n = len(values)
        half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        mean = values.mean()
        found.append((said[which == number].mean(), mean, mean - half, mean + half, n))
    return pd.DataFrame(found, columns=["predicted", "score", "low", "high", "n"])
