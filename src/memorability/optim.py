"""Optimisers and one descent step, as every gradient family uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.distributed import average_gradients

Backward = Callable[[Tensor], None]


def optimiser(
    parameters: Iterable[nn.Parameter], *, name: str, lr: float, momentum: float, weight_decay: float
) -> Optimizer:
    """`adam`, `adamw` or `sgd` over the parameters that are to be trained."""
    trained = [p for p in parameters if p.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(trained, lr=lr, momentum=momentum, weight_decay=weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    return kind(trained, lr=lr, weight_decay=weight_decay)


def descend(loss: Tensor, by: Optimizer | Sequence[Optimizer], backward: Backward) -> None:
    """One update: gradients of `loss` (through Fabric's backward, for any precision), then a step of each.

    With several processes the gradients are averaged over them.
    """
    every = [by] if isinstance(by, Optimizer) else by
    for optimiser in every:
        optimiser.zero_grad(set_to_none=True)
    backward(loss)
    for optimiser in every:
        average_gradients(parameter for group in optimiser.param_groups for parameter in group["params"])
        optimiser.step()
