"""Runs as the MediaEval task took them, from a model's predictions of the unlabelled clips."""

from __future__ import annotations

import pandas as pd
import pytest

from memorability.core.errors import DataError
from memorability.data import tables
from memorability.evaluation import runs

COLUMNS = ["id", "split", "score", "prediction"]


def predictions(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    tables.write(pd.DataFrame(rows, columns=COLUMNS), path)
    return path


ROWS = [
    ("mediaeval/sources/video3.webm", "train", 0.5, 0.25),
    ("mediaeval/sources/video10.webm", "unlabelled", None, 0.123456789),
    ("mediaeval/sources/video2.webm", "val", 0.5, 0.75),
    ("mediaeval/sources/more/video7.webm", "unlabelled", None, 0.9),
    ("mediaeval/sources/video1.webm", "test", 0.5, 0.6),
]


# The file


def test_a_line_for_each_unlabelled_clip_in_the_order_of_the_table(tmp_path):
    assert runs.write(predictions(tmp_path / "ridge.csv", ROWS), tmp_path / "runs" / "me.csv") == 2
    text = (tmp_path / "runs" / "me.csv").read_text()
    assert text == "video10.webm,0.123457,1\nvideo7.webm,0.900000,1\n"


@pytest.mark.parametrize(
    ("prediction", "written"),
    [(-0.2, "0.000000"), (1.0000001, "1.000000"), (7, "1.000000"), (0, "0.000000"), (1e-9, "0.000000")],
)
def test_scores_are_in_the_range_of_scores(tmp_path, prediction, written):
    table = predictions(tmp_path / "ridge.csv", [("me/video1.webm", "unlabelled", None, prediction)])
    runs.write(table, tmp_path / "me.csv")
    assert (tmp_path / "me.csv").read_text() == f"video1.webm,{written},1\n"


def test_an_older_run_is_replaced(tmp_path):
    (tmp_path / "me.csv").write_text("old\n" * 9)
    runs.write(predictions(tmp_path / "ridge.csv", ROWS), tmp_path / "me.csv")
    assert len((tmp_path / "me.csv").read_text().splitlines()) == 2


def test_without_unlabelled_clips_there_is_no_run(tmp_path):
    table = predictions(tmp_path / "ridge.csv", [row for row in ROWS if row[1] != "unlabelled"])
    with pytest.raises(DataError, match=r"ridge\.csv: no unlabelled clips among 3; a run is of"):
        runs.write(table, tmp_path / "me.csv")
    assert not (tmp_path / "me.csv").exists()


def test_no_predictions(tmp_path):
    with pytest.raises(DataError, match="no such table"):
        runs.write(tmp_path / "ridge.csv", tmp_path / "me.csv")
