"""Weights of an ensemble are fitted to what its members say of rows that they did not see; the outer fold is unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import worlds
from worlds import COMPUTE, SPLIT, made

from memorability.core.errors import DataError, ParamsError, TrainingError
from memorability.core.settings import checked
from memorability.data.draws import fold_numbers
from memorability.experiments import crossval, stacking
from memorability.experiments.folds import by_seed, draws
from memorability.families import ensemble, ridge
from memorability.features import stored
from memorability.params import Params

MEMBERS = ("ridge", "svr", "mean")


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """40 pictures with their features."""
    world = worlds.pictures(tmp_path_factory.mktemp("scores"), 40)
    worlds.extract_features(world)
    return world


@pytest.fixture
def learned_from(monkeypatch):
    """What each ensemble is fitted to: x, y and groups."""
    seen, fit = [], ensemble.fit

    def watched(settings, x, y, *, groups):
        seen.append((x, y, groups))
        return fit(settings, x, y, groups=groups)

    monkeypatch.setattr(ensemble, "fit", watched)
    return seen


@pytest.fixture
def fits(monkeypatch):
    """How many times a member was fitted."""
    seen, kept = [], stacking._kept

    def watched(file, fit):
        return kept(file, lambda: (seen.append(file.name), fit())[1])

    monkeypatch.setattr(stacking, "_kept", watched)
    return seen


def combined(**changes):
    head = {"family": "ensemble", "track": "images", "members": list(MEMBERS), "weights": "least_squares"}
    return checked(ensemble.Params, head | changes, at="ensembles.m")


def validate(
    world, tmp_path, *, rows=None, folds=3, seeds=1, split=SPLIT, by="fold", members=MEMBERS, **given
):
    rows = world.index if rows is None else rows
    known = {name: (made(name, of="images"), world.paths(name, "crossval")) for name in members}
    for name, changes in given.items():
        known[name] = (made(name, of="images", **changes), known[name][1])
    return stacking.cross_validate(
        combined(members=list(members)),
        known,
        rows,
        COMPUTE,
        split=split,
        drawn=draws(rows, split, folds=folds, seeds=seeds, by=by),
        state=tmp_path / "crossval",
    )


def test_every_picture_is_predicted_once_a_seed(scores, tmp_path):
    tested, learned = validate(scores, tmp_path, seeds=2)
    for judged in by_seed(tested).values():
        assert sorted(judged.rows["id"]) == sorted(scores.index["id"])
        assert np.isfinite(judged.prediction).all()
    assert list(learned) == ["fold_seed", "fold", *MEMBERS, "bias"]
    assert len(learned) == 6
    assert (learned[list(MEMBERS)] >= 0).all(axis=None)
    assert not (tmp_path / "crossval").exists()


def test_weights_are_fitted_to_predictions_by_fits_on_the_other_inner_folds(scores, tmp_path, learned_from):
    """The same by hand, for one member of one outer fold."""
    tested, _ = validate(scores, tmp_path)
    draw = draws(scores.index, SPLIT, folds=3, seeds=1)[1]
    table = draw.table(scores.index, val=0.0)
    outside = table[table["split"] == "train"]
    x, y, groups = learned_from[1]
    np.testing.assert_array_equal(y, outside["score"])
    np.testing.assert_array_equal(groups, outside["group"])
    features = stored.read(scores.root / "features", list(table["id"]), family="ridge").values
    features = features.reshape(len(table), -1)
    own, z = made("ridge", of="images"), features[outside.index]
    seed = int(np.random.SeedSequence([0, 1]).generate_state(1)[0])
    fold = fold_numbers(groups, folds=5, seed=seed)
    expected = np.empty(len(outside))
    for number in range(5):
        out = fold == number
        state = ridge.fit(own, z[~out], y[~out], groups=groups[~out])
        expected[out] = ridge.predict(own, state, z[out])
    np.testing.assert_allclose(x[:, 0], expected, rtol=0, atol=1e-12)
    # Then all rows outside the fold are fitted on, and the ensemble weighs what is said of the fold.
    test = (table["split"] == "test").to_numpy(bool)
    state = ridge.fit(own, z, y, groups=groups)
    of_ridge = ridge.predict(own, state, features[test])
    others = [
        scores.fit(name, f"alone-{name}", rows=table).table["prediction"][test].to_numpy()
        for name in MEMBERS[1:]
    ]
    weights = ensemble.fit(combined(), x, y, groups=groups)
    said = ensemble.predict(combined(), weights, np.stack([of_ridge, *others], axis=1))
    np.testing.assert_allclose(tested[1].judged.prediction, said, rtol=0, atol=1e-9)


def test_scores_of_the_outer_fold_change_nothing(scores, tmp_path):
    before = validate(scores, tmp_path)[0][0].judged
    inside = scores.index["id"].isin(before.rows["id"])
    changed = scores.index["score"].where(~inside, 1 - scores.index["score"])
    after = validate(scores, tmp_path, rows=scores.index.assign(score=changed))[0][0].judged
    assert list(after.rows["id"]) == list(before.rows["id"])
    np.testing.assert_array_equal(after.prediction, before.prediction)
    np.testing.assert_allclose(after.truth, 1 - before.truth)


def test_near_duplicates_stand_in_one_inner_fold(scores):
    rows = scores.index.copy()
    for first in range(0, 20, 2):  # ten pairs
        rows.loc[first + 1, ["sha256", "phash"]] = rows.loc[first, ["sha256", "phash"]]
    for draw in draws(rows, SPLIT, folds=3, seeds=2):
        table = draw.table(rows, val=0.0)
        *inner, outer = stacking._parts(draw, rows, table, val=0.0)
        assert len(inner) == 5
        for part in inner:
            groups = [set(part["group"][part["split"] == name]) for name in ("train", "test")]
            assert not groups[0] & groups[1]
            assert not set(part["id"]) & set(table["id"][table["split"] == "test"])
        tested = pd.concat([part["id"][part["split"] == "test"] for part in inner])
        assert sorted(tested) == sorted(table["id"][table["split"] == "train"])
        assert list(outer["id"]) == list(table["id"])


def test_a_network_is_a_member_like_any_other(scores, tmp_path, learned_from):
    tested, learned = validate(
        scores, tmp_path, folds=2, members=("memnet", "ridge"), memnet={"epochs": 1, "width": 6}
    )
    assert list(learned) == ["fold_seed", "fold", "memnet", "ridge", "bias"]
    assert all(np.isfinite(x).all() for x, _, _ in learned_from)
    assert sum(len(fold.judged) for fold in tested) == 40


def test_what_validates_in_a_published_split_trains_closed_forms(scores, tmp_path, learned_from):
    parts = pd.Series(["train", "train", "val", "test"] * 10, dtype="string")
    published = SPLIT.model_copy(update={"method": "published"})
    rows = scores.index.assign(split=parts)
    tested, _ = validate(scores, tmp_path, rows=rows, split=published)
    ((x, _, _),) = learned_from
    assert len(x) == 30
    (draw,) = draws(rows, published, folds=2, seeds=1)
    assert set(draw.table(rows, val=0.0)["split"]) == {"train", "test"}
    assert set(draw.table(rows, val=0.15)["split"]) == {"train", "val", "test"}
    assert len(tested[0].judged) == 10


def test_categories_are_left_out_too(scores, tmp_path):
    rows = scores.index.assign(category=pd.array(["a", "b"] * 20, "string"))
    tested, learned = validate(scores, tmp_path, rows=rows, by="category")
    assert list(learned["fold"]) == ["a", "b"]
    assert set(tested[0].judged.rows["category"]) == {"a"}


def test_too_few_groups_outside_a_fold(scores, tmp_path):
    rows = scores.index.assign(sha256="0" * 64)
    rows.loc[:9, "sha256"] = "1" * 64
    with pytest.raises(TrainingError, match="of 1 group outside a fold"):
        validate(scores, tmp_path, rows=rows, folds=2)


def test_an_ensemble_is_no_member(scores, tmp_path):
    inner = combined(), scores.paths("ridge", "crossval")
    with pytest.raises(ParamsError, match="both is an ensemble itself"):
        stacking.cross_validate(
            combined(members=["both"]),
            {"both": inner},
            scores.index,
            COMPUTE,
            split=SPLIT,
            drawn=draws(scores.index, SPLIT, folds=2, seeds=1),
            state=tmp_path / "crossval",
        )


@pytest.mark.parametrize("name", ["fold_seed", "fold", "bias"])
def test_a_member_named_as_a_column(scores, tmp_path, name):
    with pytest.raises(ParamsError, match=f"members: {name} is what the table of weights calls another"):
        stacking.cross_validate(
            combined(members=[name]),
            {name: (made("ridge", of="images"), scores.paths("ridge", "crossval"))},
            scores.index,
            COMPUTE,
            split=SPLIT,
            drawn=draws(scores.index, SPLIT, folds=2, seeds=1),
            state=tmp_path / "crossval",
        )


# Stopped


class Stop(Exception):
    """What interrupts a run here."""


def stop_at(monkeypatch, world, tmp_path, at, **changes):
    """Runs until the fit of that number begins."""
    calls, kept = count(1), stacking._kept

    def stopping(file, fit):
        if next(calls) == at:
            raise Stop
        return kept(file, fit)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(stacking, "_kept", stopping)
        validate(world, tmp_path, **changes)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_members_predicted_is_not_computed_again(scores, tmp_path, monkeypatch, fits, capsys, damaged):
    expected, _ = validate(scores, tmp_path, folds=2)
    fits.clear()
    stop_at(monkeypatch, scores, tmp_path, 20, folds=2)
    if damaged:
        file = tmp_path / "crossval" / "0-0-0-3.npy"
        content = bytearray(file.read_bytes())
        content[-40] ^= 1  # of a number
        file.write_bytes(content)
    found, _ = validate(scores, tmp_path, folds=2)
    assert len(fits) == 2 * 3 * 6 + damaged
    assert ("damaged since an interrupted run left it" in capsys.readouterr().out) == damaged
    pd.testing.assert_frame_equal(
        crossval.predictions(found), crossval.predictions(expected), check_exact=True
    )


@pytest.mark.parametrize("changed", ["member", "compute"])
def test_fits_of_something_else_are_not_used(scores, tmp_path, monkeypatch, fits, changed):
    stop_at(monkeypatch, scores, tmp_path, 20, folds=2)
    fits.clear()
    given = {"ridge": {"alphas": [7.0]}} if changed == "member" else {}
    if changed == "compute":
        monkeypatch.setitem(globals(), "COMPUTE", replace(COMPUTE, seed=1))
    validate(scores, tmp_path, folds=2, **given)
    assert len(fits) == 2 * 3 * 6


# The command


@pytest.fixture
def project(scores, tmp_path, monkeypatch):
    """A project of the 40 pictures with two models and their ensemble."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "features").mkdir(parents=True)
    (tmp_path / "data" / "raw").mkdir()
    (tmp_path / "data" / "features" / "small").symlink_to(scores.root / "features")
    (tmp_path / "data" / "raw" / "images").symlink_to(scores.root / "raw")
    head = {"track": "images", "input": "data/features/small"}
    block = {
        **{"seed": 0, "threads": 1, "precision": "32-true", "compile": False},
        **{"lr": None, "epochs": None, "batch_size": None},
        "acquire": {"images": {"watch": "x", "datasets": ["demo"]}},
        "split": {"images": {"input": "data/raw/images"}},
        "models": {
            "linear": {"family": "ridge", "alphas": [1.0, 100.0], **head},
            "curved": {"family": "kernel_ridge", "alphas": [0.1, 1.0], **head},
        },
        "ensembles": {"both": {"family": "ensemble", "track": "images", "members": ["linear", "curved"]}},
        "evaluate": {"images": {"bootstrap": 100, "halves": 5}},
    }
    return checked(Params, block, at="")


