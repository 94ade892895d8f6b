"""Whole fits of every family of maps, from pairs on disk: what is learnt from, chosen by, and written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from map_world import (
    BLOCKS,
    COMPUTE,
    GRADIENT,
    SIZE,
    TRANSFORM,
    made,
    make,
    network,
    place,
    written,
)

from memorability import families
from memorability.core.errors import DataError, ParamsError, TrainingError
from memorability.data import tables
from memorability.evaluation import map_metrics
from memorability.families import palette, unet
from memorability.features import backbones
from memorability.media import maps
from memorability.training import artifacts, fitting

LOSSES = {
    "unet": {"loss", "l1"},
    "pix2pix": {"loss", "adversarial", "discriminator", "wins", "l1"},
    "wgan": {"critic", "distance", "wins", "l1", "loss", "adversarial"},
    "palette": {"loss"},
}


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
    return make(tmp_path_factory.mktemp("world"))


def fit(world, family, name, *, rows=None, compute=COMPUTE, where=None, **changes):
    """Fits a model; returns where it lies."""
    where = where or place(world, family, name)
    fitting.fit(made(family, **changes), world.rows if rows is None else rows, where, compute)
    return where


@pytest.fixture(scope="module")
def fitted(world):
    """Each family fitted once, on demand: where it lies."""
    done = {}

    def fitted(family):
        if family not in done:
            done[family] = fit(world, family, family)
        return done[family]

    return fitted


def true_maps(world, ids):
    return maps.truth(world.root / "raw", list(ids), size=SIZE)


# What is written


@pytest.mark.parametrize("family", BLOCKS)
def test_predictions_are_of_the_rows_in_their_order(world, fitted, family):
    table, found = maps.read_predictions(fitted(family).predictions)
    assert list(table.columns) == ["id", "split"]
    assert table.equals(world.rows[["id", "split"]])  # under TRAIN_MAPS there are all of train, too
    assert found.shape == (len(table), 3, SIZE, SIZE)
    assert found.min() >= 0
    assert found.max() <= 1
    kept = np.load(fitted(family).predictions.with_name(maps.ARRAYS))
    assert kept.dtype == np.float16
    same = (found == found[:1]).all()
    assert same == (family == "mean")


@pytest.mark.parametrize("family", ["mean", "place_ridge", "unet"])
def test_some_of_train_are_predicted_always_the_same(world, monkeypatch, family):
    monkeypatch.setattr(fitting, "TRAIN_MAPS", 5)
    where = fit(world, family, f"{family}-some")
    table, found = maps.read_predictions(where.predictions)
    assert len(found) == len(table)
    train = world.rows.index[world.rows["split"] == "train"]
    some = train[np.linspace(0, len(train) - 1, 5).round().astype(int)]
    rows = world.rows[world.rows["split"].isin(["val", "test"]) | world.rows.index.isin(some)]
    assert list(table["id"]) == list(rows["id"])
    assert table["split"].value_counts()["train"] == 5


@pytest.mark.parametrize("family", BLOCKS)
def test_the_model_says_what_it_was_made_of(fitted, family):
    config, arrays = artifacts.load(fitted(family).model)
    assert config["settings"] == made(family).model_dump(mode="json")
    assert (config.get("shape"), config.get("channels")) == (
        ([3, SIZE, SIZE], 3) if family in GRADIENT else (None, None)
    )
    assert ("features" in config) == (family == "place_ridge")
    assert all(np.isfinite(values).all() for values in arrays.values())
    assert not fitted(family).state.exists()


@pytest.mark.parametrize("family", GRADIENT)
def test_predictions_are_those_of_the_model(world, fitted, family):
    config, arrays = artifacts.load(fitted(family).model)
    settings = made(family)
    net = families.load(family).build(
        settings, shape=(3, SIZE, SIZE), backbone=None, channels=config["channels"]
    )
    net.load_state_dict({name: torch.from_numpy(values) for name, values in arrays.items()})
    table, found = maps.read_predictions(fitted(family).predictions)
    from memorability.features.inputs import Pictures
    from memorability.media.pictures import stretch

    pictures = Pictures(world.rows, world.root / "raw")
    x = np.stack([stretch(pictures.picture(i), size=SIZE) for i in range(len(table))])
    with torch.inference_mode():
        again = families.load(family).predict(
            settings, net.eval(), {"x": torch.from_numpy(x).float().div(255)}
        )
    assert np.allclose(again.numpy(), found, atol=2e-3)


@pytest.mark.parametrize("family", BLOCKS)
def test_history_has_the_measures_of_every_epoch(world, fitted, family):
    history = tables.read(fitted(family).history / "history.csv")
    measured = {f"val_{name}" for name in ("l1", "mse", "cc", "spearman", "kl", "variety")}
    losses = {f"train_{name}" for name in LOSSES.get(family, ())} | ({"lr"} if family in GRADIENT else set())
    assert set(history.columns) == {"epoch"} | measured | losses
    assert list(history["epoch"]) == list(range(2 if family in GRADIENT else 1))
    assert np.isfinite(history.drop(columns=["val_cc", "val_spearman"]).to_numpy(float)).all()
    table, found = maps.read_predictions(fitted(family).predictions)
    val = (table["split"] == "val").to_numpy()
    expected = map_metrics.measure(true_maps(world, table["id"][val]), found[val])
    best = history["val_l1"].idxmin()
    assert history["val_l1"][best] == pytest.approx(expected["l1"], abs=1e-3)
    assert history["val_kl"][best] == pytest.approx(expected["kl"], abs=0.02)


@pytest.mark.parametrize("family", BLOCKS)
def test_the_same_seed_gives_the_same_bytes(world, fitted, family):
    again = fit(world, family, f"{family}-again")
    one, other = written(fitted(family)), written(again)
    names = {name.split("/")[1] for name in one}
    assert {"config.json", "model.safetensors", "predictions.csv", "maps.npy", "history.csv"} == names
    assert one == other


@pytest.mark.parametrize("family", GRADIENT)
def test_another_seed_gives_another_model(world, fitted, family):
    other = fit(world, family, f"{family}-other", compute=replace(COMPUTE, seed=1))
    assert not np.array_equal(np.load(other.predictions.with_name(maps.ARRAYS)), found_of(fitted(family)))


def found_of(where):
    return np.load(where.predictions.with_name(maps.ARRAYS))


# What is learnt from


@pytest.mark.parametrize("family", ["mean", "place_ridge", "unet", "palette"])
def test_unlabelled_pictures_are_left_out(world, family):
    rows = world.rows.copy()
    rows["map"] = rows["map"].mask(rows.index.isin([0, 5, 9]))
    rows["split"] = rows["split"].mask(rows.index == 5, "unlabelled")
    where = fit(world, family, f"{family}-unlabelled", rows=rows)
    table, _ = maps.read_predictions(where.predictions)
    assert list(table["id"]) == list(rows["id"].drop([0, 5, 9]))
    # They teach nothing either: as if they were not there.
    fewer = fit(world, family, f"{family}-fewer", rows=rows.drop([0, 5, 9]))
    assert np.array_equal(found_of(where), found_of(fewer))


@pytest.mark.parametrize("family", BLOCKS)
def test_maps_of_test_never_reach_the_model(world, fitted, family):
    rows = world.rows[world.rows["split"] != "test"]
    where = fit(world, family, f"{family}-no-test", rows=rows)
    one, other = (artifacts.load(place.model)[1] for place in (fitted(family), where))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", BLOCKS)
def test_maps_of_train_do_reach_the_model(world, fitted, family, monkeypatch):
    plain = maps.truth
    monkeypatch.setattr(maps, "truth", lambda *a, **k: plain(*a, **k) // 2)
    where = fit(world, family, f"{family}-darker")
    assert found_of(where).mean() < found_of(fitted(family)).mean() or family in GRADIENT
    assert not np.array_equal(found_of(where), found_of(fitted(family)))


def test_closed_forms_learn(world, fitted):
    """Places' brightness says all there is to say, and the mean map says none of it."""
    table, found = maps.read_predictions(fitted("place_ridge").predictions)
    test = (table["split"] == "test").to_numpy()
    truth = true_maps(world, table["id"][test])
    ridge = map_metrics.measure(truth, found[test])
    mean = map_metrics.measure(truth, maps.read_predictions(fitted("mean").predictions)[1][test])
    assert ridge["cc"] > 0.75 > mean["cc"]
    assert ridge["l1"] < 0.7 * mean["l1"]


