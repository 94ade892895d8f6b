"""An LSTM over frame features whose first state comes from the mean over time.

Tran, internship report on MediaEval 2018: h0 and c0 of every layer are linear in the mean of the
frames' features, 1 to 3 layers of 1024 units, squared error, Adam at 1e-4. What the report leaves open
is set here: the score is a sigmoid of the last output. On pictures it is a sequence of one.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.settings import GradientModel

READS = "sequences"


class Params(GradientModel):
    """`hidden` units in each of `layers` layers; `dropout` between layers and before the score."""

    hidden: int = Field(1024, ge=1)
    layers: int = Field(1, ge=1, le=3)
    dropout: float = Field(0.5, ge=0, lt=1)


class LSTMRegressor(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames -> score [B] in [0, 1]."""

    def __init__(self, *, width: int, hidden: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.depth, self.hidden = depth, hidden
        self.h0, self.c0 = nn.Linear(width, depth * hidden), nn.Linear(width, depth * hidden)
        # Of a single layer, nn.LSTM would ignore it and warn.
        self.lstm = nn.LSTM(width, hidden, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        mean = layers.mean_over_frames(x, length)
        first = [
            start(mean).view(len(x), self.depth, self.hidden).transpose(0, 1).contiguous()
            for start in (self.h0, self.c0)
        ]
        # What follows the last frame is not looked at.
        outputs = layers.outputs_of(self.lstm, x, (first[0], first[1]))  # [B, T, H]
        return self.head(layers.last_frame(outputs, length)).squeeze(1).float().sigmoid()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> LSTMRegressor:
    return LSTMRegressor(
        width=shape[1], hidden=settings.hidden, depth=settings.layers, dropout=settings.dropout
    )


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"])
