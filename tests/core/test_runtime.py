"""Threads, processes, signals, the processor's name and the record of wall times."""

from __future__ import annotations

import csv
import re
import signal
import threading

import numpy as np
import pytest
from permissions import read_only
from threadpoolctl import threadpool_info

from memorability.core import runtime


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


def test_of_several_processes_the_first_times(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with runtime.timed("train@a", tmp_path / "times.csv"):
        pass
    assert not (tmp_path / "times.csv").exists()


def test_timed_leaves_out_what_failed(tmp_path):
    def work():
        with runtime.timed("train@a", tmp_path / "times.csv"):
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        work()
    assert not (tmp_path / "times.csv").exists()


@pytest.mark.parametrize("fault", ["read-only", "a file", "full"])
def test_a_log_that_cannot_be_written_is_a_warning_alone(tmp_path, capsys, fault):
    folder, done = tmp_path / "logs", []
    folder.write_text("no folder") if fault == "a file" else folder.mkdir()
    if fault == "full":
        (folder / "times.csv").symlink_to("/dev/full")
    with read_only(*[folder] * (fault == "read-only")), runtime.timed("train@a", folder / "times.csv"):
        done.append("work")
    assert done == ["work"]
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"warning: .*times\.csv: the [\d.]+ s of train@a are not logged \(.*\)", line)


def test_which_process_this_is(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    alone = runtime.cores()
    assert (runtime.rank(), runtime.world()) == (0, 1)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", str(alone))):
        monkeypatch.setenv(name, value)
    assert (runtime.rank(), runtime.world(), runtime.cores()) == (3, 8, 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(2 * alone))  # more processes than cores
    assert runtime.cores() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_wish_within_the_block_alone(number):
    before = signal.getsignal(number)
    with runtime.Stopping() as stopping:
        assert stopping.signal is None
        signal.raise_signal(number)
        assert stopping.signal == number
    assert signal.getsignal(number) == before


def test_an_echo_of_the_first_signal_changes_nothing(monkeypatch):
    monkeypatch.setattr(runtime.Stopping, "ECHO", float("inf"))
    with runtime.Stopping() as stopping:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert stopping.signal == signal.SIGTERM


def test_a_second_signal_stops_at_once_and_leaves_all_as_it_was(monkeypatch):
    monkeypatch.setattr(runtime.Stopping, "ECHO", -1.0)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), runtime.Stopping():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_the_main_thread_signals_stay_what_they_are():
    def work():
        with runtime.Stopping() as stopping:
            found.append((stopping.signal, signal.getsignal(signal.SIGINT)))

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(None, signal.getsignal(signal.SIGINT))]


def test_limit_threads_holds_for_blas():
    assert (np.eye(2) @ np.eye(2)).sum() == 2  # NumPy's pool is there
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    runtime.limit_threads(1)
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    runtime.limit_threads(max(before.values()))
