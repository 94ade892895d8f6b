"""Cross-validation of a model of a project: every item predicted by a model that never saw it; for any track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from memorability.core import layout
from memorability.core.errors import DataError, ParamsError
from memorability.core.files import digest, read_json, write_json
from memorability.core.layout import ModelPaths
from memorability.data import tables
from memorability.data.settings import Split
from memorability.evaluation import Array, Judged, judge
from memorability.experiments import crossval_text, gains, stacking
from memorability.experiments import folds as outer
from memorability.experiments.folds import POOLED, By, Draw, Fold, by_seed, once, repeated
from memorability.experiments.train import compute_of
from memorability.families import ensemble
from memorability.params import Params
from memorability.training.settings import Model


def run(
    params: Params, name: str, *, folds: int, seeds: int, by: By = "fold", against: str | None = None
) -> str:
    """Cross-validates the model or ensemble `name` of a project; returns what came, for a terminal.

    Writes metrics/crossval/NAME.csv (the measures of each fold, and of all folds of a fold seed pooled); of scores,
    NAME.predictions.csv (every id with its out-of-fold predictions, one column a fold seed); of ensembles,
    NAME.weights.csv; and when all else is there NAME.json, what it was made of (`made_of`, and how it was drawn), by
    which those that read the tables tell stale ones. By category NAME is NAME.by_category.

    Args:
        against: another model that was cross-validated in the same way, to be compared with, pair by pair.
    """
    settings, called, to = params.model(name), _called(name, by), layout.METRICS / "crossval"
    evaluate, split = params.evaluate[settings.track], params.split[settings.track]
    if against is not None:
        _check_comparable(params, name, against)
    rows = tables.read(Path(split.input) / "index.csv")
    drawn = outer.draws(rows, split, folds=folds, seeds=seeds, by=by)
    ways, made = _ways(rows, split, drawn, by=by), made_of(params, name)
    theirs = None
    if against is not None:
        theirs = out_of_fold(against, by=by, expected=made_of(params, against) | ways)
    tested, learned = _tested(params, name, settings, rows, drawn, by=by)
    measured = measures(tested, settings.track)
    (to / f"{called}.json").unlink(missing_ok=True)  # it is of the tables that are replaced now
    tables.write(measured.round(6), to / f"{called}.csv")
    if learned is not None:
        tables.write(learned.round(6), to / f"{called}.weights.csv")
    if settings.track != "maps":
        tables.write(predictions(tested), to / f"{called}.predictions.csv")
    write_json(to / f"{called}.json", made | ways | {"averaged": repeated(tested)})
    # The fits are kept by nothing but these tables now, so they come before the words on them.
    lines = crossval_text.lines(name, measured, tested, settings, evaluate, by=by, seed=params.seed)
    if learned is not None:
        lines += crossval_text.weights(learned)
    if against is not None and theirs is not None:
        own = predictions(tested)
        pairs = gains.paired(name, own, against, theirs, settings, evaluate, seed=params.seed)
        tables.write(pairs, to / f"{called}.against.{against}.csv")
        lines += gains.text(pairs, own)
    return "\n".join(lines)


def made_of(params: Params, name: str) -> dict[str, Any]:
    """What a cross-validation of the model `name` is made of as the project is now, but for data and draws.

    Returns:
        settings, of an ensemble also those of its `members` by name; and `origins`, the digest of what inputs and
        backbones say they are made of.
    """
    settings = params.model(name)
    models = _members(params, settings) or {name: (settings, _paths(params, name))}
    made: dict[str, Any] = {"settings": settings.model_dump(mode="json")}
    if isinstance(settings, ensemble.Params):
        made["members"] = {member: own.model_dump(mode="json") for member, (own, _) in models.items()}
    return made | {"origins": digest(*(text for one in models.values() for text in outer.origins(*one)))}


def _members(params: Params, settings: Model) -> dict[str, tuple[Model, ModelPaths]]:
    names = settings.members if isinstance(settings, ensemble.Params) else ()
    return {member: (params.model(member), _paths(params, member)) for member in names}


def _ways(rows: pd.DataFrame, split: Split, drawn: Sequence[Draw], *, by: By) -> dict[str, Any]:
    """How rows are drawn: in as many folds and seeds as there are, whatever was asked for, and of which index."""
    return {
        "folds": len({draw.place for draw in drawn}),
        "seeds": len({draw.seed for draw in drawn}),
        "split": split.model_dump(mode="json"),
        "by": by,
        "rows": digest(rows.to_csv(index=False)),
    }


def _tested(
    params: Params, name: str, settings: Model, rows: pd.DataFrame, drawn: Sequence[Draw], *, by: By
) -> tuple[list[Fold], pd.DataFrame | None]:
    """The folds of a model; of an ensemble also its weights in each."""
    split, compute = params.split[settings.track], compute_of(params)
    state = layout.STATES / f"crossval-{_called(name, by)}"
    if isinstance(settings, ensemble.Params):
        members = _members(params, settings)
        return stacking.cross_validate(
            settings, members, rows, compute, split=split, drawn=drawn, state=state
        )
    tested = outer.cross_validate(
        *(settings, rows, _paths(params, name), compute),
        split=split, drawn=drawn, state=state, evaluate=params.evaluate[settings.track],
    )  # fmt: skip
    return tested, None


def out_of_fold(name: str, *, by: By = "fold", expected: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """What `run` wrote of the model `name`: see `predictions`.

    Args:
        expected: what it must have been made of: some of what NAME.json has.

    Raises:
        DataError: it was not cross-validated so, or of something else.
    """
    path, command = layout.METRICS / "crossval" / f"{_called(name, by)}.predictions.csv", _command(name, by)
    if not path.is_file():
        raise DataError(f"{path}: no such table; run {command} first")
    made = record(name, by=by)
    apart = [key for key, value in (expected or {}).items() if made.get(key) != value]
    if apart:
        said = "; ".join(_differing(key, made.get(key), (expected or {})[key]) for key in apart)
        raise DataError(f"{path}: cross-validated with other {said}; run {command} again, in the same way")
    table = tables.read(path, columns=("id", "score"))
    if gains.columns(table, "seed").empty:
        raise DataError(f"{path}: no column seed_N with predictions of {name}; run {command} again")
    return table


def record(name: str, *, by: By = "fold") -> dict[str, Any]:
    """What the tables that `run` wrote were made of: `made_of`; folds, seeds, split, by and the digest of the index's
    rows; and `averaged`, how many items had several predictions in a fold seed, of which the tables have the means.

    Raises:
        DataError: nothing tells, or it is damaged.
    """
    path, again = layout.METRICS / "crossval" / f"{_called(name, by)}.json", f"run {_command(name, by)} again"
    if not path.is_file():
        raise DataError(f"{path}: no such file, which tells what the tables beside it were made of; {again}")
    try:
        made = read_json(path)
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); {again}") from error
    if not isinstance(made, dict):
        raise DataError(f"{path}: damaged (no JSON object); {again}")
    return made


def _command(name: str, by: By) -> str:
    return f"memorability crossval {name}{'' if by == 'fold' else ' --by category'}"


def _differing(key: str, was: Any, now: Any) -> str:
    """What of one entry differs; digests say nothing to a reader."""
    if isinstance(was, dict) and isinstance(now, dict):
        names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        return f"{key} ({', '.join(f'{name} {was.get(name)}, now {now.get(name)}' for name in names)})"
    return key if key in ("origins", "rows") else f"{key} ({was}, now {now})"


def _called(name: str, by: By) -> str:
    return name if by == "fold" else f"{name}.by_category"


def _paths(params: Params, name: str) -> ModelPaths:
    head = params.head(name)
    return layout.model_paths(name, track=head.track, input=head.input)


def _check_comparable(params: Params, name: str, other: str) -> None:
    one, two = params.head(name), params.head(other)
    if other == name or (one.track, one.target) != (two.track, two.target) or one.track == "maps":
        raise ParamsError(
            f"--against {other}: a model of {two.track}, {two.target}; valid: another one of {name}'s own scores "
            f"({one.track}, {one.target})"
        )


def measures(tested: Sequence[Fold], track: tables.Track) -> pd.DataFrame:
    """A line a fold and, where `fold` is `pooled`, one for all out-of-fold predictions of a fold seed."""
    judging = judge(track)

    def line(seed: int, fold: str, judged: Judged) -> dict[str, Any]:
        found = judging.measure(judged.truth, judged.prediction, judged.ranking)
        return {"fold_seed": seed, "fold": fold, "n": len(judged), **found}

    lines = [line(fold.seed, fold.name, fold.judged) for fold in tested]
    return pd.DataFrame([*lines, *(line(seed, POOLED, judged) for seed, judged in by_seed(tested).items())])


def predictions(tested: Sequence[Fold]) -> pd.DataFrame:
    """Every id once, with its score and, a column a fold seed, its out-of-fold predictions.

    Returns:
        id, score, seed_N for each fold seed N, and of a model that ranks ranking_N; of an id that several draws of a
        fold seed test their means.
    """
    pooled = {seed: once(judged) for seed, judged in by_seed(tested).items()}

    def column(judged: Judged, values: Array) -> pd.Series:
        return pd.Series(values, index=judged.rows["id"].to_numpy(str))

    columns = {f"seed_{seed}": column(judged, judged.prediction) for seed, judged in pooled.items()}
    if all(judged.ranking is not None for judged in pooled.values()):
        columns |= {
            f"ranking_{seed}": column(judged, judged.ranking)
            for seed, judged in pooled.items()
            if judged.ranking is not None
        }
    first = next(iter(pooled.values()))
    truth = column(first, first.truth).rename("score")
    return pd.concat([truth, pd.DataFrame(columns)], axis=1).rename_axis("id").sort_index().reset_index()
