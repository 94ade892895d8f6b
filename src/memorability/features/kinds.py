"""What a kind of input is: how it is read of a track's rows, and of a user's files (`memorability.features.reads`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from memorability.features.inputs import Inputs
from memorability.features.items import Array, Item, Source


class Rows(NamedTuple):
    """What a model reads of N rows.

    `x` are the inputs, an array or read on demand; `lengths` [N] how many frames of each exist, None of pictures;
    `origin` is what the model's config keeps of where they come from.
    """

    x: Inputs
    lengths: Array | None = None
    origin: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(np.shape(self.x[0]))


class OtherModel(Protocol):
    """A trained model that another one contains. An item's answer does not depend on what is asked with it."""

    settings: Any
    source: Source

    def predict(self, items: Sequence[Item]) -> tuple[Array, Array | None]: ...


@dataclass(frozen=True)
class Where:
    """Where a kind finds what it reads.

    `models` is the folder of backbones and other models, `open_model` opens one of these; `input` is the model's
    input artifact and `raw` its track's raw data, for a track's rows.
    """

    models: Path
    open_model: Callable[[Path], OtherModel]
    input: Path = Path()
    raw: Path = Path()
    device: str | None = None


class Kind(Protocol):
    def rows(self, settings: Any, rows: pd.DataFrame, where: Where) -> Rows:
        """Of the rows of a split table, from the model's input artifact."""

    def files(self, settings: Any, config: dict[str, Any], where: Where) -> Source:
        """Of a user's files; `config` is the trained model's, with the `origin` of the rows that it learned from."""
