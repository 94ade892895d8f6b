"""Frozen networks: by name from torchvision, with weights from torchvision, a file, or the demo.

An artifact is a folder with `weights.safetensors` and `config.json` (architecture, classes,
transform, origin). It is all that features and models need: no network access after it is made.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

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
_AUXILIARY = "AuxLogits."  # inception_v3's second head, which only its own training uses
_COUNTER = ".num_batches_tracked"  # of batch norm; older weights have none, and evaluation needs none


class Config(Block):
    """What a backbone's config.json says."""

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


def save(
    folder: Path, *, arch: str, state: dict[str, Tensor], transform: dict[str, Any], source: str
) -> None:
    """Checks that `state` fits `arch` and writes the artifact at once or not at all.

    Weights without the last layers (a file of features only) are accepted and said in the config as
    `headless`; anything else that is missing, unknown or of another shape is an error.
    """
    last = ARCHITECTURES.get(arch, "")
    # torchvision's densenet weights still have the names of an older release: norm.1 for norm1.
    state = {re.sub(r"\b(norm|conv)\.([12])\.", r"\1\2.", key): value for key, value in state.items()}
    head = state.get(f"{last}.weight")
    classes = 1000 if head is None else int(head.shape[0])
    net = build(arch, classes=classes)
    wanted = net.state_dict()
    missing = [key for key in wanted if key not in state and not _optional(key)]
    headless = bool(missing) and all(key.startswith(last.split(".")[0] + ".") for key in missing)
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
    kept = {key: state[key].detach().cpu().contiguous().clone() for key in wanted if key in state}
    kept |= {key: wanted[key] for key in wanted if key not in kept and key.endswith(_COUNTER)}
    with staged_folder(folder) as part:
        save_file(kept, part / "weights.safetensors")
        config = {
            "arch": arch,
            "classes": classes,
            "headless": headless,
            "source": source,
            "sha256": digest(part / "weights.safetensors"),
            "transform": transform,
        }
        write_json(part / "config.json", config)


def _optional(key: str) -> bool:
    return key.startswith(_AUXILIARY) or key.endswith(_COUNTER)


def load(folder: Path, *, head: bool) -> Network:
    """The network (evaluation mode, gradients off) and the config of an artifact.

    Raises:
        BackboneError: the folder holds no backbone, or one whose weights are not those that its config was
            written with; or `head` asks for logits and it has no last layers.
    """
    try:
        given = read_json(folder / "config.json")
        sha256 = digest(folder / "weights.safetensors") if "arch" in given else ""
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BackboneError(
            f"{folder}: no backbone here ({error}); run dvc repro or dvc pull first"
        ) from error
    if "arch" not in given:
        raise BackboneError(f"{folder}: not a backbone but a model of another kind")
    config = checked(Config, given, at=f"{folder}/config.json", error=BackboneError).model_dump(mode="json")
    if config["sha256"] != sha256:
        raise BackboneError(
            f"{folder}/weights.safetensors: not the weights that config.json was written with (SHA-256)"
        )
    if head and config["headless"]:
        raise BackboneError(f"{folder}: these weights have no last layers, so the network gives no logits")
    net = build(config["arch"], classes=config["classes"])
    weights = load_file(folder / "weights.safetensors")
    # What `save` lets weights lack: a head that nobody can ask for, or inception's second.
    lacking = {key for key in net.state_dict() if key not in weights}
    first = ARCHITECTURES[config["arch"]].split(".")[0] + "."
    unexplained = {
        k for k in lacking if not _optional(k) and not (config["headless"] and k.startswith(first))
    }
    if unexplained:
        raise BackboneError(
            f"{folder}/weights.safetensors: lacks {len(unexplained)} tensors, such as {min(unexplained)}"
        )
    net.load_state_dict(weights, strict=not lacking)
    return Network(net.requires_grad_(False), config)


