"""Work that is killed again and again ends with the same bytes as if it never had been.

By default about 35 kills; MEMORABILITY_KILLS=1000 makes a long check of it.
"""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import time
from dataclasses import replace
from itertools import count

import map_world
import numpy as np
import pytest
import small_world
import torch
from processes import Child
from small_world import COMPUTE, CUT, place, settings, written
from torch import nn
from torch.nn import functional as F

from memorability import families
from memorability.core import runtime, states
from memorability.core.errors import StateError
from memorability.core.files import staged_folder
from memorability.data import tables
from memorability.evaluation.metrics import measure
from memorability.families import memnet as memnet_family
from memorability.features.extraction import Extractor, extract
from memorability.features.inputs import Pictures
from memorability.training import artifacts, checkpoint, fitting
from memorability.training import loop as training
from memorability.training.loading import Examples
from memorability.training.optim import descend
from memorability.training.settings import Gradient

KILLS = int(os.environ.get("MEMORABILITY_KILLS", "28"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SAVE_SECONDS = checkpoint.SAVE_SECONDS
PICTURES = 60
PAUSE = 0.02  # before each step, so that kills come between them too


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """60 pictures, packed and split, and a backbone; below it, a track of pairs."""
    made = small_world.make(tmp_path_factory.mktemp("world"), pictures=PICTURES)
    map_world.make(made.root / "of maps")
    return made


@pytest.fixture(autouse=True)
def outside_dvc(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def slowly(function, seconds):
    def slow(*arguments):
        time.sleep(seconds)
        return function(*arguments)

    return slow


# What is killed: functions for a process of its own, each writing into a place named `name`.

TRAINED = {
    "memnet": {"optimiser": "sgd", "lr": 0.01, "epochs": 3, "batch_size": 4, "schedule": "cosine"},
    "resmem": {"optimiser": "adam", "lr": 0.001, "epochs": 2, "batch_size": 4, "hidden": 32},
}
# Of maps: 15 pictures are 3 steps an epoch, so that wgan's turns go on from one epoch to the next.
OF_MAPS = {
    "pix2pix": {"epochs": 4, "dropout": 0.2},
    "wgan": {"epochs": 4, "n_critic": 2},
    "palette": {"epochs": 4, "dropout": 0.1, "sampler": "ddpm"},
}
OF_MAPS = {
    family: own | {"translation": 0.9, "cutout": 0.9, "mirror": True} for family, own in OF_MAPS.items()
}


def fit(world, name, *, family, seconds=0.0, save_seconds=SAVE_SECONDS):
    checkpoint.SAVE_SECONDS, checkpoint.SAVE_SHARE, training.CONSTANT_ROWS = save_seconds, 1e9, 8
    task = families.load(family)
    task.step = slowly(task.step, seconds)
    if family in OF_MAPS:
        own, rows = (
            map_world.made(family, **OF_MAPS[family]),
            tables.read(world.root / "of maps" / "split.csv"),
        )
    else:
        own, rows = settings(family, **TRAINED[family]), world.rows
    fitting.fit(own, rows, place_of(world, family, name), COMPUTE)


def place_of(world, family, name):
    """Where the model of a family lies; all unfinished work lies in one folder."""
    if family not in OF_MAPS:
        return place(world, family, name)
    pairs = map_world.World(world.root / "of maps", rows=None)
    return replace(map_world.place(pairs, family, name), state=world.root / "states" / name)


STEPS = 3 * 7  # of memnet: 30 pictures in batches of 4, three times


class Pair(nn.Module):
    """Two networks that learn against each other."""

    def __init__(self):
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
        self.critic = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))

    def forward(self, x):
        return self.critic(self.maker(x)).squeeze(1)


class Adversaries:
    """A task of two optimisers: in one step the critic is updated twice, then the maker."""

    SELECTION = "spearman"
    measure = staticmethod(measure)
    pause = 0.0

    def optimisers(self, settings, net):
        return {
            "critic": torch.optim.SGD(net.critic.parameters(), lr=settings.lr, momentum=0.9),
            "maker": torch.optim.Adam(net.maker.parameters(), lr=settings.lr / 2),
        }

    def step(self, settings, net, batch, optimisers, backward):
        time.sleep(self.pause)
        losses = {}
        for _ in range(2):
            noise = torch.randn_like(batch["y"]) * 0.05
            losses["critic"] = F.mse_loss(net(batch["x"]), batch["y"] + noise)
            descend(losses["critic"], optimisers["critic"], backward)
        losses["maker"] = -0.1 * F.mse_loss(net(batch["x"]), batch["y"])
        descend(losses["maker"], optimisers["maker"], backward)
        return {name: loss.detach() for name, loss in losses.items()}

    def predict(self, settings, net, batch):
        return net(batch["x"])


def adversaries(world, name, *, seconds=0.0, save_seconds=SAVE_SECONDS):
    checkpoint.SAVE_SECONDS, checkpoint.SAVE_SHARE = save_seconds, 1e9
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = x @ np.array([0.4, -0.3, 0.2, 0.1], np.float32)
    parts = np.arange(40), np.arange(40, 50), np.arange(60)
    train, val, everything = (Examples(x, y[rows], rows) for rows in parts)
    fabric = runtime.fabric(precision="32-true", threads=1)
    task = Adversaries()
    task.pause = seconds
    torch.manual_seed(0)
    out, lines = world.root / "adversaries" / name, []
    with training.unfinished(world.root / "states" / name, fabric=fabric) as state:
        net, (outcome,) = training.fit(
            task,
            Gradient(lr=0.02, epochs=4, batch_size=8),
            Pair(),
            train=train,
            val=val,
            judged=[everything],
            fabric=fabric,
            seed=0,
            state=state,
            log=lines.append,
        )
        arrays = {key: value.numpy() for key, value in net.state_dict().items()}
        artifacts.save(out, config={"lines": lines}, arrays=arrays | {"prediction": outcome.prediction})


def features(world, name, *, seconds=0.0, save_seconds=None, cache=None, limit=None):
    """As the stage does it, with a log of the batches that were computed.

    `limit`: bytes that a file may have, as on a disk that is full.
    """
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    extractor = Extractor(world.backbone, **CUT, device="cpu")
    compute = extractor._compute
    made = (world.root / f"{name}.batches").open("a", buffering=1)
    extractor.shape  # noqa: B018  (computed once, before batches are counted)

    def watched(batch):
        time.sleep(seconds)
        made.write("batch\n")
        return compute(batch)

    extractor._compute = watched
    pictures = Pictures(world.index, world.root / "raw")
    keys, cache = list(world.index["sha256"]), world.root / "cache" / (cache or name)
    with staged_folder(world.root / "features" / name) as out:
        extract(keys, pictures.picture, extractor, out=out, cache_root=cache, threads=1)


def memnet(world, name, **options):
    fit(world, name, family="memnet", **options)


def resmem(world, name, **options):
    fit(world, name, family="resmem", **options)


def pix2pix(world, name, **options):
    fit(world, name, family="pix2pix", **options)


def wgan(world, name, **options):
    fit(world, name, family="wgan", **options)


def palette(world, name, **options):
    fit(world, name, family="palette", **options)


def result(world, work, name):
    """All bytes that a finished work has written."""
    if work in (memnet, resmem):
        return written(place(world, work.__name__, name))
    if work.__name__ in OF_MAPS:
        return map_world.written(place_of(world, work.__name__, name))
    folder = world.root / work.__name__ / name
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def keywords(work, arguments, options):
    work(*arguments, **options)


def child(world, work, name, **options):
    output = world.root / f"{name}.txt"
    return Child(keywords, work, (world, name), options, output=output)


@pytest.fixture(scope="module")
def uninterrupted(world):
    """What each work writes when it is left alone, and its seconds."""
    done = {}

    def uninterrupted(work):
        if work not in done:
            name = f"{work.__name__}-whole"
            process, start = child(world, work, name, seconds=PAUSE), time.monotonic()
            code, text = process.end()
            assert code == 0, text
            done[work] = result(world, work, name), time.monotonic() - start
        return done[work]

    return uninterrupted


# Killed at random moments.


def kill_until_done(world, work, name, rng, seconds):
    """Starts the work again until it ends; returns what every killed process, and the last, printed."""
    texts = []
    while True:
        process = child(world, work, name, seconds=PAUSE, save_seconds=rng.choice([0.0, 0.1]))
        if not process.ends_within(rng.uniform(0, 0.6 * seconds)):
            process.kill(rng.choice(SIGNALS))
        code, text = process.end()
        texts.append(text)
        if code == 0:
            return texts
        # Before training begins and after it ends, signals do what they always do.
        assert code in (-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT, 1), text
        assert code != 1 or "KeyboardInterrupt" in text, text


def killed(world, uninterrupted, work, share=4):
    """Kills until there were enough; returns what every process printed, in a list for each run."""
    rng, runs = random.Random(0), []
    expected, seconds = uninterrupted(work)
    while sum(len(texts) - 1 for texts in runs) < KILLS / share:
        name = f"{work.__name__}-{len(runs)}"
        runs.append(kill_until_done(world, work, name, rng, seconds))
        assert result(world, work, name) == expected
        assert not (world.root / "states" / name).exists()
    return runs


@pytest.mark.parametrize(
    ("work", "share"), [(memnet, 4), (resmem, 4), (adversaries, 4), (pix2pix, 10), (wgan, 10), (palette, 10)]
)
def test_a_training_killed_at_random_ends_with_the_same_bytes(world, uninterrupted, work, share):
    texts = [text for run in killed(world, uninterrupted, work, share) for text in run[1:]]
    inside = sum(bool(re.search(r"going on at epoch \d+, step [1-9]", text)) for text in texts)
    print(f"{len(texts)} restarts, {inside} of them inside an epoch")
    assert inside >= len(texts) / 4


def computed(world, name):
    """How many batches an extraction has computed, in all of its processes."""
    return (world.root / f"{name}.batches").read_text().count("batch")


BATCHES = -(-PICTURES // CUT["batch_size"])


def test_an_extraction_killed_at_random_computes_a_batch_again_at_most(world, uninterrupted):
    for number, texts in enumerate(killed(world, uninterrupted, features)):
        assert BATCHES <= computed(world, f"features-{number}") <= BATCHES + len(texts) - 1


# Asked to stop, or failing.


def after_an_epoch(world, work, name):
    """The work in a process that has just finished its first epoch, with two before it."""
    process = child(world, work, name, seconds=3 * PAUSE)
    while "epoch 0" not in process.printed():
        assert not process.ends_within(0.01), process.printed()
    return process


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_asked_to_stop_saves_its_state_at_once(world, uninterrupted, number, expected):
    name = f"stopped-{expected}"
    process = after_an_epoch(world, memnet, name)
    process.kill(number)
    code, text = process.end()
    assert code == expected
    assert not place(world, "memnet", name).model.exists()
    stopped = re.search(r"stopped; run again to go on at (epoch [12], step \d+)", text)[1]
    code, text = child(world, memnet, name).end()
    assert code == 0
    assert f"going on at {stopped}" in text
    assert result(world, memnet, name) == uninterrupted(memnet)[0]


def memnet_with_loaders(world, name, **options):
    os.setpgid(0, 0)  # a group of its own, as torchrun gives each of its processes
    TRAINED["memnet"]["workers"] = 2
    memnet(world, name, **options)


def test_a_signal_to_the_group_spares_the_loading_processes(world):
    """They would die first, and the training with them before it has saved."""
    process = after_an_epoch(world, memnet_with_loaders, "group")
    os.killpg(process.pid, signal.SIGTERM)
    code, text = process.end()
    assert code == 143
    assert "stopped; run again to go on at epoch" in text


def test_two_runs_of_one_training(world, uninterrupted):
    process = after_an_epoch(world, memnet, "twice")
    process.kill(signal.SIGSTOP)
    with pytest.raises(StateError, match="twice: another process is at this"):
        fitting.fit(
            settings("memnet", **TRAINED["memnet"]), world.rows, place(world, "memnet", "twice"), COMPUTE
        )
    process.kill(signal.SIGCONT)
    assert process.end()[0] == 0
    assert result(world, memnet, "twice") == uninterrupted(memnet)[0]


class Stop(Exception):
    """What interrupts a run in this process."""


def stopping_at(function, times):
    """The function, which fails when it is called for the last of so many times."""
    calls = count(1)

    def called(*arguments, **keywords):
        if next(calls) == times:
            raise Stop
        return function(*arguments, **keywords)

    return called


@pytest.fixture
def fit_here(world, monkeypatch):
    """Fits memnet in this process, saving after every step; gives the place and the steps it made."""

    def fit_here(name, *, rows=None, **changes):
        with monkeypatch.context() as patch:
            steps, step = [], memnet_family.step
            patch.setattr(memnet_family, "step", lambda *args: steps.append(1) or step(*args))
            patch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
            patch.setattr(checkpoint, "SAVE_SHARE", 1e9)
            where = place(world, "memnet", name)
            own = settings("memnet", **TRAINED["memnet"] | changes)
            fitting.fit(own, world.rows if rows is None else rows, where, COMPUTE)
        return where, len(steps)

    return fit_here


@pytest.mark.parametrize(
    ("module", "function"), [(artifacts, "save"), (fitting.tables, "write")], ids=["model", "predictions"]
)
def test_nothing_is_lost_when_the_result_cannot_be_written(
    uninterrupted, fit_here, monkeypatch, module, function
):
    name = f"unwritten-{function}"
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(module, function, stopping_at(getattr(module, function), 1))
        fit_here(name)
    where, steps = fit_here(name)
    assert steps == 0
    assert written(where) == uninterrupted(memnet)[0]


@pytest.fixture
def stopped(fit_here, monkeypatch):
    """The name of a training that was stopped after its first epoch."""
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(fitting.History, "log", stopping_at(fitting.History.log, 1))
        fit_here("stale")
    return "stale"


def test_what_is_unchanged_goes_on(fit_here, stopped, uninterrupted):
    where, steps = fit_here(stopped)
    assert steps == STEPS - STEPS / 3
    assert written(where) == uninterrupted(memnet)[0]


@pytest.mark.parametrize("changed", ["params", "data", "code"])
def test_a_state_of_something_else_is_not_used(world, fit_here, stopped, monkeypatch, changed):
    rows, options = world.rows.copy(), {}
    if changed == "params":
        options = {"lr": 0.02}
    elif changed == "data":
        rows.loc[0, "sha256"] = "0" * 64
    else:
        monkeypatch.setattr(states, "key", lambda *parts, key=states.key: key(*parts, "edited code"))
    where, steps = fit_here(stopped, rows=rows, **options)
    assert steps == STEPS
    fresh, _ = fit_here("fresh", rows=rows, **options)
    assert written(where) == written(fresh)


def test_two_extractions_at_once_share_a_cache(world, uninterrupted):
    names = "one", "two"
    both = [child(world, features, name, seconds=PAUSE, cache="shared") for name in names]
    for process, name in zip(both, names, strict=True):
        code, text = process.end()
        assert code == 0, text
        assert result(world, features, name) == uninterrupted(features)[0]


def test_an_extraction_onto_a_full_disk_goes_on_with_room(world, uninterrupted):
    expected = uninterrupted(features)[0]
    limit = len(expected["features.npy"]) + 4096
    code, text = child(world, features, "full", limit=limit).end()
    assert code == 1
    assert "StorageError" in text
    assert "cannot be written" in text
    assert not (world.root / "features" / "full").exists()
    assert 0 < computed(world, "full") < BATCHES
    code, text = child(world, features, "full").end()
    assert code == 0, text
    assert result(world, features, "full") == expected
    assert computed(world, "full") == BATCHES + 1  # the one that did not fit
