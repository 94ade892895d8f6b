"""States are saved now and then, read without running anything, and hold what is needed to go on.

That a run goes on exactly is in test_loop.py and test_interruption.py.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from memorability.training import checkpoint
from memorability.training.checkpoint import Checkpoint, Progress


class Clock:
    """Time that passes when it is told to, and by `cost` in every save."""

    def __init__(self, monkeypatch):
        self.now, self.cost, save = 1000.0, 0.0, torch.save
        monkeypatch.setattr(checkpoint.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(torch, "save", lambda *args: self.tick(self.cost) or save(*args))

    def tick(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def opened(folder, net=None, stop=None):
    parts = {"net": nn.Linear(2, 1) if net is None else net}
    stopping = SimpleNamespace(signal=stop)
    return Checkpoint(folder / "last.pt", parts, stopping=stopping, device=torch.device("cpu"))


def saved(made):
    """Whether it was time to save."""
    before = made._path.stat().st_mtime_ns if made._path.exists() else None
    made.save_when_due()
    return made._path.exists() and made._path.stat().st_mtime_ns != before


def test_a_state_is_saved_every_minute(tmp_path, clock):
    made = opened(tmp_path)
    assert not saved(made)
    clock.tick(59)
    assert not saved(made)
    clock.tick(2)
    assert saved(made)
    clock.tick(59)
    assert not saved(made)


def test_saving_takes_a_twentieth_of_the_time_at_most(tmp_path, clock):
    made, clock.cost = opened(tmp_path), 30
    clock.tick(61)
    assert saved(made)
    clock.tick(30 * 20 - 1)
    assert not saved(made)
    clock.tick(2)
    assert saved(made)


def test_a_run_that_is_to_stop_saves_and_stops(tmp_path, capsys):
    made = opened(tmp_path, stop=15)
    made.progress.epoch, made.progress.step = 3, 7
    assert made.due()
    with pytest.raises(SystemExit) as stopped:
        made.save_when_due()
    assert stopped.value.code == 143
    assert capsys.readouterr().out == "stopped; run again to go on at epoch 3, step 7\n"
    assert opened(tmp_path).progress.step == 7


def test_what_was_saved_is_taken_up(tmp_path, capsys):
    net = nn.Linear(2, 1)
    made = opened(tmp_path, net)
    assert made.progress == Progress()
    made.progress.end_step({"loss": torch.tensor(0.5)})
    made.progress.end_epoch({"epoch": 0, "val": None}, None, net)
    made.progress.end_step({"loss": torch.tensor(0.25)})
    made.save()
    other = nn.Linear(2, 1)
    again = opened(tmp_path, other)
    assert repr(again.progress) == repr(made.progress)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in other.state_dict().items())
    assert capsys.readouterr().out == "going on at epoch 1, step 1\n"


def test_of_several_processes_the_first_saves(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    opened(tmp_path).save()
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("RANK", "0")
    made = opened(tmp_path)
    made.progress.step = 2
    made.save()
    assert opened(tmp_path).progress.step == 2


def test_losses_are_added_up_within_an_epoch():
    progress = Progress()
    for value in (0.5, 0.25):
        loss = torch.tensor(value)
        progress.end_step({"loss": loss})
        loss.zero_()  # what was added stays
    assert progress.step == 2
    assert progress.totals["loss"] == 0.75
    progress.end_epoch({}, 0.1, nn.Linear(1, 1))
    assert (progress.epoch, progress.step, progress.totals) == (1, 0, {})


def test_the_best_weights_are_copies():
    net, progress = nn.Linear(1, 1), Progress()
    weights = []
    for selected in (0.1, 0.5, None, 0.5, 0.4):
        with torch.no_grad():
            net.weight += 1
        weights.append(net.weight.item())
        progress.end_epoch({"selected": selected}, selected, net)
    assert (progress.best_value, progress.waited) == (0.5, 3)
    assert progress.best_net["weight"].item() == weights[1]
    assert [line["selected"] for line in progress.lines] == [0.1, 0.5, None, 0.5, 0.4]
