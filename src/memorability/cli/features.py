"""What is asked of features by themselves: what they have to do with the scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memorability.core import layout

if TYPE_CHECKING:
    import pandas as pd


def correlations(
    features: Annotated[
        list[str], typer.Argument(help="Names of features in params.yaml, made by dvc repro.")
    ],
    track: Annotated[str, typer.Option(help="Whose scores.")] = "images",
    target: Annotated[str | None, typer.Option(help="Of a track with several: which score.")] = None,
    shown: Annotated[int, typer.Option(min=0, help="How many single numbers are printed.")] = 15,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV of all single numbers; that of blocks beside it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Both tables as JSON.")] = False,
) -> None:
    """Correlates hand-made features, labels or masks with the training rows' scores.

    Example: memorability correlations handcrafted --shown 30
    """
    from memorability.data import tables
    from memorability.experiments import correlations as experiment

    folders = [layout.FEATURES / name for name in features]
    singles, blocks = experiment.correlations(folders, layout.split_table(track), target=target)
    if out is not None:
        tables.write(singles, out)
        tables.write(blocks, out.with_name(f"{out.stem}-blocks{out.suffix}"))
    if as_json:
        # Through pandas, for which a missing number is null.
        print(json.dumps({"singles": _rows(singles), "blocks": _rows(blocks)}, indent=1))
    else:
        print(experiment.text(singles, blocks, shown=shown))


def _rows(table: pd.DataFrame) -> object:
    return json.loads(table.to_json(orient="records"))
