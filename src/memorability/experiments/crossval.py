"""Cross-validation: every fold predicted by a model that never saw it, over several fold seeds."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core import states
from memorability.core.errors import DataError, ParamsError
from memorability.core.progress import bar
from memorability.data import splits, tables
from memorability.data.settings import Split
from memorability.evaluation import metrics
from memorability.evaluation import reports as evaluation
from memorability.training import fitting
from memorability.training.settings import Model

POOLED = "pooled"


def cross_validate(
    settings: Model,
    rows: pd.DataFrame,
    place: fitting.Place,
    compute: fitting.Compute,
    *,
    split: Split,
    folds: int,
    seeds: int,
    state: Path,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fits one model a fold, each tested on its fold alone.

    The folds are drawn anew under each of the fold seeds 0 to `seeds` - 1; with split method
    `published` they are the published splits instead. A finished fold is kept until all are, so a run
    that was stopped goes on.

    Args:
        rows: a track's raw index.
        split: its val share validates within the other folds; near-duplicates stay together.
        place: what the model reads; what it writes goes into `state`, a folder for unfinished work.

    Returns:
        the measures on each fold and, where `fold` is `pooled`, on all out-of-fold predictions of a
        fold seed; and the rows with these predictions under the first seed.
    """
    if settings.track == "maps":
        raise ParamsError(
            f"family {settings.family} predicts maps; cross-validation is of scores. For another fold of maps "
            "set split.maps.method: folds and its fold, then dvc repro compare@maps"
        )
    draws = _draws(rows, split, folds=folds, seeds=seeds)
    if settings.level > 0:
        raise ParamsError(
            f"family {settings.family} reads predictions of models that were fitted on one split; they have seen "
            "what other folds would judge, so it cannot be cross-validated"
        )
    key = (
        settings.model_dump_json(),
        draws[0].model_dump_json(),  # what the draws differ in names their files
        rows.to_csv(index=False),
        repr(asdict(compute)),
        *_origins(place),
    )
    kept = list[tuple[int, int, pd.DataFrame]]()
    with states.unfinished(state, *key) as folder:
        for fold_split in bar(draws, of="folds", unit="fold"):
            table, _, _ = splits.split(rows, fold_split)
            path = folder / f"{fold_split.seed}-{fold_split.fold}.csv"
            if not path.is_file():
                here = replace(
                    place,
                    model=folder / "model",
                    history=folder / "history",
                    state=folder / "training",
                    predictions=path,
                )
                fitting.fit(settings, table, here, compute)
            joined = evaluation.join(tables.read(path), tables.for_target(table, settings.target))
            kept.append((fold_split.seed, fold_split.fold, joined[joined["split"] == "test"]))
    first = pd.concat([part for seed, _, part in kept if seed == kept[0][0]], ignore_index=True)
    return _measured(kept), first


def _origins(place: fitting.Place) -> list[str]:
    """What the model's input and backbone say they are made of."""
    files = [folder / "config.json" for folder in (place.input, place.backbone) if folder is not None]
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


def _measured(kept: list[tuple[int, int, pd.DataFrame]]) -> pd.DataFrame:
    lines = [{"fold_seed": seed, "fold": str(fold), **_measure(part)} for seed, fold, part in kept]
    for seed in dict.fromkeys(seed for seed, _, _ in kept):
        together = pd.concat([part for other, _, part in kept if other == seed])
        lines.append({"fold_seed": seed, "fold": POOLED, **_measure(together)})
    return pd.DataFrame(lines)


def _measure(part: pd.DataFrame) -> dict[str, Any]:
    truth, prediction, ranking = evaluation.judged(part)
    found: dict[str, Any] = {"n": len(part), **metrics.measure(truth, prediction, ranking)}
    if part["category"].notna().all():
        category = part["category"].to_numpy(str)
        found["within_category"] = metrics.within_category(
            truth, prediction if ranking is None else ranking, category
        )
    return found


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
