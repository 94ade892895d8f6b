"""Any family is fitted on a split from generated raw data, and predicts every row of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds
from worlds import ARCH, COMPUTE, SCORES, TRANSFORM, made

from memorability.core import states
from memorability.core.errors import BackboneError, DataError, ParamsError, StateError, TrainingError
from memorability.data.known import Known, across
from memorability.evaluation import scores
from memorability.families import memnet, ridge
from memorability.features import backbones
from memorability.features.inputs import Pictures
from memorability.predict.predictor import Predictor
from memorability.training import artifacts, loop


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """30 pictures as raw data, split, with features of a small random backbone."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 30)
    worlds.extract_features(world)
    return world


@pytest.fixture(scope="module")
def fitted(world):
    """Each family fitted once, on demand."""
    done = {}

    def fitted(family):
        if family not in done:
            done[family] = world.fit(family)
        return done[family]

    return fitted


every = pytest.mark.parametrize("family", SCORES)


@every
def test_every_row_is_predicted(world, fitted, family):
    found = fitted(family).table
    assert list(found.columns) == ["id", "split", "score", "prediction"]
    assert found[["id", "split", "score"]].equals(world.rows[["id", "split", "score"]])
    assert np.isfinite(found["prediction"].to_numpy(float)).all()
    assert found["prediction"].nunique() == 1 if family == "mean" else found["prediction"].nunique() > 20


@every
def test_the_model_says_what_it_was_made_of(world, fitted, family):
    config = fitted(family).config
    assert config.settings == made(family).model_dump(mode="json")
    assert (config.features is not None) == (family in ("ridge", "svr"))
    assert config.shape == ((3, 67, 67) if family in ("memnet", "resmem") else ())
    assert (config.backbone is not None) == (family == "resmem")
    if family == "resmem":
        assert config.backbone == backbones.load(world.backbone, head=True).config
        assert any(name.startswith("features.") for name in fitted(family).arrays)
    assert not fitted(family).where.state.exists()


@pytest.mark.parametrize("family", ["mean", "ridge", "memnet", "resmem"])
def test_the_model_alone_gives_the_same_scores_from_the_files(world, fitted, family, tmp_path):
    expected = fitted(family).table
    pictures = Pictures(world.rows, world.root / "raw")
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for i, path in enumerate(paths):
        pictures.picture(i).save(path)
    scores = Predictor(world.root / "models" / family, device="cpu").predict(paths)
    assert [score.path for score in scores] == paths
    assert np.allclose([score.score for score in scores], expected["prediction"], atol=1e-5)


@every
def test_history_is_of_validation(fitted, family):
    found, history = fitted(family).table, fitted(family).history
    val = found[found["split"] == "val"]
    gradient = family in ("memnet", "resmem")
    assert list(history["epoch"]) == list(range(made(family).epochs if gradient else 1))
    assert ("train_loss" in history) == gradient
    measured = scores.measure(val["score"].to_numpy(float), val["prediction"].to_numpy(float))
    best = history["val_spearman"].fillna(-1).idxmax()
    assert history["val_mse"][best] == pytest.approx(measured["mse"], rel=1e-5)


def same(one, other):
    """The arrays of two models, to the bit."""
    one, other = one.arrays, other.arrays
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@every
def test_test_rows_never_reach_the_model(world, fitted, family):
    expected = fitted(family)
    test = world.rows["split"] == "test"
    rows = world.rows.copy()
    rows.loc[test, "score"] = np.linspace(0, 1, test.sum())
    found = world.fit(family, f"{family}-test", rows=rows)
    assert same(found, expected)
    assert found.table["prediction"].equals(expected.table["prediction"])


@pytest.mark.parametrize("family", ["ridge", "memnet"])
def test_the_model_is_the_same_without_any_test_row(world, fitted, family):
    rows = world.rows[world.rows["split"] != "test"]
    assert same(world.fit(family, f"{family}-fewer", rows=rows), fitted(family))


@pytest.mark.parametrize("family", ["mean", "ridge", "svr"])
def test_validation_rows_never_reach_a_closed_form(world, fitted, family):
    rows = world.rows.assign(split=world.rows["split"].replace("val", "test"))
    assert same(world.fit(family, f"{family}-val", rows=rows), fitted(family))


@pytest.mark.parametrize("family", ["mean", "ridge", "svr", "memnet"])
def test_train_rows_do_reach_the_model(world, fitted, family):
    rows = world.rows.copy()
    rows.loc[rows["split"] == "train", "score"] *= 0.5
    assert not same(world.fit(family, f"{family}-train", rows=rows), fitted(family))


