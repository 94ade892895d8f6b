"""The user's command, `memorability`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from memorability.errors import DataError, MemorabilityError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Predict what people remember in pictures."
)
BOARD = Path("metrics/compare/images.leaderboard.csv")


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    model: Annotated[
        str | None,
        typer.Option(help="A model's name or folder; by default the best on validation of the leaderboard."),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False,
) -> None:
    """Scores pictures: how likely people are to remember them."""
    from memorability import runtime
    from memorability.predict import Failure, Predictor, Score

    name = best_model() if model is None else model
    folder = Path(name) if Path(name, "config.json").is_file() else models / name
    if runtime.world() == 1:
        results = list(Predictor(folder).scores(paths))
    else:
        fabric = runtime.fabric(precision="32-true", threads=runtime.cores(), deterministic=False)
        results = Predictor(folder, device=str(fabric.device)).scores_together(paths)
        if runtime.rank() > 0:
            return
    scores = [result for result in results if isinstance(result, Score)]
    failures = [result for result in results if isinstance(result, Failure)]
    if as_json:
        print(
            json.dumps(
                [{"path": str(s.path), "score": round(s.score, 6), "model": folder.name} for s in scores],
                indent=2,
            )
        )
    else:
        width = max([len(str(s.path)) for s in scores], default=4)
        print(f"{'path':{width}}  score  ({folder.name})")
        for s in scores:
            print(f"{s.path!s:{width}}  {s.score:.3f}")
    if failures:
        lines = "\n".join(f"  {failure.reason}" for failure in failures)
        raise DataError(f"{len(failures)} of {len(results)} could not be scored:\n{lines}")


@app.command()
def leaderboard(
    board: Annotated[Path, typer.Option(help="Folder of the comparisons.")] = Path("metrics/compare"),
) -> None:
    """Prints the leaderboards of the last run, and where everything lies."""
    texts = sorted(board.glob("*.txt"))
    if not texts:
        raise DataError(f"{board}: no leaderboard; run dvc repro (or make repro) first")
    for text in texts:
        print(f"{text.stem}\n{text.read_text(encoding='utf-8')}")
    print("metrics: metrics/    plots: plots/figures/    models: models/    wall times: logs/times.csv")


@app.command()
def crossval(
    model: Annotated[str, typer.Argument(help="A model's name in params.yaml.")],
    folds: Annotated[
        int, typer.Option(min=2, help="Folds; with published splits those are used instead.")
    ] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How often the folds are drawn anew.")] = 5,
) -> None:
    """Cross-validates a model: mean, spread and pooled out-of-fold measures. In the repository."""
    import subprocess

    if not Path("pipeline/crossval.py").is_file():
        raise DataError(f"{Path.cwd()}: no pipeline/ here; run this from the repository's root")
    command = [sys.executable, "-m", "pipeline.crossval", model, str(folds), str(seeds)]
    raise typer.Exit(subprocess.run(command).returncode)


def best_model(board: Path = BOARD) -> str:
    """The name at the top of the leaderboard, whose order is by validation.

    Raises:
        DataError: there is no leaderboard.
    """
    import csv

    if not board.is_file():
        raise DataError(f"{board}: no leaderboard to take the best model from; name one with --model")
    with board.open(newline="", encoding="utf-8") as stream:
        first = next(csv.DictReader(stream), None)
    if first is None:
        raise DataError(f"{board}: an empty leaderboard; name a model with --model")
    return first["model"]


def main() -> None:
    try:
        app()
    except MemorabilityError as error:
        sys.exit(f"memorability: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
