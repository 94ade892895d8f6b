"""A trained model on disk: `config.json` and `model.safetensors`. Nothing in it is executed, and nothing believed.

The config has the settings, where the inputs come from, and the hash of the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from memorability.core.errors import DataError
from memorability.core.files import digest, read_json, staged_folder, write_json
from memorability.core.settings import checked

REFERENCE = "reference."  # begins the arrays of the inputs that a model which ranks compares others with
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Curve(BaseModel):
    """`calibration.Curve`, as a config has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    x: list[float] = Field(min_length=1)
    y: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _paired(self) -> Curve:
        if len(self.x) != len(self.y) or sorted(self.x) != self.x:
            raise ValueError(f"x must rise and have as many numbers as y; received {self.x} and {self.y}")
        return self


class Config(BaseModel):
    """What every config has; what else is there depends on what the family reads."""

    model_config = ConfigDict(extra="allow", frozen=True)
    settings: dict[str, Any]
    sha256: str
    trained_on: dict[str, int] = {}  # data set -> rows that it was trained on
    shape: tuple[PositiveInt, ...] = ()  # of one input of a network
    features: dict[str, Any] | None = None
    frames: dict[str, Any] | None = None
    backbone: dict[str, Any] | None = None  # of a network that contains one: its config
    build_options: dict[str, Any] = {}
    calibration: Curve | None = None  # of ranks to scores


def save(folder: Path, *, config: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Writes the artifact at once or not at all."""
    with staged_folder(folder) as part:
        save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, part / WEIGHTS)
        write_json(part / CONFIG, config | {"sha256": digest(part / WEIGHTS)})


def load(folder: Path) -> tuple[Config, dict[str, np.ndarray]]:
    """The config and the arrays of a trained model.

    Raises:
        DataError: the folder holds no model; or a damaged one: a config that is none, weights that are not those
            that the config was written with, or numbers that are not finite.
    """
    try:
        given = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
        if isinstance(given, dict) and "arch" in given:
            raise DataError(f"{folder}: a backbone, which predicts no memorability; valid: a trained model")
        if given is None or not (folder / WEIGHTS).is_file():
            raise DataError(f"{folder}: no trained model here; run dvc repro or dvc pull first")
        config = checked(Config, given, at=str(folder / CONFIG), error=DataError)
        if digest(folder / WEIGHTS) != config.sha256:
            raise DataError(f"{folder / WEIGHTS}: not the weights that {CONFIG} was written with (SHA-256)")
        arrays = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise DataError(f"{folder}: damaged model ({error})") from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{folder / WEIGHTS}: {name} has numbers that are not finite; train it again")
    return config, arrays
