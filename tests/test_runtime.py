"""Threads, precision, the processor's name and the record of wall times."""

from __future__ import annotations

import csv

import pytest
import torch
from threadpoolctl import threadpool_info

from memorability import runtime


@pytest.fixture
def torch_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_processor_is_one_line_and_stable():
    name = runtime.processor()
    assert name.strip()
    assert "\n" not in name
    assert name == runtime.processor()


def test_timed_adds_a_row_each(tmp_path):
    log = tmp_path / "logs" / "times.csv"
    with runtime.timed("train@a", log):
        pass
    with runtime.timed("train@b", log):
        pass
    with log.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["stage"] for row in rows] == ["train@a", "train@b"]
    assert all(float(row["seconds"]) >= 0 for row in rows)
    assert {row["processor"] for row in rows} == {runtime.processor()}


def test_timed_leaves_out_what_failed(tmp_path):
    def work():
        with runtime.timed("train@a", tmp_path / "times.csv"):
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        work()
    assert not (tmp_path / "times.csv").exists()


def test_limit_threads_holds_for_blas():
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    runtime.limit_threads(1)
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    runtime.limit_threads(max(before.values()))


@pytest.mark.usefixtures("torch_as_before")
def test_fabric_is_deterministic_at_the_given_threads():
    made = runtime.fabric(precision="32-true", threads=1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    assert made.world_size == 1


@pytest.mark.usefixtures("torch_as_before")
def test_fabric_takes_the_precision():
    made = runtime.fabric(precision="bf16-mixed", threads=1)
    net, _ = made.setup(net := torch.nn.Linear(3, 2), torch.optim.SGD(net.parameters(), lr=0.1))
    assert net.module.weight.dtype == torch.float32
    with made.autocast():
        x = torch.ones(1, 3, device=made.device)
        assert (x @ torch.ones(3, 1, device=made.device)).dtype == torch.bfloat16
