"""`memorability explain` and `memorability visualise`: why a model says what it says, and what its network has learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorability.cli import common
from memorability.core import layout
from memorability.core.errors import DataError
from memorability.explain import Method, method

if TYPE_CHECKING:
    from memorability.explain.cam import Classifier
    from memorability.predict.about import Choice
    from memorability.predict.predictor import Predictor


def explain(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The overlay of one picture (NAME.png), or a folder."),
    ],
    how: Annotated[Method, typer.Option(help="occlusion and sections are for any model.")] = "occlusion",
    model: Annotated[
        str | None,
        typer.Option(
            help="A model's name or folder, of cam a backbone's too; by default the one that predict takes."
        ),
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
    patch: Annotated[
        float | None, typer.Option(help="Of occlusion: the patch's share of width and height (0.2).")
    ] = None,
    stride: Annotated[float | None, typer.Option(help="Of occlusion: how far it moves (0.1).")] = None,
    fill: Annotated[
        str | None, typer.Option(help="Of occlusion: what covers a place, blur or mean (blur).")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Of gradcam: a layer of the network; by default a late one.")
    ] = None,
    sections: Annotated[int | None, typer.Option(help="Of sections: how many on a side (4).")] = None,
    category: Annotated[
        str | None, typer.Option(help="Of cam: a category of the backbone; by default the most likely one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of lines.")] = False,
) -> None:
    """Shows what makes a picture remembered and what forgotten, as a model sees it.

    Example: memorability explain photo.jpg --how occlusion -o why.png writes why.png, why.csv and why.json.
    """
    from memorability.explain import files
    from memorability.predict import choice, map_files, report
    from memorability.predict.results import Failure

    options = _options(
        how, patch=patch, stride=stride, fill=fill, layer=layer, sections=sections, category=category
    )
    targets = map_files.targets(paths, out, overlays=False, kind="png")
    files.check(targets.found)
    project = common.project(models)
    predictor: Predictor | Classifier
    choices: list[Choice] = []
    backbone = None if how != "cam" or model is None else _backbone(model, models)
    if backbone is not None:
        predictor = backbone
    else:
        found = choice.best("images", project) if model is None else choice.named(model, project)
        predictor, choices = found[0], [found[1]]
    results = list(files.written(predictor, targets.found, method(how), **options))
    rows = [result for result in results if not isinstance(result, Failure)]
    if as_json:
        about = {key: value for said in choices for key, value in said.as_dict().items()}
        print(json.dumps([row | about for row in rows], indent=2))
    else:
        for said in choices:
            print(said.line())
        for row in rows:
            print(f"{row['path']}  {row['said']} {row['score']:.3f}  {row['overlay']}, {row['numbers']}")
    common.note(report.notes(choices, targets.left_out))
    failures = [*targets.failures, *(result for result in results if isinstance(result, Failure))]
    report.check(failures, of=len(failures) + len(rows), done="explained")


def _backbone(name: str, models: Path) -> Classifier | None:
    """The backbone of that name or folder; None if it is a model, or nothing."""
    from memorability.core.errors import BackboneError
    from memorability.explain.cam import Classifier
    from memorability.features import backbones

    folder = models / name if (models / name / "config.json").is_file() else Path(name)
    try:
        backbones.read_config(folder)
    except BackboneError:
        return None
    return Classifier(folder)


OF: dict[str, tuple[str, ...]] = {  # the options of each method
    "occlusion": ("patch", "stride", "fill"),
    "gradcam": ("layer",),
    "attention": (),
    "cam": ("category",),
    "sections": ("sections",),
}


def _options(how: Method, **given: Any) -> dict[str, Any]:
    """Those that were given; a DataError for one that is another method's."""
    options = {name: value for name, value in given.items() if value is not None}
    if others := [f"--{name}" for name in options if name not in OF[how]]:
        valid = ", ".join(f"--{name}" for name in OF[how]) or "none"
        raise DataError(f"--how {how}: received {', '.join(others)}; its options: {valid}")
    return options


def visualise(
    model: Annotated[str, typer.Argument(help="A backbone or a trained model, by its name or folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The figure to write, NAME.png.")],
    layer: Annotated[
        list[str] | None, typer.Option(help="A layer of its network; several give a row each.")
    ] = None,
    number: Annotated[
        list[int] | None,
        typer.Option(help="A layer by its number: convolutions and linear layers from 1, in running order."),
    ] = None,
    of: Annotated[
        int | None,
        typer.Option(help="Numbers are of a network of so many layers: the nearest by depth are taken."),
    ] = None,
    unit: Annotated[
        list[int] | None, typer.Option(help="A unit of each layer; by default the most selective one.")
    ] = None,
    pictures: Annotated[
        Path, typer.Option(help="A project's raw track, or a folder of pictures.")
    ] = layout.RAW / "images",
    most: Annotated[int, typer.Option(min=1, help="How many of these pictures are looked at.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Of the optimisation.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the optimisation.")] = 0,
    models: Annotated[Path, typer.Option(help="Folder of the models and backbones.")] = layout.MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
) -> None:
    """Shows what a network has learned to see: the picture a unit answers to most, beside those of a data set.

    Example: memorability visualise demo_resnet18 --layer layer2 --layer layer4 -o features.png
    """
    from memorability.explain import features, units

    if out.suffix.lower() != ".png":
        raise DataError(f"-o {out}: valid: a file NAME.png")
    folder = models / model if (models / model / "config.json").is_file() else Path(model)
    if not (folder / "config.json").is_file():
        raise DataError(f"no model or backbone {model!r} in {models}, nor a folder of that name")
    if not (layer or number) or (of is not None and not number):
        raise DataError(
            "visualise: received no --layer and no --number; valid: some of them, --of with --number"
        )
    layers = [*(layer or []), *units.numbered(folder, number or [], of=of)] if number else list(layer or [])
    found = features.shown(
        folder, layers, unit or [], features.pictures_of(pictures, most=most), steps=steps, seed=seed
    )
    features.draw(found, title=f"{folder.name}: what units answer to most", to=out)
    rows = features.rows(found)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        ratio = "" if row["ratio"] is None else f", {row['ratio']:.2f} x"
        print(
            f"{row['layer']} unit {row['unit']}: made {row['made']:.4g}, best picture {row['best']:.4g}{ratio}"
        )
    print(out)