def test_no_row_to_train_or_to_validate_on(world):
    for split, text in (("train", "no row of the maps split is 'train'"), ("val", "received .* and 0")):
        with pytest.raises(TrainingError, match=text):
            fit(world, "unet", "none", rows=world.rows[world.rows["split"] != split])
    without = world.rows[world.rows["split"] != "val"]
    assert fit(world, "mean", "mean-no-val", rows=without).model.exists()


def test_raw_data_must_be_named(world):
    with pytest.raises(DataError, match="family mean: no raw data named to read true maps from"):
        fit(world, "mean", "none", where=replace(place(world, "mean", "none"), raw=None))


def test_features_must_be_of_places_of_whole_pictures(world, tmp_path):
    with pytest.raises(ParamsError, match=r"place_ridge reads features; input .*raw holds none"):
        fit(
            world,
            "place_ridge",
            "none",
            where=replace(place(world, "place_ridge", "none"), input=world.root / "raw"),
        )
    for name in ("ids.csv", "features.npy"):
        (tmp_path / name).write_bytes((world.root / "features" / name).read_bytes())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ParamsError, match=r"features of each place of whole pictures.*has \(24, 3, 6, 6\)"):
        fit(world, "place_ridge", "none", where=replace(place(world, "place_ridge", "none"), input=tmp_path))


