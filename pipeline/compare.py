"""compare@TRACK: a leaderboard per target, what is better than what, one figure of all models."""

import itertools

from memorability import evaluation, leaderboard, plots, runtime, tables
from memorability.files import read_json, write_json, write_text
from memorability.params import Params, Track
from pipeline.common import FIGURES, METRICS, SPLITS, predictions_of, run


def main(params: Params, track: Track) -> None:
    heads = {name: params.head(name) for name in params.models if params.head(name).track == track}
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
        found = leaderboard.comparisons(joined, split="test", bootstrap=bootstrap, seed=seed)
        test = rows[rows["split"] == "test"]
        human = evaluation.human_consistency(test, repeats=params.evaluate.halves, seed=seed)
        to = METRICS / "compare" / track
        tables.write(board, to / f"{target}.leaderboard.csv")
        tables.write(found, to / f"{target}.pairs.csv")
        means = [name for name in heads if heads[name].family == "mean" and heads[name].target == target]
        text = leaderboard.text(board, found, human, baseline=means[0] if means else None)
        write_text(to / f"{target}.txt", text + "\n")
        plots.comparison(joined, board, human, to=FIGURES / "compare" / track / target)
        named = track if len(tables.targets(table)) == 1 else f"{track}.{target}"
        summary |= leaderboard.summary(named, board, human)
        boards[target], pairs[target] = board, found
        print(f"{named}\n{text}\n")
    if twins := _twins(params, list(heads)):
        text = leaderboard.cross(boards, pairs, twins)
        write_text(METRICS / "compare" / track / "cross.txt", text + "\n")
        print(text)
    write_json(METRICS / f"{track}.json", summary)
    machine = {"processor": runtime.processor(), "threads": params.threads}
    write_json(METRICS / "compare" / track / "processor.json", machine)


def _twins(params: Params, names: list[str]) -> list[tuple[str, str]]:
    """Models that differ in nothing but their target."""
    rest = {name: {**params.models[name], "target": None} for name in names}
    alike = [pair for pair in itertools.combinations(names, 2) if rest[pair[0]] == rest[pair[1]]]
    return [pair for pair in alike if params.head(pair[0]).target != params.head(pair[1]).target]


if __name__ == "__main__":
    run("compare", main)
