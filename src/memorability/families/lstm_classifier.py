"""An LSTM over frame features that sorts clips into classes of memorability.

Tran, internship report on MediaEval 2018: scores rounded to 11 (or 101) classes, cross-entropy; either
all outputs flattened, or the last output of two stacked layers, go to a linear layer. The score is the
expected class, or the most probable one (the report's: class / 10), over the number of classes less one.
Whether the report's version 2.1, version 2 with h0 and c0 from two linear layers, still sorts into classes is not said:
as one that does it is here (`state: sequence`), as one that does not in `lstm_regressor`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.families.blocks.first_state import first_state, flattened
from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.optim import Backward, descend
from memorability.training.settings import GradientModel

READS = "sequences"


class Params(GradientModel):
    """`outputs`: what the last layer sees, all outputs (`flat`) or that of the last frame (`last`).

    `state`: what the LSTM begins with, `zeros`, or two linear layers of the whole `sequence`, flattened.
    """

    classes: Literal[11, 101] = 11
    outputs: Literal["flat", "last"] = "flat"
    state: Literal["zeros", "sequence"] = "zeros"
    score: Literal["expected", "argmax"] = "expected"
    hidden: int = Field(1024, ge=1)
    layers: int = Field(1, ge=1, le=3)
    dropout: float = Field(0.0, ge=0, lt=1, description="between layers and before the last one")


class LSTMClassifier(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames -> logits [B, classes]."""

    def __init__(
        self,
        *,
        steps: int,
        width: int,
        hidden: int,
        depth: int,
        classes: int,
        flat: bool,
        dropout: float,
        started: bool,
    ) -> None:
        super().__init__()
        self.flat, self.depth = flat, depth
        self.lstm = nn.LSTM(width, hidden, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden * (steps if flat else 1), classes))
        self.started = started
        if started:
            self.h0, self.c0 = (nn.Linear(steps * width, depth * hidden) for _ in range(2))

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        state = None
        if self.started:
            state = first_state(flattened(x, length), h0=self.h0, c0=self.c0, depth=self.depth)
        outputs = layers.outputs_of(self.lstm, x, state)  # [B, T, H]
        if self.flat:
            return self.head(flattened(outputs, length)).float()
        return self.head(layers.last_frame(outputs, length)).float()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> LSTMClassifier:
    return LSTMClassifier(
        steps=shape[0],
        width=shape[1],
        hidden=settings.hidden,
        depth=settings.layers,
        classes=settings.classes,
        flat=settings.outputs == "flat",
        dropout=settings.dropout,
        started=settings.state == "sequence",
    )


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    loss = F.cross_entropy(net(batch["x"], batch["length"]), class_of(batch["y"], settings.classes))
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach()}


def class_of(score: Tensor, classes: int) -> Tensor:
    """The class of each score in [0, 1]: 0 to classes - 1, int64 [B]."""
    return (score * (classes - 1)).round().long()


def class_logits(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """What it says of each class: [B, classes]."""
    return net(batch["x"], batch["length"])


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    logits = class_logits(settings, net, batch)
    if settings.score == "argmax":
        return logits.argmax(dim=1).float() / (settings.classes - 1)
    scores = torch.linspace(0, 1, settings.classes, device=logits.device)
    return logits.softmax(dim=1) @ scores
