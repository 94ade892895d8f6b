"""Cross-validation: every fold predicted by a model that never saw it, over several fold seeds; for any track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from memorability import families
from memorability.core import layout, states
from memorability.core.errors import DataError, ParamsError
from memorability.core.layout import ModelPaths
from memorability.core.progress import bar
from memorability.data import splits, tables
from memorability.data.settings import Split
from memorability.evaluation import Judged, judge, together
from memorability.evaluation.reports import agreement, measure
from memorability.evaluation.settings import Evaluate
from memorability.experiments.train import compute_of, train
from memorability.params import Params
from memorability.training.contract import ClosedForm
from memorability.training.fitting import Compute
from memorability.training.settings import Model

POOLED = "pooled"


class Fold(NamedTuple):
    """The rows of one fold, with their truth and the predictions of a model that was trained on the others."""

    seed: int
    number: int
    judged: Judged


def run(params: Params, name: str, *, folds: int, seeds: int) -> str:
    """Cross-validates the model `name` of a project; returns what came, for a terminal.

    Writes metrics/crossval/NAME.csv (the measures of each fold, and of all folds of a fold seed pooled) and, of scores,
    NAME.predictions.csv (every id with its out-of-fold predictions, one column a fold seed).
    """
    settings, split = params.model(name), params.split[params.head(name).track]
    paths = layout.model_paths(
        name, track=settings.track, input=settings.input, ensemble=params.is_ensemble(name)
    )
    rows = tables.read(Path(split.input) / "index.csv")
    state = layout.STATES / f"crossval-{name}"
    evaluate = params.evaluate[settings.track]
    tested = cross_validate(
        settings, rows, paths, compute_of(params),
        split=split, folds=folds, seeds=seeds, state=state, evaluate=evaluate,
    )  # fmt: skip
    measured, to = measures(tested, settings.track), layout.METRICS / "crossval"
    tables.write(measured.round(6), to / f"{name}.csv")
    if settings.track != "maps":
        tables.write(predictions(tested), to / f"{name}.predictions.csv")
    return "\n".join([text(name, measured), *_intervals(tested, settings, evaluate, seed=params.seed)])


def cross_validate(
    settings: Model,
    rows: pd.DataFrame,
    paths: ModelPaths,
    compute: Compute,
    *,
    split: Split,
    folds: int,
    seeds: int,
    state: Path,
    evaluate: Evaluate,
) -> list[Fold]:
    """Fits one model a fold, each tested on its fold alone.

    The folds are drawn anew under each of the fold seeds 0 to `seeds` - 1; with split method
    `published` they are the published splits instead. A finished fold is kept until all are, so a run
    that was stopped goes on.

    Args:
        rows: the index that the track's split reads.
        paths: what the model reads; what it writes goes into `state`, a folder for unfinished work.
        split: its val share validates within the other folds, of models that select by it; near-duplicates stay
            together.

    Raises:
        ParamsError: under 2 folds or 1 seed; or the model is an ensemble, whose members were fitted on one split and
            have seen what other folds would judge.
    """
    if getattr(settings, "members", ()):
        raise ParamsError(
            f"family {settings.family} reads predictions of models that were fitted on one split; they have seen "
            "what other folds would judge, so it cannot be cross-validated"
        )
    if isinstance(families.load(settings.family), ClosedForm):
        split = split.model_copy(update={"val": 0.0})  # which selects nothing here: it trains instead
    draws, judging, kept = _draws(rows, split, folds=folds, seeds=seeds), judge(settings.track), list[Fold]()
    key = (
        settings.model_dump_json(),
        draws[0].model_dump_json(),  # what the draws differ in names their folders
        rows.to_csv(index=False),
        repr(asdict(compute)),
        *origins(settings, paths),
    )
    with states.unfinished(state, *key) as folder:
        for drawn in bar(draws, of="folds", unit="fold"):
            table, _, _ = splits.split(rows, drawn)
            done = folder / f"{drawn.seed}-{drawn.fold}"
            if not done.is_dir():
                part = folder / "predictions"
                here = replace(paths, model=folder / "model", predictions=part, state=folder / "training")
                train(settings, table, here, compute)
                part.rename(done)
            judged = judging.read(
                done,
                judging.for_target(table, settings.target),
                raw=paths.raw,
                settings=evaluate,
                threads=compute.threads,
            )
            kept.append(Fold(drawn.seed, drawn.fold, judged.of_split("test")))
    return kept


def origins(settings: Model, paths: ModelPaths) -> list[str]:
    """What a model's input and backbone say they are made of."""
    folders = [paths.input, *([] if settings.backbone == "none" else [paths.models / settings.backbone])]
    files = [folder / "config.json" for folder in folders]
    return [file.read_text(encoding="utf-8") for file in files if file.is_file()]


def _draws(rows: pd.DataFrame, split: Split, *, folds: int, seeds: int) -> list[Split]:
    """The splits to go through, one a fold and seed."""
    if folds < 2 or seeds < 1:
        raise ParamsError(f"at least 2 folds and 1 seed, received {folds} and {seeds}")
    if split.method == "published":
        counts = rows["split"].dropna().map(lambda names: len(names.split())).groupby(rows["dataset"]).max()
        if len(set(counts[counts > 1])) > 1:
            raise DataError(
                f"the data sets publish different numbers of splits: {counts.to_dict()}; take one"
            )
        published = max((len(names.split()) for names in rows["split"].dropna()), default=1)
        return [split.model_copy(update={"fold": fold}) for fold in range(published)]
    given = {"method": "folds", "folds": folds}
    return [
        split.model_copy(update=given | {"fold": fold, "seed": seed})
        for seed in range(seeds)
        for fold in range(folds)
    ]


def by_seed(tested: Sequence[Fold]) -> dict[int, Judged]:
    """All folds of each fold seed as one."""
    seeds = dict.fromkeys(fold.seed for fold in tested)
    return {seed: together([fold.judged for fold in tested if fold.seed == seed]) for seed in seeds}


def measures(tested: Sequence[Fold], track: tables.Track) -> pd.DataFrame:
    """A line a fold and, where `fold` is `pooled`, one for all out-of-fold predictions of a fold seed."""
    judging = judge(track)

    def line(seed: int, fold: str, judged: Judged) -> dict[str, Any]:
        found = judging.measure(judged.truth, judged.prediction, judged.ranking)
        return {"fold_seed": seed, "fold": fold, "n": len(judged), **found}

    lines = [line(fold.seed, str(fold.number), fold.judged) for fold in tested]
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


def text(name: str, measured: pd.DataFrame) -> str:
    """Mean, SD and range of each measure: over single folds, and over the seeds of the pooled ones."""
    pooled = measured["fold"] == POOLED
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
