"""Examples and how they come in batches: in which order, by which process, onto which device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_all_start_methods
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from memorability.core import runtime
from memorability.core.errors import TrainingError
from memorability.features.inputs import Inputs

WORTH_A_PROCESS = 8  # batches, without which starting it takes longer than it saves


@dataclass(frozen=True)
class Examples:
    """Some inputs with their truth: scores, float32 [N] (or class numbers, int64 [N]), or maps, uint8 [N, C, S, S].

    `more` are further entries of a batch, an array [N, ...] each: "length", the number of frames, and
    "frozen", what a network's frozen part makes of each, once that is known.
    """

    x: Inputs
    y: np.ndarray
    rows: np.ndarray  # which of the inputs, [N]
    names: Sequence[str] | None = None  # of all inputs, for errors
    more: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        row = int(self.rows[index])
        return f"input {row}" if self.names is None else self.names[row]

    def part(self, chosen: np.ndarray) -> Examples:
        """Those at the given places."""
        more = {name: values[chosen] for name, values in self.more.items()}
        return replace(self, y=self.y[chosen], rows=self.rows[chosen], more=more)


class Nothing:
    """Inputs of no content, where all that is looked at is among an example's further entries."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> np.ndarray:
        return np.empty(0, np.float32)


class _Items(Dataset[dict[str, Any]]):
    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        # A copy: torch warns of memory that it may not write to, such as a map of a features file.
        x = np.array(self._examples.x[int(self._examples.rows[index])])
        item = {"x": x, "y": self._examples.y[index]}
        return item | {name: values[index] for name, values in self._examples.more.items()}


def training_order(count: int, *, batch_size: int, processes: int, seed: int) -> list[list[int]]:
    """The batches of one epoch, shuffled by the seed; `batch_size` is of all processes together.

    A last, smaller batch is dropped, since a batch of one would break batch statistics; a set smaller
    than a batch is one batch.

    Raises:
        TrainingError: a batch cannot be shared equally by the processes.
    """
    size = min(batch_size, count)
    if size % processes:
        raise TrainingError(
            f"batches of {size} cannot be shared equally by {processes} processes; "
            "choose a batch_size that is a multiple, and no larger than the training set"
        )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return [order[start : start + size] for start in range(0, count - size + 1, size)]


def in_turn(indices: Sequence[int], *, batch_size: int) -> list[list[int]]:
    """Batches of the indices in their order, the last one smaller."""
    return [list(indices[start : start + batch_size]) for start in range(0, len(indices), batch_size)]


def load(
    examples: Examples, batches: list[list[int]], *, device: torch.device, workers: int | None
) -> Iterator[dict[str, Tensor]]:
    """The batches on the device; pixels and maps (uint8) become float in [0, 1] there."""
    gpu = device.type == "cuda"
    count = automatic_workers(examples.x, batches=len(batches), gpu=gpu) if workers is None else workers
    loader = DataLoader(
        _Items(examples),
        batch_sampler=batches,
        num_workers=count,
        # Others could not share the memory of `Pixels`.
        multiprocessing_context="fork" if count and "fork" in get_all_start_methods() else None,
        pin_memory=gpu,
        worker_init_fn=_leave_the_group,
        generator=torch.Generator(),  # else it would draw from the one that training is seeded by
    )
    for batch in loader:
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        y = batch["y"]
        yield batch | {"x": as_floats(batch["x"]), "y": as_floats(y) if y.dtype == torch.uint8 else y}


def as_floats(x: Tensor) -> Tensor:
    """Pixels (uint8) as float in [0, 1], features as float; pictures in the layout convolutions are fastest in."""
    x = x.float().div(255) if x.dtype == torch.uint8 else x.float()
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _leave_the_group(worker: int) -> None:
    """In a loading process: signals to the group (Ctrl-C, torchrun's end) are for the training process alone.

    It would fail if its loaders died before it has saved.
    """
    os.setpgid(0, 0)


def automatic_workers(x: Inputs, *, batches: int, gpu: bool) -> int:
    """Loading processes: none on a CPU, where they would take the network's cores, nor of features, which lie ready.

    Pictures on their way to a GPU have about one a core, as far as there is work for it.
    """
    if not gpu or isinstance(x, np.ndarray | Nothing):
        return 0
    return min(16, max(1, runtime.cores() - 1), batches // WORTH_A_PROCESS)
