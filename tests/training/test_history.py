import sys
import types

import pandas as pd
import pytest

from memorability.training.history import History

LINES = [
    {"epoch": 0, "lr": 0.001, "train_loss": 0.03, "val_mse": 0.04, "val_spearman": None},
    {"epoch": 1, "lr": 0.0005, "train_loss": 0.02, "val_mse": 1 / 3, "val_spearman": 0.5},
]
TEXT = "epoch,lr,train_loss,val_mse,val_spearman\n0,0.001,0.03,0.04,\n1,0.0005,0.02,0.3333333333333333,0.5\n"


@pytest.fixture
def live(monkeypatch):
    """A stand-in for DVCLive that notes what it is told, in a run by DVC."""
    calls = []

    class Live:
        def __init__(self, folder, **options):
            calls.append(("start", folder, options))

        def log_metric(self, name, value):
            calls.append((name, value))

        def next_step(self):
            calls.append("next")

        def end(self):
            calls.append("end")

    package, module = types.ModuleType("dvclive"), types.ModuleType("dvclive.live")
    package.Live = module.Live = Live
    package.live = module
    monkeypatch.setitem(sys.modules, "dvclive", package)
    monkeypatch.setitem(sys.modules, "dvclive.live", module)
    monkeypatch.setenv("DVC_STAGE", "train@model")
    return calls


def write(folder):
    with History(folder) as history:
        for line in LINES:
            history.log(line)
    return (folder / "history.csv").read_bytes().decode()


def test_the_table_has_a_line_an_epoch_and_none_is_empty(tmp_path):
    assert write(tmp_path / "new" / "model") == TEXT
    found = pd.read_csv(tmp_path / "new" / "model" / "history.csv")
    assert found["val_spearman"].isna().tolist() == [True, False]
    assert found["val_mse"][1] == 1 / 3


def test_the_table_is_whole_after_every_epoch(tmp_path):
    history = History(tmp_path)
    for count, line in enumerate(LINES, start=1):
        history.log(line)
        assert (tmp_path / "history.csv").read_text() == "".join(TEXT.splitlines(True)[: count + 1])


def test_a_new_run_starts_a_new_table(tmp_path):
    write(tmp_path)
    assert write(tmp_path) == TEXT


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, live):
    monkeypatch.chdir(tmp_path)
    with History(None) as history:
        history.log(LINES[0])
    assert not list(tmp_path.iterdir())
    assert not live


def test_dvclive_is_not_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dvclive", None)
    monkeypatch.setitem(sys.modules, "dvclive.live", None)
    assert write(tmp_path) == TEXT
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_dvclive_ends_with_a_run_that_fails(tmp_path, live):
    with pytest.raises(KeyError), History(tmp_path):
        raise KeyError
    assert live[-1] == "end"


def test_dvclive_is_told_every_number_in_a_run_by_dvc(tmp_path, live):
    assert write(tmp_path) == TEXT
    (start, folder, options), *told = live
    assert start == "start"
    assert folder.startswith(str(tmp_path))
    assert options["save_dvc_exp"] is False  # the stage is part of an experiment already
    assert told == [
        ("lr", 0.001), ("train_loss", 0.03), ("val_mse", 0.04), "next",
        ("lr", 0.0005), ("train_loss", 0.02), ("val_mse", 1 / 3), ("val_spearman", 0.5), "next",
        "end",
    ]  # fmt: skip
