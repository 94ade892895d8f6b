"""The user's command, `memorability`: one table of all its commands, a module for each group of them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

import typer

from memorability.cli import (
    bench_experiment,
    bench_people,
    bench_pictures,
    catalogue,
    evaluate,
    experiments,
    explain,
    export,
    features,
    predict,
    project,
    serve,
)
from memorability.core import compiler, kernels
from memorability.core.errors import CallError, MemorabilityError

# In the order that the help lists them. Modules import what is heavy within their functions.
COMMANDS: dict[str, Callable[..., None]] = {
    "predict": predict.predict,
    "explain": explain.explain,
    "visualise": explain.visualise,
    "models": catalogue.models,
    "card": catalogue.card,
    "families": catalogue.families,
    "datasets": catalogue.datasets,
    "export": export.export,
    "serve": serve.serve,
    "evaluate": evaluate.evaluate,
    "run": project.run,
    "leaderboard": project.leaderboard,
    "params": project.show_params,
    "crossval": experiments.crossval,
    "ablate": experiments.ablate,
    "search": experiments.search,
    "correlations": features.correlations,
    "reliability": bench_people.reliability,
    "validate": bench_people.validate,
    "confounds": bench_pictures.confounds,
    "select": bench_pictures.select,
    "distinctiveness": bench_pictures.distinctiveness,
    "features": bench_pictures.features,
    "experiment": bench_experiment.experiment,
    "import": experiments.import_published,
    "release": experiments.release,
}

# Plain help: rich's takes twice the time.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Predict what people remember in pictures and clips.",
)
for _name, _command in COMMANDS.items():
    app.command(name=_name)(_command)


def main() -> None:
    kernels.start()  # before anything imports NumPy or torch
    compiler.defer()
    try:
        app()
    except CallError as error:
        print(f"memorability: {error}", file=sys.stderr)
        sys.exit(2)
    except MemorabilityError as error:
        sys.exit(f"memorability: {type(error).__name__}: {error}")
    except BrokenPipeError:  # whoever reads the output has had enough
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        sys.exit(f"memorability: StorageError: what there is to say cannot be written ({error.strerror})")


def _drop_output() -> None:
    """What is still to be written would fail once more when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
