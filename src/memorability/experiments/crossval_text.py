"""What a cross-validation says in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from memorability.evaluation import judge
from memorability.evaluation.reports import agreement, measure
from memorability.evaluation.settings import Evaluate
from memorability.experiments.folds import POOLED, By, Fold, by_seed, once, repeated
from memorability.training.settings import Model


def lines(
    name: str,
    measured: pd.DataFrame,
    tested: Sequence[Fold],
    settings: Model,
    evaluate: Evaluate,
    *,
    by: By,
    seed: int,
) -> list[str]:
    """The measures of `crossval.measures`, and the first fold seed's intervals."""
    return [text(name, measured, by=by), *_intervals(tested, settings, evaluate, seed=seed)]


def weights(learned: pd.DataFrame) -> list[str]:
    """Of `stacking.cross_validate`: the weight of each member over the folds."""
    lines = [f"  weights over {len(learned)} folds"]
    for column in learned.columns.drop(["fold_seed", "fold"]):
        values = learned[column].to_numpy(float)
        lines.append(f"    {column:16} mean {values.mean():.3f}  {values.min():.3f} to {values.max():.3f}")
    return lines


def _intervals(tested: Sequence[Fold], settings: Model, evaluate: Evaluate, *, seed: int) -> list[str]:
    """The first fold seed's measures with their intervals, within categories, and what people leave to attain."""
    judging = judge(settings.track)
    pooled = once(next(iter(by_seed(tested).values())))
    numbers, _ = measure(judging, pooled, settings=evaluate, seed=seed)
    first = judging.COMPARED[0]
    lines = [f"  first fold seed, pooled, 95 % interval over {len(pooled)} pictures"]
    if several := repeated(tested):
        lines.append(
            f"    {several} of them are tested by several splits: their predictions are averaged, one row a picture, "
            "before intervals and gains"
        )
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
        reached = (
            ""
            if numbers[first] is None
            else f"; the model reaches {numbers[first] / people['attainable']:.0%} of it"
        )
        lines.append(
            f"    people: split-half {people['split_half']:.3f}, attainable {people['attainable']:.3f}{reached}"
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
