"""The user's command, `memorability`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memorability.core import kernels, layout
from memorability.core.errors import DataError, GivenFeaturesError, MemorabilityError

if TYPE_CHECKING:
    from memorability.predict.predictor import Failure, Predictor, Score

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Predict what people remember in pictures and clips."
)
BOARDS = layout.METRICS
OF_PICTURES, OF_CLIPS = "images/score.leaderboard.csv", "videos/short_term.leaderboard.csv"
OF_MAPS = "maps/map.leaderboard.csv"


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or clips, or folders of them.")],
    model: Annotated[
        str | None,
        typer.Option(help="A model's name or folder; by default the best on validation of the leaderboard."),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
    title: Annotated[
        str | None, typer.Option(help="What the clip shows, for models that read titles (one clip).")
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Also what the model says of each frame, if it does.")
    ] = False,
    to_maps: Annotated[
        bool,
        typer.Option("--map", help="Which regions of pictures are remembered: a picture each, to --out."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Of --map: the .png of one picture, or a folder for those of several."
        ),
    ] = None,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Of --map: also NAME.overlay.png, the map laid over its picture."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False,
) -> None:
    """Scores pictures or clips: how likely people are to remember them; or maps what they remember of pictures."""
    _check_options(to_maps=to_maps, out=out, overlay=overlay, frames=frames, title=title)
    if out is not None:
        _predict_maps(paths, out, model, models, overlay=overlay, as_json=as_json)
        return
    from memorability.core import runtime
    from memorability.predict.predictor import Failure, Score

    if title is not None and (len(paths) != 1 or paths[0].is_dir()):
        received = "a folder" if len(paths) == 1 else f"{len(paths)} paths"
        raise DataError(f"--title is that of one clip, received {received}")
    titles = {} if title is None else {paths[0]: title}
    folder, predictor = _opened(model, models, paths, titled=title is not None)
    if runtime.world() == 1:
        results = list(predictor.scores(paths, titles=titles))
    else:
        results = predictor.scores_together(paths, titles=titles)
        if runtime.rank() > 0:
            return
    scores = [result for result in results if isinstance(result, Score)]
    failures = [result for result in results if isinstance(result, Failure)]
    if as_json:
        print(json.dumps([_as_dict(s, folder.name) for s in scores], indent=2))
    else:
        width = max([len(str(s.path)) for s in scores], default=4)
        print(f"{'path':{width}}  score  ({folder.name})")
        for s in scores:
            print(f"{s.path!s:{width}}  {s.score:.3f}")
            if frames and s.frame_values is not None:
                print(
                    f"{'':{width}}  {s.kind} by frame: {' '.join(f'{value:.3f}' for value in s.frame_values)}"
                )
    _report(failures, of=len(results), done="scored")


def _check_options(
    *, to_maps: bool, out: Path | None, overlay: bool, frames: bool, title: str | None
) -> None:
    given = [name for name, value in (("--frames", frames), ("--title", title is not None)) if value]
    if to_maps and given:
        raise DataError(
            f"--map is of pictures, {' and '.join(given)} of scores of clips; give one or the other"
        )
    if to_maps and out is None:
        raise DataError("--map needs --out (-o): the .png of one picture, or a folder for those of several")
    given = [name for name, value in (("--out", out is not None), ("--overlay", overlay)) if value]
    if given and not to_maps:
        raise DataError(f"{' and '.join(given)} without --map: scores are printed; maps are written by --map")


def _report(failures: list[Failure], *, of: int, done: str) -> None:
    if failures:
        lines = "\n".join(f"  {failure.reason}" for failure in failures)
        raise DataError(f"{len(failures)} of {of} could not be {done}:\n{lines}")


def _predict_maps(
    paths: list[Path], out: Path, model: str | None, models: Path, *, overlay: bool, as_json: bool
) -> None:
    """Writes maps, of several processes each its share; the first one says what was written."""
    from memorability.core import runtime
    from memorability.predict import map_files
    from memorability.predict.predictor import Failure

    targets, failures = map_files.targets(paths, out, overlays=overlay)
    folder, predictor = _opened(model, models, paths, to_maps=True)
    if runtime.world() == 1:
        results = list(map_files.written(predictor, targets, model=folder.name))
    else:
        from memorability.core import distributed

        share = distributed.share(targets)
        results = distributed.interleaved(list(map_files.written(predictor, share, model=folder.name)))
        if runtime.rank() > 0:
            return
    written = [result for result in results if not isinstance(result, Failure)]
    failures += [result for result in results if isinstance(result, Failure)]
    if as_json:
        print(json.dumps(written, indent=2))
    else:
        width, wide = (max([len(str(one[name])) for one in written], default=4) for name in ("path", "map"))
        print(f"{'path':{width}}  {'map':{wide}}  ({folder.name})")
        for one in written:
            print(f"{one['path']:{width}}  {one['map']}")
    _report(failures, of=len(failures) + len(written), done="mapped")


def _opened(
    model: str | None, models: Path, paths: list[Path], *, titled: bool = False, to_maps: bool = False
) -> tuple[Path, Predictor]:
    """A model and its folder; without a name, the best one for the paths, or for maps of them."""
    from memorability.core import runtime
    from memorability.predict.predictor import Predictor

    device = None
    if runtime.world() > 1:
        from memorability.core import distributed

        device = str(distributed.device(threads=runtime.cores()))
    if model is not None:
        folder = _folder(model, models)
        return folder, Predictor(folder, device=device)
    board = BOARDS / OF_MAPS if to_maps else board_for(paths)
    return _best(board, models, device, titled=titled)


def _best(board: Path, models: Path, device: str | None, *, titled: bool) -> tuple[Path, Predictor]:
    """The first model of a leaderboard that can score files as they are: it may need a title."""
    from memorability.predict.predictor import Predictor

    for name in ranked_models(board):
        folder = _folder(name, models)
        try:
            predictor = Predictor(folder, device=device)
        except GivenFeaturesError:
            continue
        if titled or not predictor.needs_title:
            return folder, predictor
    raise DataError(
        f"{board}: its models read titles or features of their data set; give a title with --title"
    )


def _folder(name: str, models: Path) -> Path:
    return Path(name) if Path(name, "config.json").is_file() else models / name


def _as_dict(score: Score, model: str) -> dict[str, object]:
    found: dict[str, object] = {"path": str(score.path), "score": round(score.score, 6), "model": model}
    if score.frame_values is not None:
        found[f"{score.kind}_by_frame"] = [round(value, 6) for value in score.frame_values]
    return found


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="A trained model of clips.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
) -> None:
    """Writes the predictions of the unlabelled clips as a MediaEval run: video,score,confidence."""
    from memorability.evaluation import runs

    folders = [layout.predictions("videos", model, ensemble=ensemble) for ensemble in (False, True)]
    tables = [folder / "predictions.csv" for folder in folders if (folder / "predictions.csv").is_file()]
    if not tables:
        raise DataError(f"{folders[0]}: no predictions of {model!r}; run dvc repro train@{model}")
    print(f"{runs.write(tables[0], out)} clips in {out}")


@app.command()
def leaderboard() -> None:
    """Prints the leaderboards of the tracks that params.yaml names, and where everything lies."""
    from memorability import params

    tracks = list(params.load().evaluate)
    texts = {track: sorted((layout.METRICS / track).glob("*.txt")) for track in tracks}
    if not any(texts.values()):
        raise DataError(f"{layout.METRICS}: no leaderboard; run dvc repro (or make repro) first")
    for track, files in texts.items():
        for file in files:
            name = track if file.stem in ("score", "map") else f"{track}, {file.stem}"
            print(f"{name}\n{file.read_text(encoding='utf-8')}")
    print("metrics: metrics/    plots: plots/figures/    models: models/    wall times: logs/times.csv")


@app.command(name="params")
def show_params(
    model: Annotated[str, typer.Argument(help="A model's or ensemble's name in params.yaml.")],
) -> None:
    """Prints every value in force of a model, defaults included, as YAML."""
    import yaml

    from memorability import params

    settings = params.load().model(model).model_dump(mode="json")
    print(yaml.safe_dump({model: settings}, sort_keys=False), end="")


@app.command()
def crossval(
    model: Annotated[str, typer.Argument(help="A model's name in params.yaml.")],
    folds: Annotated[
        int, typer.Option(min=2, help="Folds; with published splits those are used instead.")
    ] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="How often the folds are drawn anew.")] = 5,
) -> None:
    """Cross-validates a model of a project: mean, spread and pooled out-of-fold measures."""
    from memorability.experiments import crossval as experiment
    from memorability.experiments.start import started

    with started(f"crossval {model}") as params:
        print(experiment.run(params, model, folds=folds, seeds=seeds))


@app.command()
def ablate(
    ablation: Annotated[str, typer.Argument(help="Its name in ablations.yaml.")],
) -> None:
    """Trains the variants of a model of a project and compares them."""
    from memorability.experiments import ablation as experiment
    from memorability.experiments.start import started

    with started(f"ablate {ablation}") as params:
        print(experiment.run(params, ablation))


def board_for(paths: list[Path]) -> Path:
    """The leaderboard of clips, where the paths hold clips and no picture, else that of pictures."""
    from memorability.media.pictures import SUFFIXES as PICTURES
    from memorability.media.video import SUFFIXES as CLIPS

    files = (file for path in paths for file in (path.rglob("*") if path.is_dir() else [path]))
    endings = {file.suffix.lower() for file in files}
    return BOARDS / (OF_CLIPS if endings & set(CLIPS) and not endings & set(PICTURES) else OF_PICTURES)


def ranked_models(board: Path) -> list[str]:
    """The names on a leaderboard, the best on validation first.

    Raises:
        DataError: there is no leaderboard.
    """
    import csv

    if not board.is_file():
        raise DataError(f"{board}: no leaderboard to take the best model from; name one with --model")
    with board.open(newline="", encoding="utf-8") as stream:
        names = [row["model"] for row in csv.DictReader(stream)]
    if not names:
        raise DataError(f"{board}: an empty leaderboard; name a model with --model")
    return names


def main() -> None:
    kernels.start()  # before anything imports NumPy or torch
    try:
        app()
    except MemorabilityError as error:
        sys.exit(f"memorability: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
