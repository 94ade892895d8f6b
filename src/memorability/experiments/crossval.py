"""Cross-validation of a model of a project: every item predicted by a model that never saw it; for any track."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core import layout
from memorability.core.errors import DataError, ParamsError
from memorability.core.layout import ModelPaths
from memorability.data import tables
from memorability.evaluation import Judged, judge
from memorability.evaluation.reports import agreement, measure
from memorability.evaluation.settings import Evaluate
from memorability.experiments import folds as outer
from memorability.experiments import gains, stacking
from memorability.experiments.folds import By, Fold, by_seed
from memorability.experiments.train import compute_of
from memorability.families import ensemble
from memorability.params import Params
from memorability.training.settings import Model

POOLED = "pooled"


def run(
    params: Params, name: str, *, folds: int, seeds: int, by: By = "fold", against: str | None = None
) -> str:
    """Cross-validates the model or ensemble `name` of a project; returns what came, for a terminal.

    Writes metrics/crossval/NAME.csv (the measures of each fold, and of all folds of a fold seed pooled); of scores,
    NAME.predictions.csv (every id with its out-of-fold predictions, one column a fold seed); of ensembles,
    NAME.weights.csv. By category NAME is NAME.by_category.

    Args:
        against: another model that was cross-validated in the same way, to be compared with, pair by pair.
    """
    theirs = None if against is None else _other(params, name, against, by=by)
    settings, called, to = params.model(name), _called(name, by), layout.METRICS / "crossval"
    evaluate = params.evaluate[settings.track]
    tested, learned = _tested(params, name, settings, folds=folds, seeds=seeds, by=by)
    measured = measures(tested, settings.track)
    tables.write(measured.round(6), to / f"{called}.csv")
    lines = [text(name, measured, by=by), *_intervals(tested, settings, evaluate, seed=params.seed)]
    if learned is not None:
        tables.write(learned.round(6), to / f"{called}.weights.csv")
        lines += _weights(learned)
    if settings.track != "maps":
        own = predictions(tested)
        tables.write(own, to / f"{called}.predictions.csv")
        if against is not None and theirs is not None:
            pairs = gains.paired(name, own, against, theirs, settings, evaluate, seed=params.seed)
            tables.write(pairs, to / f"{called}.against.{against}.csv")
            lines += gains.text(pairs, own)
    return "\n".join(lines)


def _tested(
    params: Params, name: str, settings: Model, *, folds: int, seeds: int, by: By
) -> tuple[list[Fold], pd.DataFrame | None]:
    """The folds of a model; of an ensemble also its weights in each."""
    split, compute = params.split[settings.track], compute_of(params)
    rows = tables.read(Path(split.input) / "index.csv")
    drawn = outer.draws(rows, split, folds=folds, seeds=seeds, by=by)
    state = layout.STATES / f"crossval-{_called(name, by)}"
    if isinstance(settings, ensemble.Params):
        members = {member: (params.model(member), _paths(params, member)) for member in settings.members}
        return stacking.cross_validate(
            settings, members, rows, compute, split=split, drawn=drawn, state=state
        )
    tested = outer.cross_validate(
        *(settings, rows, _paths(params, name), compute),
        split=split, drawn=drawn, state=state, evaluate=params.evaluate[settings.track],
    )  # fmt: skip
    return tested, None


def out_of_fold(name: str, *, by: By = "fold") -> pd.DataFrame:
    """What `run` wrote of the model `name`: id, score, and a column seed_N of predictions for each fold seed.

    Raises:
        DataError: it was not cross-validated so.
    """
    path = layout.METRICS / "crossval" / f"{_called(name, by)}.predictions.csv"
    if not path.is_file():
        option = "" if by == "fold" else " --by category"
        raise DataError(f"{path}: no such table; run memorability crossval {name}{option} first")
    return tables.read(path, columns=("id", "score", "seed_0"))


def _called(name: str, by: By) -> str:
    return name if by == "fold" else f"{name}.by_category"


def _paths(params: Params, name: str) -> ModelPaths:
    head = params.head(name)
    return layout.model_paths(name, track=head.track, input=head.input)


def _other(params: Params, name: str, other: str, *, by: By) -> pd.DataFrame:
    """The other model's predictions, asked for before anything is fitted."""
    one, two = params.head(name), params.head(other)
    if other == name or (one.track, one.target) != (two.track, two.target) or one.track == "maps":
        raise ParamsError(
            f"--against {other}: a model of {two.track}, {two.target}; valid: another one of {name}'s own scores "
            f"({one.track}, {one.target})"
        )
    return out_of_fold(other, by=by)


