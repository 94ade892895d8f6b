"""`confounds`, `select`, `distinctiveness` and `features`: what there is to know of a folder of pictures before an experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memorability.cli import common
from memorability.core import layout

if TYPE_CHECKING:
    import pandas as pd

Folder = Annotated[Path, typer.Argument(help="A folder of pictures.")]
Table = Annotated[
    Path | None,
    typer.Option(
        help="CSV of item (a path within the folder) and what is known: score, category, other numbers."
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Whose scores, where the table has none; by default the best.")
]
Models = Annotated[Path, typer.Option(help="Folder of the trained models and backbones.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Backbone = Annotated[
    str, typer.Option(help="A folder, a name in --models, or efficientnet-lite0, -lite1, -lite2.")
]
Layers = Annotated[str, typer.Option(help="Its layers, with commas; by default the last before the classes.")]


def confounds(
    folder: Folder,
    table: Table = None,
    model: Model = None,
    models: Models = layout.MODELS,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A CSV of every picture's covariates.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Properties of each picture, their correlations with the score, and what is left of each given the others.

    Example: memorability confounds pictures -o covariates.csv
    """
    from memorability.bench import confounds as bench
    from memorability.data import tables

    rows = _rows(folder, table, model, models, hashed=False)
    rest = ("item", "file", "score", "category", "seen")
    found = bench.confounds(rows, [name for name in map(str, rows) if name not in rest])
    if out is not None:
        tables.write(rows.drop(columns="file"), out)
    if as_json:
        lines = json.loads(found.table.to_json(orient="records"))
        print(
            json.dumps({"n": found.n, "category_eta_squared": found.category, "covariates": lines}, indent=2)
        )
    else:
        print(bench.text(found))


def select(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write, which is replaced.")],
    high: Annotated[int, typer.Option(min=2, help="Pictures of high memorability.")] = 40,
    low: Annotated[int, typer.Option(min=2, help="Pictures of low memorability.")] = 40,
    match: Annotated[
        str, typer.Option(help="Covariates with commas (memorability confounds lists them), and category.")
    ] = "luminance,contrast",
    seed: Annotated[int, typer.Option(help="Of ties and of exchanges.")] = 0,
    table: Table = None,
    model: Model = None,
    models: Models = layout.MODELS,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Also pictures that the model was trained on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Sets of pictures of high and of low memorability that are alike in all else that is named.

    Example: memorability select pictures --high 40 --low 40 --match luminance,contrast,category -o sets
    """
    from memorability.bench import selection

    rows = _rows(folder, table, model, models, hashed=True)
    names = [name.strip() for name in match.split(",") if name.strip()]
    found = selection.select(rows, high=high, low=low, match=names, seed=seed, keep_seen=keep_seen)
    selection.write(found, folder, out)
    print(json.dumps(found.numbers(), indent=2) if as_json else selection.text(found))


def _rows(folder: Path, table: Path | None, model: str | None, models: Path, *, hashed: bool) -> pd.DataFrame:
    """All that is known of the pictures: statistics, the table's columns, and scores."""
    import pandas as pd

    from memorability.bench import folder as pictures
    from memorability.bench import scoring

    listed, left_out = pictures.pictures_of(folder)
    known, said = pictures.known(listed, table)
    common.note([*left_out, *said])
    found = pictures.measure(listed, hashed=hashed)
    theirs = [str(name) for name in known if name in found and name != "item"]
    if theirs:
        common.note([f"{table}: its own {', '.join(theirs)} in place of what is measured under that name"])
    rows = found.drop(columns=theirs).merge(known, on="item").assign(file=listed["file"])
    if pictures.SCORE not in rows or model is not None:
        scores, whose = scoring.scored(list(listed["file"]), common.project(models), model=model)
        rows = pd.concat([rows.drop(columns=pictures.SCORE, errors="ignore"), scores], axis=1)
        common.note([whose])
    return rows


def distinctiveness(
    folder: Folder,
    backbone: Backbone = "efficientnet-lite0",
    layers: Layers = "",
    features: Annotated[
        Path | None, typer.Option(help="Features of these pictures, as memorability features writes them.")
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="How many nearest pictures count.")] = 5,
    models: Models = layout.MODELS,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A CSV to write; by default it is printed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How far each picture is from the others of the folder: what stands out is remembered.

    Example: memorability distinctiveness pictures -o distinct.csv
    """
    from memorability.bench import distinctiveness as bench
    from memorability.bench import folder as pictures
    from memorability.bench import folder_features
    from memorability.data import tables

    listed, said = pictures.pictures_of(folder)
    common.note(said)
    if features is not None:
        values = folder_features.read_for(listed["item"], features)
    else:
        values, _ = folder_features.features(
            list(listed["file"]), backbone=backbone, models=models, layers=_split(layers)
        )
    found = bench.distinctiveness(listed["item"], values, neighbours=neighbours)
    if out is not None:
        tables.write(found, out)
    if as_json:
        print(found.to_json(orient="records", indent=2))
    elif out is None:
        print(
            found.sort_values("distinctiveness", ascending=False).to_string(index=False, float_format="%.3f")
        )


def features(
    folder: Folder,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="FILE.npy (ids in FILE.ids.csv beside it) or FILE.csv.")
    ],
    backbone: Backbone = "efficientnet-lite0",
    layers: Layers = "",
    models: Models = layout.MODELS,
) -> None:
    """Features of every picture of a folder by a frozen network, with their names; no picture is inside.

    Example: memorability features pictures --backbone efficientnet-lite0 -o features.npy
    """
    from memorability.bench import folder as pictures
    from memorability.bench import folder_features

    listed, said = pictures.pictures_of(folder)
    common.note(said)
    values, described = folder_features.features(
        list(listed["file"]), backbone=backbone, models=models, layers=_split(layers)
    )
    written = folder_features.write(listed["item"], values, described, out)
    print(f"{values.shape[0]} x {values.shape[1]} numbers in {', '.join(map(str, written))}")


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
