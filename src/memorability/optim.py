"""Optimisers and one descent step, as every gradient family uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def descend(loss: Tensor, by: Optimizer, backward: Backward) -> None:
    """One update: gradients of `loss` (through Fabric's backward, for any precision), then a step.

    With several processes the gradients are averaged over them.
    """
    by.zero_grad(set_to_none=True)
    backward(loss)
    average_gradients(parameter for group in by.param_groups for parameter in group["params"])
    by.step()
