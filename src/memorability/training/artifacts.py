"""A trained model on disk: `config.json`, `model.safetensors` and, of most, `evidence.safetensors`.

Nothing in it is executed, and nothing believed. The config has the settings, where the inputs come from, and the
hashes of the other files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
CONFIG, WEIGHTS, EVIDENCE = "config.json", "model.safetensors", "evidence.safetensors"
DESCRIBED = "model.json"  # beside a model's predictions: what whoever judges them is to know of the model


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of how far a model may be believed.

    `residuals` float32 [n]: truth minus prediction of labelled items that it was not fitted on; none where there are
    no such items. `phashes` uint64 [m]: perceptual hashes of the photographs, or clips, that it was fitted or selected
    on, each once and rising. `contents` uint8 [k, 266]: what is on those pictures among them that are mostly of one
    colour, which a perceptual hash does not tell apart (`data.known.Known` compares both). `scores` float32 [101]: the
    quantiles (0, 1, ..., 100 %) of the true scores that it was fitted on; none where that is not known, and of maps.
    """

    residuals: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    phashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    contents: np.ndarray = field(default_factory=lambda: np.empty((0, 266), np.uint8))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))


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
    evidence: str | None = None  # SHA-256 of its file; None: nothing is known
    trained_on: dict[str, int | None] = {}  # data set -> rows that it was trained on; None: not known
    shape: tuple[PositiveInt, ...] = ()  # of one input of a network
    features: list[dict[str, Any]] | None = None  # where each of what it reads comes from
    frames: dict[str, Any] | None = None
    backbone: dict[str, Any] | None = None  # of a network that contains one: its config
    build_options: dict[str, Any] = {}
    calibration: Curve | None = None  # of ranks to scores


class File(BaseModel):
    """One of a model's files: how many bytes, and their `core.files.digest`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: int
    digest: str


class Described(BaseModel):
    """What a card says of a trained model, without the model: its config, its files, how much evidence it has.

    `residuals`: of validation, which its intervals are made of; `pictures`: those that it knows again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    config: Config
    files: dict[str, File]
    residuals: int
    pictures: int


def save(
    folder: Path,
    *,
    config: dict[str, Any],
    arrays: dict[str, np.ndarray],
    evidence: Evidence | None = None,
) -> None:
    """Writes the artifact at once or not at all."""
    with staged_folder(folder) as part:
        save_file({k: np.asarray(v, order="C") for k, v in arrays.items()}, part / WEIGHTS)
        hashes = {"sha256": digest(part / WEIGHTS)}
        if evidence is not None:
            save_file({k: np.asarray(v, order="C") for k, v in vars(evidence).items()}, part / EVIDENCE)
            hashes["evidence"] = digest(part / EVIDENCE)
        write_json(part / CONFIG, config | hashes)


def load(folder: Path) -> tuple[Config, dict[str, np.ndarray]]:
    """The config and the arrays of a trained model.

    Raises:
        DataError: the folder holds no model; or a damaged one: a config that is none, weights or evidence that are
            not those that the config was written with, or numbers that are not finite.
    """
    config = _config(folder)
    arrays = _tensors(folder, WEIGHTS, config.sha256)
    _evidence(folder, config)  # a model with damaged evidence is a damaged model
    return config, arrays


def evidence(folder: Path) -> Evidence:
    """The evidence that came with a trained model; empty where its config names none.

    Raises:
        DataError: as `load`; or the evidence is not of the form that `Evidence` describes.
    """
    return _evidence(folder, _config(folder))


def described(folder: Path) -> Described:
    """A trained model in words and numbers.

    Raises:
        DataError: as `evidence`.
    """
    config, known = _config(folder), evidence(folder)
    present = [folder / name for name in (CONFIG, WEIGHTS, EVIDENCE) if (folder / name).is_file()]
    return Described(
        config=config,
        files={path.name: File(bytes=path.stat().st_size, digest=digest(path)) for path in present},
        residuals=len(known.residuals),
        pictures=len(known.phashes) + len(known.contents),
    )


def _evidence(folder: Path, config: Config) -> Evidence:
    if config.evidence is None:
        return Evidence()
    found = {"scores": Evidence().scores} | _tensors(folder, EVIDENCE, config.evidence)
    for name, empty in vars(Evidence()).items():
        if name not in found or _form(found[name]) != _form(empty):
            shape = ", ".join(map(str, ("n", *empty.shape[1:])))
            raise DataError(
                f"{folder / EVIDENCE}: {name} must be {empty.dtype} [{shape}]; train the model again"
            )
    return Evidence(**{name: found[name] for name in vars(Evidence())})


def _form(array: np.ndarray) -> tuple[np.dtype, int, tuple[int, ...]]:
    """All but how many rows there are."""
    return array.dtype, array.ndim, array.shape[1:]


def _config(folder: Path) -> Config:
    try:
        given = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
        if isinstance(given, dict) and "arch" in given:
            raise DataError(f"{folder}: a backbone, which predicts no memorability; valid: a trained model")
        if given is None or not (folder / WEIGHTS).is_file():
            raise DataError(f"{folder}: no trained model here; run dvc repro or dvc pull first")
        return checked(Config, given, at=str(folder / CONFIG), error=DataError)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{folder}: damaged model ({error})") from error


def _tensors(folder: Path, name: str, sha256: str) -> dict[str, np.ndarray]:
    """The arrays of one of the folder's files."""
    path = folder / name
    what = "weights" if name == WEIGHTS else "evidence"
    try:
        if not path.is_file():
            raise DataError(f"{folder}: damaged model ({name} is missing, which {CONFIG} names)")
        if digest(path) != sha256:
            raise DataError(f"{path}: not the {what} that {CONFIG} was written with (SHA-256)")
        arrays = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{folder}: damaged model ({error})") from error
    for key, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{path}: {key} has numbers that are not finite; train it again")
    return arrays
