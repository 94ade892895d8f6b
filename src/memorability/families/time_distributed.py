"""An LSTM with the same dense unit at every step; the last step's score is the clip's.

Tran, internship report on MediaEval 2018 (its best model, in Keras): one layer of 1024 or 2048 units,
input dropout 0.5, squared error of the last step's score, Adam at 1e-3. As in Keras, the dropout of the
inputs draws one mask for all steps of a clip. What the report leaves open is set here: a sigmoid.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.settings import GradientModel

READS = "sequences"
FRAME_VALUES = "score"


class Params(GradientModel):
    """`hidden` units; `dropout` of the inputs."""

    hidden: int = Field(1024, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)


class TimeDistributed(nn.Module):
    """Features [B, T, D] -> score after each frame [B, T] in [0, 1]."""

    def __init__(self, *, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.dropout(torch.ones_like(x[:, :1]))  # one mask [B, 1, D] for all steps
        outputs = layers.outputs_of(self.lstm, x)
        return self.dense(outputs).squeeze(2).float().sigmoid()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> TimeDistributed:
    return TimeDistributed(width=shape[1], hidden=settings.hidden, dropout=settings.dropout)


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return layers.last_frame(net(batch["x"]), batch["length"])


def frame_values(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The score after each frame: [B, T], NaN where there is none."""
    there = layers.frame_mask(batch["x"], batch["length"])
    return net(batch["x"]).masked_fill(~there, torch.nan)
