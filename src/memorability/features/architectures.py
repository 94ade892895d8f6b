"""Networks by name, as torchvision or timm has them: built, and what of one depends on whose it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import torchvision
from torch import Tensor, nn

from memorability.core.errors import BackboneError
from memorability.features import timm_networks
from memorability.features.settings import Library

# torchvision's architectures -> the last layer of each, whose rows are the classes.
ARCHITECTURES = {
    "resnet18": "fc",
    "resnet50": "fc",
    "resnet152": "fc",
    "wideresnet18": "fc",
    "inception_v3": "fc",
    "densenet161": "classifier",
    "alexnet": "classifier.6",
    "squeezenet1_1": "classifier.1",
    "r3d_18": "fc",
    "fcn_resnet50": "classifier.4",
    "fcn_resnet18": "classifier.4",
}
OF_CLIPS = ("r3d_18",)  # input: float [B, 3, T, H, W]
# Output: {"out": logits of every pixel, [B, classes, H, W]}, which is what `classifier` says of each place, enlarged.
OF_PLACES = ("fcn_resnet50", "fcn_resnet18")
COUNTER = ".num_batches_tracked"  # of batch norm; older weights have none, and evaluation needs none
_AUXILIARY = "AuxLogits."  # inception_v3's second head, which only its own training uses
_AUXILIARY_OF_PLACES = "aux_classifier."  # that of networks of places, which are built without it
_PREFIXES = ("module.", "model.", "visual.")  # of all names, as DataParallel and larger networks leave them


def build(arch: str, *, classes: int = 1000, library: Library = "torchvision") -> nn.Module:
    """A network of the named architecture with random weights, in evaluation mode.

    Input: float [B, 3, H, W]; output: logits [B, classes]; of timm's with 0 classes what comes before these, [B, D];
    of `OF_PLACES` as it says there.

    Raises:
        BackboneError: the library has no such architecture; of torchvision's those in `ARCHITECTURES` are known.
    """
    if library == "timm":
        return timm_networks.build(arch, classes=classes)
    if arch not in ARCHITECTURES:
        raise BackboneError(f"architecture {arch!r} is not known; valid: {', '.join(ARCHITECTURES)}")
    options: dict[str, Any] = {}
    if arch == "inception_v3":
        # torchvision's weights came from TensorFlow and expect its input range, which the network
        # makes from ImageNet-normalised pictures by itself.
        options = {"aux_logits": True, "transform_input": True, "init_weights": False}
    elif arch == "fcn_resnet50":
        options = {"weights_backbone": None, "aux_loss": False}
    elif arch == "fcn_resnet18":
        return _fcn_resnet18(classes).eval()
    elif arch == "wideresnet18":
        return _wideresnet18(classes).eval()
    net: nn.Module = torchvision.models.get_model(arch, weights=None, num_classes=classes, **options)
    return net.eval()


def _fcn_resnet18(classes: int) -> nn.Module:
    """A small fully convolutional network (Long, Shelhamer and Darrell 2015): ResNet-18 up to a side of an eighth.

    Its parts and their names are those of torchvision's fcn_resnet50, but for the stages that it has not.
    """
    from torchvision.models import _utils, resnet18
    from torchvision.models.segmentation import fcn

    trunk = _utils.IntermediateLayerGetter(resnet18(weights=None), {"layer2": "out"})
    return fcn.FCN(trunk, fcn.FCNHead(128, classes))


def _wideresnet18(classes: int) -> nn.Module:
    """The network that Places365's attributes are of: ResNet-18 without its first pooling, so of 14 x 14 last places."""
    net = torchvision.models.resnet18(weights=None, num_classes=classes)
    net.maxpool = nn.Identity()
    return net


def is_timm(config: dict[str, Any]) -> bool:
    """Whether the network of a config is timm's."""
    return config.get("library") == "timm"


def check_of_pictures(config: dict[str, Any]) -> None:
    """Raises a BackboneError if the network of a config reads clips."""
    if not is_timm(config) and config.get("arch") in OF_CLIPS:
        raise BackboneError(f"{config['arch']} reads clips; this needs a network of pictures")


def check_classifies(config: dict[str, Any]) -> None:
    """Raises a BackboneError if what the network of a config makes of a picture is no vector of logits."""
    check_of_pictures(config)
    if not is_timm(config) and config.get("arch") in OF_PLACES:
        raise BackboneError(
            f"{config['arch']} says what is at each place of a picture; this needs a network that classifies pictures"
        )


def fit_size(net: nn.Module, config: dict[str, Any], *, side: int) -> None:
    """Prepares a network for pictures of `side` pixels, where it is one that is made for a single size.

    Raises:
        BackboneError: it cannot be had at this size.
    """
    if is_timm(config):
        timm_networks.fit_size(net, config["arch"], side=side)


def own_names(arch: str, state: dict[str, Tensor], library: Library) -> dict[str, Tensor]:
    """Weights by the names that the architecture has for them.

    A prefix that all names have is left out, unless the architecture has it too.
    """
    state = unprefixed(state, lambda: build(arch, library=library).state_dict())
    if library == "timm":
        return state
    if arch in OF_PLACES:
        return {key: value for key, value in state.items() if not key.startswith(_AUXILIARY_OF_PLACES)}
    # torchvision's densenet weights still have the names of an older release: norm.1 for norm1.
    return {re.sub(r"\b(norm|conv)\.([12])\.", r"\1\2.", key): value for key, value in state.items()}


def unprefixed(state: dict[str, Tensor], wanted: Callable[[], Collection[str]]) -> dict[str, Tensor]:
    """Weights without the prefixes that all their names have, unless a name with one is `wanted`: the network's own."""
    prefix = next((p for p in _PREFIXES if state and all(key.startswith(p) for key in state)), "")
    if not prefix or set(state) & set(wanted()):
        return state
    return unprefixed({key.removeprefix(prefix): value for key, value in state.items()}, wanted)


def classes_of(arch: str, state: dict[str, Tensor], library: Library) -> int:
    """How many classes weights are of; of those without the last layer, what the network is built with."""
    if library == "timm":
        return timm_networks.classes_of(arch, state)
    last = state.get(f"{ARCHITECTURES.get(arch, '')}.weight")
    return 1000 if last is None else int(last.shape[0])


def is_spare(key: str) -> bool:
    """Whether an artifact may lack this tensor."""
    return key.startswith(_AUXILIARY) or key.endswith(COUNTER)


def is_of_head(arch: str, name: str, library: Library) -> bool:
    """Whether a tensor or module is of the last layers, which weights of features alone lack."""
    return library == "torchvision" and f"{name}.".startswith(ARCHITECTURES[arch].split(".")[0] + ".")
