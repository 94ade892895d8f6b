"""One training run: a network with its optimisers, placed on the device, and the passes over data that it makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from memorability.core import distributed, runtime
from memorability.core.errors import TrainingError
from memorability.core.progress import bar
from memorability.training import layers
from memorability.training.checkpoint import Checkpoint
from memorability.training.contract import Array, Gradient
from memorability.training.frozen import FrozenPart
from memorability.training.loading import Examples, Nothing, in_turn, load, training_order

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECK_STEPS = 50  # between two looks at the losses, each of which waits for the device
DIVERGED = 1e4  # a loss so many times its first value leads nowhere


class Outcome(NamedTuple):
    """Predictions of some examples, [N], and what the family says of each frame, [N, T], and class, [N, K], if it does."""

    prediction: Array
    frame_values: Array | None
    class_logits: Array | None = None


class Run:
    """A network with its optimisers, placed on the device, and the passes over data it can make."""

    def __init__(
        self,
        family: Gradient,
        settings: Any,
        net: nn.Module,
        fabric: Fabric,
        seed: int,
        state: Path,
        stopping: runtime.Stopping,
        compiled: bool,
    ) -> None:
        self.family, self.settings, self.fabric, self.seed = family, settings, fabric, seed
        self._frozen = FrozenPart(state, fabric.device)
        net = layers.channels_last(net)
        optimisers = family.optimisers(settings, net)
        ready: Any = _compiled(net) if compiled else net
        placed = fabric.setup(ready, *optimisers.values())
        self.net = placed[0]
        self.optimisers = dict(zip(optimisers, placed[1:], strict=True))
        self._rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimisers.items()}
        parts: dict[str, Any] = {"net": self.net}
        parts |= {f"optimiser {name}": optimiser for name, optimiser in self.optimisers.items()}
        if scaler := getattr(fabric.strategy.precision, "scaler", None):  # of 16-mixed on a GPU
            parts["scaler"] = scaler
        self.checkpoint = Checkpoint(state / "last.pt", parts, stopping=stopping, device=fabric.device)
        self.progress = self.checkpoint.progress

    # Passes over data.

    def epoch(self, train: Examples) -> dict[str, float]:
        """The rest of the epoch in hand over the training examples; returns the mean of each loss."""
        progress, processes = self.progress, runtime.world()
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * self.settings.rate(progress.epoch)
        order = training_order(
            len(train),
            batch_size=self.settings.batch_size,
            processes=processes,
            seed=_seed(ORDER, self.seed, progress.epoch),
        )
        here = [list(distributed.share(batch)) for batch in order[progress.step :]]
        recent: list[tuple[str, dict[str, Tensor]]] = []
        self.net.train()
        batches = bar(
            self._load(train, here),
            of=f"epoch {progress.epoch}",
            unit="batch",
            leave=False,
            initial=progress.step,
            total=len(order),
        )
        for indices, batch in zip(here, batches, strict=True):
            torch.manual_seed(_seed(STEP, self.seed, progress.epoch, progress.step, runtime.rank()))
            losses = self.family.take_step(
                self.settings, self.net, batch, self.optimisers, self.fabric.backward
            )
            losses = {name: distributed.mean(value) for name, value in losses.items()}
            named = ", ".join(train.name(i) for i in indices[:4])
            recent.append((f"epoch {progress.epoch}, step {progress.step} ({named}, ...)", losses))
            progress.end_step(losses)
            due = self.checkpoint.due()
            if due or len(recent) == CHECK_STEPS or progress.step == 1:
                self._check(recent)
                recent = []
            if due:
                self.checkpoint.save()
        self._check(recent)
        distributed.average_buffers(self.net)
        return {n: float(v) / progress.counts[n] for n, v in progress.totals.items()}

    def predict(self, examples: Examples) -> Array:
        """The family's predictions in order: float32 [N] (or [N, ...]); each made by one process."""
        predicted = self._answers(self.family.predict, examples)
        if self.family.rank is not None:
            with torch.inference_mode():
                outputs = torch.from_numpy(predicted).to(self.fabric.device)
                predicted = self.family.rank(self.settings, self.net, outputs).float().cpu().numpy()
        return predicted

    def outcome(self, examples: Examples) -> Outcome:
        examples = self.with_frozen(examples)
        asked = (self.family.frame_values, self.family.class_logits)
        told = [None if ask is None else self._answers(ask, examples) for ask in asked]
        return Outcome(self.predict(examples), *told)

    @torch.inference_mode()
    def _answers(self, question: Callable[..., Tensor], examples: Examples) -> Array:
        self.net.eval()

        def compute(batch: dict[str, Tensor]) -> Tensor:
            return question(self.settings, self.net, batch)

        (answers,) = self.each_once(examples, [range(len(examples))], compute)
        return answers

    @torch.inference_mode()
    def with_frozen(self, examples: Examples) -> Examples:
        """The examples with the features of the family's frozen part, where it has one."""
        features = self.family.frozen_features
        if features is None or not self.family.is_frozen(self.settings):
            return examples

        def compute(batch: dict[str, Tensor]) -> Tensor:
            with self.fabric.autocast():
                return features(self.net.module, batch)

        self.net.eval()
        known = self._frozen.of(examples, partial(self.each_once, compute=compute))
        x = Nothing() if self.family.ONLY_FROZEN else examples.x
        return replace(examples, x=x, more=examples.more | {"frozen": known})

    def each_once(
        self, examples: Examples, parts: Sequence[range], compute: Callable[[dict[str, Tensor]], Tensor]
    ) -> Iterator[np.ndarray]:
        """What `compute` gives for each part of the examples; each example is computed by one process."""
        alone = [len(part) < runtime.world() for part in parts]  # then every process computes all
        mine = [p if a else distributed.share(p) for p, a in zip(parts, alone, strict=True)]
        plans = [in_turn(share, batch_size=self.settings.batch_size) for share in mine]
        batches = self._load(examples, [batch for plan in plans for batch in plan])
        for part, plan, by_all in zip(parts, plans, alone, strict=True):
            answers = []
            for _ in plan:
                answers.append(compute(next(batches)).float())
                if runtime.world() == 1:  # several processes are not at the same step here
                    self.checkpoint.save_when_due()
            values = torch.cat(answers)
            yield (values if by_all else distributed.joined(values, len(part))).cpu().numpy()

    def _load(self, examples: Examples, batches: list[list[int]]) -> Iterator[dict[str, Tensor]]:
        return load(examples, batches, device=self.fabric.device, workers=self.settings.workers)

    def _check(self, recent: list[tuple[str, dict[str, Tensor]]]) -> None:
        """Raises a TrainingError for the first of the recent steps whose loss is not finite or diverged."""
        for where, losses in recent:
            values = {name: float(value) for name, value in losses.items()}
            first = self.progress.first
            first |= {name: value for name, value in values.items() if name not in first}
            finite = all(math.isfinite(value) for value in values.values())
            if not finite or any(abs(v) > DIVERGED * (1 + abs(first[n])) for n, v in values.items()):
                rate = {n: o.param_groups[0]["lr"] for n, o in self.optimisers.items()}
                raise TrainingError(
                    f"{where}: the loss {'has diverged' if finite else 'is not finite'} ({values}; at first "
                    f"{first}) at learning rate {rate}; try a lower lr than {self.settings.lr}"
                )


def _compiled(net: nn.Module) -> Any:
    """By torch's compiler, which is told only now, since it loads with that, whether results have to repeat."""
    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled(), warn_only=True)
    return torch.compile(net)


# Streams of random numbers. NumPy pads a shorter list of numbers with zeros, so (seed, epoch) alone would name the
# same stream as (seed, epoch, step 0, rank 0).
ORDER, STEP = 1, 2


def _seed(stream: int, *parts: int) -> int:
    return int(np.random.SeedSequence([stream, *parts]).generate_state(1)[0])
