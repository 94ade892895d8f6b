"""Where a backbone's weights come from: torchvision's, or a file. Nothing in either is executed."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from memorability.core.errors import BackboneError
from memorability.features.backbones import ARCHITECTURES, OF_CLIPS


def published_weights(arch: str) -> dict[str, Tensor]:
    """torchvision's IMAGENET1K_V1 weights (KINETICS400_V1 of networks of clips), downloaded and checked
    against the hash in their name.

    Raises:
        BackboneError: unknown architecture, no connection, or not the file that was published.
    """
    if arch not in ARCHITECTURES:
        raise BackboneError(f"architecture {arch!r} is not known; valid: {', '.join(ARCHITECTURES)}")
    weights = torchvision.models.get_model_weights(arch)[
        "KINETICS400_V1" if arch in OF_CLIPS else "IMAGENET1K_V1"
    ]
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            weights.url, progress=True, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise BackboneError(
            f"{weights.url}: no usable weights ({error}); elsewhere downloaded ones go in by source: file"
        ) from error
    return state


def file_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from safetensors, or from a torch file read with `weights_only=True`.

    A `module.` prefix (left by DataParallel) is stripped; `{"state_dict": ...}` is opened.

    Raises:
        BackboneError: the file is missing, or holds anything but tensors.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such weights file")
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except Exception as error:  # a file may hold anything, and the unpickler fails in as many ways
        raise BackboneError(f"{path}: no safetensors and no plain state dict ({error})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneError(f"{path}: expected a dict of tensors, received {type(state).__name__}")
    return {key.removeprefix("module."): value for key, value in state.items()}
