"""What there is: `memorability models`, `families`, `datasets`, `card`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from memorability.core import layout

Json = Annotated[bool, typer.Option("--json", help="A JSON list instead of a table.")]
Models = Annotated[Path, typer.Option(help="Folder of the trained models.")]


def models(folder: Models = layout.MODELS, as_json: Json = False) -> None:
    """Lists the trained models: data, worth on validation, range of predictions, size, what they read.

    Example: memorability models --json
    """
    from memorability.predict import listing
    from memorability.predict.about import Project

    found = list(listing.models(Project.of(folder)))
    if as_json:
        print(json.dumps([model.as_dict() for model in found], indent=2))
        return
    rows = [
        (
            model.name,
            f"{model.track}: {model.target}",
            model.data or "-",
            "-" if model.value is None else f"{model.measure} {model.value:.3f}",
            "-" if model.low is None else f"{model.low:.2f} to {model.high:.2f}",
            f"{model.bytes / 1e6:.1f} MB",
            model.reads,
        )
        for model in found
    ]
    _print(("model", "predicts", "trained on", "worth", "range", "weights", "reads"), rows)


def families(as_json: Json = False) -> None:
    """Lists the families of models that params.yaml may name.

    Example: memorability families
    """
    from memorability.predict import listing

    _listed(listing.families(), as_json)


def datasets(as_json: Json = False) -> None:
    """Lists the data sets that can be trained on, and where to ask for them.

    Example: memorability datasets
    """
    from memorability.predict import listing

    _listed(listing.datasets(), as_json)


def card(
    model: Annotated[str, typer.Argument(help="A model's name or folder.")],
    folder: Models = layout.MODELS,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write, NAME.md.")] = None,
) -> None:
    """Prints a model's card: what it was made of, what it is worth, what it is not for; as Markdown.

    Example: memorability card photos -o photos.md
    """
    from memorability.core.files import write_text
    from memorability.predict import cards
    from memorability.predict.about import Project

    project = Project.of(folder)
    text = cards.card(cards.find(model, project), project)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def _listed(rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _print(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    widths = [max(len(str(line[i])) for line in [heads, *rows]) for i in range(len(heads))]
    for line in [heads, *rows]:
        print("  ".join(f"{cell!s:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