@pytest.mark.parametrize("family", ["ridge", "memnet"])
def test_unlabelled_rows_are_predicted_without_a_score(world, fitted, family):
    rows = world.rows.copy()
    rows.loc[rows["split"] == "test", ["score", "split"]] = [np.nan, "unlabelled"]
    found = world.fit(family, f"{family}-unlabelled", rows=rows)
    assert found.table["prediction"].equals(fitted(family).table["prediction"])


def test_a_closed_form_is_told_the_groups_of_what_it_is_fitted_on(world, monkeypatch):
    told, plain = [], ridge.fit
    monkeypatch.setattr(ridge, "fit", lambda *a, groups: told.append(groups) or plain(*a, groups=groups))
    rows = world.rows.assign(group=np.arange(len(world.rows))[::-1] // 3)
    world.fit("ridge", "groups", rows=rows)
    assert np.array_equal(told[0], rows["group"][rows["split"] == "train"])


# Evidence.


@every
def test_evidence_is_of_validation_and_of_what_was_seen(world, fitted, family):
    """Residuals follow from the table of predictions; the hashes are those of train and val."""
    table, evidence = fitted(family).table, artifacts.evidence(fitted(family).where.model)
    val = table[table["split"] == "val"]
    assert evidence.residuals == pytest.approx((val["score"] - val["prediction"]).to_numpy(float), abs=1e-6)
    seen = Known(evidence.phashes, evidence.contents)
    assert seen.holds(world.rows[world.rows["split"] != "test"]).all()
    assert not seen.holds(world.rows[world.rows["split"] == "test"]).any()


def test_what_a_model_has_seen_is_what_its_report_counts(world, fitted):
    """Of a published split, in which a test picture is a copy of one in train."""
    rows, first = world.rows.copy(), {}
    first = {split: rows.index[rows["split"] == split][0] for split in ("train", "test")}
    rows.loc[first["test"], ["phash", "content"]] = rows.loc[first["train"], ["phash", "content"]].to_numpy()
    evidence = artifacts.evidence(world.fit("mean", "twins", rows=rows).where.model)
    test = rows[rows["split"] == "test"]
    found = test["id"][Known(evidence.phashes, evidence.contents).holds(test)]
    assert set(found) == across(rows) == {rows["id"][first["test"]]}


def test_no_row_to_validate_on_leaves_no_residual(world):
    rows = world.rows[world.rows["split"] != "val"]
    evidence = artifacts.evidence(world.fit("mean", "no-val", rows=rows).where.model)
    assert len(evidence.residuals) == 0
    assert len(evidence.phashes) + len(evidence.contents) > 0


# Seeds.


def test_the_seed_decides(world, fitted):
    again = world.fit("memnet", "again")
    other = world.fit("memnet", "other", compute=replace(COMPUTE, seed=1))
    assert same(again, fitted("memnet"))
    assert not same(other, fitted("memnet"))


def test_a_model_may_have_a_seed_of_its_own(world, fitted):
    """It stands in for the seed of all, and changes nothing else."""
    own = world.fit("memnet", "own-seed", compute=replace(COMPUTE, seed=7), training_seed=0)
    assert same(own, fitted("memnet"))
    assert own.config.settings["training_seed"] == 0
    other = world.fit("memnet", "another-seed", training_seed=1)
    assert same(other, world.fit("memnet", "seed-of-all", compute=replace(COMPUTE, seed=1)))


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, "x"])
def test_a_seed_of_its_own_that_is_none(seed):
    with pytest.raises(ParamsError, match=r"models\.m\.training_seed: received"):
        made("memnet", training_seed=seed)


def test_the_first_weights_are_drawn_by_the_seed(world, monkeypatch):
    first, plain = [], memnet.build

    def build(*args, **options):
        net = plain(*args, **options)
        first.append(torch.cat([value.flatten() for value in net.state_dict().values()]))
        return net

    monkeypatch.setattr(memnet, "build", build)
    for name, seed in (("first-0", 0), ("first-1", 1), ("first-0-again", 0)):
        world.fit("memnet", name, compute=replace(COMPUTE, seed=seed), epochs=1)
    assert torch.equal(first[0], first[2])
    assert not torch.isclose(first[0], first[1]).float().mean() > 0.1


# What unfinished work depends on.


class Stop(Exception):
    pass


@pytest.fixture
def key_of(monkeypatch):
    """The key of a training's unfinished work, without the training."""
    keys = []

    @contextmanager
    def noted(folder, *parts, fabric):
        keys.append(states.key(*parts))
        raise Stop
        yield

    monkeypatch.setattr(loop, "shared_state", noted)

    def key_of(world, family="memnet", **options):
        with pytest.raises(Stop):
            world.fit(family, "key", **options)
        return keys[-1]

    return key_of


def swapped(rows, column, one="train", other="val"):
    """The rows with the values of a column exchanged between the last of one split and the last of another."""
    rows = rows.copy()
    places = [rows.index[rows["split"] == split][-1] for split in (one, other)]
    rows.loc[places, column] = rows.loc[places[::-1], column].to_numpy()
    return rows


