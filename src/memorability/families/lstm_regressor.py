"""An LSTM over frame features whose first state comes from these features.

Tran, internship report on MediaEval 2018, version 2.1: h0 and c0 of every layer are each a linear layer's,
1 to 3 layers of 1024 units, squared error, Adam at 1e-4. The report can be read in two ways. As it is by default, these
layers see the mean of the frames and the last output is scored (`state: mean`, `outputs: last`). Or all is as in its version 2
(`state: sequence`, `outputs: flat`): they see the whole sequence, flattened, and all outputs, flattened, are scored.
The score is a sigmoid, as the report does not say. On pictures it is a sequence of one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from memorability.families.blocks.first_state import first_state, flattened
from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.settings import GradientModel

READS = "sequences"


class Params(GradientModel):
    """`hidden` units in each of `layers` layers; `dropout` between layers and before the score.

    `state`: what h0 and c0 are linear in, the `mean` over the frames or the whole `sequence`, flattened. `outputs`: what
    the score is linear in, that of the `last` frame or all of them, flattened (`flat`).
    """

    state: Literal["mean", "sequence"] = "mean"
    outputs: Literal["last", "flat"] = "last"
    hidden: int = Field(1024, ge=1)
    layers: int = Field(1, ge=1, le=3)
    dropout: float = Field(0.5, ge=0, lt=1)


class LSTMRegressor(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames, T = `steps` -> score [B] in [0, 1]."""

    def __init__(
        self, *, steps: int, width: int, hidden: int, depth: int, dropout: float, whole: bool, flat: bool
    ) -> None:
        super().__init__()
        self.depth, self.whole, self.flat = depth, whole, flat
        seen = steps * width if whole else width
        self.h0, self.c0 = nn.Linear(seen, depth * hidden), nn.Linear(seen, depth * hidden)
        # Of a single layer, nn.LSTM would ignore it and warn.
        self.lstm = nn.LSTM(width, hidden, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(steps * hidden if flat else hidden, 1))

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        seen = flattened(x, length) if self.whole else layers.mean_over_frames(x, length)
        first = first_state(seen, h0=self.h0, c0=self.c0, depth=self.depth)
        # What follows the last frame is not looked at.
        outputs = layers.outputs_of(self.lstm, x, first)  # [B, T, H]
        scored = flattened(outputs, length) if self.flat else layers.last_frame(outputs, length)
        return self.head(scored).squeeze(1).float().sigmoid()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> LSTMRegressor:
    return LSTMRegressor(
        steps=shape[0],
        width=shape[1],
        hidden=settings.hidden,
        depth=settings.layers,
        dropout=settings.dropout,
        whole=settings.state == "sequence",
        flat=settings.outputs == "flat",
    )


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"])
