"""The one gradient loop. It knows no family (`training.contract` says what it calls) and no measure: it is handed both.

Every step draws its dropout and augmentation from a seed of its own, made of (seed, epoch, step), and
every epoch its order from (seed, epoch). So a run that was stopped anywhere needs no random state to
go on: it ends with the same weights as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from memorability.core import distributed, runtime, states
from memorability.core.errors import TrainingError
from memorability.core.files import digest
from memorability.core.progress import bar
from memorability.training import layers
from memorability.training.checkpoint import Checkpoint
from memorability.training.contract import Array, Gradient, Measured
from memorability.training.loading import Examples, Nothing, in_turn, load, training_order

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECK_STEPS = 50  # between two looks at the losses, each of which waits for the device
FROZEN_ROWS = 512  # pictures whose frozen part is computed and kept together
DIVERGED = 1e4  # a loss so many times its first value leads nowhere


class Outcome(NamedTuple):
    """Predictions of some examples, [N], and what the family says of each frame, [N, T], if it does."""

    prediction: Array
    frame_values: Array | None


class Criterion(NamedTuple):
    """What validation is measured by, and the measure that picks the best epoch."""

    measure: Callable[[Array, Array], Measured]
    select: str
    higher_is_better: bool

    def selected(self, measured: Measured) -> float | None:
        """The measure that the best epoch is chosen by, turned so that higher is better."""
        value = measured[self.select]
        return value if value is None or self.higher_is_better else -value


def fit(
    family: Gradient,
    settings: Any,
    net: nn.Module,
    *,
    train: Examples,
    val: Examples,
    predicted: Sequence[Examples],
    criterion: Criterion,
    fabric: Fabric,
    seed: int,
    state: Path,
    log: Callable[[dict[str, Any]], None],
    compiled: bool = False,
) -> tuple[nn.Module, list[Outcome]]:
    """Trains `net`; returns it with the weights of its best validation epoch, and its predictions.

    On Ctrl-C or SIGTERM the state is saved after the step in hand; it is also saved every minute.

    Args:
        settings: a `training.settings.Gradient`, whatever else it has.
        net: what the family has built.
        predicted: what is predicted once at the end, test pictures among it; each part by itself, since
            some methods compare what they are given with each other.
        criterion: measures predictions of `val` after every epoch, and picks the best one.
        state: this run's folder from `shared_state`, where it goes on from if it was stopped.
        log: receives one line of numbers per epoch.
        compiled: whether to compile the network (`torch.compile`).

    Raises:
        TrainingError: there is nothing to train or validate on, a loss is not finite or diverges, or
            memory is used up.
    """
    if len(train) == 0 or len(val) == 0:
        raise TrainingError(f"training needs train and val pictures; received {len(train)} and {len(val)}")
    val = _some(val, settings.val_pictures)
    with memory_explained(settings), runtime.Stopping() as stopping:
        run = _Run(family, settings, net, fabric, seed, state, stopping, compiled)
        train, val = run.with_frozen(train), run.with_frozen(val)
        progress = run.progress
        for line in progress.lines:
            log(line)
        while progress.epoch < settings.epochs and progress.waited < settings.patience:
            losses = run.epoch(train)
            prediction = run.predict(val)
            if not np.isfinite(prediction).all():  # the last update of the epoch led nowhere
                raise TrainingError(
                    f"epoch {progress.epoch}: predictions after it are not finite; try a lower lr than {settings.lr}"
                )
            measured = _plain(criterion.measure(val.y, prediction))
            line = {
                "epoch": progress.epoch,
                "lr": settings.lr * settings.rate(progress.epoch),
                **{f"train_{name}": value for name, value in losses.items()},
                **{f"val_{name}": value for name, value in measured.items()},
            }
            progress.end_epoch(line, criterion.selected(measured), run.net)
            run.checkpoint.save_when_due()
            log(line)
            if runtime.rank() == 0:
                shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items())
                print(", ".join(shown), flush=True)
        run.checkpoint.save()  # what follows may be long, or fail for want of room
        run.net.load_state_dict(progress.best_net)
        return net, [run.outcome(part) for part in predicted]


@contextmanager
def shared_state(folder: Path, *parts: str, fabric: Fabric) -> Iterator[Path]:
    """`states.unfinished` for one or several processes: the first of them holds the folder."""
    with states.unfinished(folder, *parts) if runtime.rank() == 0 else nullcontext(folder):
        fabric.barrier()  # only now may the others look
        yield folder
        fabric.barrier()  # and nothing goes before they have


class _Run:
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
        self._state = state
        self._known: dict[int, np.ndarray] = {}
        net = layers.channels_last(net)
        optimisers = family.optimisers(settings, net)
        ready: Any = torch.compile(net) if compiled else net
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
        ask = self.family.frame_values
        frame_values = None if ask is None else self._answers(ask, examples)
        return Outcome(self.predict(examples), frame_values)

    @torch.inference_mode()
    def _answers(self, question: Callable[..., Tensor], examples: Examples) -> Array:
        self.net.eval()

        def compute(batch: dict[str, Tensor]) -> Tensor:
            return question(self.settings, self.net, batch)

        (answers,) = self._each_once(examples, [range(len(examples))], compute)
        return answers

    def with_frozen(self, examples: Examples) -> Examples:
        """The examples with the features of the family's frozen part, where it has one."""
        compute = self.family.frozen_features
        if compute is None or not self.family.is_frozen(self.settings):
            return examples
        x = Nothing() if self.family.ONLY_FROZEN else examples.x
        return replace(examples, x=x, more=examples.more | {"frozen": self._frozen(compute, examples)})

    @torch.inference_mode()
    def _frozen(self, features: Callable[..., Tensor], examples: Examples) -> Array:
        """What the frozen part makes of every input: float32 [N, ...].

        An input is computed once in a run, so all examples of a run have the same `x`. Parts of
        `FROZEN_ROWS` are kept on disk until the run ends, as its state is.
        """

        def compute(batch: dict[str, Tensor]) -> Tensor:
            with self.fabric.autocast():
                return features(self.net.module, batch)

        self.net.eval()
        new = [int(row) for row in examples.rows if int(row) not in self._known]
        missing = list[tuple[range, Path]]()  # places in `new`, and where their part is kept
        for places in (range(i, min(i + FROZEN_ROWS, len(new))) for i in range(0, len(new), FROZEN_ROWS)):
            rows = new[places.start : places.stop]
            path = self._state / f"frozen-{digest(repr(rows))[:16]}.npy"
            if distributed.any_of(runtime.rank() == 0 and states.kept(path), self.fabric.device):
                self._known.update(zip(rows, np.load(path), strict=True))
            else:
                missing.append((places, path))
        position = {int(row): place for place, row in enumerate(examples.rows)}
        chosen = np.array([position[row] for row in new], int)
        unknown = examples.part(chosen)
        computed = self._each_once(unknown, [places for places, _ in missing], compute)
        unit = f"{FROZEN_ROWS} pictures"
        parts = bar(computed, of="frozen part", unit=unit, leave=False, total=len(missing))
        for (places, path), values in zip(missing, parts, strict=True):
            if runtime.rank() == 0:
                with states.keeping(path) as scratch, scratch.open("wb") as stream:
                    np.save(stream, values)
            self._known.update(zip(new[places.start : places.stop], values, strict=True))
        return np.stack([self._known[int(row)] for row in examples.rows])

    def _each_once(
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

    # Faults and interruptions.

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


@contextmanager
def memory_explained(settings: Any) -> Iterator[None]:
    """Turns running out of memory into an error that names the params to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        texts = ("allocate memory", "out of memory", "ALLOC_FAILED")
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in texts):
            raise
        known = ("batch_size", "crop", "pixels", "width", "hidden")
        sizes = [name for name in known if name in type(settings).model_fields]
        now = ", ".join(f"{name} ({getattr(settings, name)})" for name in sizes)
        raise TrainingError(
            f"out of memory: lower one of {now}, or on a GPU set precision: bf16-mixed; {error}"
        ) from error


def _some(examples: Examples, count: int | None) -> Examples:
    """At most `count` of the examples, always the same ones: for methods whose predictions take long."""
    if count is None or count >= len(examples):
        return examples
    return examples.part(np.linspace(0, len(examples) - 1, count).round().astype(int))


def _plain(measured: dict[str, Any]) -> dict[str, float | None]:
    """Without NumPy's own numbers, which a saved state could not be read with."""
    return {name: None if value is None else float(value) for name, value in measured.items()}


# Streams of random numbers. NumPy pads a shorter list of numbers with zeros, so (seed, epoch) alone would name the
# same stream as (seed, epoch, step 0, rank 0).
ORDER, STEP = 1, 2


def _seed(stream: int, *parts: int) -> int:
    return int(np.random.SeedSequence([stream, *parts]).generate_state(1)[0])
