"""Frozen networks, built by name as torchvision has them, and kept as artifacts.

An artifact is a folder with `weights.safetensors` and `config.json` (`Config`). It is all that features and models
need: no network access after it is made.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import torchvision
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from memorability.core.errors import BackboneError
from memorability.core.files import digest, read_json, staged_folder, write_json
from memorability.core.settings import Block, checked
from memorability.features.settings import Transform

# Architecture -> its last layer, whose rows are the classes.
ARCHITECTURES = {
    "resnet18": "fc",
    "resnet50": "fc",
    "resnet152": "fc",
    "inception_v3": "fc",
    "densenet161": "classifier",
    "alexnet": "classifier.6",
    "squeezenet1_1": "classifier.1",
    "r3d_18": "fc",
}
OF_CLIPS = ("r3d_18",)  # input: float [B, 3, T, H, W]
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
_AUXILIARY = "AuxLogits."  # inception_v3's second head, which only its own training uses
_COUNTER = ".num_batches_tracked"  # of batch norm; older weights have none, and evaluation needs none


class Config(Block):
    """What a backbone's config.json says: `headless` weights lack the last layers, `sha256` is of the file of weights."""

    arch: str
    classes: int = Field(ge=1)
    headless: bool
    source: str
    sha256: str
    transform: Transform


class Network(NamedTuple):
    """A network and the config of its artifact."""

    net: nn.Module
    config: dict[str, Any]


def build(arch: str, *, classes: int = 1000) -> nn.Module:
    """A network of the named architecture with random weights, in evaluation mode.

    Input: float [B, 3, H, W]; output: logits [B, classes].

    Raises:
        BackboneError: the name is not one of `ARCHITECTURES`.
    """
    if arch not in ARCHITECTURES:
        raise BackboneError(f"architecture {arch!r} is not known; valid: {', '.join(ARCHITECTURES)}")
    options: dict[str, Any] = {}
    if arch == "inception_v3":
        # torchvision's weights came from TensorFlow and expect its input range, which the network
        # makes from ImageNet-normalised pictures by itself.
        options = {"aux_logits": True, "transform_input": True, "init_weights": False}
    net: nn.Module = torchvision.models.get_model(arch, weights=None, num_classes=classes, **options)
    return net.eval()


def save(
    folder: Path, *, arch: str, state: dict[str, Tensor], transform: dict[str, Any], source: str
) -> None:
    """Checks that `state` fits `arch` and writes the artifact at once or not at all.

    Weights without the last layers (a file of features only) are accepted and said in the config as
    `headless`; anything else that is missing, unknown or of another shape is an error.
    """
    # torchvision's densenet weights still have the names of an older release: norm.1 for norm1.
    state = {re.sub(r"\b(norm|conv)\.([12])\.", r"\1\2.", key): value for key, value in state.items()}
    last = state.get(f"{ARCHITECTURES.get(arch, '')}.weight")
    classes = 1000 if last is None else int(last.shape[0])
    wanted = build(arch, classes=classes).state_dict()
    headless = _check_fit(arch, state, wanted)
    kept = {key: state[key].detach().cpu().contiguous().clone() for key in wanted if key in state}
    kept |= {key: wanted[key] for key in wanted if key not in kept and key.endswith(_COUNTER)}
    with staged_folder(folder) as part:
        save_file(kept, part / WEIGHTS)
        config = {
            "arch": arch,
            "classes": classes,
            "headless": headless,
            "source": source,
            "sha256": digest(part / WEIGHTS),
            "transform": transform,
        }
        write_json(part / CONFIG, config)


def _check_fit(arch: str, state: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    """Whether the last layers alone are missing; a BackboneError if the state does not fit in another way."""
    missing = [key for key in wanted if key not in state and not _optional(key)]
    headless = bool(missing) and all(_of_head(arch, key) for key in missing)
    unknown = [key for key in state if key not in wanted]
    shapes = [
        f"{key} {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if (missing and not headless) or unknown or shapes:
        raise BackboneError(
            f"the weights do not fit {arch}: missing {missing[:3] if not headless else []}, "
            f"unknown {unknown[:3]}, of another shape {shapes[:3]}"
        )
    return headless


def _optional(key: str) -> bool:
    return key.startswith(_AUXILIARY) or key.endswith(_COUNTER)


def _of_head(arch: str, key: str) -> bool:
    return key.startswith(ARCHITECTURES[arch].split(".")[0] + ".")


def load(folder: Path, *, head: bool) -> Network:
    """The network (evaluation mode, gradients off) and the config of an artifact.

    Raises:
        BackboneError: the folder holds no backbone, or one whose weights are not those that its config was
            written with; or `head` asks for logits and it has no last layers.
    """
    config = _read_config(folder)
    if head and config.headless:
        raise BackboneError(f"{folder}: these weights have no last layers, so the network gives no logits")
    net = build(config.arch, classes=config.classes)
    weights = load_file(folder / WEIGHTS)
    lacking = {key for key in net.state_dict() if key not in weights}
    unexplained = {
        key for key in lacking if not _optional(key) and not (config.headless and _of_head(config.arch, key))
    }
    if unexplained:
        raise BackboneError(
            f"{folder / WEIGHTS}: lacks {len(unexplained)} tensors, such as {min(unexplained)}"
        )
    net.load_state_dict(weights, strict=not lacking)
    return Network(net.requires_grad_(False), config.model_dump(mode="json"))


def _read_config(folder: Path) -> Config:
    """The config of an artifact, once the weights beside it are known to be those that it was written with."""
    try:
        given = read_json(folder / CONFIG)
        sha256 = digest(folder / WEIGHTS) if "arch" in given else ""
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BackboneError(
            f"{folder}: no backbone here ({error}); run dvc repro or dvc pull first"
        ) from error
    if "arch" not in given:
        raise BackboneError(f"{folder}: not a backbone but a model of another kind")
    config = checked(Config, given, at=str(folder / CONFIG), error=BackboneError)
    if config.sha256 != sha256:
        raise BackboneError(f"{folder / WEIGHTS}: not the weights that {CONFIG} was written with (SHA-256)")
    return config
