"""Backbones whose weights an installed package brings: made of it wherever a trained model needs one."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from memorability.core.errors import BackboneError, StorageError
from memorability.core.files import cache_root, digest
from memorability.features import backbones, timm_networks, weights
from memorability.features.settings import BackboneOrigin, Transform


def transform(arch: str) -> Transform:
    """What the packages' networks were trained on: (x - 127) / 128 of pixels from 0 to 255, at the size that timm has."""
    scaled = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    return timm_networks.transform(arch).model_copy(update=scaled)


def artifact(origin: BackboneOrigin) -> Path:
    """The folder of a backbone that a package brings; made if it is not there, or damaged.

    It lies in the user's cache or, where nothing can be written there, for as long as this process lives.

    Raises:
        BackboneError: the package is not installed, or is damaged.
    """
    what = digest(str(origin.package), origin.sha256, origin.transform.model_dump_json())
    name = f"{origin.arch}-{what[:16]}"
    try:
        return _made(cache_root() / "backbones" / name, origin)
    except StorageError as error:  # such as of a home that is read-only, which keeps nobody from predicting
        print(f"warning: {error}; the backbone is made anew by every process", file=sys.stderr)
        return _made(Path(_scratch().name, name), origin)


@cache
def _scratch() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="memorability-")


def _made(folder: Path, origin: BackboneOrigin) -> Path:
    if not is_of(folder, origin):
        package = str(origin.package)
        backbones.save(
            folder,
            arch=origin.arch,
            state=weights.package_weights(package),
            transform=origin.transform.model_dump(mode="json"),
            source="package",
            library="timm",
            package=package,
        )
    return folder


def is_of(folder: Path, origin: BackboneOrigin) -> bool:
    """Whether a folder holds the very backbone: its weights, prepared pictures in the same way."""
    try:
        config = backbones.read_config(folder)
    except BackboneError:
        return False
    return (config.sha256, config.transform) == (origin.sha256, origin.transform)
