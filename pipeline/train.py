"""train@MODEL and ensemble@NAME: fits one model: models/MODEL, its predictions and its history."""

from memorability.core import layout
from memorability.data import tables
from memorability.experiments.train import compute_of, train
from memorability.params import Params
from pipeline.common import run


def main(params: Params, name: str) -> None:
    settings = params.model(name)
    paths = layout.model_paths(
        name, track=settings.track, input=settings.input, ensemble=params.is_ensemble(name)
    )
    train(settings, tables.read(layout.split_table(settings.track)), paths, compute_of(params))


if __name__ == "__main__":
    run("train", main, together=True)
