"""Work that is killed again and again ends with the same bytes as if it never had been.

At steps that are named, and by default about ten times at random; MEMORABILITY_KILLS=1000 makes a long check of it.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
import worlds
from processes import Child
from torch import nn
from torch.nn import functional as F
from worlds import COMPUTE, CUT, made, written

from memorability.core import distributed, states
from memorability.core.errors import StateError
from memorability.core.files import staged_folder
from memorability.data import tables
from memorability.evaluation.scores import measure
from memorability.experiments.train import train
from memorability.features.extraction import extract
from memorability.features.extractor import Extractor
from memorability.features.inputs import Pictures
from memorability.training import artifacts, checkpoint, contract, fitting, frozen, loop
from memorability.training.loading import Examples
from memorability.training.optim import descend
from memorability.training.settings import Gradient

KILLS = int(os.environ.get("MEMORABILITY_KILLS", "8"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SAVE_SECONDS = checkpoint.SAVE_SECONDS
PICTURES = 60
PAUSE = 0.01  # before each step, so that kills come between them too


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """60 pictures, packed and split, and a backbone; below it, a track of pairs."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), PICTURES)
    worlds.pictures_with_maps(world.root / "of maps")
    return world


# How the work is made slow, stopped or killed, in its own process.


def paced(function, seconds, gate=None):
    """The function after a pause; before its call `GATED`, after it has said so, until the file `gate` is there."""
    calls = count(1)

    def called(*arguments):
        time.sleep(seconds)
        if gate is not None and next(calls) == GATED:
            print("waiting", flush=True)
            while not gate.exists():
                time.sleep(0.005)
        return function(*arguments)

    return called


def deadly(function, at):
    """The function, in whose call number `at` the process is killed."""
    calls = count(1)

    def called(*arguments):
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return called


def deadly_in_the_middle(save, at):
    """The function that writes a file, in whose call number `at` the process is killed with half of it written."""
    calls = count(1)

    def called(content, path):
        save(content, path)
        if next(calls) == at:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    return called


def prepare(*, seconds=0.0, save_seconds=SAVE_SECONDS, gate=None, kill=("never", 0)):
    """What every training here is made to do. `kill`: at which step, or in which save."""
    checkpoint.SAVE_SECONDS, checkpoint.SAVE_SHARE, frozen.FROZEN_ROWS = save_seconds, 1e9, 8
    step, (what, at) = paced(contract.Gradient.take_step, seconds, gate), kill
    contract.Gradient.take_step = deadly(step, at) if what == "step" else step
    if what == "save":
        torch.save = deadly_in_the_middle(torch.save, at)


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


def fit(world, name, *, family, **options):
    prepare(**options)
    rows = tables.read(world.root / "of maps" / "split.csv") if family in OF_MAPS else world.rows
    train(settings(family), rows, paths(world, family, name), COMPUTE)


def settings(family):
    return made(family, **OF_MAPS[family] if family in OF_MAPS else TRAINED[family])


def paths(world, family, name):
    """Where the model of a family lies; all unfinished work lies in one folder."""
    root = world.root / "of maps" if family in OF_MAPS else world.root
    return replace(worlds.paths(root, name, input="raw"), state=world.root / "states" / name)


STEPS = 3 * 7  # of memnet: 30 pictures in batches of 4, three times
GATED = 10  # the third step of its second epoch


class Pair(nn.Module):
    """Two networks that learn against each other."""

    def __init__(self):
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
        self.critic = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))

    def forward(self, x):
        return self.critic(self.maker(x)).squeeze(1)


class Adversaries:
    """A family of two optimisers: in one step the critic is updated twice, then the maker."""

    def family(self):
        parts = {"name": "adversaries", "Params": Gradient, "READS": "features", "build": None}
        return contract.Gradient(**parts, optimisers=self.optimisers, step=self.step, predict=self.predict)

    def optimisers(self, settings, net):
        return {
            "critic": torch.optim.SGD(net.critic.parameters(), lr=settings.lr, momentum=0.9),
            "maker": torch.optim.Adam(net.maker.parameters(), lr=settings.lr / 2),
        }

    def step(self, settings, net, batch, optimisers, backward):
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


