"""The folds of a cross-validation: how rows are drawn, and one model of any track fitted on each draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from memorability import families
from memorability.core import states
from memorability.core.errors import DataError, ParamsError
from memorability.core.layout import ModelPaths
from memorability.core.progress import bar
from memorability.data import splits
from memorability.data.draws import fold_split
from memorability.data.settings import Split
from memorability.evaluation import Array, Judged, judge, together
from memorability.evaluation.settings import Evaluate
from memorability.experiments.train import train
from memorability.training.contract import ClosedForm
from memorability.training.fitting import Compute
from memorability.training.settings import Model

By = Literal["fold", "category"]

POOLED = "pooled"  # in place of a fold's name: all folds of a fold seed


class Fold(NamedTuple):
    """The rows of one fold, with their truth and the predictions of a model that was trained on the others.

    `name` is the fold's number, or the category that was left out.
    """

    seed: int
    name: str
    judged: Judged


@dataclass(frozen=True)
class Draw:
    """One way of splitting the rows: a fold of a fold seed, or a category that is left out. `place` counts them."""

    seed: int
    place: int
    name: str
    split: Split

    def table(self, rows: pd.DataFrame, *, val: float) -> pd.DataFrame:
        """The split table, whose test rows are this fold; of the others a share `val` of all rows validates.

        Where that is 0, nothing validates: what a published split names so trains too.
        """
        if self.split.method != "random":
            table = splits.split(rows, self.split.model_copy(update={"val": val}))[0]
            return table if val else table.assign(split=table["split"].mask(table["split"] == "val", "train"))
        table = splits.split(rows, self.split.model_copy(update={"val": 0.0}))[0]
        labelled = (table["split"] != "unlabelled").to_numpy(bool)
        inside = (table["category"] == self.name).to_numpy(bool)
        # Pictures of other categories that are nearly the same as one of this one would be trained on.
        near = ~inside & table["group"].isin(table["group"][inside]).to_numpy(bool)
        groups = table["group"].to_numpy(np.int64)
        names, drawn = np.full(len(table), "unlabelled"), labelled & ~near
        names[drawn] = fold_split(groups[drawn], inside[drawn], test_fold=1, val=val, seed=self.seed)
        return table.assign(split=names)[~near].reset_index(drop=True)


def draws(rows: pd.DataFrame, split: Split, *, folds: int, seeds: int, by: By = "fold") -> list[Draw]:
    """The splits to go through: one a fold and seed, one a published split, or one a category.

    Raises:
        ParamsError: under 2 folds or 1 seed.
        DataError: the data sets publish different numbers of splits; or, of categories, rows have none, or all the same.
    """
    if folds < 2 or seeds < 1:
        raise ParamsError(f"at least 2 folds and 1 seed, received {folds} and {seeds}")
    if by == "category":
        whole = split.model_copy(update={"method": "random", "test": 0.0})
        return [Draw(0, place, name, whole) for place, name in enumerate(_categories(rows))]
    if split.method == "published":
        published = range(_published(rows))
        return [Draw(split.seed, n, str(n), split.model_copy(update={"fold": n})) for n in published]
    found = []
    for seed in range(seeds):
        for n in range(folds):
            given = {"method": "folds", "folds": folds, "fold": n, "seed": seed}
            found.append(Draw(seed, n, str(n), split.model_copy(update=given)))
    return found


def _categories(rows: pd.DataFrame) -> list[str]:
    lacking = int(rows["category"].isna().sum()) if "category" in rows else len(rows)
    if lacking:
        raise DataError(f"{lacking} of {len(rows)} rows have no category; by category each must have one")
    names = sorted(set(rows["category"]))
    if len(names) < 2:
        raise DataError(f"at least 2 categories, to train on the others; all {len(rows)} rows are {names[0]}")
    return names


def _published(rows: pd.DataFrame) -> int:
    """How many splits the data sets publish."""
    names = rows["split"].dropna()
    counts = names.map(lambda text: len(text.split())).groupby(rows["dataset"]).max()
    if len(set(counts[counts > 1])) > 1:
        raise DataError(f"the data sets publish different numbers of splits: {counts.to_dict()}; take one")
    return max((len(text.split()) for text in names), default=1)


def cross_validate(
    settings: Model,
    rows: pd.DataFrame,
    paths: ModelPaths,
    compute: Compute,
    *,
    split: Split,
    drawn: Sequence[Draw],
    state: Path,
    evaluate: Evaluate,
) -> list[Fold]:
    """Fits one model a draw, each tested on its fold alone.

    A finished fold is kept until all are, so a run that was stopped goes on, with more fold seeds too.

    Args:
        rows: the index that the track's split reads.
        paths: what the model reads; what it writes goes into `state`, a folder for unfinished work.
        split: its val share validates within the other folds, of models that select by it.
    """
    val, judging, tested = val_share(settings, split), judge(settings.track), list[Fold]()
    with states.unfinished(state, *key({"": (settings, paths)}, rows, compute, drawn)) as folder:
        for draw in bar(drawn, of="folds", unit="fold"):
            table = draw.table(rows, val=val)
            done = folder / f"{draw.seed}-{draw.place}"
            if not states.sealed(done):
                here = replace(paths, model=folder / "model", predictions=done, state=folder / "training")
                train(settings, table, here, compute)
                states.seal(done)
            judged = judging.read(
                done,
                judging.for_target(table, settings.target),
                raw=paths.raw,
                settings=evaluate,
                threads=compute.threads,
            )
            tested.append(Fold(draw.seed, draw.name, judged.of_split("test")))
    return tested


def val_share(settings: Model, split: Split) -> float:
    """The share of the rows that validates: none of a closed form, where it selects nothing; it trains instead."""
    return 0.0 if isinstance(families.load(settings.family), ClosedForm) else split.val


def key(
    models: Mapping[str, tuple[Model, ModelPaths]],
    rows: pd.DataFrame,
    compute: Compute,
    drawn: Sequence[Draw],
) -> list[str]:
    """All that the fits of some models depend on, for `states.unfinished`."""
    made_of = [text for settings, paths in models.values() for text in origins(settings, paths)]
    return [
        *(f"{name} {settings.model_dump_json()}" for name, (settings, _) in models.items()),
        drawn[0].split.model_dump_json(),  # what the draws differ in names their files
        rows.to_csv(index=False),
        repr(asdict(compute)),
        *made_of,
    ]


def origins(settings: Model, paths: ModelPaths) -> list[str]:
    """What a model's inputs and backbone say they are made of."""
    inputs = [paths.input / name for name in settings.features] or [paths.input]
    folders = [*inputs, *([] if settings.backbone == "none" else [paths.models / settings.backbone])]
    files = [folder / "config.json" for folder in folders]
    return [file.read_text(encoding="utf-8") for file in files if file.is_file()]


