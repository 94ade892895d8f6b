"""A small head on a frozen network's features of each place: it learns where to look, and what to make of it.

Learned queries give the places of a picture weights that add up to 1, and each query's weighted mean of their features goes
into one linear layer: pooling by attention (Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning,
2018; Lee et al., Set Transformer, 2019, whose seed vectors these queries are; one head of keys and values that are the
features themselves, so that 2 Q D + 1 weights are all there is to learn of Q queries and D features). Queries begin at zero, which is
the mean over places: what a linear model on `pools: [mean]` has, and training departs from it as far as that pays.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.features.backbones import Network
from memorability.training.settings import GradientModel, OptimiserName

READS = "places"


class Params(GradientModel):
    """`queries`: how many weightings of the places are learned; `dropout` of the pooled features.

    `weight_decay` draws queries towards zero, the mean over places.
    """

    queries: int = Field(4, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    optimiser: OptimiserName = "adamw"
    weight_decay: float = Field(0.05, ge=0)


class Standardised(nn.BatchNorm1d):
    """(x - mean) / SD of each channel of x [B, D, P], by the means of both over all batches that were seen in training.

    After an epoch these are of all training rows. Unlike batch norm it gives the same in training and in prediction; a
    picture is not judged by those beside it. What never changes becomes zero.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-8, momentum=None, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                super().forward(x)  # which takes note of the batch's statistics
        return F.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class Probe(nn.Module):
    """Features [B, D, h, w] of each place -> score [B] in [0, 1]."""

    def __init__(self, *, width: int, queries: int, dropout: float) -> None:
        super().__init__()
        self.standardised = Standardised(width)
        self.queries = nn.Parameter(torch.zeros(queries, width))
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(queries * width, 1)

    def attention(self, x: Tensor) -> Tensor:
        """The weight of each place, [B, Q, P], of standardised features [B, D, P]; they add up to 1."""
        return (self.queries @ x / math.sqrt(x.shape[1])).float().softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.standardised(x.flatten(2))  # [B, D, P]
        pooled = self.attention(x) @ x.transpose(1, 2)  # [B, Q, D]
        return self.score(self.dropout(pooled.flatten(1))).squeeze(1).float().sigmoid()


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> Probe:
    return Probe(width=shape[0], queries=settings.queries, dropout=settings.dropout)


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return net(batch["x"])
