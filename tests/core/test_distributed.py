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

import numpy as np
import pytest
import torch
import two_processes
import worlds
from processes import Child

from memorability.core import distributed
from memorability.features.inputs import Pictures
from memorability.predict.predictor import Failure, Score
from memorability.training import checkpoint


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """37 pictures (an odd number), packed and as files, and a model fitted by one process."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 37)
    pictures = Pictures(world.index, world.root / "raw")
    (world.root / "pictures").mkdir()
    for i in range(37):
        pictures.picture(i).save(world.root / "pictures" / f"{i:02}.png")
    (world.root / "pictures" / "20.png").write_bytes(b"broken")
    worlds.extract_features(world)
    world.fit("memnet", "memnet-alone")
    (world.root / "world.pickle").write_bytes(pickle.dumps(world))
    (world.root / "data" / "raw").mkdir(parents=True)
    (world.root / "data" / "raw" / "images").symlink_to(world.root / "raw")
    return world


# What torchrun tells each of two processes. They are forked here, in a moment: torchrun would take seconds to start.


def variables(rank, port):
    return {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"},
        **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }


def member(rank, port, work, arguments):
    os.environ |= variables(rank, port)
    work(*arguments)


def pair(folder, work, *arguments):
    """The work in two processes at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    output = [folder / f"{rank}.txt" for rank in (0, 1)]
    return [Child(member, rank, port, work, arguments, output=output[rank]) for rank in (0, 1)]


def test_torchrun_tells_its_processes_what_is_told_here(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os, pathlib, sys\n"
        "from memorability.core import runtime\n"
        "told = {'rank': runtime.rank(), 'world': runtime.world(), 'variables': dict(os.environ)}\n"
        "pathlib.Path(sys.argv[1], os.environ['RANK'] + '.json').write_text(json.dumps(told))\n"
    )
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path]
    subprocess.run([sys.executable, *command], check=True, capture_output=True, timeout=300)
    for rank in (0, 1):
        told = json.loads((tmp_path / f"{rank}.json").read_text())
        assert (told["rank"], told["world"]) == (rank, 2)
        here = variables(rank, told["variables"]["MASTER_PORT"])
        there = {name: told["variables"][name] for name in here}
        assert there == here | {"MASTER_ADDR": there["MASTER_ADDR"]}


@pytest.fixture(scope="module")
def found(world):
    """What each of two processes has found."""
    both = pair(world.root / "output", two_processes.main, world.root)
    for code, text in [process.end() for process in both]:
        assert code == 0, text
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
    assert {path.name for path in first.model.iterdir()} == {
        "config.json",
        "model.safetensors",
        "evidence.safetensors",
    }
    assert {path.name for path in first.predictions.iterdir()} == {
        "predictions.csv",
        "history.csv",
        "model.json",
    }
    assert not second.model.parent.exists()
    assert not first.state.exists()


def test_each_process_draws_its_own_numbers_in_every_step(found):
    first, second = (part["one"].seeds for part in found)
    assert len(first) == len(second) == 4 * 6
    assert len({*first, *second}) == 2 * 4 * 6


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


# Killed.


def trained(folder, state, kill):
    """`kill`: which process is killed in which of its steps."""
    checkpoint.SAVE_SECONDS, checkpoint.SAVE_SHARE = 0.0, 1e9
    rank = int(os.environ["RANK"])
    made = two_processes.train(
        state, apart=True, dropout=0.3, pause=0.01, killed_at=kill[1] if kill[0] == rank else None
    )
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(made))


def at_work(folder, state, kill=(None, 0)):
    return pair(folder, trained, folder, state, kill)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What both give when they are left alone, and their seconds."""
    root = tmp_path_factory.mktemp("whole")
    both, start = at_work(root / "whole", root / "state"), time.monotonic()
    for code, text in [process.end() for process in both]:
        assert code == 0, text
    return results(root / "whole"), time.monotonic() - start


def results(folder):
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in (0, 1)]


def check(folder, whole):
    for one, other in zip(results(folder), whole[0], strict=True):
        assert one.lines == other.lines
        assert np.array_equal(one.prediction, other.prediction)
        assert all(np.array_equal(one.weights[key], value) for key, value in other.weights.items())


def test_processes_of_which_one_is_killed_at_a_step_go_on_there(tmp_path, whole):
    state = tmp_path / "states" / "x"
    # The first one dies in the third step of six; then the second one in the fifth step after that.
    for kill, expected in (((0, 3), "epoch 0, step 2"), ((1, 5), "epoch 1, step 0")):
        both = at_work(tmp_path / "folder", state, kill)
        dies, other = both[kill[0]], both[1 - kill[0]]
        assert dies.end()[0] == -signal.SIGKILL
        other.kill(signal.SIGKILL)  # as torchrun does
        other.end()
        both = at_work(tmp_path / "folder", state, (0, 1))  # both begin, and the first one dies at once
        code, text = both[0].end()
        assert code == -signal.SIGKILL
        assert f"going on at {expected}\n" in text
        both[1].kill(signal.SIGKILL)
        both[1].end()
    assert [process.end()[0] for process in at_work(tmp_path / "folder", state)] == [0, 0]
    check(tmp_path / "folder", whole)


def until_done(folder, state, rng, seconds):
    """Kills both until they end; returns how often."""
    kills, codes = -1, None
    while codes != [0, 0]:
        kills += 1
        both = at_work(folder, state)
        if not both[0].ends_within(rng.uniform(0, 0.7 * seconds)):
            number = rng.choice([signal.SIGKILL, signal.SIGTERM])
            for process in rng.sample(both, 2):
                process.kill(number)
        codes = [code for code, _ in [process.end() for process in both]]
    return kills


def test_processes_that_are_killed_at_random_end_with_the_same_bytes(tmp_path, whole):
    rng, kills = random.Random(0), 0
    while kills < 2:
        folder = tmp_path / str(kills)
        kills += until_done(folder, tmp_path / "states" / folder.name, rng, whole[1])
        check(folder, whole)
