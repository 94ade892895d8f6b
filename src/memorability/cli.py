"""The user's command, `memorability`."""

from __future__ import annotations

import errno
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from memorability.core import kernels, layout
from memorability.core.errors import DataError, MemorabilityError, ParamsError
from memorability.predict.map_formats import Format

if TYPE_CHECKING:
    from memorability.predict.choice import Project

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Predict what people remember in pictures and clips."
)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or clips, or folders of them.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model's name or folder; by default the best of this project, or the one that came with the package."
        ),
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
        typer.Option("--map", help="Which regions of pictures are remembered: a file each, to --out."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Of --map: the file of one picture's map (.png; .npy, .tif: its values), or a folder for several.",
        ),
    ] = None,
    kind: Annotated[
        Format | None, typer.Option("--format", help="Of maps that go to a folder; by default png.")
    ] = None,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Of --map: also NAME.overlay.png, the map laid over its picture."),
    ] = False,
    confidence: Annotated[
        float, typer.Option(help="With which a score's interval is to hold the true score, between 0 and 1.")
    ] = 0.9,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")] = False,
) -> None:
    """Scores pictures or clips: how likely people are to remember them; or maps what they remember of pictures."""
    _check_options(to_maps=to_maps, out=out, overlay=overlay, kind=kind, frames=frames, title=title)
    if out is not None:
        _predict_maps(paths, out, model, models, overlay=overlay, kind=kind, as_json=as_json)
        return
    from memorability.predict import report, scoring

    if title is not None and (len(paths) != 1 or paths[0].is_dir()):
        received = "a folder" if len(paths) == 1 else f"{len(paths)} paths"
        raise DataError(f"--title is that of one clip, received {received}")
    titles = {} if title is None else {paths[0]: title}
    scored = scoring.score(
        paths, _project(models), model=model, titles=titles, device=_device(), confidence=confidence
    )
    if _is_first():
        if as_json:
            print(json.dumps(report.score_rows(scored), indent=2))
        else:
            print(report.score_table(scored, frames=frames))
        _note(report.notes([choice for choice, _ in scored.by_model], scored.left_out))
        report.check(scored.failures, of=len(scored), done="scored")


def _check_options(
    *, to_maps: bool, out: Path | None, overlay: bool, kind: Format | None, frames: bool, title: str | None
) -> None:
    given = [name for name, value in (("--frames", frames), ("--title", title is not None)) if value]
    if to_maps and given:
        raise DataError(
            f"--map is of pictures, {' and '.join(given)} of scores of clips; give one or the other"
        )
    if to_maps and out is None:
        raise DataError("--map needs --out (-o): the .png of one picture, or a folder for those of several")
    options = (("--out", out is not None), ("--overlay", overlay), ("--format", kind is not None))
    given = [name for name, value in options if value]
    if given and not to_maps:
        raise DataError(f"{' and '.join(given)} without --map: scores are printed; maps are written by --map")


