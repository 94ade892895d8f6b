"""Where things lie, and how every stage starts and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from memorability import params
from memorability.core import runtime
from memorability.core.errors import MemorabilityError
from memorability.training import fitting
from memorability.training.settings import Model

RAW, FRAMES, SPLITS, FEATURES = (
    Path("data/raw"),
    Path("data/frames"),
    Path("data/splits"),
    Path("data/features"),
)
PREDICTIONS, HISTORY = Path("data/predictions"), Path("data/history")
MODELS = Path("models")  # the backbones among them
METRICS, PLOTS, FIGURES = Path("metrics"), Path("plots/data"), Path("plots/figures")
STATES = Path(".states")  # unfinished work; outside DVC, which deletes a stopped stage's outputs
TIMES = Path("logs/times.csv")


def place_of(name: str, settings: Model) -> fitting.Place:
    """Where a model reads and writes."""
    return fitting.Place(
        input=Path(settings.input),
        raw=RAW / settings.track,
        backbone=None if settings.backbone == "none" else MODELS / settings.backbone,
        model=MODELS / name,
        predictions=predictions_of(name, settings),
        history=HISTORY / name,
        state=STATES / f"train-{name}",
    )


def predictions_of(name: str, settings: Model) -> Path:
    """A model's table of predictions. Models of level 1 read the folder of those of level 0."""
    return PREDICTIONS / settings.track / str(settings.level) / name / "predictions.csv"


def compute_of(settings: params.Params) -> fitting.Compute:
    """How training computes."""
    return fitting.Compute(
        seed=settings.seed,
        precision=settings.precision,
        threads=settings.threads,
        compiled=settings.compile,
    )


def run(stage: str, main: Callable[..., None], *, together: bool = False) -> None:
    """Runs a stage with params and the names given on the command line; a user's error is one text.

    Under `torchrun` a stage that works `together` runs in every process, any other in the first one.
    """
    names = sys.argv[1:]
    if not together:
        if runtime.rank() > 0:
            return
        runtime.leave_the_others()
    try:
        settings = params.load()
        runtime.limit_threads(settings.threads)
        os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
        with runtime.timed("@".join([stage, *names]), TIMES):
            main(settings, *names)
    except MemorabilityError as error:
        sys.exit(f"{stage}: {type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
