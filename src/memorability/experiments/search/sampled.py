"""Searches by Optuna: `random`, or `tpe`, which looks where trials were good (Bergstra et al. 2011; Akiba et al. 2019).

The study is a SQLite file. Each trial is drawn by a seed of its own, made of the search's seed and of how many trials there
are, so a search that was stopped goes on with the trials that it would have had. A trial whose process was killed counts
as none, and its settings are tried again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial, TrialState

from memorability.experiments.search.settings import Changes, Range, Search, changes_of
from memorability.experiments.search.table import Line
from memorability.experiments.search.trials import Pruned, Record, Trials

WAIT = 0.2  # seconds between two looks at what other processes are making
PATIENCE = 120.0  # seconds for a storage that others write to
UNPRUNED, FIRST_EPOCHS = 5, 2  # trials that are never ended early, and epochs of every trial
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def sample(search: Search, trials: Trials, say: Callable[[Line], None]) -> list[Line]:
    """Makes trials until there are as many as the search asks for, together with other processes that are at it.

    Returns:
        A line for each, in their order; `kept` are those that were better than all before them.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = _study(search, trials)
    while True:
        asked = _asked(study, search, trials.folder)
        if asked is not None:
            _make(study, *asked, search, trials, say)
        elif any(trial.state == TrialState.RUNNING for trial in study.get_trials(deepcopy=False)):
            time.sleep(WAIT)  # another process's: its result, or its settings if it is killed
        else:
            return _lines(study, search, trials)


def _study(search: Search, trials: Trials) -> optuna.Study:
    storage = f"sqlite:///{trials.folder / 'study.db'}"
    with FileLock(trials.folder / "study.lock"):  # tables are made by one process alone
        return optuna.create_study(
            storage=optuna.storages.RDBStorage(
                storage, engine_kwargs={"connect_args": {"timeout": PATIENCE}}
            ),
            study_name="search",
            direction="maximize" if trials.higher else "minimize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=FIRST_EPOCHS)
            if search.prune
            else optuna.pruners.NopPruner(),
        )


def _asked(study: optuna.Study, search: Search, folder: Path) -> tuple[Trial, FileLock] | None:
    """A trial to be made, with the lock that says that it is being made; None where there are enough."""
    space = {name: _distribution(values) for name, values in search.space.items()}
    with FileLock(folder / "study.lock"):
        _take_up_killed(study, set(space), folder)
        known = study.get_trials(deepcopy=False)
        count = sum(trial.state in COUNTED for trial in known)
        again = any(trial.state == TrialState.WAITING for trial in known)
        if count >= (search.trials or 0) and not again:
            return None
        seed = int(np.random.SeedSequence((search.seed, count)).generate_state(1)[0])
        study.sampler = (
            optuna.samplers.TPESampler(seed=seed)
            if search.method == "tpe"
            else optuna.samplers.RandomSampler(seed=seed)
        )
        trial = study.ask(space)
        held = FileLock(_lock_of(folder, trial.number))
        held.acquire()
        return trial, held


def _take_up_killed(study: optuna.Study, names: set[str], folder: Path) -> None:
    """Trials that nobody is at any more fail, and their settings wait to be tried again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with suppress(Timeout), FileLock(_lock_of(folder, trial.number)).acquire(timeout=0):
            if study.get_trials(deepcopy=False)[trial.number].state != TrialState.RUNNING:
                continue  # it ended after it was looked up, which is why its lock is free
            study.tell(trial.number, state=TrialState.FAIL)
            if set(trial.params) == names:  # else it was killed while it was drawn
                study.enqueue_trial(trial.params)


def _lock_of(folder: Path, number: int) -> Path:
    return folder / f"trial-{number}.lock"


def _make(
    study: optuna.Study,
    trial: Trial,
    held: FileLock,
    search: Search,
    trials: Trials,
    say: Callable[[Line], None],
) -> None:
    changes = _changes(search, trial.params)

    def watch(epoch: int, value: float) -> None:
        trial.report(value, epoch)
        if trial.should_prune():
            raise Pruned

    try:
        record = trials.known(changes)
        if record is None:
            with trials.claim(changes):  # waits where another process has drawn the same
                record = trials.known(changes) or trials.made(changes, watch=watch)
        if record.score is None:
            # Also of a trial that failed: Optuna would draw another in its place, without end.
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, record.score)
    finally:
        held.release()
    say(_line(search, changes, trial.params, record))


def _lines(study: optuna.Study, search: Search, trials: Trials) -> list[Line]:
    lines, best = list[Line](), Record("failed")
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        changes = _changes(search, trial.params)
        record = trials.known(changes) or Record("failed", said="its record is lost")
        kept = trials.better(record, best)
        best = record if kept else best
        lines.append(_line(search, changes, trial.params, record, kept=kept))
    return lines


def _line(
    search: Search, changes: Changes, drawn: dict[str, Any], record: Record, *, kept: bool = False
) -> Line:
    values = {name: _value(search.space[name], drawn[name]) for name in search.space}
    return Line("", values, changes, record, kept=kept)


def _distribution(values: list[Any] | Range) -> BaseDistribution:
    if isinstance(values, list):
        return CategoricalDistribution([json.dumps(value) for value in values])
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _value(values: list[Any] | Range, drawn: Any) -> Any:
    return json.loads(drawn) if isinstance(values, list) else drawn


def _changes(search: Search, drawn: dict[str, Any]) -> Changes:
    changes = Changes()
    for name, values in search.space.items():
        changes |= changes_of(name, _value(values, drawn[name]))
    return changes