def adversaries(world, name, **options):
    prepare(**options)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    y = x @ np.array([0.4, -0.3, 0.2, 0.1], np.float32)
    parts = np.arange(40), np.arange(40, 50), np.arange(60)
    train, val, everything = (Examples(x, y[rows], rows) for rows in parts)
    fabric = distributed.fabric(precision="32-true", threads=1)
    torch.manual_seed(0)
    out, lines = world.root / "adversaries" / name, []
    with loop.shared_state(world.root / "states" / name, fabric=fabric) as state:
        net, (outcome,) = loop.fit(
            Adversaries().family(),
            Gradient(lr=0.02, epochs=4, batch_size=8, schedule="constant"),
            Pair(),
            train=train,
            val=val,
            predicted=[everything],
            criterion=loop.Criterion(measure, "spearman", higher_is_better=True),
            fabric=fabric,
            seed=0,
            state=state,
            log=lines.append,
        )
        arrays = {key: value.numpy() for key, value in net.state_dict().items()}
        config = {"settings": {}, "lines": lines}
        artifacts.save(out, config=config, arrays=arrays | {"prediction": outcome.prediction})


def features(world, name, *, seconds=0.0, save_seconds=None, kill=("never", 0), cache=None, limit=None):
    """As the stage does it, with a log of the batches that were computed.

    `limit`: bytes that a file may have, as on a disk that is full.
    """
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    extractor = Extractor(world.backbone, **CUT, device="cpu")
    compute = extractor._compute
    batches = (world.root / f"{name}.batches").open("a", buffering=1)
    extractor.shape  # noqa: B018  (computed once, before batches are counted)

    def watched(batch):
        time.sleep(seconds)
        batches.write("batch\n")
        return compute(batch)

    extractor._compute = deadly(watched, kill[1]) if kill[0] == "step" else watched
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
    if work.__name__ in {**TRAINED, **OF_MAPS}:
        return written(paths(world, work.__name__, name))
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


def killed_and_ended(world, work, name, *kills):
    """Starts the work again after each kill, and to its end; returns what each process printed."""
    texts = []
    for kill in kills:
        code, text = child(world, work, name, save_seconds=0.0, kill=kill).end()
        assert code == -signal.SIGKILL, text
        texts.append(text)
    code, text = child(world, work, name, save_seconds=0.0).end()
    assert code == 0, text
    assert not (world.root / "states" / name).exists()
    return [*texts, text]


# Killed at a step, and while the state is being saved.

TRAININGS = [memnet, resmem, adversaries, pix2pix, wgan, palette]
PER_EPOCH = {memnet: 7, resmem: 7, adversaries: 5, pix2pix: 3, wgan: 3, palette: 3}


@pytest.mark.parametrize("work", TRAININGS)
def test_a_training_killed_at_a_step_repeats_no_other_and_ends_with_the_same_bytes(
    world, uninterrupted, work
):
    name, epoch = f"{work.__name__}-at-steps", PER_EPOCH[work]
    # In the middle of an epoch; two steps later; one step before the end of the next epoch; while saving.
    kills = ("step", 3), ("step", 3), ("step", epoch - 1), ("save", 2)
    texts = killed_and_ended(world, work, name, *kills)
    done = [2, 4, 4 + epoch - 2]
    places = [f"going on at epoch {steps // epoch}, step {steps % epoch}\n" for steps in done]
    assert all(place in text for place, text in zip(places, texts[1:], strict=False))
    assert "going on at epoch" in texts[-1]
    assert result(world, work, name) == uninterrupted(work)[0]


# Killed at random moments.


# How a process may end after each signal: by itself before it came, or as the signal does, or having saved its state.
# Before work begins and after its end SIGINT is an exception; within C code (safetensors reading a file) that may come
# out as another one. An exception without SIGINT is a fault, and what is left behind is compared below in any case.
ENDS = {
    None: {0},
    signal.SIGKILL: {0, -signal.SIGKILL},
    signal.SIGTERM: {0, -signal.SIGTERM, 128 + signal.SIGTERM},
    signal.SIGINT: {0, 1, 128 + signal.SIGINT},
}


def kill_until_done(world, work, name, rng, seconds):
    """Starts the work again until it ends; returns what every killed process, and the last, printed."""
    texts = []
    while True:
        process, sent = child(world, work, name, seconds=PAUSE, save_seconds=rng.choice([0.0, 0.1])), None
        if not process.ends_within(rng.uniform(0, 0.6 * seconds)):
            sent = rng.choice(SIGNALS)
            process.kill(sent)
        code, text = process.end()
        texts.append(text)
        assert code in ENDS[sent], (sent, code, text)
        if code == 0:
            return texts


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
    ("work", "share"), [(memnet, 4), (resmem, 4), (adversaries, 4), (pix2pix, 8), (wgan, 8), (palette, 8)]
)
def test_a_training_killed_at_random_ends_with_the_same_bytes(world, uninterrupted, work, share):
    assert killed(world, uninterrupted, work, share)


