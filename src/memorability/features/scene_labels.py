"""What the outputs of a network of scenes are called: lists as Places365 publishes them, and their place in a backbone's artifact.

Zhou, Lapedriza, Khosla, Oliva and Torralba, Places: A 10 Million Image Database for Scene Recognition (2017). Their files:

    categories_places365.txt              `/a/airfield 0`: a category and its number
    IO_places365.txt                      `/a/airfield 2`: 1 indoor, 2 outdoor
    labels_sunattribute.txt               an attribute a line (Patterson and Hays, SUN Attribute Database, 2012)
    W_sceneattribute_wideresnet18.npy     float [attributes, features]: times what the last layer reads
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from memorability.core.errors import BackboneError
from memorability.core.files import digest, read_json, write_json

LABELS, ATTRIBUTES = "labels.json", "attributes.safetensors"


@dataclass(frozen=True, eq=False)
class SceneLabels:
    """Names of a network's outputs.

    Attributes:
        categories: of its classes, in order.
        outdoor: of each category, whether it is out of doors; empty where that is not known.
        attributes: names [A]. weights: float32 [A, D], of what the last layer reads; with no attributes [0, 0].
    """

    categories: tuple[str, ...]
    outdoor: tuple[bool, ...] = ()
    attributes: tuple[str, ...] = ()
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def check(self, *, classes: int, width: int) -> None:
        """Raises a BackboneError if they are not those of a network of so many classes, whose last layer reads `width`."""
        if len(self.categories) != classes:
            raise BackboneError(
                f"labels: {len(self.categories)} categories; valid: one for each of the network's {classes} classes"
            )
        if self.attributes and self.weights.shape[1] != width:
            raise BackboneError(
                f"labels: attribute weights of {self.weights.shape[1]} features; valid: of the {width} that this network's "
                "last layer reads (those published are of wideresnet18)"
            )

    def write(self, folder: Path) -> None:
        """Into the folder of a backbone."""
        names = {"categories": self.categories, "outdoor": self.outdoor, "attributes": self.attributes}
        write_json(folder / LABELS, {key: list(value) for key, value in names.items()})
        save_file({"weights": np.ascontiguousarray(self.weights, np.float32)}, folder / ATTRIBUTES)


def load(folder: Path) -> tuple[SceneLabels, str]:
    """The labels in a backbone's folder, and the SHA-256 of their files.

    Raises:
        BackboneError: it has none, or they are damaged.
    """
    if not (folder / LABELS).is_file():
        raise BackboneError(f"{folder}: its classes have no names; name its lists in `labels` of its block")
    try:
        given = read_json(folder / LABELS)
        weights = load_file(folder / ATTRIBUTES)["weights"]
        labels = SceneLabels(
            tuple(given["categories"]), tuple(given["outdoor"]), tuple(given["attributes"]), weights
        )
        sha256 = digest(folder / LABELS, folder / ATTRIBUTES)
    except Exception as error:  # safetensors and JSON fail in many ways
        raise BackboneError(f"{folder / LABELS}: damaged ({error}); run dvc repro or dvc pull") from error
    return labels, sha256


def read(
    categories: Path, *, outdoor: Path | None, attributes: Path | None, weights: Path | None
) -> SceneLabels:
    """Labels of files in the published layout.

    Raises:
        BackboneError: a file is missing or in another layout, or two do not fit each other.
    """
    names = read_categories(categories)
    said = () if outdoor is None else read_outdoor(outdoor, names)
    if attributes is None or weights is None:
        return SceneLabels(names, said)
    known = read_attributes(attributes)
    return SceneLabels(names, said, known, read_weights(weights, count=len(known)))


def read_categories(path: Path) -> tuple[str, ...]:
    """`/a/airport_terminal 2` -> airport_terminal; numbers must be 0, 1, 2 and so on.

    Raises:
        BackboneError: as `read`.
    """
    found = list[str]()
    for number, line in enumerate(_lines(path)):
        match = re.fullmatch(r"(\S+) (\d+)", line)
        if match is None or int(match[2]) != number:
            raise BackboneError(f"{path}: line {number + 1} is {line[:80]!r}; valid: /a/NAME {number}")
        found.append(_category(match[1]))
    return tuple(found)


def read_outdoor(path: Path, categories: tuple[str, ...]) -> tuple[bool, ...]:
    """`/a/airfield 2`, of the same categories in the same order: 1 indoor, 2 outdoor.

    Raises:
        BackboneError: as `read`.
    """
    lines = _lines(path)
    if len(lines) != len(categories):
        raise BackboneError(
            f"{path}: {len(lines)} lines; valid: one for each of the {len(categories)} categories"
        )
    for line, name in zip(lines, categories, strict=True):
        match = re.fullmatch(r"(\S+) ([12])", line)
        if match is None or _category(match[1]) != name:
            raise BackboneError(
                f"{path}: received {line[:80]!r}; valid: category {name} and 1 (indoor) or 2 (outdoor)"
            )
    return tuple(line.endswith("2") for line in lines)


def read_attributes(path: Path) -> tuple[str, ...]:
    """A name a line: `natural light`.

    Raises:
        BackboneError: as `read`.
    """
    return tuple(_lines(path))


def read_weights(path: Path, *, count: int) -> np.ndarray:
    """float32 [count, D] of an .npy file, which is never unpickled.

    Raises:
        BackboneError: as `read`.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BackboneError(f"{path}: no array of numbers in an .npy file ({error})") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind != "f":
        shape = values.shape if isinstance(values, np.ndarray) else type(values).__name__
        raise BackboneError(f"{path}: received {shape}; valid: floats [attributes, features]")
    if len(values) != count:
        raise BackboneError(
            f"{path}: {len(values)} rows; valid: one for each of the {count} attributes of the list"
        )
    if not np.isfinite(values).all():
        raise BackboneError(f"{path}: numbers that are not finite")
    return values.astype(np.float32)


def _category(given: str) -> str:
    """Without the folder of its first letter."""
    return re.sub(r"^/\w/", "", given)


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: no list that can be read ({error})") from error
    if not lines or len(set(lines)) < len(lines):
        raise BackboneError(
            f"{path}: {len(lines)} names, of which {len(set(lines))} differ; valid: a name a line"
        )
    return lines