def by_seed(tested: Sequence[Fold]) -> dict[int, Judged]:
    """All folds of each fold seed as one; an item that several published splits test has a row for each."""
    seeds = dict.fromkeys(fold.seed for fold in tested)
    return {seed: together([fold.judged for fold in tested if fold.seed == seed]) for seed in seeds}


def once(judged: Judged) -> Judged:
    """One row an item, in the order of their first: the mean of what was predicted of it, as resampling needs them.

    Truth is averaged too, since data sets may publish a score for each of their splits; a map is the same in all.
    """
    items, _ = pd.factorize(judged.rows["id"])
    _, first, counts = np.unique(items, return_index=True, return_counts=True)
    if len(first) == len(items):
        return judged

    def mean(values: Array) -> Array:
        total = np.zeros((len(first), *values.shape[1:]))
        np.add.at(total, items, values)
        return (total / counts.reshape(-1, *[1] * (values.ndim - 1))).astype(values.dtype)

    return Judged(
        judged.rows.iloc[first].reset_index(drop=True),
        mean(judged.truth) if judged.truth.ndim == 1 else judged.truth[first],
        mean(judged.prediction),
        None if judged.ranking is None else mean(judged.ranking),
    )


def repeated(tested: Sequence[Fold]) -> int:
    """How many items several draws of one fold seed test, as published splits do."""
    ids = next(iter(by_seed(tested).values())).rows["id"]
    return int(ids[ids.duplicated()].nunique())
