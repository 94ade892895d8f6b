"""Batches: which examples, in which order, by which process, and in what form they arrive."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
import torch

from memorability.core import runtime
from memorability.core.errors import TrainingError
from memorability.features.inputs import Pixels
from memorability.training import loading
from memorability.training.loading import Examples, in_turn, load, training_order

CPU = torch.device("cpu")


def order(count, *, batch_size=8, processes=1, seed=0):
    return training_order(count, batch_size=batch_size, processes=processes, seed=seed)


# The order of an epoch.


@pytest.mark.parametrize(
    ("count", "sizes"), [(24, [8, 8, 8]), (17, [8, 8]), (8, [8]), (7, [7]), (2, [2]), (1, [1])]
)
def test_an_epoch_is_whole_batches_without_repetition(count, sizes):
    batches = order(count)
    assert [len(batch) for batch in batches] == sizes
    seen = [i for batch in batches for i in batch]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(count))


def test_what_is_left_out_is_not_always_the_same():
    left = {i for seed in range(20) for i in set(range(9)) - set(order(9, seed=seed)[0])}
    assert len(left) > 5


def test_the_seed_alone_decides_the_order():
    torch.manual_seed(1)
    one = order(24)
    torch.manual_seed(2)
    assert order(24) == one
    assert order(24, seed=1) != one
    assert order(24, processes=4) == one  # the batches are of all processes together


@pytest.mark.parametrize(("count", "batch_size"), [(24, 8), (4, 8)])
def test_batches_that_processes_can_share(count, batch_size):
    assert all(len(batch) % 4 == 0 for batch in order(count, batch_size=batch_size, processes=4))


@pytest.mark.parametrize(("count", "batch_size", "size"), [(24, 6, 6), (6, 8, 6), (1, 8, 1)])
def test_batches_that_processes_cannot_share(count, batch_size, size):
    with pytest.raises(TrainingError, match=f"batches of {size} cannot be shared equally by 4 processes"):
        order(count, batch_size=batch_size, processes=4)


@pytest.mark.parametrize(
    ("count", "batches"), [(5, [[10, 11], [12, 13], [14]]), (2, [[10, 11]]), (1, [[10]]), (0, [])]
)
def test_in_turn(count, batches):
    assert in_turn(range(10, 10 + count), batch_size=2) == batches


# Loading.


def examples(x, **more):
    rows = np.array([3, 1, 4])
    return Examples(x, np.array([0.25, 0.5, 0.75], np.float32), rows, **more)


def loaded(made, *, workers=0, batches=((2, 0), (1,))):
    return list(load(made, [list(batch) for batch in batches], device=CPU, workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_holds_what_belongs_together(workers):
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    frozen = np.array([[30.0], [10.0], [40.0]], np.float32)
    first, second = loaded(examples(x, more={"frozen": frozen}), workers=workers)
    assert first["x"].tolist() == x[[4, 3]].tolist()
    assert first["y"].tolist() == [0.75, 0.25]
    assert first["frozen"].tolist() == [[40.0], [30.0]]
    assert (second["x"].tolist(), second["y"].tolist()) == (x[[1]].tolist(), [0.5])


def test_without_more_there_is_none():
    assert set(loaded(examples(np.zeros((5, 2), np.float32)))[0]) == {"x", "y"}


def test_pixels_become_numbers_up_to_one_and_numbers_stay():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    x = loaded(examples(pixels))[0]["x"]
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(x, pixels[[4, 3]] / 255)
    numbers = pixels.astype(np.float64)
    assert np.array_equal(loaded(examples(numbers))[0]["x"], numbers[[4, 3]])


class Kept:
    """Inputs that note in shared memory which of them were taken."""

    def __init__(self):
        self.taken = np.frombuffer(mmap.mmap(-1, 5), np.bool_)

    def __getitem__(self, index):
        self.taken[index] = True
        return np.zeros(2, np.float32)


def test_loading_processes_share_the_memory_of_the_inputs():
    x = Kept()
    loaded(examples(x), workers=2)
    assert x.taken.tolist() == [False, True, False, True, True]


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_nothing_from_the_stream_that_training_is_seeded_by(workers):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    loaded(examples(np.zeros((5, 2), np.float32)), workers=workers)
    assert torch.equal(torch.rand(1), expected)


def test_no_batches_at_all():
    assert loaded(examples(np.zeros((5, 2), np.float32)), batches=()) == []


def test_an_example_has_the_name_of_its_row():
    made = examples(np.zeros((5, 2)), names=list("abcde"))
    assert [made.name(i) for i in range(len(made))] == ["d", "b", "e"]
    assert examples(np.zeros((5, 2))).name(0) == "input 3"


@pytest.mark.parametrize(
    ("cores", "gpu", "batches", "workers"),
    [
        (8, False, 999, 0), (8, True, 999, 7), (1, True, 999, 1),
        (64, True, 999, 16), (64, True, 23, 2), (8, True, 7, 0),
    ],
)  # fmt: skip
def test_loading_processes(monkeypatch, cores, gpu, batches, workers):
    monkeypatch.setattr(runtime, "cores", lambda: cores)
    pixels = Pixels.__new__(Pixels)
    assert loading.automatic_workers(pixels, batches=batches, gpu=gpu) == workers
    assert loading.automatic_workers(np.zeros((5, 2)), batches=batches, gpu=gpu) == 0


def test_what_is_made_of_pictures_is_worth_processes(monkeypatch):
    monkeypatch.setattr(runtime, "cores", lambda: 4)
    assert loading.automatic_workers(Kept(), batches=99, gpu=True) == 3
    assert loading.automatic_workers(loading.Nothing(), batches=99, gpu=True) == 0
