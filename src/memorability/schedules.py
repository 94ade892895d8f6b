"""Learning-rate schedules."""

from __future__ import annotations

import math


def rate(epoch: int, *, epochs: int, schedule: str, warmup: int, step_epochs: int) -> float:
    """Factor on the learning rate in `epoch` (from 0): a pure function, so a resume needs no state.

    Linear warm-up over `warmup` epochs, then `constant`, `cosine` (to 0 at `epochs`, Loshchilov and
    Hutter 2017) or `step` (a tenth after every `step_epochs`).
    """
    if epoch < warmup:
        return (epoch + 1) / (warmup + 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / max(1, epochs - warmup)))
    if schedule == "step":
        return float(0.1 ** ((epoch - warmup) // step_epochs))
    return 1.0
