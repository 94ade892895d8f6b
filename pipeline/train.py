"""train@MODEL: fits one model: models/MODEL, its predictions and its history."""

from memorability.data import tables
from memorability.params import Params
from memorability.training import fitting
from pipeline.common import SPLITS, compute_of, place_of, run


def main(params: Params, name: str) -> None:
    settings = params.model(name)
    rows = tables.read(SPLITS / f"{settings.track}.csv")
    fitting.fit(settings, rows, place_of(name, settings), compute_of(params))


if __name__ == "__main__":
    run("train", main, together=True)
