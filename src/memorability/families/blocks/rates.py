"""One optimiser with a rate of its own for what was trained before: a backbone."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from memorability.training.optim import optimiser


def with_backbone(settings: Any, net: nn.Module, *, backbone: str, share: float) -> dict[str, Optimizer]:
    """All weights that are trained; those of the submodule `backbone` at this share of `lr`.

    What was learned on another task stays the better the lower its rate (Yosinski, Clune, Bengio and Lipson, How
    Transferable Are Features in Deep Neural Networks?, 2014). One optimiser, so that mixed precision has one scale
    of gradients.
    """
    inside = {id(weight) for weight in net.get_submodule(backbone).parameters()}
    others = [weight for weight in net.parameters() if id(weight) not in inside]
    own = optimiser(others, **settings.optimiser_options())
    trained = [weight for weight in net.get_submodule(backbone).parameters() if weight.requires_grad]
    if trained:
        own.add_param_group({"params": trained, "lr": settings.lr * share})
    return {"net": own}
