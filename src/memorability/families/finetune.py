"""A network of pictures with a linear head to a score, trained as a whole or its last blocks alone.

Any backbone of pictures, of torchvision or timm: its own classifier is taken off, and its mean and std are applied.
What was learned on another task stays the better the lower its rate (Yosinski, Clune, Bengio and Lipson, How
Transferable Are Features in Deep Neural Networks?, 2014), so the backbone has one of its own; a head on features
that do not move yet is best found first (Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution, 2022), for which `warmup` is of use.

Of augmentations there is the mirror image alone. People's memory was measured of whole pictures in their own colours:
a crop may cut off what a picture is remembered for, other colours or contrasts make it another picture, and
each of them moves the true score by an unknown amount that would be learned from as if it were zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.core.errors import BackboneError, ParamsError
from memorability.families.blocks import rates
from memorability.features import architectures, encoders
from memorability.features.backbones import Network
from memorability.training.augment import mirror
from memorability.training.settings import PictureModel

READS = "pictures"
ONLY_FROZEN = True


class Params(PictureModel):
    """`backbone_lr`: the backbone's rate is `lr` x this; 0 leaves all of it as it is.

    `unfrozen`: all of it is trained, or so many of its last blocks (`blocks` says what one is). `mirror`: half of the
    training pictures are flipped; without it, features of a backbone that stays as it is are computed once.
    """

    crop: int = Field(224, ge=8)
    lr: float = Field(1e-3, gt=0)
    backbone_lr: float = Field(0.1, ge=0, le=1)
    unfrozen: Literal["all"] | Annotated[int, Field(ge=1)] = "all"
    dropout: float = Field(0.2, ge=0, lt=1, description="before the head")
    mirror: bool = True


class Finetune(nn.Module):
    """float [B, 3, side, side] in [0, 1] -> score [B] in [0, 1].

    Args:
        trunk: from such pictures to features [B, D].
        width: D.
        unfrozen: how many of the trunk's last blocks are trained, None: all, 0: none. The others stay as they are, their
            batch statistics as well as their weights.

    Raises:
        ParamsError: there are not so many blocks.
    """

    def __init__(self, *, trunk: nn.Module, width: int, unfrozen: int | None, dropout: float) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(unfrozen is None)
        self.whole = unfrozen is None
        trained = [] if unfrozen is None else last_blocks(trunk, unfrozen)
        for name in trained:
            trunk.get_submodule(name).requires_grad_(True)
        self.trained = tuple(trained)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, x: Tensor, features: Tensor | None = None) -> Tensor:
        """`features` [B, D], where they are known already, spare running the trunk."""
        features = self.trunk(x) if features is None else features
        return self.head(features).squeeze(1).float().sigmoid()

    def train(self, mode: bool = True) -> Finetune:
        super().train(mode)
        if not self.whole:
            self.trunk.eval()
            for name in self.trained:
                self.trunk.get_submodule(name).train(mode)
        return self


def blocks(trunk: nn.Module) -> list[list[str]]:
    """The blocks of a network from first to last, of each the modules that belong to it, by their paths.

    A block is a part of the network in the order that it is written in, lists and sequences taken apart; parts without
    a matrix or kernel of their own (norms, activations, pools) go with the block that they follow. What stands outside
    of all parts, such as a transformer's class token and positions, is trained with the whole network alone.
    """
    found: list[list[str]] = []
    for name, part in _parts(trunk):
        if any(weight.ndim > 1 for weight in part.parameters()):
            found.append([name])
        elif found:
            found[-1].append(name)
    return found


def _parts(net: nn.Module, above: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, part in net.named_children():
        path = f"{above}{name}"
        # The network itself, behind its mean and std, is no block.
        if path == "net" or type(part) in (nn.Sequential, nn.ModuleList):
            yield from _parts(part, f"{path}.")
        else:
            yield path, part


def last_blocks(trunk: nn.Module, count: int) -> list[str]:
    """The modules of the last `count` blocks.

    Raises:
        ParamsError: there are not so many.
    """
    found = blocks(trunk)
    if count > len(found):
        names = ", ".join(parts[0].removeprefix("net.") for parts in found)
        raise ParamsError(f"unfrozen: received {count}; valid: all, or 1 to {len(found)} ({names})")
    return [name for parts in found[len(found) - count :] for name in parts]


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> Finetune:
    if backbone is None:
        raise ParamsError("finetune needs a backbone; received none")
    trunk, width = encoders.trunk(backbone, side=settings.crop)
    _check_complete(trunk, backbone.config)
    unfrozen = None if settings.unfrozen == "all" else settings.unfrozen
    return Finetune(
        trunk=trunk,
        width=width,
        unfrozen=unfrozen if settings.backbone_lr > 0 else 0,
        dropout=settings.dropout,
    )


def _check_complete(trunk: nn.Module, config: dict[str, Any]) -> None:
    """Raises a BackboneError for weights that lack layers which the trunk runs, such as all three of alexnet's head."""
    names = [name.removeprefix("net.") for name, _ in trunk.named_parameters()]
    if config.get("headless") and any(
        architectures.is_of_head(config["arch"], name, config["library"]) for name in names
    ):
        raise BackboneError(f"{config['arch']}: these weights lack layers before the classifier's last one")


def is_frozen(settings: Params) -> bool:
    return settings.backbone_lr == 0 and not settings.mirror


def frozen_features(net: Finetune, batch: dict[str, Tensor]) -> Tensor:
    return net.trunk(batch["x"])


def optimisers(settings: Params, net: nn.Module) -> dict[str, Optimizer]:
    return rates.with_backbone(settings, net, backbone="trunk", share=settings.backbone_lr)


def augment(settings: Params, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch | {"x": mirror(batch["x"])} if settings.mirror else batch


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch.get("frozen"))
