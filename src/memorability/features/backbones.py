"""Frozen networks kept as artifacts.

An artifact is a folder with `weights.safetensors` and `config.json` (`Config`). It is all that features and models
need: no network access after it is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from memorability.core.errors import BackboneError
from memorability.core.files import digest, read_json, staged_folder, write_json
from memorability.core.settings import Block, checked
from memorability.features import architectures
from memorability.features.architectures import ARCHITECTURES, OF_CLIPS, build
from memorability.features.scene_labels import SceneLabels
from memorability.features.settings import Library, Transform

__all__ = ["ARCHITECTURES", "OF_CLIPS", "Config", "Network", "build", "load", "read_config", "save"]

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


class Config(Block):
    """What a backbone's config.json says.

    `headless` weights lack the last layers; `source` and `package` say where they came from, `sha256` is of the file that
    they are in now.
    """

    library: Library = "torchvision"
    arch: str
    classes: int = Field(ge=0)
    headless: bool
    source: str
    package: str | None = None
    sha256: str
    transform: Transform


class Network(NamedTuple):
    """A network and the config of its artifact."""

    net: nn.Module
    config: dict[str, Any]


def save(
    folder: Path,
    *,
    arch: str,
    state: dict[str, Tensor],
    transform: dict[str, Any],
    source: str,
    library: Library = "torchvision",
    package: str | None = None,
    labels: SceneLabels | None = None,
) -> None:
    """Checks that `state` fits `arch` and writes the artifact, and names of its classes, at once or not at all.

    Weights without the last layers (a file of features only) are accepted and said in the config as
    `headless`; anything else that is missing, unknown or of another shape is an error.
    """
    state = architectures.own_names(arch, state, library)
    classes = architectures.classes_of(arch, state, library)
    wanted = build(arch, classes=classes, library=library).state_dict()
    headless = _check_fit(arch, state, wanted, library) or classes == 0
    if labels is not None:
        _check_labels(labels, arch, state, headless=headless)
    kept = {key: state[key].detach().cpu().contiguous().clone() for key in wanted if key in state}
    kept |= {key: wanted[key] for key in wanted if key not in kept and key.endswith(architectures.COUNTER)}
    with staged_folder(folder) as part:
        save_file(kept, part / WEIGHTS)
        config = Config(
            library=library,
            arch=arch,
            classes=classes,
            headless=headless,
            source=source,
            package=package,
            sha256=digest(part / WEIGHTS),
            transform=Transform.model_validate(transform),
        )
        write_json(part / CONFIG, config.model_dump(mode="json"))
        if labels is not None:
            labels.write(part)


def _check_fit(arch: str, state: dict[str, Tensor], wanted: dict[str, Tensor], library: Library) -> bool:
    """Whether the last layers alone are missing; a BackboneError if the state does not fit in another way."""
    missing = [key for key in wanted if key not in state and not architectures.is_spare(key)]
    headless = bool(missing) and all(architectures.is_of_head(arch, key, library) for key in missing)
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


def _check_labels(labels: SceneLabels, arch: str, state: dict[str, Tensor], *, headless: bool) -> None:
    last = state.get(f"{ARCHITECTURES.get(arch, '')}.weight")
    if headless or last is None:
        raise BackboneError(
            f"labels: these weights of {arch} have no last layer whose classes could have names"
        )
    labels.check(classes=last.shape[0], width=last.shape[1])


def load(folder: Path, *, head: bool) -> Network:
    """The network (evaluation mode, gradients off) and the config of an artifact.

    Raises:
        BackboneError: the folder holds no backbone, or one whose weights are not those that its config was
            written with; or `head` asks for logits and it has no last layers.
    """
    config = read_config(folder)
    if head and config.headless:
        raise BackboneError(f"{folder}: these weights have no last layers, so the network gives no logits")
    net = build(config.arch, classes=config.classes, library=config.library)
    weights = load_file(folder / WEIGHTS)
    lacking = {key for key in net.state_dict() if key not in weights}
    unexplained = {
        key
        for key in lacking
        if not architectures.is_spare(key)
        and not (config.headless and architectures.is_of_head(config.arch, key, config.library))
    }
    if unexplained:
        raise BackboneError(
            f"{folder / WEIGHTS}: lacks {len(unexplained)} tensors, such as {min(unexplained)}"
        )
    net.load_state_dict(weights, strict=not lacking)
    for key, value in net.state_dict().items():
        if key in lacking and value.is_floating_point():
            value.fill_(
                torch.nan
            )  # whoever runs these layers all the same gets no number that looks like one
    return Network(net.requires_grad_(False), config.model_dump(mode="json"))


def read_config(folder: Path) -> Config:
    """The config of an artifact, once the weights beside it are known to be those that it was written with.

    Raises:
        BackboneError: as `load`.
    """
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
