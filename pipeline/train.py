"""train@MODEL: fits one model: models/MODEL, its predictions and its history."""

from pathlib import Path

from memorability import fitting, tables
from memorability.params import Params
from pipeline.common import BACKBONES, HISTORY, MODELS, PREDICTIONS, SPLITS, STATES, run


def main(params: Params, name: str) -> None:
    settings = params.model(name)
    place = fitting.Place(
        input=Path(settings.input),
        backbone=None if settings.backbone == "none" else BACKBONES / settings.backbone,
        model=MODELS / name,
        history=HISTORY / name,
        states=STATES,
    )
    rows = tables.read(SPLITS / f"{settings.track}.csv")
    predictions = fitting.fit(
        settings, rows, place, seed=params.seed, precision=params.precision, threads=params.threads
    )
    tables.write(predictions, PREDICTIONS / settings.track / f"{name}.csv")


if __name__ == "__main__":
    run("train", main)
