"""evaluate@MODEL: one model's measures on every target of its track, and plots, from its predictions alone."""

import pandas as pd

from memorability.core.files import write_json
from memorability.data import tables
from memorability.evaluation import figures as plots
from memorability.evaluation import map_evaluation, map_plots
from memorability.evaluation import reports as evaluation
from memorability.features import inputs
from memorability.params import Params
from memorability.training.settings import Model
from pipeline.common import FIGURES, HISTORY, METRICS, MODELS, PLOTS, RAW, SPLITS, predictions_of, run


def main(params: Params, name: str) -> None:
    head = params.head(name)
    (_maps if head.track == "maps" else _scores)(params, name, head)


def _scores(params: Params, name: str, head: Model) -> None:
    settings = params.evaluate
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


def _maps(params: Params, name: str, head: Model) -> None:
    """A model that learns maps in another form, such as composites, predicts maps too: `map` is all there is."""
    settings, raw = params.evaluate, RAW / head.track
    table = tables.for_target(tables.read(SPLITS / f"{head.track}.csv"), "map")
    history = pd.read_csv(HISTORY / name / "history.csv")
    found = map_evaluation.judged(
        predictions_of(name, head), table, raw=raw, size=settings.map_size, threads=params.threads
    )
    test = found.of_split("test")
    report = map_evaluation.report(
        found,
        history,
        bootstrap=settings.bootstrap,
        seed=params.seed,
        of_test=frechet(params, test),
    )
    write_json(METRICS / head.track / f"{name}.json", {"map": report})
    map_plots.model_plots(
        name,
        found,
        history,
        picture=inputs.Pictures(test.rows, raw).picture,
        tables_to=PLOTS / head.track / name,
        figures_to=FIGURES / head.track / name,
    )


def frechet(params: Params, test: map_evaluation.Judged) -> dict[str, float]:
    """FID of the test maps, by the name of its feature network; nothing where the params name none."""
    name = params.evaluate.fid
    if name == "none":
        return {}
    from memorability.evaluation import fid

    found = fid.distance(test.truth, test.prediction, backbone=MODELS / name, threads=params.threads)
    return {f"fid_{name}": found}


if __name__ == "__main__":
    run("evaluate", main)