def test_an_ensemble_is_cross_validated_and_compared_with_a_member(project, tmp_path):
    with pytest.raises(DataError, match="run memorability crossval linear first"):
        crossval.run(project, "both", folds=2, seeds=2, against="linear")
    crossval.run(project, "linear", folds=2, seeds=2)
    said = crossval.run(project, "both", folds=2, seeds=2, against="linear").splitlines()
    assert any(line.startswith("  weights over 4 folds") for line in said)
    assert any(line.startswith("  both less linear: paired over 40 items") for line in said)
    assert any("people: split-half" in line for line in said)
    assert sorted(path.name for path in (tmp_path / "metrics" / "crossval").iterdir()) == [
        *("both.against.linear.csv", "both.csv", "both.json", "both.predictions.csv", "both.weights.csv"),
        *("linear.csv", "linear.json", "linear.predictions.csv"),
    ]
    made = crossval.record("both")
    assert list(made) == [
        *("settings", "members", "origins"),
        *("folds", "seeds", "split", "by", "rows", "averaged"),
    ]
    assert (made["folds"], made["seeds"], made["by"], made["averaged"]) == (2, 2, "fold", 0)
    assert list(made["members"]) == ["linear", "curved"]
    own = project.model("both").model_dump(mode="json")
    assert made["settings"] == own
    assert made["split"] == project.split["images"].model_dump(mode="json")
    assert list(crossval.out_of_fold("both")) == ["id", "score", "seed_0", "seed_1"]
    weights = pd.read_csv("metrics/crossval/both.weights.csv")
    np.testing.assert_allclose(weights["linear"] + weights["curved"], 1, atol=1e-5)