@pytest.mark.parametrize("family", ["unet", "pix2pix", "palette"])
@pytest.mark.parametrize("channels", [1])
def test_maps_of_one_channel(tmp_path, family, channels):
    grey = make(tmp_path, channels=channels)
    where = fit(grey, family, family, epochs=1)
    assert found_of(where).shape[1:] == (channels, SIZE, SIZE)


# The best epoch

MEASURED = {"l1": (0.3, 0.1, 0.2), "cc": (0.9, 0.1, 0.2), "kl": (3.0, 2.0, 1.0), "mse": (0.2, 0.1, 0.3)}


@pytest.mark.parametrize(("select", "best"), [("l1", 1), ("cc", 0), ("kl", 2), ("mse", 1)])
def test_the_best_epoch_is_chosen_by_the_named_measure(world, monkeypatch, select, best):
    predicted = []

    def measure(truth, prediction):
        predicted.append(prediction)
        return {name: values[len(predicted) - 1] for name, values in MEASURED.items()}

    monkeypatch.setattr(unet, "measure", measure)
    where = fit(world, "unet", f"by-{select}", select=select, epochs=3, patience=9)
    table, found = maps.read_predictions(where.predictions)
    val = (table["split"] == "val").to_numpy()
    assert len(predicted) == 3
    closest = [np.abs(found[val] - epoch).max() for epoch in predicted]
    assert int(np.argmin(closest)) == best
    assert closest[best] < 1e-3


def test_training_ends_when_the_chosen_measure_gets_no_better(world, monkeypatch):
    seen = []
    monkeypatch.setattr(
        unet, "measure", lambda truth, prediction: seen.append(1) or {"l1": 0.1, "cc": -float(len(seen))}
    )
    fit(world, "unet", "patience", select="cc", epochs=9, patience=2)
    assert len(seen) == 3


def test_a_measure_that_does_not_exist_is_the_worst(world, monkeypatch):
    seen = []
    monkeypatch.setattr(
        unet, "measure", lambda truth, prediction: seen.append(1) or {"cc": None if len(seen) != 2 else -0.5}
    )
    where = fit(world, "unet", "none-measured", select="cc", epochs=3)
    assert len(tables.read(where.history / "history.csv")) == 3


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (None, 5), (99, 5)])
def test_some_of_validation_are_sampled_after_each_epoch_and_all_at_the_end(
    world, monkeypatch, count, expected
):
    rows, plain = [], palette.measure
    monkeypatch.setattr(palette, "measure", lambda t, p: rows.append((len(t), len(p), t)) or plain(t, p))
    where = fit(world, "palette", f"some-{count}", val_pictures=count)
    assert [row[:2] for row in rows] == [(expected, expected)] * 2
    assert np.array_equal(rows[0][2], rows[1][2])  # always the same ones
    table, _ = maps.read_predictions(where.predictions)
    assert (table["split"] == "val").sum() == (world.rows["split"] == "val").sum() == 5


