"""What is done with a project beside its pipeline: cross-validation, ablation, imports, releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from memorability.core import layout
from memorability.core.errors import DataError


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
    """Cross-validates a model or ensemble of a project: mean, spread and pooled out-of-fold measures.

    Example: memorability crossval ridge --folds 5 --seeds 5
    """
    from memorability.experiments import crossval as experiment
    from memorability.experiments.start import started

    with started(f"crossval {model}") as params:
        print(experiment.run(params, model, folds=folds, seeds=seeds, by=by, against=against))


def ablate(
    ablation: Annotated[str, typer.Argument(help="Its name in ablations.yaml.")],
) -> None:
    """Trains the variants of a model of a project and compares them.

    Example: memorability ablate backbones
    """
    from memorability.experiments import ablation as experiment
    from memorability.experiments.start import started

    with started(f"ablate {ablation}") as params:
        print(experiment.run(params, ablation))


def search(
    name: Annotated[str, typer.Argument(help="Its name in searches.yaml.")],
) -> None:
    """Searches the settings of a model by validation: one variable at a time, or by Optuna (docs/search.md).

    Stopped, it goes on; and several of the same command at once share the work. Example: memorability search ridge
    """
    from memorability.experiments import search as experiment
    from memorability.experiments.start import started

    with started(f"search {name}") as params:
        print(experiment.run(params, name))


def import_published(
    name: Annotated[str, typer.Argument(help="Which published model: resmem, amnet, amnet_mean or memnet.")],
    weights: Annotated[Path | None, typer.Option(help="Its file of weights.")] = None,
    package: Annotated[
        bool, typer.Option("--package", help="The weights in the installed package of that name.")
    ] = False,
    mean: Annotated[
        Path | None, typer.Option(help="Memnet's mean picture, where it is in a file of its own.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The model's name; by default NAME_published.")] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
) -> None:
    """Makes a published model one of yours, from its authors' weights (docs/weights.md).

    Example: memorability import resmem --package
    """
    from memorability.experiments import imports

    if package == (weights is not None):
        raise DataError("import: give either --weights FILE or --package")
    print(imports.run(name, weights=weights, mean=mean, to=to, models=models))


def release(
    model: Annotated[str, typer.Argument(help="The name of a trained model of pictures.")],
    to: Annotated[Path | None, typer.Option(help="The folder to write; by default released/MODEL.")] = None,
    card: Annotated[
        Path | None,
        typer.Option(help="Text that the card begins with; by default profiles/MODEL.card.md."),
    ] = None,
) -> None:
    """Makes of a model, once cross-validated, a small folder to hand out: weights, evidence and a card.

    Example: memorability release ridge --to released/ridge
    """
    from memorability.experiments import release as experiment
    from memorability.experiments.start import started

    with started(f"release {model}") as params:
        print(experiment.release(params, model, to=to, text=card))
