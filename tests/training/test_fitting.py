"""Any family is fitted on a split from generated raw data, and predicts every row of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_world
import torch
from small_world import ARCH, BLOCKS, COMPUTE, TRANSFORM, place, settings

from memorability.core import states
from memorability.core.errors import BackboneError, DataError, ParamsError, StateError, TrainingError
from memorability.core.files import read_json
from memorability.data import tables
from memorability.evaluation import metrics
from memorability.features import backbones
from memorability.features.inputs import Pictures
from memorability.predict.predictor import Predictor
from memorability.training import artifacts, fitting


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def outside_dvc(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """30 pictures as raw data, split, with features of a small random backbone."""
    made = small_world.make(tmp_path_factory.mktemp("world"), pictures=30)
    small_world.add_features(made)
    return made


def fit(world, family, rows=None, *, name=None, where=None, compute=COMPUTE, **changes):
    """Fits a model called `name`; returns its predictions."""
    where = where or place(world, family, name or family)
    fitting.fit(settings(family, **changes), world.rows if rows is None else rows, where, compute)
    return tables.read(where.predictions)


@pytest.fixture(scope="module")
def fitted(world):
    """Each family fitted once, on demand."""
    done = {}

    def fitted(family):
        if family not in done:
            done[family] = fit(world, family)
        return done[family]

    return fitted


@pytest.mark.parametrize("family", BLOCKS)
def test_every_row_is_predicted(world, fitted, family):
    found = fitted(family)
    assert list(found.columns) == ["id", "split", "score", "prediction"]
    assert found[["id", "split", "score"]].equals(world.rows[["id", "split", "score"]])
    assert np.isfinite(found["prediction"].to_numpy(float)).all()
    assert found["prediction"].nunique() == 1 if family == "mean" else found["prediction"].nunique() > 20


@pytest.mark.parametrize("family", BLOCKS)
def test_the_model_says_what_it_was_made_of(world, fitted, family):
    fitted(family)
    config, arrays = artifacts.load(world.root / "models" / family)
    assert config["settings"] == settings(family).model_dump(mode="json")
    assert ("features" in config) == (family in ("ridge", "svr"))
    assert ("shape" in config) == (family in ("memnet", "resmem"))
    assert (config.get("backbone") is not None) == (family == "resmem")
    if family == "resmem":
        assert config["backbone"] == read_json(world.backbone / "config.json")
        assert any(name.startswith("features.") for name in arrays)
    assert not (world.root / "states" / family).exists()


@pytest.mark.parametrize("family", ["mean", "ridge", "memnet", "resmem"])
def test_the_model_alone_gives_the_same_scores_from_the_files(world, fitted, family, tmp_path):
    expected = fitted(family)
    pictures = Pictures(world.rows, world.root / "raw")
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for i, path in enumerate(paths):
        pictures.picture(i).save(path)
    scores = Predictor(world.root / "models" / family, device="cpu").predict(paths)
    assert [score.path for score in scores] == paths
    assert np.allclose([score.score for score in scores], expected["prediction"], atol=1e-5)


@pytest.mark.parametrize("family", BLOCKS)
def test_history_is_of_validation(world, fitted, family):
    found = fitted(family)
    history = tables.read(world.root / "history" / family / "history.csv")
    val = found[found["split"] == "val"]
    gradient = family in ("memnet", "resmem")
    assert list(history["epoch"]) == list(range(settings(family).epochs if gradient else 1))
    assert ("train_loss" in history) == gradient
    measured = metrics.measure(val["score"].to_numpy(float), val["prediction"].to_numpy(float))
    best = history["val_spearman"].fillna(-1).idxmax()
    assert history["val_mse"][best] == pytest.approx(measured["mse"], rel=1e-5)


def arrays_of(world, name):
    return artifacts.load(world.root / "models" / name)[1]


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", BLOCKS)
def test_test_rows_never_reach_the_model(world, fitted, family):
    expected = fitted(family)
    test = world.rows["split"] == "test"
    rows = world.rows.copy()
    rows.loc[test, "score"] = np.linspace(0, 1, test.sum())
    found = fit(world, family, rows, name=f"{family}-test")
    assert same(arrays_of(world, f"{family}-test"), arrays_of(world, family))
    assert found["prediction"].equals(expected["prediction"])


@pytest.mark.parametrize("family", ["ridge", "memnet"])
def test_the_model_is_the_same_without_any_test_row(world, fitted, family):
    fitted(family)
    fit(world, family, world.rows[world.rows["split"] != "test"], name=f"{family}-fewer")
    assert same(arrays_of(world, f"{family}-fewer"), arrays_of(world, family))


@pytest.mark.parametrize("family", ["mean", "ridge", "svr"])
def test_validation_rows_never_reach_a_closed_form(world, fitted, family):
    fitted(family)
    rows = world.rows.assign(split=world.rows["split"].replace("val", "test"))
    fit(world, family, rows, name=f"{family}-val")
    assert same(arrays_of(world, f"{family}-val"), arrays_of(world, family))


@pytest.mark.parametrize("family", ["mean", "ridge", "svr", "memnet"])
def test_train_rows_do_reach_the_model(world, fitted, family):
    fitted(family)
    rows = world.rows.copy()
    rows.loc[rows["split"] == "train", "score"] *= 0.5
    fit(world, family, rows, name=f"{family}-train")
    assert not same(arrays_of(world, f"{family}-train"), arrays_of(world, family))


@pytest.mark.parametrize("family", ["ridge", "memnet"])
def test_unlabelled_rows_are_predicted_without_a_score(world, fitted, family):
    expected = fitted(family)
    rows = world.rows.copy()
    rows.loc[rows["split"] == "test", ["score", "split"]] = [np.nan, "unlabelled"]
    found = fit(world, family, rows, name=f"{family}-unlabelled")
    assert found["prediction"].equals(expected["prediction"])


def test_the_seed_decides(world, fitted):
    fitted("memnet")
    for name, seed in (("again", 0), ("other", 1)):
        fit(world, "memnet", name=name, compute=replace(COMPUTE, seed=seed))
    assert same(arrays_of(world, "again"), arrays_of(world, "memnet"))
    assert not same(arrays_of(world, "other"), arrays_of(world, "memnet"))


def test_resmem_keeps_the_weights_of_its_backbone(world, fitted):
    fitted("resmem")
    inner = backbones.load(world.backbone, head=True)[0].state_dict()
    arrays = arrays_of(world, "resmem")
    for name, value in inner.items():
        assert np.array_equal(arrays[f"features.{name}"].reshape(value.shape), value.numpy())


def test_mixed_precision(world):
    found = fit(world, "memnet", name="mixed", compute=replace(COMPUTE, precision="bf16-mixed"), epochs=1)
    assert found["prediction"].between(0, 1).all()
    assert all(value.dtype in (np.float32, np.int64) for value in arrays_of(world, "mixed").values())


def test_of_several_processes_the_first_alone_fits_a_closed_form(world, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    where = place(world, "ridge", "second")
    assert fitting.fit(settings("ridge"), world.rows, where, COMPUTE) is None
    assert not any(path.exists() for path in (where.model, where.predictions, where.history))


@pytest.mark.parametrize("family", ["mean", "memnet"])
def test_no_row_to_train_on(world, family):
    rows = world.rows[world.rows["split"] != "train"]
    with pytest.raises(TrainingError, match="no row of the images split is 'train'"):
        fit(world, family, rows, name="none")
    assert not (world.root / "models" / "none").exists()
    assert not (world.root / "predictions" / "none.csv").exists()


def test_no_row_to_validate_on(world):
    rows = world.rows[world.rows["split"] != "val"]
    with pytest.raises(TrainingError, match="received 15 and 0"):
        fit(world, "memnet", rows, name="none")
    assert fit(world, "mean", rows, name="mean-alone")["prediction"].nunique() == 1


def test_features_that_are_none(world):
    where = replace(place(world, "ridge", name="none"), input=world.root / "raw")
    with pytest.raises(ParamsError, match=r"ridge reads features; input .*raw holds none"):
        fit(world, "ridge", where=where)


def test_features_that_lack_a_picture(world):
    rows = world.rows.copy()
    rows.loc[3, "id"] = "demo/new.jpg"
    with pytest.raises(DataError, match=r"features: nothing for 1 of 30 ids, such as demo/new\.jpg"):
        fit(world, "ridge", rows, name="none")


def test_resmem_needs_a_backbone_with_logits(world, tmp_path):
    with pytest.raises(ParamsError, match="resmem needs a backbone"):
        fit(world, "resmem", where=replace(place(world, "resmem", "none"), backbone=None))
    state = backbones.load(world.backbone, head=True)[0].state_dict()
    headless = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    backbones.save(tmp_path / "b", arch=ARCH, state=headless, transform=TRANSFORM, source="file")
    with pytest.raises(BackboneError, match="no last layers"):
        fit(world, "resmem", where=replace(place(world, "resmem", "none"), backbone=tmp_path / "b"))


def test_a_crop_too_small_for_the_network(world):
    with pytest.raises(ParamsError, match="crop: 40 pixels are too few"):
        fit(world, "memnet", name="none", crop=40)


def test_a_network_larger_than_the_memory(world):
    with pytest.raises(TrainingError, match=r"lower one of batch_size \(8\), .*, hidden \(1000000000\), or"):
        fit(world, "memnet", name="none", hidden=10**9)


def test_a_model_that_is_being_fitted_elsewhere(world):
    where = place(world, "memnet", "busy")
    with states.unfinished(where.state), pytest.raises(StateError, match="busy: another process is at this"):
        fit(world, "memnet", where=where)
