"""Two processes at one piece of work do what one does, share it, and go on when they were killed."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small_world
import torch
import two_processes
from processes import Child
from small_world import COMPUTE, place, settings

from memorability.core import distributed
from memorability.features.inputs import Pictures
from memorability.predict.predictor import Failure, Score
from memorability.training import checkpoint, fitting

SCRIPT = Path(__file__).parents[1] / "two_processes.py"


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """37 pictures (an odd number), packed and as files, and a model fitted by one process."""
    made = small_world.make(tmp_path_factory.mktemp("world"), pictures=37)
    pictures = Pictures(made.index, made.root / "raw")
    (made.root / "pictures").mkdir()
    for i in range(37):
        pictures.picture(i).save(made.root / "pictures" / f"{i:02}.png")
    (made.root / "pictures" / "20.png").write_bytes(b"broken")
    small_world.add_features(made)
    fitting.fit(settings("memnet"), made.rows, place(made, "memnet", "memnet-alone"), COMPUTE)
    (made.root / "world.pickle").write_bytes(pickle.dumps(made))
    return made


@pytest.fixture(scope="module")
def found(world):
    """What each of two processes that torchrun started has found."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    root = str(two_processes.ROOT)
    (world.root / "data" / "raw").mkdir(parents=True)
    (world.root / "data" / "raw" / "images").symlink_to(world.root / "raw")
    environment = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
    done = subprocess.run(
        [sys.executable, *command, str(world.root)],
        env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [pickle.loads((world.root / f"found-{rank}.pickle").read_bytes()) for rank in (0, 1)]


@pytest.mark.parametrize(("name", "apart"), [("one", False), ("two", True)])
def test_the_result_is_that_of_one_process(found, tmp_path, name, apart):
    """With the same batches: one optimiser, and two that update two parts in turn."""
    first, second = (part[name] for part in found)
    alone = two_processes.train(tmp_path / "state", apart=apart)
    assert len(first.lines) == len(alone.lines) == 4
    for line, expected in zip(first.lines, alone.lines, strict=True):
        assert line == pytest.approx(expected, abs=1e-5)
    for key, value in first.weights.items():
        assert np.allclose(value, alone.weights[key], atol=1e-5)
        assert np.array_equal(value, second.weights[key])
    assert np.allclose(first.prediction, alone.prediction, atol=1e-5)
    assert np.array_equal(first.prediction, second.prediction)
    assert first.lines == second.lines


def test_every_example_is_predicted_by_one_process(found, tmp_path):
    alone = two_processes.train(tmp_path / "state").predicted
    shares = [part["one"].predicted for part in found]
    assert sum(shares) == alone == 4 * len(two_processes.VAL) + len(two_processes.EVERYTHING)
    assert abs(shares[0] - shares[1]) <= 5  # one more at most in each pass


def test_batches_that_cannot_be_shared_are_refused_by_all(found):
    for part in found:
        assert part["refused"].startswith("batches of 5 cannot be shared equally by 2 processes")


def test_features_are_computed_once(world, found):
    for i, computed in enumerate([{18, 19}, {0}]):
        printed = [
            re.fullmatch(r"37 pictures: (\d+) computed here.*\n", part["features"][i]) for part in found
        ]
        assert {int(match[1]) for match in printed} == computed
    folder = world.root / "data" / "features" / "together"
    assert {path.name for path in folder.iterdir()} == {"features.npy", "ids.csv", "config.json"}
    expected = np.load(world.root / "features" / "features.npy")
    features = np.load(folder / "features.npy")
    assert features.tobytes() == expected[::-1].tobytes()  # those were made in reverse order


@pytest.mark.parametrize("family", ["memnet", "ridge"])
def test_the_first_process_alone_writes(found, family):
    first, second = (part[family] for part in found)
    assert {path.name for path in first.model.iterdir()} == {"config.json", "model.safetensors"}
    assert first.predictions.is_file()
    assert (first.history / "history.csv").is_file()
    assert not second.model.parent.exists()
    assert not first.state.exists()


def test_scores_of_all_are_those_of_one(found):
    first, second = (part["scores"] for part in found)
    assert first == second
    alone, together = first
    assert [type(item) for item in together] == [*map(type, alone), Score]
    assert [i for i, item in enumerate(alone) if isinstance(item, Failure)] == [20, 37]
    assert [item.path for item in together] == [*(item.path for item in alone), alone[0].path]
    for one, other in zip(alone, together, strict=False):
        assert one == other or one.score == pytest.approx(other.score, abs=1e-6)


def test_the_command_prints_once(found):
    first, second = (part["command"] for part in found)
    alone, _ = found[0]["scores"]
    printed = [(item["path"], item["score"]) for item in json.loads(first)]
    assert printed == [(str(item.path), pytest.approx(item.score, abs=1e-5)) for item in alone[:3]]
    assert second == ""


def test_what_each_has_is_put_in_order_again(found):
    for part in found:
        assert part["joined"] == [list(range(n)) for n in range(5)]


def test_alone_everything_is_one_s_own():
    part = torch.arange(3.0)
    assert list(distributed.share(range(3))) == [0, 1, 2]
    assert distributed.joined(part, 3) is part
    assert distributed.mean(part) is part
    assert distributed.interleaved([1, 2]) == [1, 2]


# Killed. (Processes that are forked in a moment here have the environment that torchrun gives.)


def member(rank, port, folder, state):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    checkpoint.SAVE_SECONDS, checkpoint.SAVE_SHARE = 0.0, 1e9
    made = two_processes.train(state, apart=True, dropout=0.3, pause=0.03)
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(made))


def pair(folder, state):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    return [Child(member, rank, port, folder, state, output=folder / f"{rank}.txt") for rank in (0, 1)]


def results(folder):
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in (0, 1)]


def until_done(folder, state, rng, seconds):
    """Kills both until they end; returns what the first one printed each time."""
    texts, codes = [], None
    while codes != [0, 0]:
        both = pair(folder, state)
        if not both[0].ends_within(rng.uniform(0, 0.7 * seconds)):
            number = rng.choice([signal.SIGKILL, signal.SIGTERM])
            for process in rng.sample(both, 2):
                process.kill(number)
        ends = [process.end() for process in both]
        codes = [code for code, _ in ends]
        texts.append(ends[0][1])
    return texts


def test_processes_that_are_killed_end_with_the_same_bytes(tmp_path):
    whole, start = pair(tmp_path / "whole", tmp_path / "states" / "whole"), time.monotonic()
    assert [process.end()[0] for process in whole] == [0, 0]
    rng, restarts, seconds = random.Random(0), [], time.monotonic() - start
    while len(restarts) < 4:
        folder = tmp_path / str(len(restarts))
        restarts += until_done(folder, tmp_path / "states" / folder.name, rng, seconds)[1:]
        for one, other in zip(results(folder), results(tmp_path / "whole"), strict=True):
            assert one.lines == other.lines
            assert np.array_equal(one.prediction, other.prediction)
            assert all(np.array_equal(one.weights[key], value) for key, value in other.weights.items())
    inside = sum(bool(re.search(r"going on at epoch \d+, step [1-9]", text)) for text in restarts)
    print(f"{len(restarts)} restarts, {inside} of them inside an epoch")
    assert inside > 0