def _predict_maps(
    paths: list[Path],
    out: Path,
    model: str | None,
    models: Path,
    *,
    overlay: bool,
    kind: Format | None,
    as_json: bool,
) -> None:
    """Writes maps, of several processes each its share; the first one says what was written."""
    from memorability.core import runtime
    from memorability.predict import choice, map_files, report
    from memorability.predict.results import Failure

    targets = map_files.targets(paths, out, overlays=overlay, kind=kind)
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
    try:
        named = params.load()
    except ParamsError as error:  # another program's, or one that is being edited: models say what they need
        _note([f"params.yaml of this folder is not used: {' '.join(str(error).split())[:300]}"])
        return Project(models=models)
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
def evaluate(
    model: Annotated[str, typer.Argument(help="A model's name or folder.")],
    on: Annotated[Path, typer.Option(help="A table (CSV) of files with their true scores.")],
    root: Annotated[
        Path | None, typer.Option(help="The folder that the files are named in; by default the table's.")
    ] = None,
    file: Annotated[str, typer.Option(help="The table's column of files.")] = "file",
    score: Annotated[str, typer.Option(help="Its column of true scores.")] = "score",
    scale: Annotated[float, typer.Option(help="The score of what all remember; 100: per cent.")] = 1.0,
    category: Annotated[str | None, typer.Option(help="Its column of categories.")] = None,
    title: Annotated[str | None, typer.Option(help="Its column of titles, of clips.")] = None,
    hits: Annotated[
        str | None, typer.Option(help="Its column of hits, for what people leave to attain.")
    ] = None,
    false_alarms: Annotated[
        str | None, typer.Option(help="Of false alarms; without it scores are those of hits alone.")
    ] = None,
    responses: Annotated[str | None, typer.Option(help="Of the answers behind each score.")] = None,
    false_alarm_responses: Annotated[
        str | None, typer.Option(help="Of answers to an item as a new one, where they are not as many.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out, and count, rows that cannot be used.")
    ] = False,
    confidence: Annotated[
        float, typer.Option(help="With which a score's interval is to hold the truth, between 0 and 1.")
    ] = 0.9,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A CSV to write, of every row with its prediction.")
    ] = None,
) -> None:
    """Holds a model's scores against the truth of any table: what it is worth on data that it was not made for."""
    from memorability.experiments import evaluate_on, evaluate_on_text
    from memorability.predict import choice, report
    from memorability.predict.printable import printable
    from memorability.predict.tabled import knows_seen, tabled

    columns = {
        **{"file": file, "score": score, "category": category, "title": title, "responses": responses},
        **{"hits": hits, "false_alarms": false_alarms, "false_alarm_responses": false_alarm_responses},
    }
    source = evaluate_on.source(on, root=root, scale=scale, columns=columns)
    predictor, said = choice.named(model, _project(models), device=_device(), confidence=confidence)
    found = evaluate_on.evaluate(
        source,
        partial(tabled, predictor),
        clips=predictor.clips,
        knows_seen=knows_seen(predictor),
        skip_bad=skip_bad,
    )
    if _is_first():
        if out is not None:
            found.write(out)
        if as_json:
            asked = {"table": str(on), "confidence": confidence}
            print(json.dumps({**asked, **said.as_dict(), **found.numbers, "bad": found.bad}, indent=2))
        else:
            print(said.line())
            print(evaluate_on_text.text(found.numbers, table=str(on), confidence=confidence))
        _note([*report.notes([said], None), *(f"left out: {printable(line)}" for line in found.bad)])


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
    by: Annotated[
        Literal["fold", "category"],
        typer.Option(help="category: each one left out once, in place of folds drawn anew."),
    ] = "fold",
    against: Annotated[
        str | None, typer.Option(help="A model that was cross-validated before, to be compared with.")
    ] = None,
) -> None:
    """Cross-validates a model or ensemble of a project: mean, spread and pooled out-of-fold measures."""
    from memorability.experiments import crossval as experiment
    from memorability.experiments.start import started

    with started(f"crossval {model}") as params:
        print(experiment.run(params, model, folds=folds, seeds=seeds, by=by, against=against))


@app.command()
def ablate(
    ablation: Annotated[str, typer.Argument(help="Its name in ablations.yaml.")],
) -> None:
    """Trains the variants of a model of a project and compares them."""
    from memorability.experiments import ablation as experiment
    from memorability.experiments.start import started

    with started(f"ablate {ablation}") as params:
        print(experiment.run(params, ablation))


@app.command(name="import")
def import_published(
    name: Annotated[str, typer.Argument(help="Which published model: resmem.")],
    weights: Annotated[Path | None, typer.Option(help="Its file of weights.")] = None,
    package: Annotated[
        bool, typer.Option("--package", help="The weights in the installed package of that name.")
    ] = False,
    to: Annotated[str | None, typer.Option(help="The model's name; by default NAME_published.")] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
) -> None:
    """Makes a published model one of yours, from its authors' weights (docs/published.md)."""
    from memorability.experiments import imports

    if package == (weights is not None):
        raise DataError("import: give either --weights FILE or --package")
    print(imports.run(name, weights=weights, to=to, models=models))


@app.command()
def release(
    model: Annotated[str, typer.Argument(help="The name of a trained model of pictures.")],
    to: Annotated[Path | None, typer.Option(help="The folder to write; by default released/MODEL.")] = None,
    card: Annotated[
        Path | None,
        typer.Option(help="Text that the card begins with; by default profiles/MODEL.card.md."),
    ] = None,
) -> None:
    """Makes of a model, once cross-validated, a small folder to hand out: weights, evidence and a card."""
    from memorability.experiments import release as experiment
    from memorability.experiments.start import started

    with started(f"release {model}") as params:
        print(experiment.release(params, model, to=to, text=card))


def main() -> None:
    kernels.start()  # before anything imports NumPy or torch
    try:
        app()
    except MemorabilityError as error:
        sys.exit(f"memorability: {type(error).__name__}: {error}")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"memorability: StorageError: what there is to say cannot be written ({error.strerror})")


if __name__ == "__main__":
    main()