def computed(world, name):
    """How many batches an extraction has computed, in all of its processes."""
    return (world.root / f"{name}.batches").read_text().count("batch")


BATCHES = -(-PICTURES // CUT["batch_size"])


def test_an_extraction_killed_at_a_batch_computes_none_twice(world, uninterrupted):
    killed_and_ended(world, features, "features-at-steps", ("step", 2), ("step", 3))
    assert result(world, features, "features-at-steps") == uninterrupted(features)[0]
    assert computed(world, "features-at-steps") == BATCHES


def test_an_extraction_killed_at_random_computes_a_batch_again_at_most(world, uninterrupted):
    for number, texts in enumerate(killed(world, uninterrupted, features)):
        assert BATCHES <= computed(world, f"features-{number}") <= BATCHES + len(texts) - 1


# Asked to stop, or failing.


def at_the_gate(world, work, name):
    """The work in a process that waits in its second epoch, and the file that it waits for."""
    gate = world.root / f"{name}.gate"
    process = child(world, work, name, gate=gate)
    while "waiting" not in process.printed():
        assert not process.ends_within(0.01), process.printed()
    return process, gate


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_asked_to_stop_saves_its_state_at_once(world, uninterrupted, number, expected):
    name = f"stopped-{expected}"
    process, gate = at_the_gate(world, memnet, name)
    process.kill(number)
    gate.touch()
    code, text = process.end()
    assert code == expected
    assert not paths(world, "memnet", name).model.exists()
    assert "stopped; run again to go on at epoch 1, step 3\n" in text
    code, text = child(world, memnet, name).end()
    assert code == 0
    assert "going on at epoch 1, step 3\n" in text
    assert result(world, memnet, name) == uninterrupted(memnet)[0]


def memnet_with_loaders(world, name, **options):
    os.setpgid(0, 0)  # a group of its own, as torchrun gives each of its processes
    TRAINED["memnet"]["workers"] = 2
    memnet(world, name, **options)


def test_a_signal_to_the_group_spares_the_loading_processes(world):
    """They would die first, and the training with them before it has saved."""
    process, gate = at_the_gate(world, memnet_with_loaders, "group")
    os.killpg(process.pid, signal.SIGTERM)
    gate.touch()
    code, text = process.end()
    assert code == 143
    assert "stopped; run again to go on at epoch 1, step 3\n" in text


def test_two_runs_of_one_training(world, uninterrupted):
    process, gate = at_the_gate(world, memnet, "twice")
    with pytest.raises(StateError, match="twice: another process is at this"):
        train(settings("memnet"), world.rows, paths(world, "memnet", "twice"), COMPUTE)
    gate.touch()
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
            steps, step = [], contract.Gradient.take_step
            counted = lambda *args: steps.append(1) or step(*args)  # noqa: E731
            patch.setattr(contract.Gradient, "take_step", counted)
            patch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
            patch.setattr(checkpoint, "SAVE_SHARE", 1e9)
            where = paths(world, "memnet", name)
            own = made("memnet", **TRAINED["memnet"] | changes)
            train(own, world.rows if rows is None else rows, where, COMPUTE)
        return where, len(steps)

    return fit_here


@pytest.mark.parametrize(
    ("module", "function"), [(artifacts, "save"), (tables, "write")], ids=["model", "predictions"]
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


@pytest.mark.parametrize("changed", ["params", "data", "score", "split", "code"])
def test_a_state_of_something_else_is_not_used(world, fit_here, stopped, monkeypatch, changed):
    rows, options = world.rows.copy(), {}
    if changed == "params":
        options = {"lr": 0.02}
    elif changed == "data":
        last = rows.index[rows["split"] == "test"][-1]
        rows.loc[last, "id"] = "demo/images/another.jpg"
    elif changed == "score":
        rows.loc[rows["split"] == "train", "score"] *= 0.9
    elif changed == "split":
        rows["split"] = rows["split"].replace({"val": "test", "test": "val"})
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
