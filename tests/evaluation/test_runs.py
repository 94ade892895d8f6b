"""Runs as the MediaEval task took them, from a model's predictions of the unlabelled clips."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from memorability import cli, families
from memorability.core.errors import DataError
from memorability.core.files import staged_folder
from memorability.core.settings import checked
from memorability.data import acquire, frames, splits, tables
from memorability.data.datasets import demo_videos, mediaeval
from memorability.data.settings import Split
from memorability.evaluation import runs
from memorability.media import video
from memorability.training import fitting

COLUMNS = ["id", "split", "score", "prediction"]
TITLES = {"family": "caption_ridge", "alphas": [0.1, 1.0]}


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


def run(*arguments):
    return CliRunner().invoke(cli.app, ["run", *map(str, arguments)])


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


# The whole way


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """20 clips of which the table of scores lacks 4, with a model of their mean and one of their titles."""
    root = tmp_path_factory.mktemp("world")
    source = root / "source"
    demo_videos.generate(source, demo_videos.Params(clips=20, size=32), seed=0)
    lines = (source / "ground-truth.csv").read_text().splitlines()
    lines = [line for line in lines if line.split(",")[0] not in ("video2.webm", "video9.webm")]
    (source / "ground-truth.csv").write_text("\n".join(lines[:-2]))  # nor the last two
    sources, raw = {"mediaeval": mediaeval.Params(root=source)}, root / "raw"
    beside = {"work": root / "work", "store": root / "store"}
    acquire.acquire("videos", sources, raw, **beside, seed=0, threads=2)
    sampling = video.Sampling("first_middle_last", count=3)
    with staged_folder(root / "frames") as out:
        rows = tables.read(raw / "index.csv")
        frames.extract(rows, raw, sampling, out=out, cache_root=root / "store", threads=2)
    settings = {"method": "random", "val": 0.2, "test": 0.2, "folds": 5, "fold": 0, "seed": 0}
    split = Split(input="frames", **settings, near_duplicate_bits=0)
    rows, _, _ = splits.split(tables.read(root / "frames" / "index.csv"), split)
    fit(root, rows, "mean_short", {"family": "mean"})
    fit(root, rows, "titles_long", TITLES | {"target": "long_term"})
    return root, rows


def fit(root, rows, name, own):
    head = {"track": "videos", "target": "short_term", "input": "x", "backbone": "none"}
    settings = checked(families.load(own["family"]).Params, head | own, at="x")
    place = fitting.Place(
        input=root / "raw",
        backbone=None,
        model=root / "models" / name,
        predictions=root / "predictions" / "videos" / "0" / name / "predictions.csv",
        history=root / "history" / name,
        state=root / "states" / name,
    )
    fitting.fit(settings, rows, place, fitting.Compute(seed=0, precision="32-true", threads=1))


def test_clips_that_the_table_lacks_are_unlabelled(world):
    root, rows = world
    assert rows["split"].value_counts()["unlabelled"] == 4
    for name in ("mean_short", "titles_long"):
        found = tables.read(root / "predictions" / "videos" / "0" / name / "predictions.csv")
        assert list(found["id"]) == list(rows["id"])
        assert found["score"].isna().sum() == 4
        assert np.isfinite(found["prediction"]).all()


@pytest.mark.parametrize("name", ["mean_short", "titles_long"])
def test_the_command_writes_a_run(world, tmp_path, name):
    root, _ = world
    result = run(name, "-o", tmp_path / "me.csv", "--predictions", root / "predictions" / "videos")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"4 clips in {tmp_path / 'me.csv'}\n"
    with (tmp_path / "me.csv").open(newline="") as stream:
        lines = list(csv.reader(stream))
    assert [line[0] for line in lines] == ["video2.webm", "video9.webm", "video19.webm", "video20.webm"]
    assert {line[2] for line in lines} == {"1"}
    table = tables.read(root / "predictions" / "videos" / "0" / name / "predictions.csv")
    expected = table["prediction"][table["split"] == "unlabelled"].clip(0, 1)
    np.testing.assert_allclose([float(line[1]) for line in lines], expected, atol=1e-6)
    assert (expected.nunique() > 1) == (name == "titles_long")


def test_the_command_finds_models_of_both_levels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predictions(tmp_path / "data" / "predictions" / "videos" / "1" / "ensemble" / "predictions.csv", ROWS)
    predictions(tmp_path / "data" / "predictions" / "videos" / "0" / "ridge" / "predictions.csv", ROWS[:1])
    assert run("ensemble", "--out", "me.csv").stdout == "2 clips in me.csv\n"
    assert (tmp_path / "me.csv").is_file()


def test_the_command_names_what_it_cannot_find(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("ridge", "-o", "me.csv")
    assert isinstance(result.exception, DataError)
    assert "no predictions of 'ridge'; run dvc repro train@ridge" in str(result.exception)
    assert not (tmp_path / "me.csv").exists()