# Precision, compiling, and losses that not every step has


@pytest.mark.parametrize("family", GRADIENT)
def test_mixed_precision(world, fitted, family):
    where = fit(world, family, f"{family}-mixed", compute=replace(COMPUTE, precision="bf16-mixed"))
    _, arrays = artifacts.load(where.model)
    assert {values.dtype for values in arrays.values()} <= {np.dtype(np.float32), np.dtype(np.int64)}
    found, exact = found_of(where).astype(float), found_of(fitted(family)).astype(float)
    assert np.isfinite(found).all()
    assert 0 < np.abs(found - exact).mean() < 0.1


@pytest.mark.parametrize("family", GRADIENT)
def test_networks_are_compiled_when_asked_to_be(world, fitted, family, monkeypatch):
    asked, compile = [], torch.compile
    # Wrapped as a compiled network is, and run as it stands: compiling takes long.
    monkeypatch.setattr(torch, "compile", lambda net, **k: asked.append(net) or compile(net, backend="eager"))
    torch.compiler.set_stance("force_eager")
    try:
        where = fit(world, family, f"{family}-compiled", compute=replace(COMPUTE, compiled=True))
    finally:
        torch.compiler.set_stance("default")
    assert asked
    one, other = (artifacts.load(place.model)[1] for place in (fitted(family), where))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert np.array_equal(found_of(where), found_of(fitted(family)))


def test_epochs_in_which_the_generator_never_learns(world):
    """Four steps of an epoch and a turn at every sixth: losses of the generator are not there in the first."""
    where = fit(world, "wgan", "seldom", n_critic=6, epochs=4)
    history = tables.read(where.history / "history.csv")
    assert len(history) == 4
    assert history["train_critic"].notna().all()
    steps = (world.rows["split"] == "train").sum() // 4
    turns = [any(turn % 6 == 0 for turn in range(e * steps + 1, (e + 1) * steps + 1)) for e in range(4)]
    assert turns[0] is False
    assert any(turns)
    assert list(history["train_loss"].notna()) == turns


def test_means_of_losses_are_over_the_steps_that_had_them(world, monkeypatch):
    from memorability.families import wgan

    lines, plain = [], wgan.step
    monkeypatch.setattr(wgan, "step", lambda *a: lines.append(plain(*a)) or lines[-1])
    where = fit(world, "wgan", "means", epochs=1)
    history = tables.read(where.history / "history.csv").iloc[0]
    for name in LOSSES["wgan"]:
        expected = np.mean([float(line[name]) for line in lines if name in line])
        assert history[f"train_{name}"] == pytest.approx(expected, rel=1e-5)


# A borrowed encoder


@pytest.mark.parametrize("encoder", ["frozen", "trained"])
def test_a_whole_fit_with_a_backbone(world, encoder):
    folder = world.root / "models" / f"backbone-{encoder}"
    state = network("squeezenet1_1").net.state_dict()
    headless = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    backbones.save(folder, arch="squeezenet1_1", state=headless, transform=TRANSFORM, source="file")
    where = place(world, "unet", f"borrowed-{encoder}", backbone=folder)
    fit(world, "unet", "", where=where, backbone="b", encoder=encoder, picture=64, epochs=1)
    config, arrays = artifacts.load(where.model)
    assert config["backbone"]["arch"] == "squeezenet1_1"
    assert config["shape"] == [3, 64, 64]
    inside = {name: values for name, values in arrays.items() if name.startswith("encoder.net.")}
    assert len(inside) > 10
    kept = [any(np.array_equal(values, value) for value in headless.values()) for values in inside.values()]
    assert all(kept) if encoder == "frozen" else not any(kept)
    assert isinstance(pd.read_csv(where.predictions), pd.DataFrame)
