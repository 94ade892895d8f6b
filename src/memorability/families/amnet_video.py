"""Soft attention over frames inside an LSTM: which frames make a clip remembered.

Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (2018), with the
frames of a clip in the place of a picture's regions, as in Tran's report on MediaEval 2018 (gamma 1e-5,
Adam 1e-4). In each of T glimpses the LSTM's state h gives weights to the frames,
alpha = softmax(v tanh(W h + U x)), and reads their weighted mean; each glimpse gives a score. Attention
that leaves frames out over all glimpses is penalised: gamma sum_i (1 - sum_t alpha_ti)^2 (Xu et al.,
Show, Attend and Tell, 2015). Set here: the clip's score is the sigmoid of the glimpses' mean.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.optim import Backward, descend
from memorability.training.settings import GradientModel

READS = "sequences"
FRAME_VALUES = "attention"


class Params(GradientModel):
    """`hidden` units of the LSTM and of the attention, `glimpses` of it, `gamma` of the penalty."""

    hidden: int = Field(1024, ge=1)
    glimpses: int = Field(3, ge=1)
    gamma: float = Field(1e-5, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1, description="before the score of a glimpse")


class AMNetVideo(nn.Module):
    """Features [B, T, D] of the first `length` [B] frames -> score [B] in [0, 1] and attention [B, G, T]."""

    def __init__(self, *, width: int, hidden: int, glimpses: int, dropout: float) -> None:
        super().__init__()
        self.glimpses = glimpses
        self.h0, self.c0 = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.of_state, self.of_frames = nn.Linear(hidden, hidden), nn.Linear(width, hidden, bias=False)
        self.weigh = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(width, hidden)
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        there, mean = layers.frame_mask(x, length), layers.mean_over_frames(x, length)
        h, c = self.h0(mean).tanh(), self.c0(mean).tanh()
        seen, scores, attention = self.of_frames(x), [], []
        for _ in range(self.glimpses):
            energy = self.weigh((self.of_state(h)[:, None] + seen).tanh()).squeeze(2)  # [B, T]
            alpha = energy.float().masked_fill(~there, -torch.inf).softmax(dim=1)
            h, c = self.cell((alpha[..., None] * x).sum(1).to(x.dtype), (h, c))
            scores.append(self.score(h).squeeze(1))
            attention.append(alpha)
        return torch.stack(scores, 1).float().mean(1).sigmoid(), torch.stack(attention, 1)


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> AMNetVideo:
    return AMNetVideo(
        width=shape[1], hidden=settings.hidden, glimpses=settings.glimpses, dropout=settings.dropout
    )


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    score, attention = net(batch["x"], batch["length"])
    there = layers.frame_mask(batch["x"], batch["length"])
    left_out = ((1 - attention.sum(1)) ** 2 * there).sum(1).mean()
    loss = F.mse_loss(score, batch["y"]) + settings.gamma * left_out
    descend(loss, optimisers["net"], backward)
    return {"loss": loss.detach(), "attention_penalty": left_out.detach()}


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"], batch["length"])[0]


def frame_values(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Attention to each frame, the mean over the glimpses: [B, T], 1 over the frames that are there."""
    there = layers.frame_mask(batch["x"], batch["length"])
    return net(batch["x"], batch["length"])[1].mean(1).masked_fill(~there, torch.nan)
