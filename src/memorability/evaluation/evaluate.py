"""Judging any models of one track in one go: reports, boards, comparisons, tables to plot and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from memorability.core.errors import DataError
from memorability.core.files import write_json, write_text
from memorability.core.parallel import pool_of_processes
from memorability.core.progress import bar
from memorability.data import tables
from memorability.data.known import across
from memorability.data.tables import Track
from memorability.evaluation import Judged, board_of, figures_of, judge, leaderboard
from memorability.evaluation.leaderboard import Line
from memorability.evaluation.plot_tables import PlotTables
from memorability.evaluation.reports import agreement, evidence, report
from memorability.evaluation.settings import Evaluate
from memorability.evaluation.standings import Standings, alike, standings, twins

HISTORY = "history.csv"  # in the folder of a model's predictions: of its training, a line an epoch
SEED = "training_seed"  # the key of a model's block that its training is seeded by


class Contender(NamedTuple):
    """A model that is judged beside others: what it is, and the folder of its predictions.

    `settings` is its block of the params, by which models are found that differ in their seed, or in their target,
    alone. `on_val` says that it is fitted on validation, as ensembles are.
    """

    family: str
    target: str
    predictions: Path
    settings: Mapping[str, Any]
    on_val: bool = False


class Folders(NamedTuple):
    """Where what comes is written; each exists. Without `plots` there are no tables for `dvc plots`."""

    metrics: Path
    figures: Path
    plots: Path | None = None


Draw = Callable[..., None]  # a function and its arguments


@contextmanager
def drawing(processes: int) -> Iterator[Draw]:
    """Calls of functions that draw, done by several processes by the end of the block: most of the time goes there."""
    if processes == 1:
        yield lambda function, *given, **named: function(*given, **named)
        return
    calls = list[Future[None]]()
    with pool_of_processes(processes) as pool:
        yield lambda function, *given, **named: calls.append(pool.submit(function, *given, **named))
        for call in bar(calls, of="figures", unit="figure"):
            call.result()


@dataclass(frozen=True)
class Evaluation:
    """How models of a track are judged, and where what comes is written.

    `raw` is the raw track, with pictures and true maps; `models` the folder of networks that measure distances.
    """

    track: Track
    raw: Path
    models: Path
    settings: Evaluate
    seed: int
    threads: int
    to: Folders

    def run(
        self, contenders: Mapping[str, Contender], table: pd.DataFrame
    ) -> tuple[dict[str, dict[str, float | None]], str]:
        """Judges the models, by name, on every target of the split table, from their predictions alone.

        Writes into `to.metrics` MODEL.json and the files of `Standings.write`; TARGET.people.json where answers are
        counted, and across_targets.txt where models differ in their target alone. Figures go to MODEL/ and TARGET/.

        Returns:
            few numbers of each model for `dvc metrics diff`, on the target it was trained on; and all boards.

        Raises:
            DataError: there is no model or no test row, or predictions are not of these rows.
        """
        if not contenders:
            raise DataError(f"{self.track}: no model to judge; the params name none of this track")
        reports: dict[str, dict[str, Any]] = {name: {} for name in contenders}
        plots = PlotTables(self.track)
        trained_on = {contender.target for contender in contenders.values()}
        seen = {target: across(judge(self.track).for_target(table, target)) for target in trained_on}
        on: dict[str, Standings] = {}
        with drawing(self.threads) as draw:
            for target in (*tables.targets(table), *sorted(trained_on & set(tables.COUNTED))):
                rows = judge(self.track).for_target(table, target)
                if not (rows["split"] == "test").any():
                    raise DataError(f"{self.track}: no test row; split.{self.track}.test must leave some")
                on[target] = self._target(target, contenders, rows, reports, plots, draw, seen)
        for name, by_target in reports.items():
            write_json(self.to.metrics / f"{name}.json", by_target)
        if self.to.plots is not None:
            plots.write(self.to.plots)
        boards = {target: standing.text for target, standing in on.items()}
        blocks = {name: contender.settings for name, contender in contenders.items()}
        if words := twins(self.track, on, blocks):
            write_text(self.to.metrics / "across_targets.txt", words + "\n")
            boards["across targets"] = words
        return self._summary(contenders, on), "\n\n".join(
            f"{self.track}, {name}\n{words}" for name, words in boards.items()
        )

    def _target(
        self,
        target: str,
        contenders: Mapping[str, Contender],
        rows: pd.DataFrame,
        reports: dict[str, dict[str, Any]],
        plots: PlotTables,
        draw: Draw,
        seen: Mapping[str, frozenset[str]],
    ) -> Standings:
        """Judges the models on one target, adds what comes to `reports` and `plots`, and writes the rest."""
        figures = figures_of(self.track)
        people = agreement(judge(self.track), rows, settings=self.settings, seed=self.seed)
        lines, histories, excerpts = {}, {}, {}
        for name, contender in bar(contenders.items(), of=f"models on {target}", unit="model"):
            judged = judge(self.track).read(
                contender.predictions, rows, raw=self.raw, settings=self.settings, threads=self.threads
            )
            histories[name], test = tables.read(contender.predictions / HISTORY), judged.of_split("test")
            line = lines[name] = self._line(contender, judged, histories[name], seen[contender.target])
            reports[name][target] = line.report
            excerpts[name] = figures.excerpt(test, seed=self.seed)
            if target in (contender.target, "map") and line.test is not None:
                curves = figures.densities(test)
                to = self._figures(name)
                history = self._with_kept(contender, histories[name])
                draw(figures.draw_model, name, test, curves, history, raw=self.raw, to=to)
                plots.add(target, name, curves, line.test.items, histories[name])
        of_test = people.get("test", {})
        seeds = alike({name: contender.settings for name, contender in contenders.items()}, SEED)
        standing = standings(self.track, target, lines, of_test, seeds=seeds, repeats=self.settings.bootstrap)
        standing.write(self.to.metrics, target)
        if people:
            write_json(self.to.metrics / f"{target}.people.json", people)
        to = self._figures(target)
        draw(figures.draw_models, standing.table, excerpts, histories, people=of_test, raw=self.raw, to=to)
        return standing

    def _line(
        self, contender: Contender, judged: Judged, history: pd.DataFrame, seen: frozenset[str]
    ) -> Line:
        written, test = report(
            judge(self.track),
            judged,
            history,
            settings=self.settings,
            seed=self.seed,
            models=self.models,
            threads=self.threads,
        )
        on_val = "all" if contender.on_val else "" if judged.ranking is None else "scores"
        if test is not None:
            written["test"] |= evidence(judge(self.track), judged, seen=seen, fitted_on_val=bool(on_val))
        return Line(contender.family, contender.target, written, test, on_val)

    def _with_kept(self, contender: Contender, history: pd.DataFrame) -> pd.DataFrame:
        from memorability.evaluation.figures import with_kept  # Matplotlib

        by = judge(self.track)
        select = contender.settings.get("select") or by.COMPARED[0]
        return with_kept(history, select, higher=by.MEASURES[select].higher_is_better)

    def _summary(
        self, contenders: Mapping[str, Contender], on: Mapping[str, Standings]
    ) -> dict[str, dict[str, float | None]]:
        summary: dict[str, dict[str, float | None]] = {}
        for target, standing in on.items():
            for row in standing.models.to_dict("records"):
                if target in (row["trained_on"], "map"):
                    summary[row["model"]] = leaderboard.summary(
                        {str(key): value for key, value in row.items()}, board_of(self.track)
                    )
        people = {target: standing.people["attainable"] for target, standing in on.items() if standing.people}
        return summary | ({"attainable_spearman": people} if people else {})

    def _figures(self, name: str) -> Path:
        folder = self.to.figures / name
        folder.mkdir(exist_ok=True)
        return folder
