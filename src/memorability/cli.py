"""The user's command, `memorability`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memorability.core import kernels, layout
from memorability.core.errors import DataError, MemorabilityError

if TYPE_CHECKING:
    from memorability.predict.choice import Project

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Predict what people remember in pictures and clips."
)
BOARDS = layout.METRICS


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
    from memorability.predict import report, scoring

    if title is not None and (len(paths) != 1 or paths[0].is_dir()):
        received = "a folder" if len(paths) == 1 else f"{len(paths)} paths"
        raise DataError(f"--title is that of one clip, received {received}")
    titles = {} if title is None else {paths[0]: title}
    scored = scoring.score(paths, _project(models), model=model, titles=titles, device=_device())
    if _is_first():
        if as_json:
            print(json.dumps(report.score_rows(scored), indent=2))
        else:
            print(report.score_table(scored, frames=frames))
        _note(report.notes([choice for choice, _ in scored.by_model], scored.left_out))
        report.check(scored.failures, of=len(scored), done="scored")


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


def _predict_maps(
    paths: list[Path], out: Path, model: str | None, models: Path, *, overlay: bool, as_json: bool
) -> None:
    """Writes maps, of several processes each its share; the first one says what was written."""
    from memorability.core import runtime
    from memorability.predict import choice, map_files, report
    from memorability.predict.results import Failure

    targets = map_files.targets(paths, out, overlays=overlay)
    project, device = _project(models), _device()
    opened = (
        choice.best("maps", project, device=device)
        if model is None
        else choice.named(model, project, device=device)
    )
    predictor, said = opened
    if runtime.world() == 1:
        results = list(map_files.written(predictor, targets.found, model=said.folder.name))
    else:
        from memorability.core import distributed

        share = distributed.share(targets.found)
        results = distributed.interleaved(list(map_files.written(predictor, share, model=said.folder.name)))
    if _is_first():
        written = [result for result in results if not isinstance(result, Failure)]
        failures = [*targets.failures, *(result for result in results if isinstance(result, Failure))]
        print(
            json.dumps([row | said.as_dict() for row in written], indent=2)
            if as_json
            else report.map_table(written, said)
        )
        _note(report.notes([said], targets.left_out))
        report.check(failures, of=len(failures) + len(written), done="mapped")


def _project(models: Path) -> Project:
    """Where all lies; the models of params.yaml are known, if there is one here."""
    from memorability import params
    from memorability.predict.choice import Project

    if not Path("params.yaml").is_file():
        return Project(models=models)
    named = params.load()
    return Project(models=models, known=(*named.models, *named.ensembles))


def _device() -> str | None:
    from memorability.core import runtime

    if runtime.world() == 1:
        return None
    from memorability.core import distributed

    return str(distributed.fabric(precision="32-true", threads=runtime.cores(), deterministic=False).device)


def _is_first() -> bool:
    from memorability.core import runtime

    return runtime.rank() == 0


def _note(lines: list[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


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


def main() -> None:
    kernels.start()  # before anything imports NumPy or torch
    try:
        app()
    except MemorabilityError as error:
        sys.exit(f"memorability: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
