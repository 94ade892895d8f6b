"""Features of any folder of pictures by a frozen network, for people's own analyses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import BackboneError, DataError, listing
from memorability.core.files import cache_root, staged, write_json
from memorability.core.progress import bar
from memorability.data import tables
from memorability.features.settings import PACKAGES
from memorability.media import pictures

DEFAULT = "efficientnet-lite0"
SUFFIX = "-pytorch-model"  # of the packages' names


def features(
    files: Sequence[Path], *, backbone: str, models: Path, layers: Sequence[str] = (), batch_size: int = 32
) -> tuple[np.ndarray, dict[str, Any]]:
    """Features of pictures, float32 [N, D], in the order of the files; and what they were computed by.

    Args:
        backbone: a folder, the name of one in `models`, or one that a package brings (efficientnet-lite0, -lite1, -lite2).
        layers: of the network; by default its last one before the classes.

    Raises:
        BackboneError: there is no such backbone or layer, or its package is not installed.
        DataError: a file is no picture.
    """
    from memorability.features import backbones
    from memorability.features.extractor import Extractor

    where = folder(backbone, models)
    library = backbones.read_config(where).library
    chosen = tuple(layers) or (("forward_features",) if library == "timm" else ("avgpool",))
    extract = Extractor(where, layers=chosen, dtype="float32", batch_size=batch_size)
    parts = []
    for start in bar(range(0, len(files), batch_size), of="features", unit="batch"):
        pixels = [extract.prepare(pictures.read(file)) for file in files[start : start + batch_size]]
        parts.append(extract(pixels).reshape(len(pixels), -1))
    if not parts:
        raise DataError("no picture to compute features of")
    return np.concatenate(parts), extract.describe()


def folder(name: str, models: Path) -> Path:
    """The folder of a backbone, made in the user's cache of one that a package brings.

    Raises:
        BackboneError: there is none; names the valid ones.
    """
    for place in (models / name, Path(name)):
        if (place / "config.json").is_file():
            return place
    packages = {package.removesuffix(SUFFIX): package for package in PACKAGES}
    package = packages.get(name.removesuffix(SUFFIX))
    if package is None:
        raise BackboneError(
            f"no backbone {name!r}; valid: a folder, the name of one in {models}, {', '.join(packages)}"
        )
    return _of_package(package)


def _of_package(package: str) -> Path:
    from memorability.features import backbones, packaged, weights

    arch = PACKAGES[package]
    place = cache_root() / "backbones" / package
    try:
        backbones.read_config(place)
    except BackboneError:
        backbones.save(
            place,
            arch=arch,
            state=weights.package_weights(package),
            transform=packaged.transform(arch).model_dump(mode="json"),
            source="package",
            library="timm",
            package=package,
        )
    return place


def write(items: pd.Series, values: np.ndarray, described: dict[str, Any], to: Path) -> list[Path]:
    """Writes NAME.npy with NAME.ids.csv and NAME.json beside it; or NAME.csv of items and f0, f1, ...

    Raises:
        DataError: the file is neither .npy nor .csv.
    """
    if to.suffix == ".csv":
        columns = {f"f{k}": values[:, k] for k in range(values.shape[1])}
        tables.write(pd.DataFrame({"item": items.to_numpy(), **columns}), to)
        return [to]
    if to.suffix != ".npy":
        raise DataError(f"{to}: features go to a .npy or a .csv file")
    ids, config = to.with_suffix(".ids.csv"), to.with_suffix(".json")
    with staged(to) as scratch, scratch.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    tables.write(pd.DataFrame({"item": items.to_numpy()}), ids)
    write_json(config, described)
    return [to, ids, config]


def read(path: Path) -> tuple[pd.Series, np.ndarray]:
    """Items and features [N, D] as `write` has written them.

    Raises:
        DataError: they are not there, or do not fit.
    """
    try:
        if path.suffix == ".csv":
            table = pd.read_csv(path, dtype={"item": "string"}, keep_default_na=False)
            return table["item"], table.drop(columns="item").to_numpy(float)
        values = np.load(path, allow_pickle=False)
        items = pd.read_csv(path.with_suffix(".ids.csv"), dtype="string", keep_default_na=False)["item"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no features here ({error}); make them by memorability features") from error
    if values.ndim != 2 or len(values) != len(items):
        raise DataError(f"{path}: {values.shape} of {len(items)} items; valid: [N, D], a row an item")
    return items, values


def read_for(items: pd.Series, path: Path) -> np.ndarray:
    """The features of these items, [N, D] in their order, wherever they stand in the file.

    Raises:
        DataError: as `read`, or the file has other items, or one twice (it names them).
    """
    theirs, values = read(path)
    here, there = pd.Index(items.astype(object)), pd.Index(theirs.astype(object))
    wrong = [
        *(f"{name}: no features" for name in here.difference(there)),
        *(f"{name}: no picture of the folder" for name in there.difference(here)),
        *(f"{name}: twice" for name in there[there.duplicated()].unique()),
    ]
    if wrong:
        raise DataError(f"{path}: not the features of these {len(here)} pictures:\n{listing(wrong)}")
    return values[there.get_indexer(here)]