def test_the_key_is_the_same_for_the_same_training(world, key_of):
    assert key_of(world) == key_of(world)
    assert key_of(world, rows=world.rows.assign(hits=1, category="x")) == key_of(world)  # of no network


@pytest.mark.parametrize("column", ["id", "sha256", "score", "split"])
def test_the_key_is_of_every_column_that_a_training_depends_on(world, key_of, column):
    assert key_of(world, rows=swapped(world.rows, column)) != key_of(world)


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 0.002},
        {"dropout": 0.25},
        {"training_seed": 3},
        {"compute": replace(COMPUTE, seed=1)},
        {"compute": replace(COMPUTE, threads=2)},
        {"compute": replace(COMPUTE, precision="bf16-mixed")},
        {"compute": replace(COMPUTE, compiled=True)},
    ],
    ids=repr,
)
def test_the_key_is_of_settings_and_of_how_it_is_computed(world, key_of, changes):
    assert key_of(world, **changes) != key_of(world)


def test_the_key_is_of_the_weights_of_the_backbone(world, key_of, tmp_path):
    before = key_of(world, "resmem")
    where = replace(world.paths("resmem"), models=tmp_path)
    torch.manual_seed(9)
    state = backbones.build(ARCH, classes=4).state_dict()
    backbones.save(tmp_path / "small", arch=ARCH, state=state, transform=TRANSFORM, source="file")
    assert key_of(world, "resmem", where=where) != before


# Whole fits that are not the plain one.


def test_resmem_keeps_the_weights_of_its_backbone(world, fitted):
    inner = backbones.load(world.backbone, head=True)[0].state_dict()
    arrays = fitted("resmem").arrays
    for name, value in inner.items():
        assert np.array_equal(arrays[f"features.{name}"].reshape(value.shape), value.numpy())


def test_mixed_precision(world):
    found = world.fit("memnet", "mixed", compute=replace(COMPUTE, precision="bf16-mixed"), epochs=1)
    assert found.table["prediction"].between(0, 1).all()
    assert all(value.dtype in (np.float32, np.int64) for value in found.arrays.values())


def test_of_several_processes_the_first_alone_fits_a_closed_form(world, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    where = world.fit("ridge", "second").where
    assert not where.model.exists()
    assert not where.predictions.exists()


@pytest.mark.parametrize("family", ["mean", "memnet"])
def test_no_row_to_train_on(world, family):
    rows = world.rows[world.rows["split"] != "train"]
    with pytest.raises(TrainingError, match="no row of the images split is 'train'"):
        world.fit(family, "none", rows=rows)
    where = world.paths(family, "none")
    assert not where.model.exists()
    assert not where.predictions.exists()


def test_no_row_to_validate_on(world):
    rows = world.rows[world.rows["split"] != "val"]
    with pytest.raises(TrainingError, match="received 15 and 0"):
        world.fit("memnet", "none", rows=rows)
    assert world.fit("mean", "mean-alone", rows=rows).table["prediction"].nunique() == 1


def test_features_that_are_none(world):
    where = replace(world.paths("ridge", "none"), input=world.root / "raw")
    with pytest.raises(ParamsError, match=r"ridge reads features; input .*raw holds none"):
        world.fit("ridge", where=where)


def test_features_that_lack_a_picture(world):
    rows = world.rows.copy()
    rows.loc[3, "id"] = "demo/new.jpg"
    with pytest.raises(DataError, match=r"features: nothing for 1 of 30 ids, such as demo/new\.jpg"):
        world.fit("ridge", "none", rows=rows)


def test_resmem_needs_a_backbone_with_logits(world, tmp_path):
    with pytest.raises(ParamsError, match="resmem needs a backbone"):
        world.fit("resmem", "none", backbone="none")
    state = backbones.load(world.backbone, head=True)[0].state_dict()
    headless = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    backbones.save(tmp_path / "small", arch=ARCH, state=headless, transform=TRANSFORM, source="file")
    with pytest.raises(BackboneError, match="no last layers"):
        world.fit("resmem", where=replace(world.paths("resmem", "none"), models=tmp_path))


def test_a_crop_too_small_for_the_network(world):
    with pytest.raises(ParamsError, match="crop: 40 pixels are too few"):
        world.fit("memnet", "none", crop=40)


def test_a_network_larger_than_the_memory(world):
    with pytest.raises(TrainingError, match=r"lower one of batch_size \(8\), .*, hidden \(1000000000\), or"):
        world.fit("memnet", "none", hidden=10**9)


def test_a_model_that_is_being_fitted_elsewhere(world):
    where = world.paths("memnet", "busy")
    with states.unfinished(where.state), pytest.raises(StateError, match="busy: another process is at this"):
        world.fit("memnet", where=where)
