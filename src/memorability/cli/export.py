"""`memorability export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memorability.cli import common
from memorability.core import layout
from memorability.core.errors import CallError


def export(
    model: Annotated[str, typer.Argument(help="A model's name or folder.")],
    onnx: Annotated[Path, typer.Option(help="The file to write, NAME.onnx.")],
    models: Annotated[Path, typer.Option(help="Folder of the trained models.")] = layout.MODELS,
) -> None:
    """Writes a model of pictures as an ONNX file, and holds it against the model on pictures.

    Example: memorability export photos --onnx photos.onnx
    """
    if onnx.suffix.lower() != ".onnx":
        raise CallError(f"--onnx {onnx}: valid: a file NAME.onnx")
    from memorability.predict import choice
    from memorability.predict import export as exporting

    predictor, _ = choice.named(model, common.project(models), device="cpu")
    found = exporting.export(predictor, onnx)
    size = found.preprocessing["input"]
    print(
        f"{found.path}: {found.bytes:,} bytes; pixels [batch, 3, {size['height']}, {size['width']}] to "
        f"{found.preprocessing['output']}; at most {found.largest_difference:.1e} from the model on its check pictures"
    )
