"""A trained model on disk: `config.json` and `model.safetensors`. Nothing in it is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from memorability.core.errors import DataError
from memorability.core.files import read_json, staged_folder, write_json

REFERENCE = "reference."  # begins the arrays of the inputs that a model which ranks compares others with


def save(folder: Path, *, config: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Writes the artifact at once or not at all."""
    with staged_folder(folder) as part:
        write_json(part / "config.json", config)
        save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, part / "model.safetensors")


def load(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The config and the arrays of a trained model.

    Raises:
        DataError: the folder holds no model, or a damaged one.
    """
    try:
        return read_json(folder / "config.json"), load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no trained model here; run dvc repro or dvc pull first") from error
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{folder}: damaged model ({error})") from error
