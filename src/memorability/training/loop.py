"""The one gradient loop. It knows no family (`training.contract` says what it calls) and no measure: it is handed both.

Every step draws its dropout and augmentation from a seed of its own, made of (seed, epoch, step), and
every epoch its order from (seed, epoch). So a run that was stopped anywhere needs no random state to
go on: it ends with the same weights as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import nn

from memorability.core import runtime, states
from memorability.core.errors import TrainingError
from memorability.training.contract import Array, Gradient, Measured
from memorability.training.loading import Examples
from memorability.training.run import Outcome, Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric


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
        run = Run(family, settings, net, fabric, seed, state, stopping, compiled)
        train, val = run.with_frozen(train), run.with_frozen(val)
        progress = run.progress
        for line in progress.lines:
            log(line)
        while progress.epoch < settings.epochs and progress.waited < settings.patience:
            line = _epoch(run, settings, train, val, criterion)
            run.checkpoint.save_when_due()
            log(line)
            if runtime.rank() == 0:
                shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items())
                print(", ".join(shown), flush=True)
        run.checkpoint.save()  # what follows may be long, or fail for want of room
        run.net.load_state_dict(progress.best_net)
        return net, [run.outcome(part) for part in predicted]


def _epoch(
    run: Run, settings: Any, train: Examples, val: Examples, criterion: Criterion
) -> dict[str, float | None]:
    """One epoch, or the rest of it, and what validation says after it; the best weights so far are kept."""
    progress = run.progress
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
    return line


@contextmanager
def shared_state(folder: Path, *parts: str, fabric: Fabric) -> Iterator[Path]:
    """`states.unfinished` for one or several processes: the first of them holds the folder."""
    with states.unfinished(folder, *parts) if runtime.rank() == 0 else nullcontext(folder):
        fabric.barrier()  # only now may the others look
        yield folder
        fabric.barrier()  # and nothing goes before they have


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
