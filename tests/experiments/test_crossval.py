"""Every picture is predicted by a model that never saw it, of scores and of maps; finished folds outlive a stop."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
import worlds
from worlds import COMPUTE, SPLIT, World, made

from memorability.core import states
from memorability.core.errors import DataError, ParamsError, StateError
from memorability.data import splits
from memorability.evaluation import Judged, judge, score_measures
from memorability.evaluation.settings import Evaluate
from memorability.experiments import crossval, crossval_text, folds, gains
from memorability.experiments.crossval import measures
from memorability.experiments.folds import POOLED, Fold, by_seed, cross_validate, draws

EVALUATE = Evaluate(bootstrap=100, halves=5, map_size=worlds.SIDE)


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """40 pictures with their features."""
    world = worlds.pictures(tmp_path_factory.mktemp("scores"), 40)
    worlds.extract_features(world)
    return world


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return worlds.pictures_with_maps(tmp_path_factory.mktemp("maps"), 24)


@pytest.fixture
def fits(monkeypatch):
    """The tables that models are fitted on, in order."""
    tables, train = [], folds.train

    def watched(settings, rows, paths, compute):
        tables.append(rows)
        train(settings, rows, paths, compute)

    monkeypatch.setattr(folds, "train", watched)
    return tables


def validate(world: World, tmp_path, family="ridge", *, folds=4, seeds=2, by="fold", **given: Any):
    of = "maps" if "map" in world.rows else "images"
    known = {
        "rows": world.index,
        "split": SPLIT,
        "paths": world.paths(family, "crossval"),
        "compute": COMPUTE,
    }
    known |= {key: given.pop(key) for key in known if key in given}
    return cross_validate(
        made(family, of=of, **given),
        known["rows"],
        known["paths"],
        known["compute"],
        split=known["split"],
        drawn=draws(known["rows"], known["split"], folds=folds, seeds=seeds, by=by),
        state=tmp_path / "crossval",
        evaluate=EVALUATE,
    )


def test_every_picture_is_tested_once_a_seed_by_a_model_that_never_saw_it(scores, tmp_path, fits):
    tested = validate(scores, tmp_path)
    assert len(fits) == 8
    for seed in range(2):
        tests = pd.concat([rows[rows["split"] == "test"] for rows in fits[4 * seed : 4 * seed + 4]])
        assert sorted(tests["id"]) == sorted(scores.index["id"])
    assert len({tuple(rows["split"]) for rows in fits}) == 8
    assert all(set(rows["split"]) == {"train", "test"} for rows in fits)  # a closed form needs no val
    for judged in by_seed(tested).values():
        assert sorted(judged.rows["id"]) == sorted(scores.index["id"])
        assert (judged.rows["split"] == "test").all()
    assert not (tmp_path / "crossval").exists()
    measured = measures(tested, "images")
    assert list(measured["fold_seed"]) == [*[0] * 4, *[1] * 4, 0, 1]
    assert list(measured["fold"]) == [*"0123", *"0123", POOLED, POOLED]


def test_maps_are_cross_validated_by_the_same_code(maps, tmp_path, fits):
    tested = validate(maps, tmp_path, "mean", folds=3, seeds=1)
    assert len(fits) == 3
    (pooled,) = by_seed(tested).values()
    assert sorted(pooled.rows["id"]) == sorted(maps.index["id"])
    assert pooled.truth.shape == pooled.prediction.shape == (24, 3, worlds.SIDE, worlds.SIDE)
    line = measures(tested, "maps").iloc[-1]
    expected = judge("maps").measure(pooled.truth, pooled.prediction)
    assert {name: line[name] for name in expected} == pytest.approx(expected)


def test_the_measures_are_those_of_the_predictions(scores, tmp_path):
    tested = validate(scores, tmp_path, seeds=1)
    (pooled,) = by_seed(tested).values()
    measured = measures(tested, "images")
    line, folds = measured[measured["fold"] == POOLED].iloc[0], measured[measured["fold"] != POOLED]
    assert line["n"] == folds["n"].sum() == 40
    assert line["spearman"] == score_measures.spearman(pooled.truth, pooled.prediction)
    assert np.average(folds["mse"], weights=folds["n"]) == pytest.approx(line["mse"])


def test_the_table_has_every_id_with_its_out_of_fold_predictions(scores, tmp_path):
    tested = validate(scores, tmp_path)
    table = crossval.predictions(tested)
    assert list(table) == ["id", "score", "seed_0", "seed_1"]
    assert list(table["id"]) == sorted(scores.index["id"])
    assert table.notna().all(axis=None)
    by_id = table.set_index("id")
    for fold in tested:
        found = by_id.loc[fold.judged.rows["id"], f"seed_{fold.seed}"]
        np.testing.assert_array_equal(found, fold.judged.prediction)
    np.testing.assert_allclose(by_id["score"], scores.index.set_index("id").loc[by_id.index, "score"])


def test_a_fold_is_what_the_train_stage_makes_of_it(scores, tmp_path):
    tested = validate(scores, tmp_path, seeds=1)
    fold = SPLIT.model_copy(update={"method": "folds", "folds": 4, "fold": 2, "val": 0.0})
    alone = scores.fit("ridge", "alone", rows=splits.split(scores.index, fold)[0]).table.set_index("id")
    of_fold = next(one.judged for one in tested if one.name == "2")
    np.testing.assert_array_equal(of_fold.prediction, alone.loc[of_fold.rows["id"], "prediction"])


def test_a_trained_network_goes_through_it_too(scores, tmp_path):
    tested = validate(scores, tmp_path, "memnet", folds=2, seeds=1, epochs=1)
    assert len(tested) == 2
    assert all(np.isfinite(fold.judged.prediction).all() for fold in tested)


def test_published_splits_are_the_folds_where_the_method_says_so(scores, tmp_path, fits):
    names = pd.Series(["train test", "test train", "train val"] * 13 + ["train -"], dtype="string")
    published = SPLIT.model_copy(update={"method": "published"})
    tested = validate(scores, tmp_path, rows=scores.index.assign(split=names), split=published)
    measured = measures(tested, "images")
    assert list(measured["fold"]) == ["0", "1", POOLED]
    assert list(measured["n"]) == [13, 13, 26]
    assert len(fits) == 2


@pytest.mark.parametrize(("folds", "seeds"), [(1, 1), (2, 0)])
def test_too_few_folds_or_seeds(scores, tmp_path, folds, seeds):
    with pytest.raises(ParamsError, match=f"at least 2 folds and 1 seed, received {folds} and {seeds}"):
        validate(scores, tmp_path, folds=folds, seeds=seeds)


def test_published_splits_that_no_data_set_publishes(scores, tmp_path):
    with pytest.raises(DataError, match="demo publishes no split"):
        validate(scores, tmp_path, split=SPLIT.model_copy(update={"method": "published"}))


def test_a_lone_closed_form_fits_on_what_validates_in_a_published_split(scores, tmp_path, fits):
    parts = pd.Series(["train", "train", "val", "test"] * 10, dtype="string")
    published = SPLIT.model_copy(update={"method": "published"})
    validate(scores, tmp_path, rows=scores.index.assign(split=parts), split=published)
    (table,) = fits
    assert table["split"].value_counts().to_dict() == {"train": 30, "test": 10}


def twice_judged(ranking=True):
    """Two draws of seed 3 that both test b, with a score of its own in each."""
    one = pd.DataFrame({"id": ["b", "a"], "category": ["x", "y"]})
    two = pd.DataFrame({"id": ["c", "b"], "category": ["y", "x"]})
    values = [np.array([0.2, 0.4]), np.array([0.6, 0.8])]
    judged = [
        Judged(rows, truth, truth + 0.1, 1 - truth if ranking else None)
        for rows, truth in zip((one, two), values, strict=True)
    ]
    return [Fold(3, str(n), part) for n, part in enumerate(judged)]


def test_what_several_draws_test_is_averaged():
    (pooled,) = by_seed(twice_judged()).values()
    found = folds.once(pooled)
    assert list(found.rows["id"]) == ["b", "a", "c"]
    assert list(found.rows["category"]) == ["x", "y", "y"]
    np.testing.assert_allclose(found.truth, [0.5, 0.4, 0.6])
    np.testing.assert_allclose(found.prediction, [0.6, 0.5, 0.7])
    np.testing.assert_allclose(found.ranking, [0.5, 0.6, 0.4])
    assert folds.once(found) is found
    table = crossval.predictions(twice_judged())
    assert list(table) == ["id", "score", "seed_3", "ranking_3"]
    assert list(table["id"]) == ["a", "b", "c"]
    np.testing.assert_allclose(table["seed_3"], [0.5, 0.6, 0.7])
    np.testing.assert_allclose(table["ranking_3"], [0.6, 0.5, 0.4])
    assert list(crossval.predictions(twice_judged(ranking=False))) == ["id", "score", "seed_3"]


def test_maps_that_several_draws_test_are_averaged():
    maps = np.arange(3 * 4, dtype=np.uint8).reshape(3, 1, 2, 2)
    maps[2] = maps[0]
    prediction = np.stack([np.full((1, 2, 2), value, np.float32) for value in (0.2, 0.5, 0.4)])
    found = folds.once(Judged(pd.DataFrame({"id": ["a", "b", "a"]}), maps, prediction))
    np.testing.assert_array_equal(found.truth, maps[:2])
    assert found.truth.dtype == np.uint8
    assert found.prediction.dtype == np.float32
    np.testing.assert_allclose(found.prediction[:, 0, 0, 0], [0.3, 0.5])


# By category


def categories(index):
    """Three categories by turns."""
    return index.assign(category=pd.array([*"abc" * 13, "a"], "string"))


def test_each_category_is_left_out_once(scores, tmp_path, fits):
    rows = categories(scores.index)
    tested = validate(scores, tmp_path, rows=rows, by="category")
    assert [fold.name for fold in tested] == ["a", "b", "c"]
    for table, fold in zip(fits, tested, strict=True):
        assert set(table["category"][table["split"] == "test"]) == {fold.name}
        assert fold.name not in set(table["category"][table["split"] == "train"])
        assert sorted(fold.judged.rows["id"]) == sorted(rows["id"][rows["category"] == fold.name])
    measured = measures(tested, "images")
    assert list(measured["fold"]) == ["a", "b", "c", POOLED]
    assert list(measured["n"]) == [14, 13, 13, 40]
    assert [
        line.split()[0] for line in crossval_text.text("ridge", measured, by="category").splitlines()[2:]
    ] == [
        *"abc",
        POOLED,
    ]


def test_nothing_like_a_category_s_pictures_is_trained_on(scores, tmp_path, fits):
    rows = categories(scores.index)
    rows.loc[1, ["sha256", "phash"]] = rows.loc[0, ["sha256", "phash"]]  # of b, as one of a
    validate(scores, tmp_path, rows=rows, by="category")
    of_a, of_b, of_c = (set(table["id"][table["split"] == "train"]) for table in fits)
    assert rows["id"][1] not in of_a
    assert rows["id"][0] not in of_b
    assert {rows["id"][0], rows["id"][1]} <= of_c


def test_a_share_validates_of_what_selects_by_it(scores):
    drawn = draws(categories(scores.index), SPLIT, folds=2, seeds=1, by="category")
    table = drawn[1].table(categories(scores.index), val=0.2)
    assert table["split"].value_counts().to_dict() == {"train": 19, "test": 13, "val": 8}
    assert "b" not in set(table["category"][table["split"] == "val"])


@pytest.mark.parametrize(
    ("category", "said"),
    [
        (pd.NA, "40 of 40 rows have no category"),
        ("animal", "at least 2 categories, to train on the others; all 40 rows are animal"),
    ],
)
def test_categories_that_cannot_be_left_out(scores, category, said):
    rows = scores.index.assign(category=pd.array([category] * 40, "string"))
    with pytest.raises(DataError, match=said):
        draws(rows, SPLIT, folds=2, seeds=1, by="category")


# Compared


def out_of_fold(noise, *, seed=0, n=200):
    rng = np.random.default_rng(seed)
    score = np.random.default_rng(99).uniform(0.3, 0.9, n)
    table = pd.DataFrame({"id": [f"demo/{i:03d}.jpg" for i in range(n)], "score": score})
    return table.assign(**{f"seed_{k}": score + rng.normal(0, noise, n) for k in range(2)})


def test_tables_without_predictions_are_refused():
    empty = out_of_fold(0.1).filter(regex="^(id|score)$")
    with pytest.raises(DataError, match="a: no column seed_N"):
        gains.paired("a", empty, "b", empty, made("ridge"), EVALUATE, seed=0)


def test_a_gain_is_of_the_mean_predictions_with_its_interval():
    good, poor = out_of_fold(0.1), out_of_fold(0.4, seed=1)
    pairs = gains.paired("good", good, "poor", poor, made("ridge"), EVALUATE, seed=0)
    rho = [
        score_measures.spearman(table["score"], table[["seed_0", "seed_1"]].mean(axis=1))
        for table in (good, poor)
    ]
    line = pairs.set_index("measure").loc["spearman"]
    assert line["difference"] == pytest.approx(rho[0] - rho[1], abs=1e-6)
    assert 0 < line["low"] < line["difference"] < line["high"]
    assert list(pairs["measure"]) == ["spearman", "mse"]
    assert pairs.loc[1, "difference"] < 0
    said = gains.text(pairs, good)
    assert said[0].startswith(
        "  good less poor: paired over 200 items, each prediction the mean of 2 fold seeds"
    )
    assert said[1].split()[:2] == ["spearman", f"{line['difference']:+.4f}"]


def test_correlations_of_a_model_that_ranks_are_of_its_rankings():
    good, poor = out_of_fold(0.1), out_of_fold(0.4, seed=1)
    ranks = good["score"].rank() / len(good)
    ranking = poor.assign(ranking_0=ranks, ranking_1=ranks)
    pairs = gains.paired("ranking", ranking, "good", good, made("ridge"), EVALUATE, seed=0)
    line = pairs.set_index("measure")
    rho = score_measures.spearman(good["score"], good[["seed_0", "seed_1"]].mean(axis=1))
    assert line.loc["spearman", "difference"] == pytest.approx(1 - rho, abs=1e-6)
    assert line.loc["mse", "difference"] > 0  # of its scores, which are poor
    assert "the mean of 2 fold seeds" in gains.text(pairs, ranking)[0]


def test_fold_seeds_have_any_number():
    good, poor = (
        table.rename(columns={"seed_0": "seed_3", "seed_1": "seed_4"})
        for table in (out_of_fold(0.1), out_of_fold(0.4, seed=1))
    )
    pairs = gains.paired("good", good, "poor", poor, made("ridge"), EVALUATE, seed=0)
    assert "the mean of 2 fold seeds" in gains.text(pairs, good)[0]
    with pytest.raises(
        DataError, match=r"2 fold seeds \(seed_3, seed_4\); poor has 200 and 2 \(seed_0, seed_1\)"
    ):
        gains.paired("good", good, "poor", out_of_fold(0.4), made("ridge"), EVALUATE, seed=0)


@pytest.mark.parametrize("changed", ["items", "scores", "seeds"])
def test_what_is_not_of_the_same_folds_is_not_compared(changed):
    own, theirs = out_of_fold(0.1), out_of_fold(0.4, seed=1)
    if changed == "items":
        theirs = theirs.iloc[1:]
    elif changed == "seeds":
        theirs = theirs.drop(columns="seed_1")
    else:
        theirs = theirs.assign(score=theirs["score"] / 2)
    with pytest.raises(DataError, match=r"poor has .*run it again"):
        gains.paired("good", own, "poor", theirs, made("ridge"), EVALUATE, seed=0)


# Stopped


class Stop(Exception):
    """What interrupts a run here."""


def stop_at(monkeypatch, world, tmp_path, at, **changes):
    """Runs until the fit of that number begins."""
    calls, train = count(1), folds.train

    def stopping(*arguments):
        if next(calls) == at:
            raise Stop
        train(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(folds, "train", stopping)
        validate(world, tmp_path, **changes)


def test_finished_folds_are_not_fitted_again(scores, tmp_path, monkeypatch, fits):
    expected = validate(scores, tmp_path)
    fits.clear()
    stop_at(monkeypatch, scores, tmp_path, 4)
    stop_at(monkeypatch, scores, tmp_path, 3)
    assert len(fits) == 5
    found = validate(scores, tmp_path)
    assert len(fits) == 8
    pd.testing.assert_frame_equal(
        crossval.predictions(found), crossval.predictions(expected), check_exact=True
    )


@pytest.mark.parametrize("file", ["predictions.csv", "sealed.json"])
def test_a_fold_that_was_damaged_since_is_fitted_again(scores, tmp_path, monkeypatch, fits, capsys, file):
    expected = validate(scores, tmp_path)
    stop_at(monkeypatch, scores, tmp_path, 6)
    fits.clear()
    path = tmp_path / "crossval" / "0-2" / file
    path.write_text(path.read_text(errors="replace").replace("0.", "1.", 1)[:-1], errors="replace")
    found = validate(scores, tmp_path)
    assert len(fits) == 8 - 5 + 1
    assert "damaged since an interrupted run left it" in capsys.readouterr().out
    pd.testing.assert_frame_equal(crossval.predictions(found), crossval.predictions(expected))


def test_more_seeds_go_on_from_fewer(scores, tmp_path, monkeypatch, fits):
    stop_at(monkeypatch, scores, tmp_path, 6)
    validate(scores, tmp_path, seeds=3)
    assert len(fits) == 12


@pytest.mark.parametrize("changed", ["params", "folds", "split", "data", "features", "compute"])
def test_folds_of_something_else_are_not_used(scores, tmp_path, monkeypatch, fits, changed):
    stop_at(monkeypatch, scores, tmp_path, 4)
    fits.clear()
    options: dict[str, Any] = {
        "params": {"alphas": [7.0]},
        "folds": {"folds": 3},
        "split": {"split": SPLIT.model_copy(update={"near_duplicate_bits": 2})},
        "data": {"rows": scores.index.assign(score=scores.index["score"] / 2)},
        "compute": {"compute": replace(COMPUTE, seed=1)},
    }.get(changed, {})
    if changed == "features":
        where = scores.paths("ridge", "crossval")
        other = shutil.copytree(where.input, tmp_path / "features")
        (other / "config.json").write_text('{"layer": "another"}')
        options = {"paths": replace(where, input=other)}
    validate(scores, tmp_path, **options)
    assert len(fits) == (6 if changed == "folds" else 8)


def test_two_at_once(scores, tmp_path):
    with states.unfinished(tmp_path / "crossval"), pytest.raises(StateError, match="another process"):
        validate(scores, tmp_path)


def test_the_text_has_mean_spread_and_range():
    measured = pd.DataFrame({"fold_seed": [0, 0, 0], "fold": ["0", "1", POOLED], "n": [5, 5, 10]}).assign(
        spearman=[0.2, 0.4, 0.25], mse=[0.01, 0.03, 0.02]
    )
    assert [line.split() for line in crossval_text.text("ridge", measured).splitlines()] == [
        ["ridge"],
        ["2", "folds,", "each", "by", "itself"],
        ["spearman", "mean", "0.3000", "SD", "0.1414", "0.2000", "to", "0.4000"],
        ["mse", "mean", "0.0200", "SD", "0.0141", "0.0100", "to", "0.0300"],
        ["out-of-fold", "predictions", "pooled,", "1", "fold", "seeds"],
        ["spearman", "mean", "0.2500", "only", "one", "0.2500", "to", "0.2500"],
        ["mse", "mean", "0.0200", "only", "one", "0.0200", "to", "0.0200"],
    ]


def test_constant_predictions_reach_nothing_and_are_told_all_the_same(scores, tmp_path):
    counted = scores.index.assign(hits=np.arange(len(scores.index)) % 30, responses=40)
    parts = pd.Series(["train", "train", "val", "test"] * 10, dtype="string")
    published = SPLIT.model_copy(update={"method": "published"})
    tested = validate(scores, tmp_path, "mean", rows=counted.assign(split=parts), split=published)
    lines = crossval_text.lines(
        "mean", measures(tested, "images"), tested, made("mean"), EVALUATE, by="fold", seed=0
    )
    (people,) = [line for line in lines if "people" in line]
    assert "attainable" in people
    assert "reaches" not in people
