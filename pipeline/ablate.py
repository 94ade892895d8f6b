"""python -m pipeline.ablate NAME, or memorability ablate NAME: no stage of dvc.yaml.

Trains every variant of params' `ablations.NAME` on the split in use, each as its model's stage would, and
compares them: metrics/ablations/NAME/ has the board, the comparisons and a text, plots/figures/ablations/NAME/
the figures. Variants that are done are kept until all are, so a run that was stopped goes on.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from memorability.core import states
from memorability.core.errors import ParamsError
from memorability.core.progress import bar
from memorability.data import tables
from memorability.evaluation import map_evaluation
from memorability.params import Params
from memorability.training import fitting
from memorability.training.settings import Model
from pipeline.common import FIGURES, METRICS, RAW, SPLITS, STATES, compute_of, place_of, run
from pipeline.compare import compare_maps
from pipeline.evaluate import frechet


def main(params: Params, name: str) -> None:
    variants = params.variants(name)
    others = [variant for variant, settings in variants.items() if settings.track != "maps"]
    if others:
        raise ParamsError(f"ablations.{name}: variants are of models of maps; {', '.join(others)} are not")
    table = tables.read(SPLITS / "maps.csv")
    compute = compute_of(params)
    asked = [settings.model_dump_json() for settings in variants.values()]
    read = [file.read_text(encoding="utf-8") for file in _origins(variants)]
    with states.unfinished(STATES / f"ablate-{name}", *asked, *read, table.to_csv(), repr(compute)) as folder:
        for variant, settings in bar(variants.items(), of=f"variants of {name}", unit="variant"):
            if not (folder / variant / "predictions.csv").is_file():
                fitting.fit(settings, table, _place(folder / variant, name, settings), compute)
        _compare(params, name, variants, table, folder)


def _origins(variants: dict[str, Model]) -> list[Path]:
    """The files that say what the variants' inputs and backbones are made of."""
    places = [place_of(name, settings) for name, settings in variants.items()]
    folders = {folder for place in places for folder in (place.input, place.backbone) if folder is not None}
    named = [folder / "config.json" for folder in sorted(folders)]
    return [RAW / "maps" / "index.csv", *(file for file in named if file.is_file())]


def _place(folder: Path, name: str, settings: Model) -> fitting.Place:
    """Where a variant reads as its model does, and writes below `folder`."""
    own = {"model": folder / "model", "history": folder / "history", "state": folder / "state"}
    return replace(place_of(name, settings), predictions=folder / "predictions.csv", **own)


def _compare(
    params: Params, name: str, variants: dict[str, Model], table: pd.DataFrame, folder: Path
) -> None:
    rows = tables.for_target(table, "map")
    found, reports, histories = {}, {}, {}
    for variant in variants:
        history = pd.read_csv(folder / variant / "history" / "history.csv")
        judged = map_evaluation.judged(
            folder / variant / "predictions.csv",
            rows,
            raw=RAW / "maps",
            size=params.evaluate.map_size,
            threads=params.threads,
        )
        test = judged.of_split("test")
        reports[variant] = map_evaluation.report(
            judged,
            history,
            bootstrap=params.evaluate.bootstrap,
            seed=params.seed,
            of_test=frechet(params, test),
        )
        found[variant], histories[variant] = test, history
    to = (METRICS / "ablations" / name, FIGURES / "ablations" / name)
    compare_maps(params, variants, found, reports, histories, metrics_to=to[0], figures_to=to[1])


if __name__ == "__main__":
    run("ablate", main)
