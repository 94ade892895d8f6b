"""evaluate@MODEL: one model's measures and plots, from its predictions alone."""

import pandas as pd

from memorability import evaluation, plots, tables
from memorability.files import write_json
from memorability.params import Params
from pipeline.common import FIGURES, HISTORY, METRICS, PLOTS, PREDICTIONS, SPLITS, run


def main(params: Params, name: str) -> None:
    track = params.head(name).track
    joined = evaluation.join(
        tables.read(PREDICTIONS / track / f"{name}.csv"), tables.read(SPLITS / f"{track}.csv")
    )
    settings = params.evaluate
    report = evaluation.report(joined, bootstrap=settings.bootstrap, halves=settings.halves, seed=params.seed)
    write_json(METRICS / track / f"{name}.json", report)
    history = pd.read_csv(HISTORY / name / "history.csv")
    plots.model_plots(
        name, joined, history, tables_to=PLOTS / track / name, figures_to=FIGURES / track / name
    )


if __name__ == "__main__":
    run("evaluate", main)
