"""train@MODEL: fits one model: models/MODEL, its predictions and its history."""

from memorability import fitting, tables
from memorability.params import Params
from pipeline.common import PREDICTIONS, SPLITS, place_of, run


def main(params: Params, name: str) -> None:
    settings = params.model(name)
    rows = tables.read(SPLITS / f"{settings.track}.csv")
    predictions = fitting.fit(
        settings,
        rows,
        place_of(name, settings),
        seed=params.seed,
        precision=params.precision,
        threads=params.threads,
    )
    tables.write(predictions, PREDICTIONS / settings.track / f"{name}.csv")


if __name__ == "__main__":
    run("train", main)
