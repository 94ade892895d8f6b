"""A model's answers as a table, and the command that holds them against a table of truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from memorability import cli
from memorability.core.errors import DataError
from memorability.media import hashes
from memorability.predict.predictor import Predictor
from memorability.predict.tabled import knows_seen, tabled
from memorability.training import artifacts

COUNT = 12
HEAD = {"family": "mean", "input": "x", "backbone": "none"}
TRUTH = np.linspace(0.3, 0.85, COUNT).round(2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Pictures with a table, and a model that says 0.6 of all and has seen the first two."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    seen = []
    for i in range(COUNT):
        picture = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
        picture.save(f"{i:02d}.png")
        seen.append(int(hashes.perceptual_hash(picture), 16))
    save("same", track="images", target="score", phashes=seen[:2])
    table = pd.DataFrame({"file": [f"{i:02d}.png" for i in range(COUNT)], "score": TRUTH})
    table.assign(kind=["a", "b"] * (COUNT // 2), n=50, h=30, fa=range(COUNT)).to_csv("mine.csv", index=False)
    return tmp_path


def save(name, *, phashes=(), mean=0.6, **head):
    """A model whose residuals were all 0.1 or less."""
    evidence = artifacts.Evidence(
        np.linspace(-0.1, 0.1, 41, dtype=np.float32), np.unique(np.array(phashes, np.uint64))
    )
    config = {"settings": HEAD | head}
    artifacts.save(Path("models", name), config=config, arrays={"mean": np.array(mean)}, evidence=evidence)


def run(*arguments):
    return CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])


def test_a_line_a_file_in_their_order(here):
    (here / "broken.png").write_bytes(b"broken")
    files = [here / name for name in ("03.png", "broken.png", "00.png", "no.png")]
    table = tabled(Predictor("models/same"), files, [""] * 4)
    assert list(table) == ["prediction", "low", "high", "seen", "problem"]
    assert list(table["seen"]) == [False, False, True, False]
    good = table.iloc[[0, 2]]
    np.testing.assert_allclose(good["prediction"], 0.6)
    np.testing.assert_allclose(good["high"] - good["low"], 0.19, atol=0.011)
    assert table["problem"].isna().tolist() == [True, False, True, False]
    assert table[["prediction", "low", "high"]].iloc[[1, 3]].isna().all(axis=None)
    assert "not a picture" in table["problem"][1]
    assert "no.png: cannot be read" in table["problem"][3]


@pytest.mark.usefixtures("here")
def test_what_a_model_has_seen_is_known_of_one_with_hashes():
    save("other", track="images", target="score")
    save("clips", track="videos", target="short_term", phashes=[1])
    assert [knows_seen(Predictor(f"models/{name}")) for name in ("same", "other", "clips")] == [
        True,
        False,
        False,
    ]


@pytest.mark.usefixtures("here")
def test_no_files():
    assert tabled(Predictor("models/same"), [], []).empty


@pytest.mark.usefixtures("here")
def test_a_model_of_maps():
    save("maps", track="maps", target="map", mean=np.full((3, 8, 8), 0.5))
    result = run("maps", "--on", "mine.csv")
    assert isinstance(result.exception, DataError)
    assert "predicts maps, not scores" in str(result.exception)


def test_the_command_as_json(here):
    options = ["--category", "kind", "--hits", "h", "--false-alarms", "fa", "--responses", "n"]
    result = run("same", "--on", "mine.csv", "--json", "--out", "out.csv", *options)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["model"], found["table"], found["confidence"]) == ("same", "mine.csv", 0.9)
    assert (found["n"], found["seen"], found["left_out"], found["bad"]) == (COUNT, 2, 0, [])
    assert found["all"]["mse"] == pytest.approx(((TRUTH - 0.6) ** 2).mean(), abs=1e-6)
    assert found["unseen"]["n"] == COUNT - 2
    assert set(found["by_category"]) == {"a", "b"}
    inside = (np.abs(TRUTH - 0.6) <= 0.095).mean()
    assert found["all"]["intervals"]["coverage"] == pytest.approx(inside, abs=1e-6)
    table = pd.read_csv(here / "out.csv")
    assert list(table["seen"]) == [True, True, *[False] * (COUNT - 2)]
    np.testing.assert_allclose(table["prediction"], 0.6)


@pytest.mark.usefixtures("here")
def test_the_command_as_a_table_with_another_confidence():
    result = run("same", "--on", "mine.csv", "--confidence", "0.8")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("same: trained on")
    assert lines[1] == "mine.csv: 12 rows; 2 of them seen in training"
    assert any(line.startswith("  covered by 80% intervals") for line in lines)


def test_rows_that_cannot_be_used(here):
    (here / "03.png").write_bytes(b"broken")
    (here / "04.png").unlink()
    result = run("same", "--on", "mine.csv", "--out", "out.csv")
    assert isinstance(result.exception, DataError)
    text = str(result.exception)
    assert text.startswith(f"2 of {COUNT} rows cannot be used")
    assert "04.png: no such file" in text
    assert "03.png: not a picture" in text
    assert not (here / "out.csv").exists()
    result = run("same", "--on", "mine.csv", "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "mine.csv: 10 rows, 2 more left out; 2 of them seen in training" in result.stdout
    assert result.stderr.count("left out: ") == 2


@pytest.mark.usefixtures("here")
def test_no_such_model_and_no_table():
    result = run("other", "--on", "mine.csv")
    assert isinstance(result.exception, DataError)
    assert "no model 'other'" in str(result.exception)
    assert run("same").exit_code == 2  # --on is missing


def test_a_data_set_of_which_it_is_not_known_what_was_seen(here):
    config = {
        "settings": HEAD | {"track": "images", "target": "score"},
        "trained_on": {"mine": None, "sun": 9},
    }
    artifacts.save(Path("models/published"), config=config, arrays={"mean": np.array(0.6)})
    predictor = Predictor("models/published")
    seen = {
        name: tabled(predictor, [here / "00.png"], [""], dataset=name)["seen"][0] for name in ("mine", "sun")
    }
    assert seen == {"mine": True, "sun": False}
    assert [knows_seen(predictor, dataset=name) for name in ("mine", "sun", "")] == [True, False, False]

    by_name = run("published", "--on", "mine.csv")
    assert by_name.exit_code == 0, by_name.output
    assert "12 of them seen in training" in by_name.stdout
    assert "trained on mine; nobody knows on which files of it, so all count as seen" in by_name.output
    other = json.loads(run("published", "--on", "mine.csv", "--dataset", "sun", "--json").stdout)
    assert other["seen"] is None
