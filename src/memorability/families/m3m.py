"""M3M: ResMem's two parts and a third, what is where in the picture, joined to a score.

Needell and Bainbridge, Embracing New Techniques in Deep Learning for Estimating Image Memorability (2022): beside
AlexNet features and the logits of a ResNet, the 21 x H x W logits of a segmentation network (fcn_resnet50, of the 21
classes of Pascal VOC) go through a small convolutional network. They come as features of places and are enlarged to the
pixels' size, as the segmentation network itself does last. Not known from the paper, so ours: the small
network's layers; and that the ResNet is trained along, as its training time beside ResMemRetrain's tells.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.families.blocks import rates
from memorability.families.blocks.residual import Residual, checked_network
from memorability.features.backbones import Network
from memorability.training import augment as augmentations
from memorability.training import layers
from memorability.training.settings import PictureModel

READS = "pictures_and_places"
LOGITS = True


class Params(PictureModel):
    """`width`: channels of the small network's first layer, twice as many of the others.

    `hidden`, `frozen`, `backbone_lr`: as resmem has them. `mirror`: half of the training pictures are flipped, with
    what is at their places.
    """

    hidden: int = Field(4096, ge=16, multiple_of=16)
    dropout: float = Field(0.5, ge=0, lt=1)
    width: int = Field(32, ge=1)
    frozen: bool = False
    backbone_lr: float = Field(0.1, gt=0, le=1)
    mirror: bool = False


class M3M(nn.Module):
    """Pixels in [0, 1] and logits of K classes at their places, float [B, 3 + K, size, size] -> score [B] in [0, 1].

    Args:
        classes: K.
        backbone, size, hidden, dropout, frozen: see `blocks.residual.Residual`.
    """

    def __init__(
        self,
        *,
        classes: int,
        width: int,
        backbone: nn.Module,
        size: int,
        hidden: int,
        dropout: float,
        frozen: bool,
    ) -> None:
        super().__init__()
        self.segmentation = nn.Sequential(
            nn.Conv2d(classes, width, 5, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        )  # fmt: skip
        beside = layers.flat_width(self.segmentation, size, channels=classes)
        self.joined = Residual(
            backbone=backbone, size=size, hidden=hidden, dropout=dropout, frozen=frozen, beside=beside
        )

    def forward(self, x: Tensor, logits: Tensor | None = None) -> Tensor:
        """`logits` of the backbone, where they are known already, spare running it."""
        return self.joined(x[:, :3], logits, self.segmentation(x[:, 3:]))


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> M3M:
    net = checked_network(backbone, family="m3m", side=settings.crop)
    return M3M(
        classes=shape[0] - 3,
        width=settings.width,
        backbone=net,
        size=settings.crop,
        hidden=settings.hidden,
        dropout=settings.dropout,
        frozen=settings.frozen,
    )


def is_frozen(settings: Params) -> bool:
    return settings.frozen and not settings.mirror


def frozen_features(net: M3M, batch: dict[str, Tensor]) -> Tensor:
    return net.joined.features(batch["x"][:, :3])


def optimisers(settings: Params, net: nn.Module) -> dict[str, Optimizer]:
    return rates.with_backbone(settings, net, backbone="joined.features", share=settings.backbone_lr)


def augment(settings: Params, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch | {"x": augmentations.mirror(batch["x"])} if settings.mirror else batch


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch.get("frozen"))
