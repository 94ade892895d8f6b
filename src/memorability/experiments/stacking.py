"""Cross-validating an ensemble: its weights are fitted to predictions that its members made out of fold.

For each outer fold, the rows outside it are dealt to inner folds, and each member predicts each inner fold after it was
fitted on the others; the ensemble learns from these predictions and the truth. Then the members are fitted on all rows
outside the outer fold, predict the fold, and the ensemble weighs what they say: of the fold nothing has been seen.
Wolpert, Stacked Generalization (1992); Breiman, Stacked Regressions (1996).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability import families
from memorability.core import states
from memorability.core.errors import ParamsError, TrainingError
from memorability.core.layout import ModelPaths
from memorability.core.progress import bar
from memorability.data import tables
from memorability.data.draws import fold_numbers, fold_split
from memorability.data.settings import Split
from memorability.evaluation import Array, Judged, judge
from memorability.evaluation.predictions import TABLE
from memorability.experiments.folds import Draw, Fold, key, val_share
from memorability.experiments.train import train
from memorability.families import ensemble
from memorability.families.blocks.selection import FOLDS
from memorability.features import reads
from memorability.features.stored import positions
from memorability.training.contract import ClosedForm
from memorability.training.fitting import Compute
from memorability.training.settings import Model
from memorability.training.trained import TrainedModel

OTHER_COLUMNS = ("fold_seed", "fold", "bias")  # of the table of weights, beside one a member

Predict = Callable[
    [pd.DataFrame], Array
]  # a split table -> what a fit on its train rows says of its test rows


def cross_validate(
    settings: ensemble.Params,
    members: Mapping[str, tuple[Model, ModelPaths]],
    rows: pd.DataFrame,
    compute: Compute,
    *,
    split: Split,
    drawn: Sequence[Draw],
    state: Path,
) -> tuple[list[Fold], pd.DataFrame]:
    """Fits members and ensemble for each draw, tested on its fold alone.

    What a member predicts of a fold is kept until all is done, so a run that was stopped goes on.

    Args:
        settings: of the ensemble.
        members: the settings of each member by name, and what it reads.
        rows, split, drawn, state: as in `folds.cross_validate`.

    Returns:
        The folds; and what the ensemble learned, a line a draw: fold_seed, fold, the weight of each member, bias.

    Raises:
        ParamsError: a member is an ensemble itself, which was fitted on predictions of models that saw the fold; or has
            the name of another column of what is returned.
    """
    _check(members)
    judging = judge(settings.track)
    tested, learned = list[Fold](), list[dict[str, Any]]()
    depends_on = key(members, rows, compute, drawn)
    with states.unfinished(state, settings.model_dump_json(), *depends_on) as folder:
        fits = [_Member(m, *member, compute, split, folder) for m, member in enumerate(members.values())]
        for draw in bar(drawn, of="outer folds", unit="fold"):
            table = draw.table(rows, val=0.0)
            own = judging.for_target(table, settings.target)
            y, groups = own["score"].to_numpy(float), own["group"].to_numpy(np.int64)
            x = np.stack([fit.predictions(draw, rows, table) for fit in fits], axis=1)
            outside = own["split"].isin(("train", "val")).to_numpy(bool)
            found = ensemble.fit(settings, x[outside], y[outside], groups=groups[outside])
            test = (own["split"] == "test").to_numpy(bool)
            judged = Judged(
                own[test].reset_index(drop=True), y[test], ensemble.predict(settings, found, x[test])
            )
            tested.append(Fold(draw.seed, draw.name, judged))
            weights = dict(zip(members, found["weight"], strict=True))
            line = {"fold_seed": draw.seed, "fold": draw.name, **weights, "bias": float(found["bias"])}
            learned.append(line)
    return tested, pd.DataFrame(learned)


def _check(members: Mapping[str, tuple[Model, ModelPaths]]) -> None:
    """Raises a ParamsError as `cross_validate` says."""
    for name, (member, _) in members.items():
        if name in OTHER_COLUMNS:
            raise ParamsError(
                f"members: {name} is what the table of weights calls another column; valid: a member of another name "
                f"than {', '.join(OTHER_COLUMNS)}"
            )
        if isinstance(member, ensemble.Params):
            raise ParamsError(
                f"members: {name} is an ensemble itself; valid: models that read no predictions"
            )


class _Member:
    """A member of an ensemble, fitted again and again; `folder` keeps what it predicted."""

    def __init__(
        self, number: int, settings: Model, paths: ModelPaths, compute: Compute, split: Split, folder: Path
    ) -> None:
        self._number, self._folder, self._val = number, folder, val_share(settings, split)
        family = families.load(settings.family)
        self._fit: Predict
        if isinstance(family, ClosedForm):
            self._fit = _ClosedForm(family, settings, paths)
        else:
            self._fit = partial(_trained, settings, paths, compute, folder / f"member-{number}")

    def predictions(self, draw: Draw, rows: pd.DataFrame, table: pd.DataFrame) -> Array:
        """Of each row of a draw's table, by fits that did not see it: float [N], NaN of rows without any target."""
        found = np.full(len(table), np.nan)
        for part, asked in enumerate(_parts(draw, rows, table, val=self._val)):
            file = self._folder / f"{draw.seed}-{draw.place}-{self._number}-{part}.npy"
            test = asked["id"][asked["split"] == "test"]
            found[table["id"].isin(test).to_numpy(bool)] = _kept(file, partial(self._fit, asked))
        return found


