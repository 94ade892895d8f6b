"""Trials of a search: one model each, fitted once, judged on validation, recorded whole or not at all.

Whichever process makes a trial, its record is a file named after what it is of. So a search that was stopped, or that
several processes are at, finds what is done already, and trains nothing twice.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock

from memorability.core import states
from memorability.core.errors import BackboneError, ParamsError, TrainingError
from memorability.core.files import digest
from memorability.evaluation import judge
from memorability.evaluation.settings import Evaluate
from memorability.experiments.folds import origins
from memorability.experiments.search.settings import Changes, Search, settings_of
from memorability.experiments.train import paths_below, train
from memorability.params import Params
from memorability.training.fitting import Compute
from memorability.training.settings import Model

Watch = Callable[[int, float], None]  # epoch, what validation says after it
State = Literal["done", "pruned", "failed", "refused"]


class Pruned(Exception):
    """A trial that a watcher has seen enough of."""


@dataclass(frozen=True)
class Record:
    """What came of a trial.

    `score`: the measure on all of validation, None where there is none. `curve`: epoch and measure after each epoch.
    `said`: why it failed, or why the model refuses its settings.
    """

    state: State
    score: float | None = None
    curve: list[tuple[int, float]] = field(default_factory=list)
    said: str = ""


class Trials:
    """Makes trials of a search, and keeps their records in `folder`.

    Args:
        rows: a split table without test rows, so that nothing of these can be read.
    """

    def __init__(
        self, folder: Path, rows: pd.DataFrame, params: Params, search: Search, compute: Compute
    ) -> None:
        self.folder, self._rows, self._params, self._search = folder, rows, params, search
        self._compute = compute
        self._settings = params.evaluate[params.head(search.model).track]
        self.higher = judge(params.head(search.model).track).MEASURES[search.score].higher_is_better

    def known(self, changes: Changes) -> Record | None:
        """The record of the model with these changes, if there is one."""
        try:
            path = self._path(self._model(changes))
        except ParamsError as error:
            return Record("refused", said=str(error))
        if not states.kept(path):
            return None
        found = json.loads(path.read_bytes()[: -states.SEAL])
        return Record(**found | {"curve": [(epoch, value) for epoch, value in found["curve"]]})

    def claim(self, changes: Changes) -> FileLock:
        """The lock of whoever makes this trial; a process that is killed lets it go."""
        return FileLock(self._path(self._model(changes)).with_suffix(".lock"))

    def made(self, changes: Changes, *, watch: Watch | None = None) -> Record:
        """Makes the trial and keeps its record, for one who has its `claim`.

        A training that fails is a record too: a rate that leads nowhere says something about the rate.

        Args:
            watch: may raise `Pruned`.
        """
        settings = self._model(changes)
        path, curve = self._path(settings), list[tuple[int, float]]()
        own = path.with_suffix("")

        def seen(line: dict[str, Any]) -> None:
            value = line.get(f"val_{self._search.score}")
            if value is not None:
                curve.append((int(line["epoch"]), float(value)))
                if watch is not None:
                    watch(*curve[-1])

        tried = ", ".join(f"{place} {value}" for place, value in changes.items())
        print(f"trying {tried or 'the start'}", flush=True)
        try:
            train(settings, self._rows, paths_below(own, settings), self._compute, watch=seen)
            score = self._judged(own, settings, self._settings)
            curve = curve or ([] if score is None else [(0, score)])
            record = Record("done", score, curve)
        except Pruned:
            record = Record("pruned", None, curve)
        except TrainingError as error:
            record = Record("failed", None, curve, str(error))
        except (ParamsError, BackboneError) as error:  # which shows when the network is built
            record = Record("refused", said=str(error))
        with states.keeping(path) as scratch:
            scratch.write_text(json.dumps(asdict(record)), encoding="utf-8")
        shutil.rmtree(own, ignore_errors=True)
        return record

    def better(self, one: Record, other: Record) -> bool:
        """Whether one record has the better score: any is better than none."""
        if one.score is None or other.score is None:
            return one.score is not None and other.score is None
        return one.score > other.score if self.higher else one.score < other.score

    def name(self, changes: Changes) -> str:
        """What two equal settings have in common; of settings that the model refuses what is said of them."""
        try:
            return self._path(self._model(changes)).stem
        except ParamsError:
            return json.dumps(changes, sort_keys=True)

    def _judged(self, own: Path, settings: Model, evaluate: Evaluate) -> float | None:
        """The measure as the leaderboard has it: of all validation rows, with the weights that are kept."""
        paths, judging = paths_below(own, settings), judge(settings.track)
        rows = judging.for_target(self._rows, settings.target)
        judged = judging.read(
            *(paths.predictions, rows), raw=paths.raw, settings=evaluate, threads=self._compute.threads
        ).of_split("val")
        value = judging.measure(judged.truth, judged.prediction, judged.ranking)[self._search.score]
        return None if value is None else float(value)

    def _model(self, changes: Changes) -> Model:
        return settings_of(self._params, self._search, changes)

    def _path(self, settings: Model) -> Path:
        made_of = origins(settings, paths_below(Path("trial"), settings))
        return self.folder / "trials" / f"{digest(settings.model_dump_json(), *made_of)[:16]}.json"