def test_the_weights_are_rounded(project):
    ensembles = {"both": project.ensembles["both"] | {"weights": "least_squares"}}
    crossval.run(project.model_copy(update={"ensembles": ensembles}), "both", folds=2, seeds=1)
    weights = pd.read_csv("metrics/crossval/both.weights.csv", dtype=str)
    assert all(len(number.split(".")[1]) <= 6 for number in [*weights["bias"], *weights["linear"]])


@pytest.mark.parametrize("changed", ["folds", "seeds", "split", "rows", "settings", "origins", "by"])
def test_what_was_drawn_otherwise_is_not_compared_and_nothing_is_fitted(
    project, scores, tmp_path, fits, changed
):
    crossval.run(project, "linear", folds=2, seeds=1)
    asked, given = project, {"folds": 2, "seeds": 1}
    if changed in given:
        given[changed] = 3
    elif changed == "split":
        split = project.split["images"].model_copy(update={"near_duplicate_bits": 2})
        asked = project.model_copy(update={"split": {"images": split}})
    elif changed == "settings":
        models = project.models | {"linear": project.models["linear"] | {"alphas": [7.0]}}
        asked = project.model_copy(update={"models": models})
    else:
        path = tmp_path / "metrics" / "crossval" / "linear.json"
        path.write_text(json.dumps(crossval.record("linear") | {changed: "another"}))
    said = rf"linear\.predictions\.csv: cross-validated with other {changed}.*; run memorability crossval linear again"
    with pytest.raises(DataError, match=said):
        crossval.run(asked, "both", **given, against="linear")
    assert fits == []
    assert not (tmp_path / "metrics" / "crossval" / "both.csv").exists()


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_record(project, text):
    crossval.run(project, "linear", folds=2, seeds=1)
    Path("metrics/crossval/linear.json").write_text(text)
    with pytest.raises(DataError, match=r"linear\.json: damaged .* run memorability crossval linear again"):
        crossval.out_of_fold("linear")


