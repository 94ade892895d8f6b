"""A trained model of pictures as an ONNX file: from pixels to the score, its backbone and its closed form included.

The file takes `pixels`, float32 [batch, 3, S, S] in [0, 1], and gives `scores` [batch] (or `maps` [batch, C, S, S]). How a
picture becomes such pixels is in the file's metadata, under `memorability`. Each file is held against the model on
pictures before it is kept.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from memorability.core.errors import DataError, MemorabilityError
from memorability.core.files import staged
from memorability.features.items import Item
from memorability.media.pictures import prepared
from memorability.predict.predictor import Predictor

if TYPE_CHECKING:
    from memorability.predict.export_modules import Exportable

CLOSEST: Final = 1e-4  # how far an answer may be from the model's
OPSET: Final = 20
CHECKED: Final = 6  # pictures that a file is held against


@dataclass(frozen=True)
class Exported:
    """What was written, and how far its answers are from the model's at most."""

    path: Path
    bytes: int
    largest_difference: float
    preprocessing: dict[str, Any]


def export(predictor: Predictor, to: Path) -> Exported:
    """Writes the ONNX file, at once or not at all.

    Raises:
        DataError: this model cannot be exported, and why; the extra `export` is not installed; or the answers of the file
            differ from the model's by more than 1e-4.
    """
    onnx, onnxruntime = _libraries()
    from memorability.predict import export_modules

    module = export_modules.of(predictor)
    how = module.preprocessing | {"output": "maps" if predictor.maps else "scores"}
    told = {
        "model": predictor.name,
        "family": predictor.family,
        "sha256": predictor.config["sha256"],
        "trained_on": predictor.config["trained_on"],
        "preprocessing": how,
    }
    with staged(to) as part:
        _write(module, part, outputs=[how["output"]])
        model = onnx.load(str(part))
        onnx.helper.set_model_props(model, {"memorability": json.dumps(told)})
        onnx.checker.check_model(model)
        onnx.save(model, str(part))
        apart = _apart(
            predictor, onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"]), how
        )
        if not apart <= CLOSEST:
            raise DataError(
                f"{predictor.folder}: the exported file's answers differ by {apart:.1e} from the model's; valid: up to "
                f"{CLOSEST:g}; nothing was written"
            )
    return Exported(to, to.stat().st_size, apart, how)


def pixels(picture: Image.Image, how: dict[str, Any]) -> np.ndarray:
    """An upright RGB picture as the file takes it: float32 [1, 3, S, S] in [0, 1].

    Args:
        how: `preprocessing` of the file's metadata.
    """
    keys = ("fit", "resize", "crop", "interpolation")
    return prepared(picture, **{key: how[key] for key in keys})[None].astype(np.float32) / np.float32(255)


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime  # type: ignore[import-untyped]  # has no types
        import onnxscript  # noqa: F401 - what torch exports by
    except ImportError as error:
        raise DataError(f"export needs {error.name}: pip install 'memorability[export]'") from error
    return onnx, onnxruntime


def _write(module: Exportable, path: Path, *, outputs: list[str]) -> None:
    import torch

    side = module.preprocessing["crop"]
    example = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["pixels"],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
                verbose=False,
            )
    except Exception as error:  # torch's exporter fails in many ways, and its texts are long
        if isinstance(error, (KeyboardInterrupt, MemorabilityError)):
            raise
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise DataError(
            f"{module.name}: torch cannot export it ({type(error).__name__}: {reason})"
        ) from error
    if program is None:
        raise DataError(f"{module.name}: torch exported nothing")
    program.save(str(path), external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and onnxscript say of their own insides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _apart(predictor: Predictor, session: Any, how: dict[str, Any]) -> float:
    """The largest difference of the file's answers from the model's, on generated pictures, one by one and together."""
    rng, side = np.random.default_rng(0), int(how["resize"])
    coarse = [
        rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (2, 3, 5, 9, 17, 33)[:CHECKED]
    ]
    pictures = [
        Image.fromarray(c).resize((2 * side + 7, side + 31), Image.Resampling.BICUBIC) for c in coarse
    ]
    expected, _ = predictor.model.predict([Item(Path(), picture) for picture in pictures])
    given = np.concatenate([pixels(picture, how) for picture in pictures])
    alone = [session.run(None, {"pixels": given[i : i + 1]})[0] for i in range(len(given))]
    together = session.run(None, {"pixels": given})[0]
    return float(max(np.abs(found - expected).max() for found in (np.concatenate(alone), together)))
