"""Features' correlations with the scores: SciPy's numbers, training rows alone, and blocks by a ridge out of fold."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import worlds
from scipy import stats
from typer.testing import CliRunner

from memorability import cli
from memorability.core.errors import DataError, ParamsError
from memorability.core.files import write_json
from memorability.data import tables
from memorability.experiments.correlations import correlations, text
from memorability.features import stored


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Pictures with two features that tell the score, and three that do not."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 80)
    rng, y = np.random.default_rng(0), world.rows["score"].to_numpy(float)
    told = np.stack([y + rng.normal(0, 0.05, len(y)), -y + rng.normal(0, 0.2, len(y))], axis=1)
    x = np.concatenate([told, rng.random((len(y), 2)), np.ones((len(y), 1))], axis=1).astype(np.float32)
    folder = world.root / "made"
    worlds.features(folder, list(world.rows["id"]), x)
    write_json(folder / stored.NAMES, ["told.a", "told.b", "noise.a", "noise.b", "noise.same"])
    return world, x


def of(world, name="made"):
    return correlations([world.root / name], world.root / "split.csv")


def test_single_numbers_are_scipy_s_of_the_training_rows(world):
    made, x = world
    singles, _ = of(made)
    train = (made.rows["split"] == "train").to_numpy()
    y = made.rows["score"].to_numpy(float)[train]
    names = ["told.a", "told.b", "noise.a", "noise.b"]
    assert sorted(singles["feature"]) == sorted(names)  # of the constant one there is no rho
    for row in singles.itertuples():
        assert row.rho == pytest.approx(stats.spearmanr(x[train, names.index(row.feature)], y).statistic)
        assert row.low < row.rho < row.high
    assert list(singles["rho"].abs()) == sorted(singles["rho"].abs(), reverse=True)
    assert (singles["feature"][0], singles["rho"][0] > 0.7) == ("told.a", True)


def test_other_splits_are_not_looked_at(world, tmp_path):
    made, _ = world
    rows = made.rows.copy()
    rows.loc[rows["split"] != "train", "score"] = 0.123
    tables.write(rows, tmp_path / "split.csv")
    again = correlations([made.root / "made"], tmp_path / "split.csv")
    for one, other in zip(of(made), again, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_blocks_are_predicted_out_of_fold(world):
    made, _ = world
    _, blocks = of(made)
    assert list(blocks["block"]) == ["told", "noise", "made, all"]
    assert list(blocks["numbers"]) == [2, 3, 5]
    by = blocks.set_index("block")["rho"]
    assert by["told"] > 0.7
    assert by["noise"] < 0.4  # in fold it would be higher than nothing
    assert "told" in text(*of(made), shown=2)


def test_features_without_names_or_rows(world, tmp_path):
    made, x = world
    worlds.features(made.root / "nameless", list(made.rows["id"]), x)
    with pytest.raises(ParamsError, match="its numbers have no names"):
        of(made, "nameless")
    tables.write(made.rows.head(8), tmp_path / "split.csv")
    with pytest.raises(DataError, match="training rows with scores; valid: at least 10"):
        correlations([made.root / "made"], tmp_path / "split.csv")


def test_the_command(world, tmp_path, monkeypatch):
    made, _ = world
    (tmp_path / "data" / "splits").mkdir(parents=True)
    (tmp_path / "data" / "splits" / "images.csv").write_bytes((made.root / "split.csv").read_bytes())
    (tmp_path / "data" / "features").mkdir()
    (tmp_path / "data" / "features" / "made").symlink_to(made.root / "made")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["correlations", "made", "--json", "-o", "found.csv"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["singles"][0]["feature"] == "told.a"
    assert pd.read_csv("found.csv")["feature"][0] == "told.a"
    assert pd.read_csv("found-blocks.csv")["block"][0] == "told"
