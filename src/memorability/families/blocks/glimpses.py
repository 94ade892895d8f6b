"""Soft attention over parts of a thing, inside an LSTM: what AMNet is made of, of pictures and of clips.

Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (2018). From the paper: an LSTM that
starts from the parts' mean, T = 3 glimpses whose scores are added, squared error and a penalty on attention over all of
them. From the code that its authors released (github.com/ok1zjf/AMNet): all layers and their sizes, dropout, that the
sum is divided by T, the constants of the target and of the penalty.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from memorability.core.settings import Block

SHARE = 0.2  # of a part's attention in one glimpse, from which the penalty counts; of the released code


class Looks(Block):
    """`hidden` units of the LSTM, `head` of the layer before the score, `glimpses`, `gamma` of the penalty.

    The network learns (score - `target_mean`) x `target_scale`: LaMem's mean, and 2, in the released code.
    """

    hidden: int = Field(1024, ge=1)
    head: int = Field(512, ge=1)
    glimpses: int = Field(3, ge=1)
    gamma: float = Field(1e-5, ge=0)
    dropout: float = Field(0.5, ge=0, lt=1, description="of the attention, behind the LSTM and in the head")
    target_mean: float = Field(0.754, ge=0, le=1)
    target_scale: float = Field(2.0, gt=0)


class Glimpses(nn.Module):
    """Features [B, L, D] of parts -> the score [B], not held within [0, 1], and the attention of each glimpse [B, T, L].

    Args:
        width: D.
        parts: L, at most: of x with fewer the first are taken to be there.
        attend: whether attention is learned; else every part has the same weight, and its three layers do not exist.
    """

    def __init__(self, settings: Looks, *, width: int, parts: int, attend: bool = True) -> None:
        super().__init__()
        hidden, head = settings.hidden, settings.head
        self.glimpses, self.attend = settings.glimpses, attend
        self.mean, self.scale = settings.target_mean, settings.target_scale
        self.h0, self.c0 = nn.Linear(width, hidden), nn.Linear(width, hidden)
        if attend:
            self.of_parts, self.of_state = nn.Linear(width, width, bias=False), nn.Linear(hidden, parts)
            self.weigh = nn.Linear(width, 1, bias=False)
        self.cell = nn.LSTMCell(width, hidden)
        self.drop = nn.Dropout(settings.dropout)
        self.score = nn.Sequential(
            nn.Linear(hidden, head), nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(head, 1)
        )

    def forward(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """`there`: whether each part exists, bool [B, L]; no attention goes to others."""
        even = there / there.sum(1, keepdim=True)
        mean = (x * there[..., None]).sum(1) / there.sum(1, keepdim=True).to(x.dtype)
        h, c = self.h0(mean).tanh(), self.c0(mean).tanh()
        said = h  # of the LSTM, behind dropout
        seen = self.drop(self.of_parts(x).relu()) if self.attend else None
        scores, attention = [], []
        for _ in range(self.glimpses):
            alpha = even if seen is None else self._attention(seen, said, there)
            h, c = self.cell((alpha[..., None] * x).sum(1).to(x.dtype), (h, c))
            said = self.drop(h)
            scores.append(self.score(said).squeeze(1))
            attention.append(alpha)
        score = torch.stack(scores, 1).float().mean(1) / self.scale + self.mean
        return score, torch.stack(attention, 1)

    def _attention(self, seen: Tensor, said: Tensor, there: Tensor) -> Tensor:
        """softmax over the parts of v . relu(seen_i + w_i), w_i one number of each part, from the LSTM's state."""
        of_state = self.of_state(said)[:, : seen.shape[1], None]  # [B, L, 1]
        energy = self.weigh(self.drop((seen + of_state).relu())).squeeze(2)  # [B, L]
        return energy.float().masked_fill(~there, -torch.inf).softmax(dim=1)


def losses(
    settings: Looks, score: Tensor, attention: Tensor, *, y: Tensor, there: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss, squared error of what the network learns and `gamma` times the penalty; and the penalty."""
    penalty = left_out(attention, there)
    return settings.target_scale**2 * F.mse_loss(score, y) + settings.gamma * penalty, penalty


def left_out(attention: Tensor, there: Tensor) -> Tensor:
    """How unevenly attention [B, T, L] lies on the parts that exist: sum_i (0.2 T - sum_t alpha_ti)^2, the mean over the batch.

    Since each glimpse's attention sums to 1, 0.2 adds the same to all of a size: Xu et al.'s 1 (Show, Attend and Tell, 2015)
    has the same gradient.
    """
    due = SHARE * attention.shape[1]
    return ((due - attention.sum(1)) ** 2 * there).sum(1).mean()
