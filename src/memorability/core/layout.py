"""Where things lie in a project: the only module that knows. Paths are relative to the project's root.

data/raw/TRACK  data/frames/NAME  data/splits/TRACK.csv  data/features/NAME
models/NAME                                      trained models, and backbones
data/predictions/TRACK/{models,ensembles}/NAME   predictions.csv, history.csv and, of maps, maps.npy
data/plan/                                       what the stages are going to do
data/cards/TRACK/MODEL.md                        what a model was made of and is worth, in words
metrics/TRACK.json  metrics/TRACK/               few numbers for `dvc metrics diff`; reports and boards
plots/data/TRACK/  plots/figures/TRACK/          text tables that DVC plots; figures
.states/  logs/                                  unfinished work; wall times: neither is known to DVC
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RAW, FRAMES, SPLITS, FEATURES = (Path("data", name) for name in ("raw", "frames", "splits", "features"))
MODELS = Path("models")
PREDICTIONS = Path("data/predictions")
MODEL_CARDS = Path("data/cards")
PLAN = Path("data/plan")  # which code each stage runs, which models each track has
METRICS, PLOTS, FIGURES = Path("metrics"), Path("plots/data"), Path("plots/figures")
PLOTS_PAGE = Path("plots/page.html")  # .dvc/config names it
STATES = Path(".states")  # outside DVC, which deletes the outputs of a stage that was stopped
TIMES = Path("logs/times.csv")
RELEASED = Path(__file__).parents[1] / "released" / "photos"  # in the package: the model that comes with it
RELEASES = Path("released")  # models in the form in which they are handed out
CARDS = Path("profiles")  # NAME.card.md: what a released model's card begins with


@dataclass(frozen=True)
class ModelPaths:
    """Where one model reads and writes.

    `input` is the artifact that it reads, `models` the folder of backbones and other models, `raw` its track's
    raw data, where true maps lie. `model`, `predictions` are the folders that it writes; `state` is where
    unfinished training is kept.
    """

    input: Path
    models: Path
    raw: Path
    model: Path
    predictions: Path
    state: Path


def split_table(track: str) -> Path:
    return SPLITS / f"{track}.csv"


def predictions(track: str, name: str, *, ensemble: bool) -> Path:
    """The folder of a model's predictions. Ensembles read those of models, and so have a folder of their own."""
    return PREDICTIONS / track / ("ensembles" if ensemble else "models") / name


def every_prediction() -> list[Path]:
    """The folders of predictions that are there, of models that the params name or not."""
    return [folder for folder in PREDICTIONS.glob("*/*/*") if folder.is_dir()]


def model_paths(name: str, *, track: str, input: str, ensemble: bool = False) -> ModelPaths:
    """Where the stage of the model `name` reads and writes."""
    return ModelPaths(
        input=Path(input),
        models=MODELS,
        raw=RAW / track,
        model=MODELS / name,
        predictions=predictions(track, name, ensemble=ensemble),
        state=STATES / f"train-{name}",
    )
