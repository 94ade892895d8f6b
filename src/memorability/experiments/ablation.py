"""Ablations: a question asked of a model by training variants of it, which differ in some settings; for any track.

ablations.yaml names the questions: NAME -> variant -> the model that it is of, and what changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from memorability.core import layout, states
from memorability.core.errors import ParamsError
from memorability.core.files import staged_folder
from memorability.core.progress import bar
from memorability.core.settings import Block, Name, checked
from memorability.core.yaml import read_yaml
from memorability.data import tables
from memorability.evaluation.evaluate import Contender, Evaluation, Folders
from memorability.experiments.folds import origins
from memorability.experiments.train import compute_of, paths_below, train
from memorability.experiments.train import variant as changed
from memorability.params import Params
from memorability.training.settings import Model

FILE = Path("ablations.yaml")


class Variant(Block):
    """One answer to an ablation's question: a model of params.yaml with some of its settings changed."""

    model: str
    change: dict[str, Any] = Field(default_factory=dict)


class Ablations(Block):
    ablations: dict[Name, dict[Name, Variant]]


def variants(params: Params, ablation: str, *, file: Path = FILE) -> dict[str, Model]:
    """The settings of each variant of an ablation, by the variant's name.

    Raises:
        ParamsError: there is no such ablation, a variant changes what its model does not have, or what a top-level
            value would override; or variants are of several tracks.
    """
    known = checked(Ablations, {"ablations": read_yaml(file) or {}}, at="").ablations
    if ablation not in known:
        raise ParamsError(f"{file}: no ablation {ablation!r}; valid: {', '.join(known) or 'none'}")
    asked = {}
    for name, variant in known[ablation].items():
        at = f"{file}: {ablation}.{name}"
        asked[name] = changed(params, variant.model, variant.change, at=at)
    tracks = {settings.track for settings in asked.values()}
    if len(tracks) != 1:
        raise ParamsError(
            f"{file}: {ablation} compares models of {', '.join(sorted(tracks))}; valid: one track"
        )
    return asked


def run(params: Params, ablation: str) -> str:
    """Trains every variant on the split in use, each as its model's stage would; returns the board.

    Writes metrics/ablations/NAME/ and plots/figures/ablations/NAME/. Variants that are done are kept until all are,
    so a run that was stopped goes on.
    """
    asked, compute = variants(params, ablation), compute_of(params)
    track = next(iter(asked.values())).track
    table = tables.read(layout.split_table(track))
    settings = [variant.model_dump_json() for variant in asked.values()]
    made_of = [
        text for name, variant in asked.items() for text in origins(variant, paths_below(Path(name), variant))
    ]
    made_of += [path.read_text(encoding="utf-8") for path in _members(params, asked) if path.is_file()]
    with states.unfinished(
        layout.STATES / f"ablate-{ablation}", *settings, *made_of, table.to_csv(), repr(compute)
    ) as folder:
        for name, variant in bar(asked.items(), of=f"variants of {ablation}", unit="variant"):
            if not states.sealed(folder / name):
                train(variant, table, paths_below(folder / name, variant), compute)
                states.seal(folder / name)
        return _compared(params, ablation, asked, table, folder)


def _is_ensemble(variant: Model) -> bool:
    return hasattr(variant, "members")


def _members(params: Params, asked: Mapping[str, Model]) -> list[Path]:
    """The predictions that ensembles read, of which no config tells what they were made of."""
    members = {(v.track, name) for v in asked.values() for name in getattr(v, "members", ())}
    return [
        layout.predictions(track, name, ensemble=name in params.ensembles) / "predictions.csv"
        for track, name in sorted(members)
    ]


def _compared(
    params: Params, ablation: str, asked: dict[str, Model], table: pd.DataFrame, folder: Path
) -> str:
    track = next(iter(asked.values())).track
    contenders = {
        name: Contender(
            family=variant.family,
            target=variant.target,
            predictions=paths_below(folder / name, variant).predictions,
            settings=variant.model_dump(mode="json"),
            on_val=_is_ensemble(variant),
        )
        for name, variant in asked.items()
    }
    with (
        staged_folder(layout.METRICS / "ablations" / ablation) as metrics,
        staged_folder(layout.FIGURES / "ablations" / ablation) as figures,
    ):
        evaluation = Evaluation(
            track=track,
            raw=layout.RAW / track,
            models=layout.MODELS,
            settings=params.evaluate[track],
            seed=params.seed,
            threads=params.threads,
            to=Folders(metrics, figures),
        )
        return evaluation.run(contenders, table)[1]
