"""ResMem and ResMemRetrain: AlexNet features beside the class logits of a ResNet, joined to a score.

Needell and Bainbridge, Embracing New Techniques in Deep Learning for Estimating Image Memorability
(2022). ResMem keeps the ResNet as it is; ResMemRetrain (`frozen: false`) trains it too, at a rate of its own, which
the paper does not give. Pictures go in as they are, in [0, 1], with no ImageNet normalisation.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.families.blocks import rates
from memorability.families.blocks.residual import Residual, checked_network
from memorability.features.backbones import Network
from memorability.training.settings import PictureModel

READS = "pictures"
LOGITS = True


class Params(PictureModel):
    """`hidden`: units of fc6 and fc7, halved from layer to layer after them.

    `frozen`: whether the backbone stays as it is; if not, its rate is `lr` x `backbone_lr`.
    """

    hidden: int = Field(4096, ge=16, multiple_of=16)
    dropout: float = Field(0.5, ge=0, lt=1)
    frozen: bool = True
    backbone_lr: float = Field(0.1, gt=0, le=1)


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> Residual:
    net = checked_network(backbone, family="resmem", side=settings.crop)
    return Residual(
        backbone=net,
        size=settings.crop,
        hidden=settings.hidden,
        dropout=settings.dropout,
        frozen=settings.frozen,
    )


def is_frozen(settings: Params) -> bool:
    return settings.frozen


def frozen_features(net: Residual, batch: dict[str, Tensor]) -> Tensor:
    return net.features(batch["x"])


def optimisers(settings: Params, net: nn.Module) -> dict[str, Optimizer]:
    return rates.with_backbone(settings, net, backbone="features", share=settings.backbone_lr)


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch.get("frozen"))
