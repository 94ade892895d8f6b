import pandas as pd

from memorability.training.history import History

LINES = [
    {"epoch": 0, "lr": 0.001, "train_loss": 0.03, "val_mse": 0.04, "val_spearman": None},
    {"epoch": 1, "lr": 0.0005, "train_loss": 0.02, "val_mse": 1 / 3, "val_spearman": 0.5},
]
TEXT = "epoch,lr,train_loss,val_mse,val_spearman\n0,0.001,0.03,0.04,\n1,0.0005,0.02,0.3333333333333333,0.5\n"


def write(folder):
    history = History(folder)
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


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    History(None).log(LINES[0])
    assert not list(tmp_path.iterdir())
