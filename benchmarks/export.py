"""How far the ONNX file of every model is from the model, or why it has none: the table of docs/predict.md.

    python benchmarks/export.py [MODEL ...]    # by default all in models/, and `photos`

Each file is asked for 50 generated pictures of many shapes that the export itself did not look at, one by one and all together.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it has no types
from PIL import Image

from memorability.core import kernels, layout
from memorability.core.errors import MemorabilityError
from memorability.predict import export, listing
from memorability.predict.about import Project
from memorability.predict.predictor import Predictor

PICTURES = 50


def generated() -> list[Image.Image]:
    """Colours in coarse patches, with grain, of 60 to 500 pixels a side."""
    found = []
    for seed in range(PICTURES):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (*rng.integers(2, 12, 2), 3), dtype=np.uint8)
        width, height = (int(side) for side in rng.integers(60, 500, 2))
        values = np.asarray(
            Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16
        )
        found.append(
            Image.fromarray(np.clip(values + rng.integers(-20, 21, values.shape), 0, 255).astype(np.uint8))
        )
    return found


def apart(predictor: Predictor, file: Path, how: dict[str, object], pictures: list[Image.Image]) -> float:
    """The largest difference, of scores or of values of maps in [0, 1]."""
    from memorability.features.items import Item

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    expected, _ = predictor.model.predict([Item(Path(), picture) for picture in pictures])
    given = np.concatenate([export.pixels(picture, how) for picture in pictures])
    alone = np.concatenate([session.run(None, {"pixels": one[None]})[0] for one in given])
    together = session.run(None, {"pixels": given})[0]
    return float(max(np.abs(alone - expected).max(), np.abs(together - expected).max()))


def main(names: list[str]) -> None:
    pictures = generated()
    models = [
        model for model in listing.models(Project.of(layout.MODELS)) if not names or model.name in names
    ]
    print("| model | family | largest difference on 50 pictures, or why there is no file | file |")
    print("| --- | --- | --- | --- |")
    for model in models:
        try:
            with tempfile.TemporaryDirectory() as folder:
                predictor = Predictor(model.folder, models=None, device="cpu")
                found = export.export(predictor, Path(folder) / "model.onnx")
                largest = apart(predictor, found.path, found.preprocessing, pictures)
            told, size = f"{largest:.1e}", f"{found.bytes / 1e6:.1f} MB"
        except MemorabilityError as error:
            told, size = str(error).removeprefix(f"{model.folder}: "), "-"
        print(f"| `{model.name}` | `{model.family}` | {told} | {size} |", flush=True)


if __name__ == "__main__":
    kernels.pin()
    main(sys.argv[1:])
