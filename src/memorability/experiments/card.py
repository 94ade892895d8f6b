"""The card of a released model: what its author says, then facts from the project's files and from nowhere else."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from memorability.core.files import sha256
from memorability.evaluation import Judged, conformal, judge, reports
from memorability.evaluation.settings import Evaluate
from memorability.experiments.folds import POOLED
from memorability.training.artifacts import Config

PARTS = 5  # of the pictures: each is covered by intervals made of the others'


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card is made of.

    `chosen`: what fitting chose, such as a penalty; `rows`: the split table; `draws`: all labelled pictures with
    their out-of-fold predictions, of each fold seed, the first of which makes the model's intervals; `measured` and
    `by_category`: NAME.csv and NAME.by_category.csv of metrics/crossval; `hashes` and `plain`: how many pictures the
    model knows again by a hash, and by a description; `files`: those of the model, which the card is put beside.
    """

    name: str
    config: Config
    chosen: dict[str, float]
    rows: pd.DataFrame
    draws: Sequence[Judged]
    measured: pd.DataFrame
    by_category: pd.DataFrame | None
    hashes: int
    plain: int
    files: Sequence[Path]
    settings: Evaluate
    seed: int


def text(head: str, facts: Facts) -> str:
    """The card as Markdown."""
    parts = (_data(facts), _model(facts), _worth(facts), _intervals(facts), _files(facts))
    return (
        "\n".join([f"# {facts.name}\n\n{head.strip()}", *("\n".join(["", *part]) for part in parts)]) + "\n"
    )


def _data(facts: Facts) -> Iterator[str]:
    yield "## Trained on\n"
    yield from _table("data set", "pictures", "lowest score", "mean", "highest", "categories")
    train = facts.rows[facts.rows["split"] == "train"]
    for name, rows in train.groupby("dataset", sort=True):
        scores = rows["score"]
        categories = rows["category"].dropna().value_counts().sort_index()
        named = ", ".join(f"{category} {count:,}" for category, count in categories.items()) or "-"
        low, mean, high = (f"{value:.3f}" for value in (scores.min(), scores.mean(), scores.max()))
        yield _row(name, f"{len(rows):,}", low, mean, high, named)
    yield (
        "\nIt predicts the column `score`, the memorability of a picture, from 0 to 1. It holds perceptual hashes of "
        f"{facts.hashes:,} pictures that it was fitted or selected on, and no picture; of {facts.plain:,} plain ones, "
        "mostly of one colour, a coarse description (16 x 16) is kept instead of a hash. Of near-duplicates of all "
        "these `memorability predict` says that it has seen them."
    )


def _model(facts: Facts) -> Iterator[str]:
    settings = facts.config.settings
    about = importlib.import_module(f"memorability.families.{settings['family']}").__doc__ or ""
    chosen = ", ".join(f"{name} {value:.4g}" for name, value in facts.chosen.items())
    yield "## Made of\n"
    yield f"Family `{settings['family']}`: {about.splitlines()[0] if about else ''} As fitted: {chosen}."
    features = facts.config.features or []
    if features:
        yield "\nFeatures, which are computed by pretrained networks that pip installs:\n"
        yield from _table("network", "package", "layers", "pools", "views", "input", "digest")
    for origin in features:
        network, seen = origin["backbone"], origin["backbone"].get("transform") or {}
        means = " ".join(f"{value:.3f}" for value in seen.get("mean", ()))
        stds = " ".join(f"{value:.3f}" for value in seen.get("std", ()))
        pixels = (
            f"{seen.get('fit')} to {seen.get('resize')}, crop {seen.get('crop')}, {seen.get('interpolation')}"
        )
        layers, pools = (" ".join(f"`{one}`" for one in origin.get(key, ())) for key in ("layers", "pools"))
        yield _row(
            f"`{network['arch']}`", f"`{network['package']}`", layers, pools, origin.get("views", "single"),
            f"{pixels}; mean {means}, SD {stds}", f"`{network['sha256']}`",
        )  # fmt: skip


