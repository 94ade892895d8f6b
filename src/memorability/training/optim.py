"""Optimisers and one descent step, as every gradient family uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from memorability.core.distributed import average_gradients

Backward = Callable[[Tensor], None]


def optimiser(
    parameters: Iterable[nn.Parameter],
    *,
    name: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """The named optimiser (`params.OptimiserName`) over the parameters that are to be trained.

    Args:
        momentum: of `sgd`.
        betas: of `adam` (Kingma and Ba 2015) and `adamw`.
    """
    trained = [p for p in parameters if p.requires_grad]
    common: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
    if name == "sgd":
        return torch.optim.SGD(trained, momentum=momentum, **common)
    if name in ("adagrad", "adadelta"):
        return {"adagrad": torch.optim.Adagrad, "adadelta": torch.optim.Adadelta}[name](trained, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](trained, betas=betas, **common)


def descend(loss: Tensor, by: Optimizer, backward: Backward) -> None:
    """One update: gradients of `loss` (through Fabric's backward, for any precision), then a step.

    With several processes the gradients are averaged over them.
    """
    by.zero_grad(set_to_none=True)
    backward(loss)
    average_gradients(parameter for group in by.param_groups for parameter in group["params"])
    by.step()
