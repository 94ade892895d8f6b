"""compare@TRACK: a leaderboard per target, what is better than what, figures of all models."""

import itertools
from pathlib import Path
from typing import Any

import pandas as pd

from memorability.core import runtime
from memorability.core.files import read_json, write_json, write_text
from memorability.data import tables
from memorability.data.tables import Track
from memorability.evaluation import figures as plots
from memorability.evaluation import leaderboard, map_comparison, map_evaluation, map_leaderboard, map_metrics
from memorability.evaluation import reports as evaluation
from memorability.features import inputs
from memorability.params import Params
from memorability.training.settings import Model
from pipeline.common import FIGURES, METRICS, PLOTS, RAW, SPLITS, predictions_of, run

Heads = dict[str, Model]


def main(params: Params, track: Track) -> None:
    heads = {name: params.head(name) for name in params.models if params.head(name).track == track}
    summary = (_maps if track == "maps" else _scores)(params, track, heads)
    write_json(METRICS / f"{track}.json", summary)
    machine = {"processor": runtime.processor(), "threads": params.threads}
    write_json(METRICS / "compare" / track / "processor.json", machine)


def _scores(params: Params, track: Track, heads: Heads) -> dict[str, float | None]:
    table = tables.read(SPLITS / f"{track}.csv")
    predictions = {name: tables.read(predictions_of(name, head)) for name, head in heads.items()}
    reports = {name: read_json(METRICS / track / f"{name}.json") for name in heads}
    trained_on: dict[str, str] = {name: head.target for name, head in heads.items()}
    bootstrap, seed = params.evaluate.bootstrap, params.seed
    summary: dict[str, float | None] = {}
    boards, pairs = {}, {}
    for target in tables.targets(table):
        rows = tables.for_target(table, target)
        joined = {name: evaluation.join(predicted, rows) for name, predicted in predictions.items()}
        board = leaderboard.board({name: report[target] for name, report in reports.items()}, trained_on)
        found = leaderboard.comparisons(
            *leaderboard.of_scores(joined, split="test", bootstrap=bootstrap, seed=seed)
        )
        test = rows[rows["split"] == "test"]
        human = evaluation.human_consistency(test, repeats=params.evaluate.halves, seed=seed)
        text = leaderboard.text(board, found, human, baseline=_first(heads, "mean", target))
        _write(METRICS / "compare" / track, target, board, found, text)
        plots.comparison(joined, board, human, to=FIGURES / "compare" / track / target)
        named = track if len(tables.targets(table)) == 1 else f"{track}.{target}"
        summary |= leaderboard.summary(named, board, human)
        boards[target], pairs[target] = board, found
        print(f"{named}\n{text}\n")
    if twins := _twins(params, list(heads)):
        text = leaderboard.cross(boards, pairs, twins)
        write_text(METRICS / "compare" / track / "cross.txt", text + "\n")
        print(text)
    return summary


def _maps(params: Params, track: Track, heads: Heads) -> dict[str, float | None]:
    test = tables.for_target(tables.read(SPLITS / f"{track}.csv"), "map").query("split == 'test'")
    size, threads = params.evaluate.map_size, params.threads
    found = {
        name: map_evaluation.judged(
            predictions_of(name, head), test, raw=RAW / track, size=size, threads=threads
        )
        for name, head in heads.items()
    }
    reports = {name: read_json(METRICS / track / f"{name}.json")["map"] for name in heads}
    histories = {name: pd.read_csv(PLOTS / track / name / "history.csv") for name in heads}
    to = (METRICS / "compare" / track, FIGURES / "compare" / track / "map")
    board = compare_maps(params, heads, found, reports, histories, metrics_to=to[0], figures_to=to[1])
    return map_leaderboard.summary(track, board)


def compare_maps(
    params: Params,
    heads: Heads,
    found: dict[str, map_evaluation.Judged],
    reports: dict[str, dict[str, Any]],
    histories: dict[str, pd.DataFrame],
    *,
    metrics_to: Path,
    figures_to: Path,
) -> pd.DataFrame:
    """Board, comparisons and figures of models of maps, by their name; `found` are their test maps."""
    kind, bootstrap, seed = map_leaderboard.MAPS, params.evaluate.bootstrap, params.seed
    single = {
        name: map_metrics.per_map(j.truth, j.prediction, list(j.rows["id"])) for name, j in found.items()
    }
    board = leaderboard.board(reports, {name: head.target for name, head in heads.items()}, kind=kind)
    pairs = leaderboard.comparisons(
        *map_leaderboard.of_maps(single, bootstrap=bootstrap, seed=seed), kind=kind
    )
    mean, ridge = (_first(heads, family, None) for family in ("mean", "place_ridge"))
    text = map_leaderboard.text(board, pairs, reports, mean=mean, baseline=ridge)
    _write(metrics_to, "map", board, pairs, text)
    if (table := map_leaderboard.of_single_maps(single)) is not None:
        tables.write(table, metrics_to / "map.per_map.csv")
    test = next(iter(found.values()))
    map_comparison.comparison(
        board,
        histories,
        test.truth,
        {name: judged.prediction for name, judged in found.items()},
        picture=inputs.Pictures(test.rows, RAW / "maps").picture,
        seed=seed,
        to=figures_to,
    )
    print(f"maps\n{text}\n")
    return board


def _write(to: Path, target: str, board: pd.DataFrame, pairs: pd.DataFrame, text: str) -> None:
    tables.write(board, to / f"{target}.leaderboard.csv")
    tables.write(pairs, to / f"{target}.pairs.csv")
    write_text(to / f"{target}.txt", text + "\n")


def _first(heads: Heads, family: str, target: str | None) -> str | None:
    """The first model of a family that predicts the target, if there is one."""
    fitting = (name for name, h in heads.items() if h.family == family and target in (None, h.target))
    return next(fitting, None)


def _twins(params: Params, names: list[str]) -> list[tuple[str, str]]:
    """Models that differ in nothing but their target."""
    rest = {name: {**params.models[name], "target": None} for name in names}
    alike = [pair for pair in itertools.combinations(names, 2) if rest[pair[0]] == rest[pair[1]]]
    return [pair for pair in alike if params.head(pair[0]).target != params.head(pair[1]).target]


if __name__ == "__main__":
    run("compare", main)
