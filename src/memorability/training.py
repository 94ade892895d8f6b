"""The one gradient loop. It knows no family: see `memorability.families` for what it calls.

Every epoch draws its order, dropout and augmentation from a seed made of (seed, epoch). A run that
was stopped goes on from its last whole epoch and ends with the same weights as if it never stopped.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from memorability.errors import TrainingError
from memorability.files import digest, staged
from memorability.inputs import Inputs
from memorability.progress import bar


@dataclass(frozen=True)
class Examples:
    """Some inputs with their truth: scores, float32 [N] (or class numbers, int64 [N])."""

    x: Inputs
    y: np.ndarray
    rows: np.ndarray  # which of the inputs, [N]

    def __len__(self) -> int:
        return len(self.rows)


class _Items(Dataset[dict[str, Any]]):
    def __init__(self, examples: Examples, constant: np.ndarray | None) -> None:
        self._examples, self._constant = examples, constant

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = int(self._examples.rows[index])
        item = {"x": self._examples.x[row], "y": self._examples.y[index]}
        return item if self._constant is None else item | {"constant": self._constant[index]}


def fit(
    task: Any,
    settings: Any,
    net: nn.Module,
    *,
    train: Examples,
    val: Examples,
    everything: Examples,
    fabric: Fabric,
    seed: int,
    state: Path,
    log: Callable[[dict[str, Any]], None],
) -> tuple[nn.Module, np.ndarray]:
    """Trains `net`; returns it with the weights of its best validation epoch, and its predictions.

    Args:
        task: a gradient family (or anything with its functions).
        settings: a `params.Gradient`, whatever else it has.
        net: what `task.build` gave.
        everything: what is predicted once at the end, test pictures among it.
        state: folder of this very run (params, data and code all in its name), for going on after an
            interruption; it is removed at the end.
        log: receives one line of numbers per epoch.

    Raises:
        TrainingError: there is nothing to train or validate on, or a loss is not finite.
    """
    if len(train) == 0 or len(val) == 0:
        raise TrainingError(f"training needs train and val pictures; received {len(train)} and {len(val)}")
    run = _Run(task, settings, net, fabric, seed)
    progress = _resume(run, state / "last.pt")
    for line in progress.lines:
        log(line)
    train_constant, val_constant = (run.constants(part) for part in (train, val))
    while progress.epoch < settings.epochs and progress.waited < settings.patience:
        losses = run.epoch(_Items(train, train_constant), progress.epoch)
        measured = task.measure(val.y, run.predict(val, val_constant))
        line = {
            "epoch": progress.epoch,
            "lr": settings.lr * settings.rate(progress.epoch),
            **{f"train_{name}": value for name, value in losses.items()},
            **{f"val_{name}": value for name, value in measured.items()},
        }
        progress.end_epoch(line, measured[task.SELECTION], run.net)
        _save(run, progress, state / "last.pt")
        log(line)
        print(
            ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items()),
            flush=True,
        )
    net.load_state_dict(progress.best_net)
    prediction = run.predict(everything, run.constants(everything))
    shutil.rmtree(state)
    return net, prediction


def run_key(*parts: str) -> str:
    """Names a run by all it depends on, this package's code included, so that stale states never match."""
    code = sorted(Path(__file__).parent.rglob("*.py"))
    return digest(*parts, *code)[:24]


