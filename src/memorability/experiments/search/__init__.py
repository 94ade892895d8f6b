"""Searching a model's settings by validation: `memorability search NAME`, of any family of any track.

A search is a block of searches.yaml (`settings.Search`). No method opens a row of the test split: the table that trials
are given has none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path

from filelock import FileLock

from memorability.core import layout, states
from memorability.core.errors import DataError, ParamsError, TrainingError
from memorability.core.files import staged_folder, write_text
from memorability.data import tables
from memorability.evaluation import judge
from memorability.experiments.folds import origins
from memorability.experiments.search import table
from memorability.experiments.search.settings import FILE, Search, load, settings_of
from memorability.experiments.search.table import Line
from memorability.experiments.search.trials import Trials
from memorability.experiments.train import compute_of, paths_below
from memorability.params import Params

SELECTED_BY = ("train", "val")  # the splits that a search sees


def run(params: Params, name: str, *, file: Path = FILE) -> str:
    """Makes the trials of a search, each as its model's stage would train it; returns the table and the winner's command.

    Writes metrics/searches/NAME/ and plots/figures/searches/NAME/. Each finished trial is kept in .states/search-NAME
    until settings, data or code change, so a search that was stopped goes on, and one that asks for more trials makes
    only these. Several processes may be at one search.

    Raises:
        ParamsError: see `settings.load`; or Optuna is not installed.
        DataError: nothing validates.
        TrainingError: no trial came to an end.
    """
    search, compute = load(params, name, file=file), compute_of(params)
    track = params.head(search.model).track
    rows = tables.read(layout.split_table(track))
    rows = rows[rows["split"].isin(SELECTED_BY)].reset_index(drop=True)
    if not (rows["split"] == "val").any():
        raise DataError(f"{layout.split_table(track)}: no row validates, by which a search selects")
    method = _method(search)
    start = settings_of(params, search, {})
    made_of = [
        *(search.model_dump_json(exclude={"trials"}), start.model_dump_json(), rows.to_csv(), repr(compute)),
        *(params.evaluate[track].model_dump_json(), *origins(start, paths_below(Path(name), start))),
    ]
    with states.shared(layout.STATES / f"search-{name}", *made_of) as folder:
        trials = Trials(folder, rows, params, search, compute)
        lines = method(search, trials, _teller(search))
        with FileLock(folder / "results.lock"):
            return _written(params, search, name, lines, trials)


def _method(search: Search) -> Callable[[Search, Trials, Callable[[Line], None]], list[Line]]:
    if search.method == "one_at_a_time":
        from memorability.experiments.search.one_at_a_time import walk

        return walk
    try:
        from memorability.experiments.search.sampled import sample
    except ImportError as error:
        raise ParamsError(
            f"method {search.method} needs optuna; pip install 'memorability[search]', or use one_at_a_time"
        ) from error
    return sample


def _teller(search: Search) -> Callable[[Line], None]:
    def say(line: Line) -> None:
        score = line.record.state if line.record.score is None else f"{line.record.score:.6g}"
        what = f"{line.variable} {table.shown(line.value, line.variable)}".strip() or "start"
        print(f"{what}: {search.score} {score}{', kept' if line.kept else ''}", flush=True)

    return say


def _written(params: Params, search: Search, name: str, lines: list[Line], trials: Trials) -> str:
    from memorability.experiments.search import curves  # Matplotlib

    best = reduce(lambda one, other: other if trials.better(other.record, one.record) else one, lines)
    if best.record.score is None:
        said = next((line.record.said for line in lines if line.record.said), "no measure exists")
        raise TrainingError(
            f"{FILE}: none of the {len(lines)} trials of {name} has a score; the first: {said}"
        )
    measure = judge(params.head(search.model).track).MEASURES[search.score]
    found = table.table(search, lines, name=trials.name)
    said = "\n".join(
        [
            table.text(found, search, digits=measure.digits),
            "",
            table.summary(search, name, best, found, digits=measure.digits),
            "The model of that trial, and its track's board:",
            f"  {table.command(params, search, best.changes)}",
        ]
    )
    with (
        staged_folder(layout.METRICS / "searches" / name) as metrics,
        staged_folder(layout.FIGURES / "searches" / name) as drawn,
    ):
        numbers = list(found["trial"])
        tables.write(found.round({search.score: 6}), metrics / "trials.csv")
        tables.write(
            table.curves(lines, numbers, search.score).round({search.score: 6}), metrics / "curves.csv"
        )
        write_text(metrics / "search.txt", said + "\n")
        curves.draw(
            *(search, name, lines, numbers),
            label=measure.label, higher=measure.higher_is_better, to=drawn / "curves",
        )  # fmt: skip
    return said
