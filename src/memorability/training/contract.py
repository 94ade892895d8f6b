"""What a family of models offers, and the defaults of all that it may leave out.

A family is a module, `memorability.families.NAME`; `describe` reads it once into a `ClosedForm` or a `Gradient`, and
nothing else asks what a module has. Every family has `Params`, the schema of its settings, and `READS`, what
its inputs are (a key of `memorability.features.reads.KINDS`). Beside these

- a closed form has `fit` and `predict`;
- a family trained by gradients has `build` and `predict`: the rest, an optimiser over all weights and steps of
  squared error among it, is declared below and taken unless the module has its own.

A batch is a dict: "x" float (pixels in [0, 1]), "y" float [B] or maps [B, C, S, S] (in training), "length" int [B] (frames
that exist; the others are zero and must not count) and "frozen" (see `frozen_features`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from memorability.features.backbones import Network

Array = np.ndarray
State = dict[str, Array]  # of a fitted closed form
Measured = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class ClosedForm:
    """A family that is fitted at once.

    `groups` [N] are near-duplicate groups: whatever a family chooses inside train, it chooses by folds that keep
    a group together.
    """

    name: str
    Params: type[Any]
    READS: str
    fit: Callable[..., State]  # (settings, x [N, ...], y [N] or [N, C, S, S], *, groups) -> state
    predict: Callable[[Any, State, Array], Array]  # (settings, state, x) -> scores [N], or maps [N, C, S, S]
    FIT_ON: Literal["train", "val"] = "train"  # the split that it is fitted on
    frame_values: Callable[[Any, State, Array], Array] | None = None  # what it says of each frame, [N, T]
    FRAME_VALUES: str = "score"  # the name of that


class Step(Protocol):
    """One step on a batch. It makes its own updates (`optim.descend`) and returns the losses, detached."""

    def __call__(
        self,
        settings: Any,
        net: nn.Module,
        batch: dict[str, Tensor],
        optimisers: dict[str, Optimizer],
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]: ...


class Build(Protocol):
    """The network. `shape` is of one input; `backbone` None where the params name none.

    For maps there is also `channels`, those of a map.
    """

    def __call__(self, settings: Any, *, shape: tuple[int, ...], backbone: Network | None) -> nn.Module: ...


def one_optimiser(settings: Any, net: nn.Module) -> dict[str, Optimizer]:
    """The optimiser that the settings describe, over all weights that are trained."""
    from memorability.training.optim import optimiser

    return {"net": optimiser(net.parameters(), **settings.optimiser_options())}


def unchanged(settings: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """No augmentation."""
    return batch


def always(settings: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """A family trained by gradients: what its module has, and the defaults of what it has not."""

    name: str
    Params: type[Any]
    READS: str
    build: Callable[..., nn.Module]  # see `Build`
    predict: Callable[
        [Any, nn.Module, dict[str, Tensor]], Tensor
    ]  # -> scores [B], maps, or what `rank` takes
    optimisers: Callable[[Any, nn.Module], dict[str, Optimizer]] = one_optimiser
    augment: Callable[[Any, dict[str, Tensor]], dict[str, Tensor]] = unchanged  # of a training batch
    step: Step | None = None  # None: squared error of `predict` on the augmented batch
    measure: Callable[[Array, Array], Measured] | None = None  # None: the measures of its target
    # What a frozen part makes of x, [B, ...]: computed once for each input, then batch["frozen"].
    frozen_features: Callable[[nn.Module, dict[str, Tensor]], Tensor] | None = None
    is_frozen: Callable[[Any], bool] = always  # whether these settings keep that part frozen
    ONLY_FROZEN: bool = False  # nothing but that is then looked at: x is not loaded
    LOGITS: bool = False  # whether a backbone's own last layer is used, which some weights lack
    # Of methods that compare inputs with each other: ranks [N] in [0, 1] of what `predict` gives for all of a split,
    # and of some among others, for files that come alone. Ranks are calibrated on validation before L1 and MSE.
    rank: Callable[[Any, nn.Module, Tensor], Tensor] | None = None
    rank_among: Callable[[Any, nn.Module, Tensor, Tensor], Tensor] | None = None
    frame_values: Callable[[Any, nn.Module, dict[str, Tensor]], Tensor] | None = None  # [B, T]
    FRAME_VALUES: str = "score"
    # Of methods that sort scores into K classes of equal steps, 0 to 1: what they say of each class, [B, K].
    class_logits: Callable[[Any, nn.Module, dict[str, Tensor]], Tensor] | None = None
    # Of methods that look at a picture in T steps: their attention to its places at each, [B, T, h, w], 1 over the places.
    attention: Callable[[Any, nn.Module, dict[str, Tensor]], Tensor] | None = None

    def take_step(
        self,
        settings: Any,
        net: nn.Module,
        batch: dict[str, Tensor],
        optimisers: dict[str, Optimizer],
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        """The family's own step, or one of squared error."""
        if self.step is not None:
            return self.step(settings, net, batch, optimisers, backward)
        from torch.nn import functional as F

        from memorability.training.optim import descend

        batch = self.augment(settings, batch)
        loss = F.mse_loss(self.predict(settings, net, batch), batch["y"])
        descend(loss, optimisers["net"], backward)
        return {"loss": loss.detach()}


Family = ClosedForm | Gradient


def describe(module: ModuleType) -> Family:
    """A family's module as a value.

    Raises:
        TypeError: the module lacks a part that has no default, for whoever writes a family.
    """
    schema = ClosedForm if hasattr(module, "fit") else Gradient
    offered = {f.name: getattr(module, f.name) for f in fields(schema) if hasattr(module, f.name)}
    offered["name"] = module.__name__.rsplit(".", 1)[-1]
    needed = [f.name for f in fields(schema) if f.default is MISSING]
    if lacking := [name for name in needed if name not in offered]:
        raise TypeError(
            f"family {offered['name']} ({schema.__name__}) lacks {', '.join(lacking)}; it needs {', '.join(needed[1:])}"
        )
    return schema(**offered)


# What a model is told about what it predicts: scores, or maps.


class Truth(Protocol):
    """What rows are to be predicted as: scores, float [N], or maps, uint8 [N, C, S, S].

    `kept` are the rows whose predictions are written, int [M] in order.
    """

    @property
    def values(self) -> Array: ...
    @property
    def kept(self) -> Array: ...


class Judge(Protocol):
    """The part of `memorability.evaluation.scores` and `.maps` that training is handed."""

    @property
    def MEASURES(self) -> Mapping[str, Any]: ...  # each states `higher_is_better`
    def for_target(self, rows: pd.DataFrame, target: str) -> pd.DataFrame: ...
    def read_truth(self, rows: pd.DataFrame, *, settings: Any, raw: Path, threads: int) -> Truth: ...
    def as_floats(self, values: Array) -> Array: ...
    def build_options(self, values: Array) -> dict[str, Any]: ...
    def measure(self, truth: Array, prediction: Array) -> Measured: ...
    def write(
        self, folder: Path, rows: pd.DataFrame, kept: Array, prediction: Array, more: Mapping[str, Array]
    ) -> None: ...
