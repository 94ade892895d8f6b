"""compare: a leaderboard per track, what is better than what, one figure of all models."""

from memorability import evaluation, leaderboard, plots, runtime, tables
from memorability.files import read_json, write_json, write_text
from memorability.params import Params
from pipeline.common import FIGURES, METRICS, PREDICTIONS, SPLITS, run


def main(params: Params) -> None:
    summary: dict[str, float | None] = {}
    for track in params.split:
        names = [name for name in params.models if params.head(name).track == track]
        if not names:
            continue
        table = tables.read(SPLITS / f"{track}.csv")
        joined = {
            name: evaluation.join(tables.read(PREDICTIONS / track / f"{name}.csv"), table) for name in names
        }
        board = leaderboard.board({name: read_json(METRICS / track / f"{name}.json") for name in names})
        bootstrap, seed = params.evaluate.bootstrap, params.seed
        pairs = leaderboard.comparisons(joined, split="test", bootstrap=bootstrap, seed=seed)
        test = table[table["split"] == "test"]
        human = evaluation.human_consistency(test, repeats=params.evaluate.halves, seed=seed)
        tables.write(board, METRICS / "compare" / f"{track}.leaderboard.csv")
        tables.write(pairs, METRICS / "compare" / f"{track}.pairs.csv")
        text = leaderboard.text(board, pairs, human)
        write_text(METRICS / "compare" / f"{track}.txt", text + "\n")
        plots.comparison(joined, board, human, to=FIGURES / "compare" / track)
        summary |= leaderboard.summary(track, board, human)
        print(text)
    write_json(METRICS / "summary.json", summary)
    write_json(METRICS / "processor.json", {"processor": runtime.processor(), "threads": params.threads})


if __name__ == "__main__":
    run("compare", main)