def test_tables_that_were_half_replaced_have_no_record(project, monkeypatch):
    crossval.run(project, "linear", folds=2, seeds=1)
    monkeypatch.setattr(crossval, "predictions", lambda tested: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        crossval.run(project, "linear", folds=2, seeds=1)
    with pytest.raises(DataError, match=r"linear\.json: no such file"):
        crossval.out_of_fold("linear")


def test_published_splits_that_test_a_picture_twice(project, scores, tmp_path):
    """Those of the seed that the split has; each picture counts once in intervals and gains."""
    parts = ["test test", "test train", "train test", "train val"] * 10
    (tmp_path / "data" / "raw" / "images").unlink()
    (tmp_path / "data" / "raw" / "images").mkdir()
    index = scores.index.assign(split=parts)
    index.to_csv(tmp_path / "data" / "raw" / "images" / "index.csv", index=False)
    split = project.split["images"].model_copy(update={"method": "published", "seed": 3})
    project = project.model_copy(update={"split": {"images": split}})
    crossval.run(project, "linear", folds=5, seeds=5)
    said = crossval.run(project, "curved", folds=4, seeds=3, against="linear")  # which change nothing here
    assert "95 % interval over 30 pictures" in said
    assert (
        "10 of them are tested by several splits: their predictions are averaged, one row a picture" in said
    )
    assert "curved less linear: paired over 30 items, each prediction the mean of 1 fold seeds" in said
    table = crossval.out_of_fold("curved")
    assert list(table) == ["id", "score", "seed_3"]
    assert list(table["id"]) == sorted(index["id"][[part != "train val" for part in parts]])
    made = crossval.record("curved")
    assert (made["folds"], made["seeds"], made["averaged"]) == (2, 1, 10)
    assert pd.read_csv("metrics/crossval/curved.csv")["n"].tolist() == [20, 20, 40]


def test_by_category_has_files_of_its_own(project, scores, tmp_path):
    index = scores.index.assign(category=["a", "b"] * 20)
    (tmp_path / "data" / "raw" / "images").unlink()
    (tmp_path / "data" / "raw" / "images").mkdir()
    index.to_csv(tmp_path / "data" / "raw" / "images" / "index.csv", index=False)
    said = crossval.run(project, "linear", folds=5, seeds=5, by="category")
    assert "each category predicted by a model of the others" in said
    assert list(crossval.out_of_fold("linear", by="category")) == ["id", "score", "seed_0"]
    assert list(pd.read_csv("metrics/crossval/linear.by_category.csv")["fold"]) == ["a", "b", "pooled"]
    with pytest.raises(DataError, match="no such table; run memorability crossval linear first"):
        crossval.out_of_fold("linear")


@pytest.mark.parametrize("other", ["linear", "../victim"])
def test_what_a_model_is_not_compared_with(project, other):
    with pytest.raises(ParamsError):
        crossval.run(project, "linear", folds=2, seeds=1, against=other)
