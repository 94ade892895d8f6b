"""What the frozen part of a network makes of inputs: computed once in a run, and kept on disk until the run ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from memorability.core import distributed, runtime, states
from memorability.core.files import digest
from memorability.core.progress import bar
from memorability.training.contract import Array
from memorability.training.loading import Examples

FROZEN_ROWS = 512  # inputs that are computed and kept together

# Some examples and ranges of places among them, to what each range gives.
Computed = Callable[[Examples, Sequence[range]], Iterator[Array]]


class FrozenPart:
    """The features of all inputs of a run that have been asked for; all its examples have the same `x`.

    Args:
        state: the run's folder, where parts of `FROZEN_ROWS` inputs lie as its state does.
    """

    def __init__(self, state: Path, device: torch.device) -> None:
        self._state, self._device = state, device
        self._known: dict[int, Array] = {}

    def of(self, examples: Examples, compute: Computed) -> Array:
        """Of the input of each example: float32 [N, ...]."""
        new = [int(row) for row in examples.rows if int(row) not in self._known]
        missing = self._missing(new)
        position = {int(row): place for place, row in enumerate(examples.rows)}
        unknown = examples.part(np.array([position[row] for row in new], int))
        computed = compute(unknown, [places for places, _ in missing])
        unit = f"{FROZEN_ROWS} pictures"
        parts = bar(computed, of="frozen part", unit=unit, leave=False, total=len(missing))
        for (places, path), values in zip(missing, parts, strict=True):
            if runtime.rank() == 0:
                with states.keeping(path) as scratch, scratch.open("wb") as stream:
                    np.save(stream, values)
            self._known.update(zip(new[places.start : places.stop], values, strict=True))
        return np.stack([self._known[int(row)] for row in examples.rows])

    def _missing(self, new: Sequence[int]) -> list[tuple[range, Path]]:
        """Ranges of places in `new` that are not on disk, each with the file for it; those that are become known."""
        missing = list[tuple[range, Path]]()
        for start in range(0, len(new), FROZEN_ROWS):
            rows = new[start : start + FROZEN_ROWS]
            path = self._state / f"frozen-{digest(repr(rows))[:16]}.npy"
            if distributed.any_of(runtime.rank() == 0 and states.kept(path), self._device):
                self._known.update(zip(rows, np.load(path), strict=True))
            else:
                missing.append((range(start, start + len(rows)), path))
        return missing
