"""python -m pipeline.crossval MODEL [FOLDS [SEEDS]], or memorability crossval: no stage of dvc.yaml.

Writes metrics/crossval/MODEL.csv (a line a fold, and one of all folds pooled) and figures.
"""

from pathlib import Path

import pandas as pd

from memorability.data import tables
from memorability.evaluation import figures as plots
from memorability.experiments import crossval
from memorability.params import Params
from pipeline.common import FIGURES, METRICS, PLOTS, STATES, compute_of, place_of, run


def main(params: Params, name: str, folds: str = "5", seeds: str = "5") -> None:
    settings = params.model(name)
    split = params.split[settings.track]
    measured, first = crossval.cross_validate(
        settings,
        tables.read(Path(split.input) / "index.csv"),
        place_of(name, settings),
        compute_of(params),
        split=split,
        folds=int(folds),
        seeds=int(seeds),
        state=STATES / f"crossval-{name}",
    )
    tables.write(measured.round(6), METRICS / "crossval" / f"{name}.csv")
    history = pd.DataFrame({"epoch": [0]})
    to = (PLOTS / "crossval" / name, FIGURES / "crossval" / name)
    plots.model_plots(f"{name}, out of fold", first, history, tables_to=to[0], figures_to=to[1])
    print(crossval.text(name, measured))


if __name__ == "__main__":
    run("crossval", main)
