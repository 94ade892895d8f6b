"""evaluate@MODEL: one model's measures on every target of its track, and plots, from its predictions alone."""

import pandas as pd

from memorability import evaluation, plots, tables
from memorability.files import write_json
from memorability.params import Params
from pipeline.common import FIGURES, HISTORY, METRICS, PLOTS, SPLITS, predictions_of, run


def main(params: Params, name: str) -> None:
    head, settings = params.head(name), params.evaluate
    predicted, table = tables.read(predictions_of(name, head)), tables.read(SPLITS / f"{head.track}.csv")
    joined = {
        target: evaluation.join(predicted, tables.for_target(table, target))
        for target in tables.targets(table)
    }
    report = {
        target: evaluation.report(
            rows, bootstrap=settings.bootstrap, halves=settings.halves, seed=params.seed
        )
        for target, rows in joined.items()
    }
    write_json(METRICS / head.track / f"{name}.json", report)
    history = pd.read_csv(HISTORY / name / "history.csv")
    to = (PLOTS / head.track / name, FIGURES / head.track / name)
    plots.model_plots(
        name, joined[head.target], history, predicted=predicted, tables_to=to[0], figures_to=to[1]
    )


if __name__ == "__main__":
    run("evaluate", main)