def _parts(draw: Draw, rows: pd.DataFrame, table: pd.DataFrame, *, val: float) -> Iterator[pd.DataFrame]:
    """The split tables of one draw: those of the inner folds, without the outer fold's rows, then the outer one.

    All members see the same inner folds, whose seed is made of the draw's. `table` is the draw's at a `val` of 0.
    """
    outside = table[table["split"].isin(("train", "val"))].reset_index(drop=True)
    groups = outside["group"].to_numpy(np.int64)
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        raise TrainingError(f"{len(outside)} rows of {folds} group outside a fold; valid: at least 2 groups")
    seed = int(np.random.SeedSequence([draw.seed, draw.place]).generate_state(1)[0])
    numbers = fold_numbers(groups, folds=folds, seed=seed)
    for number in range(folds):
        yield outside.assign(split=fold_split(groups, numbers, test_fold=number, val=val, seed=seed))
    yield draw.table(rows, val=val) if val else table


def _kept(file: Path, fit: Callable[[], Array]) -> Array:
    """What `fit` gives, or gave a run that was stopped."""
    if states.kept(file):
        return np.asarray(np.load(file, allow_pickle=False))
    found = fit()
    with states.keeping(file) as scratch, scratch.open("wb") as stream:
        np.save(stream, found)
    return found


class _ClosedForm:
    """Fits of a closed form in memory: its inputs are read once, and nothing is written."""

    def __init__(self, family: ClosedForm, settings: Model, paths: ModelPaths) -> None:
        self._family, self._settings = family, settings
        opened = partial(TrainedModel, models=paths.models, load_family=families.load)
        self._where = reads.Where(models=paths.models, open_model=opened, input=paths.input, raw=paths.raw)
        self._ids, self._x = pd.Index([]), np.empty(0)

    def __call__(self, table: pd.DataFrame) -> Array:
        rows = judge(self._settings.track).for_target(table, self._settings.target)
        train, test = (
            (part == name).to_numpy(bool)
            for part, name in ((rows["split"], "train"), (table["split"], "test"))
        )
        if not train.any():
            raise TrainingError(f"no row of {len(rows)} outside a fold has {self._settings.target!r}")
        x, groups = self._inputs(rows), rows["group"].to_numpy(np.int64)
        y = rows["score"].to_numpy(float)
        state = self._family.fit(self._settings, x[train], y[train], groups=groups[train])
        return self._family.predict(self._settings, state, x[test])

    def _inputs(self, rows: pd.DataFrame) -> Array:
        places = self._ids.get_indexer(pd.Index(rows["id"]))
        if len(self._ids) == 0 or (places < 0).any():
            read = reads.KINDS[self._family.READS].rows(self._settings, rows, self._where)
            self._ids, self._x = pd.Index(rows["id"]), np.asarray(read.x)
            return self._x
        return self._x[places]


def _trained(
    settings: Model, paths: ModelPaths, compute: Compute, folder: Path, table: pd.DataFrame
) -> Array:
    """A fit by gradients, as the train stage makes it."""
    here = replace(
        paths, model=folder / "model", predictions=folder / "predictions", state=folder / "training"
    )
    train(settings, table, here, compute)
    written = tables.read(here.predictions / TABLE)
    test = table["id"][table["split"] == "test"]
    return written["prediction"].to_numpy(float)[positions(list(written["id"]), list(test), here.predictions)]