def trunk(network: Network) -> tuple[nn.Module, int]:
    """The network without its last layer, behind its transform's mean and std, and its width D.

    Input: float [B, 3, H, W] in [0, 1]; output: [B, D].
    """
    net, arch = network.net, network.config["arch"]
    if arch in OF_CLIPS:
        raise BackboneError(f"{arch} reads clips; this needs a network of pictures")
    if arch == "inception_v3":  # its second head, which its own training alone would use
        net.aux_logits, net.AuxLogits = False, None  # type: ignore[assignment]
    last: Any = net.get_submodule(ARCHITECTURES[arch])
    width = int(last.weight.shape[1])  # of a linear layer, or of a 1 x 1 convolution
    net.set_submodule(ARCHITECTURES[arch], nn.Identity())
    return normalised(net, network.config), width


def stages(network: Network, *, side: int, finest: int) -> tuple[nn.Module, list[int]]:
    """A backbone as the encoder of a U-Net: what it has found at each halving of the picture.

    A stage is the last layer before the next halving, and the last one before the classifier.

    Args:
        side: of the pictures, in pixels.
        finest: side of the finest stage that is of use.

    Returns:
        a network from float [B, 3, side, side] in [0, 1] to the stages, from fine to coarse, [B, D_i, h_i, h_i]
        each; and D_i of each.

    Raises:
        BackboneError: the network reads clips, or has under two such stages.
    """
    net, arch = network.net, network.config["arch"]
    if arch in OF_CLIPS:
        raise BackboneError(f"{arch} reads clips; this needs a network of pictures")
    names = before_head(net, arch)
    probe = create_feature_extractor(net, {name: name for name in names}).eval()
    try:
        with torch.no_grad():
            shapes = {name: out.shape for name, out in probe(torch.zeros(1, 3, side, side)).items()}
    except RuntimeError as error:
        raise BackboneError(f"{arch} cannot read pictures of {side} pixels ({error})") from error
    last: dict[int, str] = {}  # of each side; none behind which the side grows again, as before a classifier
    for name, shape in shapes.items():
        if len(shape) == 4 and shape[-1] <= min(last, default=side):
            last[shape[-1]] = name
    taken: list[int] = []
    for height in sorted(last):
        if 1 < height <= finest and height >= 1.5 * (taken[-1] if taken else 1):
            taken.append(height)
    if len(taken) < 2:
        raise BackboneError(
            f"{arch} has stages of {sorted(last)} pixels for pictures of {side}; two of at most {finest} are needed"
        )
    chosen = [last[height] for height in reversed(taken)]
    cut = create_feature_extractor(net, {name: name for name in chosen})
    return normalised(_Listed(cut, chosen), network.config), [int(shapes[name][1]) for name in chosen]


def before_head(net: nn.Module, arch: str) -> list[str]:
    """The nodes of a network's graph before its classifier."""
    _, nodes = get_graph_node_names(net)
    head = next(i for i, node in enumerate(nodes) if node.startswith(ARCHITECTURES[arch].split(".")[0]))
    return nodes[1:head]  # the first is the input


def normalised(net: nn.Module, config: dict[str, Any], *, clips: bool = False) -> Normalised:
    """A network behind the mean and std of a backbone's config."""
    return Normalised(net, mean=config["transform"]["mean"], std=config["transform"]["std"], clips=clips)


class Normalised(nn.Module):
    """A network behind (x - mean) / std, as its backbone's transform says: pixels in [0, 1] go in.

    Args:
        mean, std: of each channel.
        clips: whether [B, 3, T, h, w] go in rather than [B, 3, h, w].
    """

    def __init__(
        self, net: nn.Module, *, mean: Sequence[float], std: Sequence[float], clips: bool = False
    ) -> None:
        super().__init__()
        self.net = net
        shape = (3, 1, 1, 1) if clips else (3, 1, 1)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.mean) / self.std)


class _Listed(nn.Module):
    """A feature extractor whose outputs are a list, in the order of their names, rather than a dict."""

    def __init__(self, cut: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.cut, self.names = cut, names

    def forward(self, x: Tensor) -> list[Tensor]:
        found = self.cut(x)
        return [found[name] for name in self.names]
