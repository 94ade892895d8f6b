"""Where things lie, and how every stage starts and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from memorability import fitting, params, runtime
from memorability.errors import MemorabilityError

RAW, SPLITS, FEATURES = Path("data/raw"), Path("data/splits"), Path("data/features")
PREDICTIONS, HISTORY = Path("data/predictions"), Path("data/history")
MODELS, BACKBONES = Path("models"), Path("models/backbones")
METRICS, PLOTS, FIGURES = Path("metrics"), Path("plots/data"), Path("plots/figures")
STATES = Path(".states")  # interrupted training; outside DVC, which deletes a stopped stage's outputs
WORK = Path(".work")  # scratch for generated data
TIMES = Path("logs/times.csv")


def place_of(name: str, settings: params.Model) -> fitting.Place:
    """Where a model reads and writes."""
    return fitting.Place(
        input=Path(settings.input),
        backbone=None if settings.backbone == "none" else BACKBONES / settings.backbone,
        model=MODELS / name,
        history=HISTORY / name,
        states=STATES,
    )


def run(stage: str, main: Callable[..., None]) -> None:
    """Runs a stage with params and the names given on the command line; a user's error is one text."""
    names = sys.argv[1:]
    try:
        settings = params.load()
        runtime.limit_threads(settings.threads)
        os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))
        with runtime.timed("@".join([stage, *names]), TIMES):
            main(settings, *names)
    except MemorabilityError as error:
        sys.exit(f"{stage}: {type(error).__name__}: {error}")
