"""Searches by Optuna: killed and taken up, by two processes, ended early, and the same as if never stopped."""

from __future__ import annotations

import shutil
import signal

import optuna
import pytest
import searching
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from processes import Child

from memorability.experiments import search
from memorability.experiments.search import sampled

RATES = {
    "model": "ridge",
    "method": "tpe",
    "score": "mse",
    "trials": 6,
    "space": {"strength": [{"alphas": [a]} for a in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)]},
}
OF_EPOCHS = {
    "model": "memnet",
    "method": "tpe",
    "score": "spearman",
    "trials": 4,
    "space": {"lr": {"low": 0.0001, "high": 0.1, "log": True}, "hidden": {"low": 8, "high": 16}},
}


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_what_was_killed_ends_as_if_it_never_had_been(here, tmp_path, method):
    searching.asked(here, "one", **{**OF_EPOCHS, "method": method})
    search.run(searching.params(), "one")
    expected = searching.found(here, "one")
    assert len(expected) == 4
    shutil.rmtree(here / ".states")
    log = tmp_path / "log"
    code, printed = Child(searching.worker, here, "one", 3, str(log), output=tmp_path / "out").end()
    assert code == -signal.SIGKILL
    assert printed.count(": spearman") == 2
    code, printed = Child(searching.worker, here, "one", None, str(log), output=tmp_path / "out").end()
    assert code == 0, printed
    trained = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert len(trained) == 5  # the third twice, and the others once
    assert trained[2] == trained[3]
    assert searching.found(here, "one").equals(expected)


def test_two_processes_make_as_many_trials_as_one(here, tmp_path):
    searching.asked(here, "one", **OF_EPOCHS)
    log = tmp_path / "log"
    workers = [
        Child(searching.worker, here, "one", None, str(log), output=tmp_path / f"out-{n}") for n in range(2)
    ]
    ends = [worker.end() for worker in workers]
    assert [code for code, _ in ends] == [0, 0], ends
    assert len(searching.found(here, "one")) == 4
    assert len(set(log.read_text().splitlines())) == 4


def test_a_killed_process_s_trial_is_made_by_another(here, tmp_path):
    """Which is at the search meanwhile, and has to wait for it."""
    searching.asked(here, "one", **OF_EPOCHS)
    killed = Child(searching.worker, here, "one", 1, "", output=tmp_path / "killed")
    other = Child(searching.worker, here, "one", None, "", output=tmp_path / "other")
    assert killed.end()[0] == -signal.SIGKILL
    assert other.end()[0] == 0
    found = searching.found(here, "one")
    assert len(found) == 4
    assert set(found["state"]) == {"done"}


def test_more_trials_go_on_from_those_there_are(here):
    searching.asked(here, "one", **RATES)
    search.run(searching.params(), "one")
    first = searching.found(here, "one")
    searching.asked(here, "one", **{**RATES, "trials": 9})
    search.run(searching.params(), "one")
    assert searching.found(here, "one")[:6].equals(first)
    assert len(searching.found(here, "one")) == 9


def test_trials_that_are_worse_end_early(here, monkeypatch):
    """Of made-up trials whose measure is the worse the higher their rate."""
    from memorability.experiments.search import trials

    def made_up(settings, rows, paths, compute, *, watch):
        for epoch in range(6):
            watch({"epoch": epoch, "val_spearman": -settings.lr})

    monkeypatch.setattr(trials, "train", made_up)
    monkeypatch.setattr(trials.Trials, "_judged", lambda *_: 0.5)
    searching.asked(here, "one", **{**OF_EPOCHS, "method": "random", "trials": 12})
    search.run(searching.params(), "one")
    found = searching.found(here, "one")
    pruned = found[found["state"] == "pruned"]
    assert 0 < len(pruned) < 7
    assert set(pruned["epochs"]) == {3}  # after two epochs that every trial has
    assert set(found["epochs"][found["state"] == "done"]) == {6}
    searching.asked(here, "one", **{**OF_EPOCHS, "method": "random", "trials": 12, "prune": False})
    search.run(searching.params(), "one")
    assert set(searching.found(here, "one")["state"]) == {"done"}


def test_a_trial_that_ends_while_it_is_looked_up_is_left_alone(tmp_path):
    study = optuna.create_study()
    trial = study.ask({"x": FloatDistribution(0, 1)})
    seen = study.get_trials()
    study.tell(trial, 0.5)

    class Late:
        """What another process sees that looked before the trial ended."""

        tell = staticmethod(study.tell)

        def get_trials(self, states=None, **options):
            return study.get_trials(**options) if states is None else seen

    sampled._take_up_killed(Late(), {"x"}, tmp_path)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]
