"""python -m pipeline.ablate NAME, or memorability ablate NAME: no stage of dvc.yaml.

Trains every variant of params' `ablations.NAME` on the split in use, each as its model's stage would, and
compares them: metrics/ablations/NAME/ has the board, the comparisons and a text, plots/figures/ablations/NAME/
the figures. Variants that are done are kept until all are, so a run that was stopped goes on.
"""

from pathlib import Path

import pandas as pd

from memorability import fitting, map_evaluation, runtime, states, tables
from memorability.errors import ParamsError
from memorability.params import Model, Params
from memorability.progress import bar
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
    with states.unfinished(STATES / f"ablate-{name}", *asked, table.to_csv(), repr(compute)) as folder:
        for variant, settings in bar(variants.items(), of=f"variants of {name}", unit="variant"):
            if not (folder / variant / "predictions.csv").is_file():
                fitting.fit(settings, table, _place(folder / variant, name, settings), compute)
        if runtime.rank() == 0:
            _compare(params, name, variants, table, folder)


def _place(folder: Path, name: str, settings: Model) -> fitting.Place:
    read = place_of(name, settings)
    return fitting.Place(
        input=read.input,
        raw=read.raw,
        backbone=read.backbone,
        model=folder / "model",
        predictions=folder / "predictions.csv",
        history=folder / "history",
        state=folder / "state",
    )


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
