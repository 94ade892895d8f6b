"""How far a training run has come, and its state on disk: saved now and then, taken up after a stop."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memorability.core import distributed, runtime, states

SAVE_SECONDS = 60.0  # between two saved states
SAVE_SHARE = 0.05  # of the time, at most, goes into saving


@dataclass
class Progress:
    """All that must survive an interruption besides the weights in use and their optimisers."""

    epoch: int = 0
    step: int = 0  # within the epoch
    totals: dict[str, Tensor] = field(default_factory=dict)  # of the losses of this epoch
    counts: dict[str, int] = field(default_factory=dict)  # of the steps that had each: not all have all
    first: dict[str, float] = field(default_factory=dict)  # losses of the very first step
    waited: int = 0  # epochs since the best one
    best_value: float = -math.inf
    best_net: dict[str, Tensor] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def end_step(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self.totals[name] = self.totals[name] + value if name in self.totals else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1
        self.step += 1

    def end_epoch(self, line: dict[str, Any], selected: float | None, net: nn.Module) -> None:
        """`selected` is the validation measure that the best epoch is chosen by; higher is better."""
        value = -math.inf if selected is None else selected
        if value > self.best_value or not self.best_net:
            self.best_value, self.waited = value, 0
            self.best_net = {k: v.detach().cpu().clone() for k, v in net.state_dict().items()}
        else:
            self.waited += 1
        self.epoch, self.step, self.totals, self.counts = self.epoch + 1, 0, {}, {}
        self.lines.append(line)


class Checkpoint:
    """The state of a run in the file `path`, taken up at once if it is there.

    Args:
        parts: what changes while training, by name: anything with `state_dict` and `load_state_dict`.
        stopping: asked after every save; a run that is to stop stops then.
    """

    def __init__(
        self, path: Path, parts: dict[str, Any], *, stopping: runtime.Stopping, device: torch.device
    ) -> None:
        self._path, self._parts, self._stopping, self._device = path, parts, stopping, device
        # The first process looks for all: on a shared disk another may see the file later.
        there = distributed.any_of(runtime.rank() == 0 and states.kept(path), device)
        self.progress = self._taken_up() if there else Progress()
        self._saved, self._cost, self._stop = time.monotonic(), 0.0, False

    def due(self) -> bool:
        """Whether to save: after some time, or sooner when the run, any process of it, is asked to stop.

        All processes ask at the same step.
        """
        wait = max(SAVE_SECONDS, self._cost / SAVE_SHARE)
        self._stop = distributed.any_of(self._stopping.signal is not None, self._device)
        return self._stop or time.monotonic() - self._saved > wait

    def save_when_due(self) -> None:
        """`save`, if it is time. The parts and the progress must fit each other."""
        if self.due():
            self.save()

    def save(self) -> None:
        """Saves the state (the first process does); if the run is to stop, it stops here."""
        if runtime.rank() == 0:
            start = time.monotonic()
            state = {name: part.state_dict() for name, part in self._parts.items()}
            with states.keeping(self._path) as scratch:
                torch.save({"progress": vars(self.progress), "parts": state}, scratch)
            self._cost = time.monotonic() - start
        self._saved = time.monotonic()
        if self._stop:
            if runtime.rank() == 0:
                print(
                    f"stopped; run again to go on at epoch {self.progress.epoch}, step {self.progress.step}"
                )
            raise SystemExit(128 + (self._stopping.signal or signal.SIGTERM))

    def _taken_up(self) -> Progress:
        state = torch.load(self._path, map_location="cpu", weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        progress = Progress(**state["progress"])
        progress.totals = {name: total.to(self._device) for name, total in progress.totals.items()}
        print(f"going on at epoch {progress.epoch}, step {progress.step}", flush=True)
        return progress
