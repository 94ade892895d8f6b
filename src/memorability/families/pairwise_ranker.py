"""Which of two clips is more memorable: all pairs, a tournament, and its order.

Tran, internship report on MediaEval 2018: the features of two clips side by side -> 2048 -> 128 -> which
is more memorable, dropouts of 0.75, the clips of a batch compared with each other. The report counts three of them and does
not say where: beside one behind each hidden layer, `input_dropout` is before the first. A clip is the mean of its
frames' features. The clips that are judged together (those of one split) play a tournament; its order
(`memorability.families.blocks.tournament`) gives ranks from 0 to 1. A clip that comes alone, to be scored, plays against
those of validation. L1 and MSE are of scores made from ranks by a
monotone curve that is fitted on validation (`memorability.training.calibration`).
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.evaluation.score_measures import pair_accuracy, pearson, spearman
from memorability.families.blocks import tournament
from memorability.features.backbones import Network
from memorability.training import layers
from memorability.training.contract import Array, Measured
from memorability.training.optim import Backward, descend
from memorability.training.settings import GradientModel

READS = "sequences"
AT_ONCE = 2**24  # hidden units of the pairs that are compared at a time: 64 MB


class Params(GradientModel):
    """`hidden` and `second`: units of the two hidden layers; `batch_size` clips are compared with each other."""

    hidden: int = Field(2048, ge=1)
    second: int = Field(128, ge=1)
    dropout: float = Field(0.75, ge=0, lt=1, description="behind each hidden layer")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of a clip's features")


def measure(truth: Array, prediction: Array) -> Measured:
    """Of ranks, which have no L1 and MSE, the correlations, and the share of pairs that they bring in the right order."""
    return {
        "spearman": spearman(truth, prediction),
        "pearson": pearson(truth, prediction),
        "pair_accuracy": pair_accuracy(truth, prediction),
    }


class PairwiseRanker(nn.Module):
    """Compares clips by their features [B, T, D].

    The first layer is linear in both clips, so each clip goes through its halves of it once (`halves`),
    however many others it meets (`compare`).
    """

    def __init__(self, *, width: int, hidden: int, second: int, dropout: float, before: float) -> None:
        super().__init__()
        self.before = nn.Dropout(before) if before else nn.Identity()
        self.one, self.other = nn.Linear(width, hidden), nn.Linear(width, hidden, bias=False)
        self.head = nn.Sequential(
            nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, second), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(second, 1),
        )  # fmt: skip

    def halves(self, x: Tensor, length: Tensor) -> Tensor:
        """What each clip adds as the first and as the second of a pair: [B, 2, hidden]."""
        mean = self.before(layers.mean_over_frames(x, length))
        return torch.stack([self.one(mean), self.other(mean)], dim=1)

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Logit that the first is more memorable than the second: [P] of halves [P, hidden] each."""
        return self.head(one + other).squeeze(-1).float()

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """All pairs of a batch: logits [B, B]."""
        halves = self.halves(x, length)
        return self.compare(halves[:, None, 0], halves[None, :, 1])


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None) -> PairwiseRanker:
    return PairwiseRanker(
        width=shape[1],
        hidden=settings.hidden,
        second=settings.second,
        dropout=settings.dropout,
        before=settings.input_dropout,
    )


def step(
    settings: Params,
    net: nn.Module,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    """All ordered pairs of the batch but those of equal scores: cross-entropy, and the share that is right."""
    logits, difference = net(batch["x"], batch["length"]), batch["y"][:, None] - batch["y"][None, :]
    differ, more = difference != 0, (difference > 0).float()
    pairs = differ.sum().clamp(min=1)
    loss = (F.binary_cross_entropy_with_logits(logits, more, reduction="none") * differ).sum() / pairs
    descend(loss, optimisers["net"], backward)
    right = (((logits > 0) == (difference > 0)) & differ).sum() / pairs
    return {"loss": loss.detach(), "pairs_right": right.detach()}


def predict(settings: Params, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """What `rank` compares clips by: [B, 2, hidden]."""
    return _inner(net).halves(batch["x"], batch["length"])


def rank(settings: Params, net: nn.Module, outputs: Tensor) -> Tensor:
    """The place of each clip among all, from 0 to 1: [N]. Pairs are compared a block at a time."""
    compare = _inner(net).compare
    one, other = outputs[:, 0], outputs[:, 1]
    size = max(1, AT_ONCE // outputs[:, 0].numel())
    wins = list[Tensor]()
    for start in range(0, len(outputs), size):
        rows = slice(start, start + size)
        first = compare(one[rows, None], other[None, :])  # [b, N]: this one before the other,
        second = compare(one[None, :], other[rows, None])  # and the other before this one
        won = (first > second).float() + 0.5 * (first == second)
        wins.append(won.sum(1) - 0.5)  # against itself it has drawn
    return torch.from_numpy(tournament.ranking(torch.cat(wins).cpu().numpy()))


def rank_among(settings: Params, net: nn.Module, outputs: Tensor, others: Tensor) -> Tensor:
    """The share of the others that each clip beats, from 0 to 1: [N] of outputs [N, 2, hidden]."""
    compare = _inner(net).compare
    shares = list[Tensor]()
    for clip in outputs:
        first, second = compare(clip[None, 0], others[:, 1]), compare(others[:, 0], clip[None, 1])
        shares.append((first > second).float().mean() + 0.5 * (first == second).float().mean())
    return torch.stack(shares)


def _inner(net: nn.Module) -> PairwiseRanker:
    """The network itself: the wrapper that trains it, compiled, has no methods but `forward`."""
    inner: Any = getattr(net, "module", net)
    return inner