def measures(tested: Sequence[Fold], track: tables.Track) -> pd.DataFrame:
    """A line a fold and, where `fold` is `pooled`, one for all out-of-fold predictions of a fold seed."""
    judging = judge(track)

    def line(seed: int, fold: str, judged: Judged) -> dict[str, Any]:
        found = judging.measure(judged.truth, judged.prediction, judged.ranking)
        return {"fold_seed": seed, "fold": fold, "n": len(judged), **found}

    lines = [line(fold.seed, fold.name, fold.judged) for fold in tested]
    return pd.DataFrame([*lines, *(line(seed, POOLED, judged) for seed, judged in by_seed(tested).items())])


def predictions(tested: Sequence[Fold]) -> pd.DataFrame:
    """Every id with its score and, a column a fold seed, its out-of-fold predictions."""
    columns = {
        f"seed_{seed}": pd.Series(judged.prediction, index=judged.rows["id"].to_numpy(str))
        for seed, judged in by_seed(tested).items()
    }
    first = next(iter(by_seed(tested).values()))
    truth = pd.Series(first.truth, index=first.rows["id"].to_numpy(str), name="score")
    return pd.concat([truth, pd.DataFrame(columns)], axis=1).rename_axis("id").sort_index().reset_index()


def _weights(learned: pd.DataFrame) -> list[str]:
    lines = [f"  weights over {len(learned)} folds"]
    for column in learned.columns.drop(["fold_seed", "fold"]):
        values = learned[column].to_numpy(float)
        lines.append(f"    {column:16} mean {values.mean():.3f}  {values.min():.3f} to {values.max():.3f}")
    return lines


def _intervals(tested: Sequence[Fold], settings: Model, evaluate: Evaluate, *, seed: int) -> list[str]:
    """The first fold seed's measures with their intervals, within categories, and what people leave to attain."""
    judging = judge(settings.track)
    pooled = next(iter(by_seed(tested).values()))
    numbers, _ = measure(judging, pooled, settings=evaluate, seed=seed)
    first = judging.COMPARED[0]
    lines = ["  first fold seed, pooled, 95 % interval over pictures"]
    for name in judging.MEASURES:
        if numbers.get(f"{name}_low") is not None:
            lines.append(
                f"    {name:16} {numbers[name]:.4f}  {numbers[f'{name}_low']:.4f} to {numbers[f'{name}_high']:.4f}"
            )
    if (within := numbers.get(f"{first}_within_category")) is not None:
        lines.append(f"    {first} within categories {within:.4f}")
    people = agreement(judging, pooled.rows.assign(split="test"), settings=evaluate, seed=seed).get(
        "test", {}
    )
    if people.get("attainable"):
        share = numbers[first] / people["attainable"]
        lines.append(
            f"    people: split-half {people['split_half']:.3f}, attainable {people['attainable']:.3f}; "
            f"the model reaches {share:.0%} of it"
        )
    return lines


def text(name: str, measured: pd.DataFrame, *, by: By = "fold") -> str:
    """Mean, SD and range of each measure: over single folds, and over the seeds of the pooled ones; by category, each."""
    pooled = measured["fold"] == POOLED
    if by == "category":
        names = measured.columns.drop(["fold_seed", "fold", "n"])
        lines = [name, "  each category predicted by a model of the others"]
        for line in measured.fillna(np.nan).to_dict("records"):
            numbers = "  ".join(f"{of} {float(line[of]):.4f}" for of in names)
            lines.append(f"    {line['fold']:16} n {line['n']:<6} {numbers}")
        return "\n".join(lines)
    blocks = (
        (f"{(~pooled).sum()} folds, each by itself", measured[~pooled]),
        (f"out-of-fold predictions pooled, {pooled.sum()} fold seeds", measured[pooled]),
    )
    lines = [name]
    for title, part in blocks:
        lines.append(f"  {title}")
        for column in part.columns.drop(["fold_seed", "fold", "n"]):
            values = part[column].to_numpy(float)
            spread = f"SD {np.std(values, ddof=1):.4f}" if len(values) > 1 else "only one"
            lines.append(
                f"    {column:16} mean {values.mean():.4f}  {spread:9}  {values.min():.4f} to {values.max():.4f}"
            )
    return "\n".join(lines)
