"""Every picture is predicted by a model that never saw it; finished folds outlive a stop."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_world
import torch
from small_world import COMPUTE, SPLIT, place, settings

from memorability import families, params
from memorability.core import states
from memorability.core.errors import DataError, ParamsError, StateError
from memorability.core.settings import checked
from memorability.data import splits, tables
from memorability.evaluation import metrics
from memorability.experiments import crossval
from memorability.experiments.crossval import POOLED, cross_validate
from memorability.training import fitting

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """40 pictures with their features."""
    made = small_world.make(tmp_path_factory.mktemp("world"), pictures=40)
    small_world.add_features(made)
    return made


@pytest.fixture(autouse=True)
def torch_as_before(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def fits(monkeypatch):
    """The tables that models are fitted on, in order."""
    tables, fit = [], fitting.fit

    def watched(settings, rows, place, compute):
        tables.append(rows)
        fit(settings, rows, place, compute)

    monkeypatch.setattr(fitting, "fit", watched)
    return tables


def validate(
    world, tmp_path, family="ridge", *, folds=4, seeds=2, rows=None, split=SPLIT, where=None, **changes
):
    return cross_validate(
        settings(family, **changes),
        world.index if rows is None else rows,
        where or place(world, family, "crossval"),
        COMPUTE,
        split=split,
        folds=folds,
        seeds=seeds,
        state=tmp_path / "crossval",
    )


def test_every_picture_is_tested_once_a_seed_by_a_model_that_never_saw_it(world, tmp_path, fits):
    measured, first = validate(world, tmp_path)
    assert len(fits) == 8
    for seed in range(2):
        tests = pd.concat([rows[rows["split"] == "test"] for rows in fits[4 * seed : 4 * seed + 4]])
        assert sorted(tests["id"]) == sorted(world.index["id"])
    assert len({tuple(rows["split"]) for rows in fits}) == 8
    assert all(set(rows["split"]) == {"train", "val", "test"} for rows in fits)
    assert sorted(first["id"]) == sorted(world.index["id"])
    assert (first["split"] == "test").all()
    assert not (tmp_path / "crossval").exists()
    assert list(measured["fold_seed"]) == [*[0] * 4, *[1] * 4, 0, 1]
    assert list(measured["fold"]) == [*"0123", *"0123", POOLED, POOLED]


def test_the_measures_are_those_of_the_predictions(world, tmp_path):
    measured, first = validate(world, tmp_path, seeds=1)
    truth, prediction = first["score"].to_numpy(float), first["prediction"].to_numpy(float)
    pooled = measured[measured["fold"] == POOLED].iloc[0]
    assert pooled["n"] == 40
    expected = metrics.measure(truth, prediction)
    assert {name: pooled[name] for name in expected} == expected
    category = first["category"].to_numpy(str)
    assert pooled["within_category"] == metrics.within_category(truth, prediction, category)
    folds = measured[measured["fold"] != POOLED]
    assert folds["n"].sum() == 40
    assert np.average(folds["mse"], weights=folds["n"]) == pytest.approx(pooled["mse"])


def test_a_fold_is_what_the_train_stage_makes_of_it(world, tmp_path):
    first = validate(world, tmp_path, seeds=1)[1].set_index("id")
    fold = SPLIT.model_copy(update={"method": "folds", "folds": 4, "fold": 2})
    table = splits.split(world.index, fold)[0]
    where = place(world, "ridge", "alone")
    fitting.fit(settings("ridge"), table, where, COMPUTE)
    alone = tables.read(where.predictions).set_index("id")
    test = alone[alone["split"] == "test"]
    assert first.loc[test.index, "prediction"].equals(test["prediction"])


def test_a_trained_network_goes_through_it_too(world, tmp_path):
    measured, first = validate(world, tmp_path, "memnet", folds=2, seeds=1, epochs=1)
    assert len(measured) == 3
    assert first["prediction"].between(0, 1).all()


def test_published_splits_are_the_folds_where_the_method_says_so(world, tmp_path, fits):
    names = pd.Series(["train test", "test train", "train val"] * 13 + ["train -"], dtype="string")
    measured, first = validate(
        world,
        tmp_path,
        rows=world.index.assign(split=names),
        split=SPLIT.model_copy(update={"method": "published"}),
    )
    assert list(measured["fold"]) == ["0", "1", POOLED]
    assert list(measured["n"]) == [13, 13, 26]
    assert len(fits) == 2
    assert set(first["id"]) == set(world.index["id"][names.isin(["train test", "test train"])])


def test_published_splits_that_no_data_set_publishes(world, tmp_path):
    with pytest.raises(DataError, match="demo publishes no split"):
        validate(world, tmp_path, split=SPLIT.model_copy(update={"method": "published"}))


@pytest.mark.parametrize(("folds", "seeds"), [(1, 1), (2, 0)])
def test_too_few_folds_or_seeds(world, tmp_path, folds, seeds):
    with pytest.raises(ParamsError, match=f"at least 2 folds and 1 seed, received {folds} and {seeds}"):
        validate(world, tmp_path, folds=folds, seeds=seeds)


# Stopped.


class Stop(Exception):
    """What interrupts a run here."""


def stop_at(monkeypatch, world, tmp_path, at, **changes):
    """Runs until the fit of that number begins."""
    calls, fit = count(1), fitting.fit

    def stopping(*arguments):
        if next(calls) == at:
            raise Stop
        fit(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(fitting, "fit", stopping)
        validate(world, tmp_path, **changes)


def test_finished_folds_are_not_fitted_again(world, tmp_path, monkeypatch, fits):
    expected = validate(world, tmp_path)
    fits.clear()
    stop_at(monkeypatch, world, tmp_path, 4)
    stop_at(monkeypatch, world, tmp_path, 3)
    assert len(fits) == 5
    found = validate(world, tmp_path)
    assert len(fits) == 8
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_more_seeds_go_on_from_fewer(world, tmp_path, monkeypatch, fits):
    stop_at(monkeypatch, world, tmp_path, 6)
    validate(world, tmp_path, seeds=3)
    assert len(fits) == 12


@pytest.mark.parametrize("changed", ["params", "folds", "split", "data", "features", "compute"])
def test_folds_of_something_else_are_not_used(world, tmp_path, monkeypatch, fits, changed):
    stop_at(monkeypatch, world, tmp_path, 4)
    fits.clear()
    options, fitted = {}, 8
    if changed == "params":
        options = {"alphas": [7.0]}
    elif changed == "folds":
        options, fitted = {"folds": 3}, 6
    elif changed == "split":
        options = {"split": SPLIT.model_copy(update={"val": 0.1})}
    elif changed == "data":
        options = {"rows": world.index.assign(score=world.index["score"] / 2)}
    elif changed == "features":
        where = place(world, "ridge", "crossval")
        other = shutil.copytree(where.input, tmp_path / "features")
        (other / "config.json").write_text('{"layer": "another"}')
        options = {"where": replace(where, input=other)}
    else:
        monkeypatch.setitem(globals(), "COMPUTE", replace(COMPUTE, seed=1))
    validate(world, tmp_path, **options)
    assert len(fits) == fitted


def test_two_at_once(world, tmp_path):
    with states.unfinished(tmp_path / "crossval"), pytest.raises(StateError, match="another process"):
        validate(world, tmp_path)


# What is shown and written.


def test_the_text_has_mean_spread_and_range():
    measured = pd.DataFrame(
        {
            "fold_seed": [0, 0, 0],
            "fold": ["0", "1", POOLED],
            "n": [5, 5, 10],
            "spearman": [0.2, 0.4, 0.25],
            "mse": [0.01, 0.03, 0.02],
        }
    )
    assert [line.split() for line in crossval.text("ridge", measured).splitlines()] == [
        ["ridge"],
        ["2", "folds,", "each", "by", "itself"],
        ["spearman", "mean", "0.3000", "SD", "0.1414", "0.2000", "to", "0.4000"],
        ["mse", "mean", "0.0200", "SD", "0.0141", "0.0100", "to", "0.0300"],
        ["out-of-fold", "predictions", "pooled,", "1", "fold", "seeds"],
        ["spearman", "mean", "0.2500", "only", "one", "0.2500", "to", "0.2500"],
        ["mse", "mean", "0.0200", "only", "one", "0.0200", "to", "0.0200"],
    ]


@pytest.mark.parametrize("model", ["ridge", "mean"])
def test_the_command_writes_measures_and_figures(world, tmp_path, monkeypatch, capsys, model):
    monkeypatch.syspath_prepend(str(ROOT))
    from pipeline import crossval as stage

    monkeypatch.chdir(tmp_path)
    for source, target in (("raw", "data/raw/images"), ("features", "data/features/demo_resnet18")):
        (tmp_path / target).parent.mkdir(parents=True)
        (tmp_path / target).symlink_to(world.root / source)
    stage.main(params.load(ROOT / "params.yaml"), model, "3", "2")
    table = pd.read_csv(tmp_path / "metrics" / "crossval" / f"{model}.csv")
    assert len(table) == 3 * 2 + 2
    assert table["mse"].between(0, 1).all()
    assert list((tmp_path / "plots" / "figures" / "crossval" / model).iterdir())
    assert "6 folds, each by itself" in capsys.readouterr().out


def test_models_of_other_models_predictions_have_seen_the_folds(world, tmp_path):
    block = {"family": "ensemble", "track": "images", "target": "score", "input": "x", "backbone": "none"}
    ensemble = checked(
        families.load("ensemble").Params, block | {"level": 1, "members": ["one"]}, at="models.x"
    )
    with pytest.raises(ParamsError, match="cannot be cross-validated"):
        cross_validate(
            ensemble, world.index, place(world, "mean", "x"), COMPUTE,
            split=SPLIT, folds=2, seeds=1, state=tmp_path / "state",
        )  # fmt: skip
