"""What a project has at hand: its boards, its params, its MediaEval runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memorability.core import layout
from memorability.core.errors import DataError


def run(
    model: Annotated[str, typer.Argument(help="A trained model of clips.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
) -> None:
    """Writes the predictions of the unlabelled clips as a MediaEval run: video,score,confidence.

    Example: memorability run ensemble_short -o run.csv
    """
    from memorability.evaluation import runs

    folders = [layout.predictions("videos", model, ensemble=ensemble) for ensemble in (False, True)]
    tables = [folder / "predictions.csv" for folder in folders if (folder / "predictions.csv").is_file()]
    if not tables:
        raise DataError(f"{folders[0]}: no predictions of {model!r}; run dvc repro train@{model}")
    print(f"{runs.write(tables[0], out)} clips in {out}")


def leaderboard() -> None:
    """Prints the leaderboards of the tracks that params.yaml names, and where everything lies.

    Boards with models that params.yaml does not name, such as the demo's beside a new one, are not printed but named.

    Example: memorability leaderboard
    """
    from memorability import params
    from memorability.predict.about import Project

    named = params.load()
    project = Project.of(layout.MODELS, known=(*named.models, *named.ensembles))
    texts = {track: sorted((layout.METRICS / track).glob("*.txt")) for track in named.evaluate}
    if not any(texts.values()):
        raise DataError(f"{layout.METRICS}: no leaderboard; run dvc repro (or make repro) first")
    misfits = {track: why for track in texts if (why := project.misfit(track))}
    for track, files in texts.items():
        for file in files if track not in misfits else ():
            name = track if file.stem in ("score", "map") else f"{track}, {file.stem}"
            print(f"{name}\n{file.read_text(encoding='utf-8')}")
    print("metrics: metrics/    plots: plots/figures/    models: models/    wall times: logs/times.csv")
    if misfits:
        raise DataError("\n".join(misfits.values()))


def show_params(
    model: Annotated[str, typer.Argument(help="A model's or ensemble's name in params.yaml.")],
) -> None:
    """Prints every value in force of a model, defaults included, as YAML.

    Example: memorability params ridge
    """
    import yaml

    from memorability import params

    settings = params.load().model(model).model_dump(mode="json")
    print(yaml.safe_dump({model: settings}, sort_keys=False), end="")