def _worth(facts: Facts) -> Iterator[str]:
    measured, judging = facts.measured, judge("images")
    pooled, folds = measured[measured["fold"] == POOLED], measured[measured["fold"] != POOLED]
    each = folds.groupby("fold_seed").size().max() if len(folds) else 0
    yield "## Worth\n"
    yield (
        f"Every one of {len(facts.draws[0]):,} pictures was predicted by models that were fitted without it and its "
        f"near-duplicates: {each} folds in each of {len(pooled)} draws (`memorability crossval {facts.name}`).\n"
    )
    yield from _table(
        "measure", "mean of the draws", "lowest", "highest", "95 % interval over pictures (first draw)"
    )
    numbers, _ = reports.measure(judging, facts.draws[0], settings=facts.settings, seed=facts.seed)
    for name, measure in judging.MEASURES.items():
        values = pooled[name].to_numpy(float)
        draws = [f"{value:.{measure.digits}f}" for value in (values.mean(), values.min(), values.max())]
        low, high = (_number(numbers[f"{name}{end}"], measure.digits) for end in ("_low", "_high"))
        yield _row(measure.label, *draws, f"{low} to {high}")
    if (within := numbers.get("spearman_within_category")) is not None:
        yield f"\nrho within categories: {within:.3f} (first draw)."
    yield from _people(facts, rho=float(pooled["spearman"].mean()))
    if facts.by_category is not None:
        yield from _left_out(facts.by_category[facts.by_category["fold"] != POOLED], facts.name)


def _people(facts: Facts, *, rho: float) -> Iterator[str]:
    rows = facts.draws[0].rows.assign(split="test")
    agreed = reports.agreement(judge("images"), rows, settings=facts.settings, seed=facts.seed).get(
        "test", {}
    )
    if agreed.get("attainable"):
        yield (
            f"People agree with each other at rho {agreed['split_half']:.3f} (random halves of their answers), which "
            f"leaves {agreed['attainable']:.3f} to attain; this model reaches {rho / agreed['attainable']:.0%} of it."
        )


def _left_out(measured: pd.DataFrame, name: str) -> Iterator[str]:
    yield (
        "\nOf pictures unlike those that it was fitted on these figures say more: each category was predicted by a model of "
        f"the others (`memorability crossval {name} --by category`).\n"
    )
    measures = judge("images").MEASURES
    yield from _table("category left out", "pictures", *(measure.label for measure in measures.values()))
    for row in measured.to_dict("records"):
        values = [f"{row[key]:.{measure.digits}f}" for key, measure in measures.items()]
        yield _row(row["fold"], row["n"], *values)


def _intervals(facts: Facts) -> Iterator[str]:
    """How often intervals made of four fifths of the residuals hold the truth of the last one."""
    draw, part = (
        facts.draws[0],
        np.arange(len(facts.draws[0])) % PARTS,
    )  # of pictures in the order of their ids
    covered = [conformal.coverage(draw.where(part != i), draw.where(part == i)) for i in range(PARTS)]
    levels = [f"{level:g}" for level in conformal.CONFIDENCES]
    if all(level in one for one in covered for level in levels):
        yield "## Intervals\n"
        yield (
            "Split-conformal, of the out-of-fold residuals. Made of four fifths of the pictures they hold the truth "
            "of the last fifth as often as this:\n"
        )
        yield from _table("confidence", "coverage", "mean width")
        for level in levels:
            means = [np.mean([one[level][name] for one in covered]) for name in ("coverage", "width")]
            yield _row(f"{float(level):.0%}", *(f"{value:.3f}" for value in means))
        yield (
            "\nThat holds for pictures like these. Of other pictures nothing is promised. The coverage is measured, not "
            "guaranteed: the residuals are of models of the folds, and the model here was fitted anew on all pictures."
        )


def _files(facts: Facts) -> Iterator[str]:
    yield "## Files\n"
    yield from _table("file", "bytes", "SHA-256")
    for file in facts.files:
        yield _row(f"`{file.name}`", f"{file.stat().st_size:,}", f"`{sha256(file)}`")
    settings = json.dumps(facts.config.settings, indent=1)
    yield f"\nSettings:\n\n```json\n{settings}\n```"


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield _row(*["---"] * len(heads))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
