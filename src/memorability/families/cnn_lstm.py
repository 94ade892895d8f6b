"""A picture network and an LSTM in one: frames to a score.

Harvey's CNN + RNN in one network (Five Video Classification Methods, 2017), as in Tran's report on
MediaEval 2018. The backbone's last layer is taken off and its mean and std are applied; frozen, its
features are computed once for each clip; else it is trained along, at a rate of its own.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.core.errors import ParamsError
from memorability.families.blocks import rates
from memorability.features import backbones, encoders
from memorability.training import layers
from memorability.training.settings import PictureModel

READS = "frames"
ONLY_FROZEN = True


class Params(PictureModel):
    """`frozen`: whether the backbone stays as it is; if not, its rate is `lr` x `backbone_lr`."""

    frozen: bool = True
    backbone_lr: float = Field(0.1, gt=0, le=1)
    hidden: int = Field(512, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)


class CNNLSTM(nn.Module):
    """Frames float [B, T, 3, h, w] in [0, 1], of which the first `length` [B] are there -> score [B] in [0, 1]."""

    def __init__(self, *, trunk: nn.Module, width: int, hidden: int, dropout: float, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen
        self.trunk = trunk.requires_grad_(not frozen)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def features(self, x: Tensor, length: Tensor) -> Tensor:
        """The trunk's features of each frame: [B, T, D]. Frames that are not there never enter it."""
        there = layers.frame_mask(x, length)
        found = self.trunk(x[there].contiguous(memory_format=torch.channels_last))  # [M, D]
        features = found.new_zeros(*there.shape, found.shape[1])
        features[there] = found
        return features

    def forward(self, x: Tensor, length: Tensor, features: Tensor | None = None) -> Tensor:
        """`features` [B, T, D], where they are known already, spare running the trunk."""
        features = self.features(x, length) if features is None else features
        outputs = layers.outputs_of(self.lstm, self.dropout(features))
        return self.head(self.dropout(layers.last_frame(outputs, length))).squeeze(1).float().sigmoid()

    def train(self, mode: bool = True) -> CNNLSTM:
        super().train(mode)
        if self.frozen:
            self.trunk.eval()  # its batch statistics as well as its weights
        return self


def build(settings: Params, *, shape: tuple[int, ...], backbone: backbones.Network | None) -> CNNLSTM:
    if backbone is None:
        raise ParamsError("cnn_lstm needs a backbone; received none")
    trunk, width = encoders.trunk(backbone, side=settings.crop)
    return CNNLSTM(
        trunk=trunk, width=width, hidden=settings.hidden, dropout=settings.dropout, frozen=settings.frozen
    )


def is_frozen(settings: Params) -> bool:
    return settings.frozen


def frozen_features(net: CNNLSTM, batch: dict[str, Tensor]) -> Tensor:
    return net.features(batch["x"], batch["length"])


def optimisers(settings: Params, net: nn.Module) -> dict[str, Optimizer]:
    return rates.with_backbone(settings, net, backbone="trunk", share=settings.backbone_lr)


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"], batch.get("frozen"))