class _Run:
    """A network with its optimisers, placed on the device, and the passes over data it can make."""

    def __init__(self, task: Any, settings: Any, net: nn.Module, fabric: Fabric, seed: int) -> None:
        self.task, self.settings, self.fabric, self.seed = task, settings, fabric, seed
        self._known: dict[int, np.ndarray] = {}
        net = net.to(memory_format=torch.channels_last)  # convolutions are faster in this layout
        optimisers = task.optimisers(settings, net)
        placed = fabric.setup(net, *optimisers.values())
        self.net = placed[0]
        self.optimisers = dict(zip(optimisers, placed[1:], strict=True))
        self._rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimisers.items()}

    def epoch(self, items: _Items, epoch: int) -> dict[str, float]:
        """One pass over the training items; returns the mean of each loss."""
        torch.manual_seed(_epoch_seed(self.seed, epoch))
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * self.settings.rate(epoch)
        self.net.train()
        totals: dict[str, Tensor] = {}
        batches = self._batches(items, shuffle=epoch)
        for batch in bar(batches, of=f"epoch {epoch}", unit="batch", leave=False):
            losses = self.task.step(self.settings, self.net, batch, self.optimisers, self.fabric.backward)
            for name, value in losses.items():
                totals[name] = totals.get(name, torch.zeros((), device=value.device)) + value
        means = {name: float(total) / len(batches) for name, total in totals.items()}
        if not all(math.isfinite(mean) for mean in means.values()):
            raise TrainingError(
                f"epoch {epoch}: the loss is not finite ({means}); try a lower lr than {self.settings.lr}"
            )
        return means

    @torch.inference_mode()
    def predict(self, examples: Examples, constant: np.ndarray | None) -> np.ndarray:
        """The task's predictions in order: float32 [N] (or [N, ...])."""
        self.net.eval()
        batches = self._batches(_Items(examples, constant), shuffle=None)
        parts = [self.task.predict(self.settings, self.net, batch).float().cpu().numpy() for batch in batches]
        return np.concatenate(parts)

    @torch.inference_mode()
    def constants(self, examples: Examples) -> np.ndarray | None:
        """What the frozen part makes of every picture, for tasks that have one: float32 [N, D].

        A picture is computed once in a run, so all examples of a run have the same `x`.
        """
        if not hasattr(self.task, "constant"):
            return None
        rows = np.array([row for row in examples.rows if row not in self._known], dtype=int)
        if len(rows):
            self.net.eval()
            items = _Items(Examples(examples.x, np.zeros(len(rows)), rows), None)
            batches = bar(self._batches(items, shuffle=None), of="frozen part", unit="batch", leave=False)
            with self.fabric.autocast():
                parts = [self.task.constant(self.net.module, batch["x"]).float().cpu() for batch in batches]
            self._known.update(zip(rows, torch.cat(parts).numpy(), strict=True))
        return np.stack([self._known[row] for row in examples.rows])

    def _batches(self, items: _Items, *, shuffle: int | None) -> _Loader:
        size = self.settings.batch_size
        order = torch.Generator().manual_seed(_epoch_seed(self.seed, shuffle or 0))
        loader = DataLoader(
            items,
            batch_size=size,
            shuffle=shuffle is not None,
            # A last batch of one would break batch statistics; sets smaller than a batch are kept.
            drop_last=shuffle is not None and len(items) > size,
            generator=order,
            num_workers=self.settings.workers,
            pin_memory=self.fabric.device.type == "cuda",
        )
        return _Loader(loader, self.fabric.device)


class _Loader:
    """Batches on the device; pixels (uint8) become float in [0, 1] there."""

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        self._loader, self._device = loader, device

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for batch in self._loader:
            batch = {name: value.to(self._device, non_blocking=True) for name, value in batch.items()}
            x = batch["x"].float().div(255) if batch["x"].dtype == torch.uint8 else batch["x"].float()
            yield batch | {"x": x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x}


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@dataclass
class _Progress:
    """How far a run has come: all that must survive an interruption besides the weights in use."""

    epoch: int = 0
    waited: int = 0
    best_value: float = -math.inf
    best_net: dict[str, Tensor] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def end_epoch(self, line: dict[str, Any], selected: float | None, net: nn.Module) -> None:
        value = -math.inf if selected is None else selected
        if value > self.best_value or not self.best_net:
            self.best_value, self.waited = value, 0
            self.best_net = {k: v.detach().cpu().clone() for k, v in net.state_dict().items()}
        else:
            self.waited += 1
        self.epoch += 1
        self.lines.append(line)


def _save(run: _Run, progress: _Progress, path: Path) -> None:
    state = {
        "progress": vars(progress),
        "net": run.net.state_dict(),
        "optimisers": {name: optimiser.state_dict() for name, optimiser in run.optimisers.items()},
    }
    with staged(path) as scratch:
        torch.save(state, scratch)


def _resume(run: _Run, path: Path) -> _Progress:
    if not path.is_file():
        return _Progress()
    state = torch.load(path, map_location=run.fabric.device, weights_only=True)
    run.net.load_state_dict(state["net"])
    for name, optimiser in run.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    return _Progress(**state["progress"])
