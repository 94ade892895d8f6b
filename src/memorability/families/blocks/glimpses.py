"""Soft attention over parts of a thing, inside an LSTM: what AMNet is made of, of pictures and of clips.

Fajtl, Argyriou, Monekosso and Remagnino, AMNet: Memorability Estimation with Attention (2018). In each of T
glimpses the LSTM's state h gives weights to the parts, alpha = softmax(v tanh(W h + U x)), and reads their weighted
mean; each glimpse gives a score.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Glimpses(nn.Module):
    """Features [B, L, D] of parts -> the score of each glimpse [B, T], and its attention to the parts [B, T, L].

    Args:
        width: D.
        hidden: units of the LSTM and of the attention.
        attend: whether attention is learned; else every part has the same weight, and W, U and v do not exist.
    """

    def __init__(
        self, *, width: int, hidden: int, glimpses: int, dropout: float, attend: bool = True
    ) -> None:
        super().__init__()
        self.glimpses, self.attend = glimpses, attend
        self.h0, self.c0 = nn.Linear(width, hidden), nn.Linear(width, hidden)
        if attend:
            self.of_state, self.of_parts = nn.Linear(hidden, hidden), nn.Linear(width, hidden, bias=False)
            self.weigh = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(width, hidden)
        self.score = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """`there`: whether each part exists, bool [B, L]; no attention goes to others."""
        even = there / there.sum(1, keepdim=True)
        mean = (x * there[..., None]).sum(1) / there.sum(1, keepdim=True).to(x.dtype)
        h, c = self.h0(mean).tanh(), self.c0(mean).tanh()
        seen = self.of_parts(x) if self.attend else None
        scores, attention = [], []
        for _ in range(self.glimpses):
            alpha = even
            if seen is not None:
                energy = self.weigh((self.of_state(h)[:, None] + seen).tanh()).squeeze(2)  # [B, L]
                alpha = energy.float().masked_fill(~there, -torch.inf).softmax(dim=1)
            h, c = self.cell((alpha[..., None] * x).sum(1).to(x.dtype), (h, c))
            scores.append(self.score(h).squeeze(1))
            attention.append(alpha)
        return torch.stack(scores, 1).float(), torch.stack(attention, 1)


def left_out(attention: Tensor, there: Tensor) -> Tensor:
    """What attention [B, T, L] over all glimpses leaves out of the parts that exist: sum_i (1 - sum_t alpha_ti)^2.

    The mean over the batch. Xu et al., Show, Attend and Tell (2015).
    """
    return ((1 - attention.sum(1)) ** 2 * there).sum(1).mean()
