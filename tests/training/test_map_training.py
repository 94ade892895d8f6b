"""Whole fits of every family of maps, from pairs on disk: what is learnt from, chosen by, and written."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds
from worlds import ARCH, COMPUTE, GRADIENT, MAPS, SIDE, TRANSFORM, made

from memorability import families
from memorability.core import states
from memorability.core.errors import ParamsError, TrainingError
from memorability.data import true_maps
from memorability.data.known import Known
from memorability.evaluation import maps as judge
from memorability.families import mean, unet, wgan
from memorability.features import backbones
from memorability.features.inputs import Pictures
from memorability.media.pictures import prepared
from memorability.training import artifacts, loop

LOSSES = {
    "unet": {"loss", "l1"},
    "pix2pix": {"loss", "adversarial", "discriminator", "wins", "l1"},
    "wgan": {"critic", "distance", "wins", "l1", "loss", "adversarial"},
    "palette": {"loss"},
}
every = pytest.mark.parametrize("family", MAPS)
gradient = pytest.mark.parametrize("family", GRADIENT)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return worlds.pictures_with_maps(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def fitted(world):
    """Each family fitted once, on demand."""
    done = {}

    def fitted(family):
        if family not in done:
            done[family] = world.fit(family)
        return done[family]

    return fitted


def true_of(world, ids):
    return true_maps.read(world.root / "raw", list(ids), pixels=SIDE, threads=1)


# What is written


@every
def test_predictions_are_of_the_rows_in_their_order(world, fitted, family):
    table, found = fitted(family).table, fitted(family).maps
    assert list(table.columns) == ["id", "split"]
    assert table.equals(world.rows[["id", "split"]])  # under TRAIN_MAPS there are all of train, too
    assert found.shape == (len(table), 3, SIDE, SIDE)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.dtype == np.float32
    same = (found == found[:1]).all()
    assert same == (family == "mean")


@pytest.mark.parametrize("family", ["mean", "place_ridge", "unet"])
def test_some_of_train_are_predicted_always_the_same(world, monkeypatch, family):
    monkeypatch.setattr(judge, "TRAIN_MAPS", 5)
    few = world.fit(family, f"{family}-some")
    table = few.table
    assert len(few.maps) == len(table)
    train = world.rows.index[world.rows["split"] == "train"]
    some = train[np.linspace(0, len(train) - 1, 5).round().astype(int)]
    rows = world.rows[world.rows["split"].isin(["val", "test"]) | world.rows.index.isin(some)]
    assert list(table["id"]) == list(rows["id"])
    assert table["split"].value_counts()["train"] == 5


@every
def test_the_model_says_what_it_was_made_of(fitted, family):
    config = fitted(family).config
    assert config.settings == made(family, of="maps").model_dump(mode="json")
    expected = ((3, SIDE, SIDE), {"channels": 3}) if family in GRADIENT else ((), {})
    assert (config.shape, config.build_options) == expected
    assert (config.features is not None) == (family == "place_ridge")
    assert all(np.isfinite(values).all() for values in fitted(family).arrays.values())
    assert not fitted(family).where.state.exists()


@pytest.mark.parametrize("family", ["mean", "unet"])
def test_the_evidence_of_a_map_model_is_what_it_has_seen(world, fitted, family):
    evidence = artifacts.evidence(fitted(family).where.model)
    assert len(evidence.residuals) == 0
    seen = Known(evidence.phashes, evidence.contents).holds(world.rows)
    assert seen[world.rows["split"] != "test"].all()
    assert len(evidence.phashes) + len(evidence.contents) <= len(world.rows)


@gradient
def test_predictions_are_those_of_the_model(world, fitted, family):
    settings, own = made(family), families.load(family)
    net = own.build(settings, shape=(3, SIDE, SIDE), backbone=None, channels=3)
    net.load_state_dict({name: torch.from_numpy(values) for name, values in fitted(family).arrays.items()})
    pictures = Pictures(world.rows, world.root / "raw")
    whole = {"fit": "squash", "resize": SIDE, "crop": SIDE}
    x = np.stack([prepared(pictures.picture(i), **whole) for i in range(len(pictures))])
    with torch.inference_mode():
        again = own.predict(settings, net.eval(), {"x": torch.from_numpy(x).float().div(255)})
    assert np.allclose(again.numpy(), fitted(family).maps, atol=2e-3)


@every
def test_history_has_the_measures_of_every_epoch(world, fitted, family):
    history = fitted(family).history
    measured = {f"val_{name}" for name in (*judge.MEASURES, "variety")}
    losses = {f"train_{name}" for name in LOSSES.get(family, ())} | ({"lr"} if family in GRADIENT else set())
    assert set(history.columns) == {"epoch"} | measured | losses
    assert list(history["epoch"]) == list(range(2 if family in GRADIENT else 1))
    assert np.isfinite(history.drop(columns=["val_cc", "val_spearman"]).to_numpy(float)).all()
    table = fitted(family).table
    val = (table["split"] == "val").to_numpy()
    expected = judge.measure(true_of(world, table["id"][val]), fitted(family).maps[val])
    best = history["val_l1"].idxmin()
    for name in ("l1", "mse", "kl", "kl_floored"):
        assert history[f"val_{name}"][best] == pytest.approx(expected[name], rel=1e-4)


@every
def test_the_same_seed_gives_the_same_bytes(world, fitted, family):
    one, other = (
        worlds.written(each.where) for each in (fitted(family), world.fit(family, f"{family}-again"))
    )
    names = {name.split("/")[1] for name in one}
    made = {
        "config.json",
        "model.safetensors",
        "evidence.safetensors",
        "predictions.csv",
        "maps.npy",
        "history.csv",
        "model.json",
    }
    assert made == names
    assert one == other


@gradient
def test_another_seed_gives_another_model(world, fitted, family):
    other = world.fit(family, f"{family}-other", compute=replace(COMPUTE, seed=1))
    assert not np.array_equal(other.maps, fitted(family).maps)


class Stop(Exception):
    pass


@pytest.mark.parametrize("column", ["map", "split", "id"])
def test_the_key_of_unfinished_work_is_of_every_column_that_a_training_depends_on(world, monkeypatch, column):
    keys = []

    @contextmanager
    def noted(folder, *parts, fabric):
        keys.append(states.key(*parts))
        raise Stop
        yield

    monkeypatch.setattr(loop, "shared_state", noted)
    other = world.rows.copy()
    places = [other.index[other["split"] == split][-1] for split in ("train", "val")]
    other.loc[places, column] = other.loc[places[::-1], column].to_numpy()
    for rows in (world.rows, world.rows, other):
        with pytest.raises(Stop):
            world.fit("unet", "key", rows=rows)
    assert keys[0] == keys[1] != keys[2]


# What is learnt from


def same(one, other):
    """The arrays of two models, to the bit."""
    one, other = one.arrays, other.arrays
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["mean", "place_ridge", "unet", "palette"])
def test_unlabelled_pictures_are_left_out(world, family):
    rows = world.rows.copy()
    rows["map"] = rows["map"].mask(rows.index.isin([0, 5, 9]))
    rows["split"] = rows["split"].mask(rows.index == 5, "unlabelled")
    found = world.fit(family, f"{family}-unlabelled", rows=rows, **SHORT[family])
    assert list(found.table["id"]) == list(rows["id"].drop([0, 5, 9]))
    # They teach nothing either: as if they were not there.
    fewer = world.fit(family, f"{family}-fewer", rows=rows.drop([0, 5, 9]), **SHORT[family])
    assert np.array_equal(found.maps, fewer.maps)


SHORT = {family: {"epochs": 1} if family in GRADIENT else {} for family in MAPS}


@every
def test_maps_of_test_never_reach_the_model(world, fitted, family):
    rows = world.rows[world.rows["split"] != "test"]
    assert same(world.fit(family, f"{family}-no-test", rows=rows), fitted(family))


@every
def test_maps_of_train_do_reach_the_model(world, fitted, family, monkeypatch):
    plain = true_maps.read
    monkeypatch.setattr(true_maps, "read", lambda *a, **k: plain(*a, **k) // 2)
    found = world.fit(family, f"{family}-darker")
    assert found.maps.mean() < fitted(family).maps.mean() or family in GRADIENT
    assert not np.array_equal(found.maps, fitted(family).maps)


def test_closed_forms_learn(world, fitted):
    """Places' brightness says all there is to say, and the mean map says none of it."""
    table = fitted("place_ridge").table
    test = (table["split"] == "test").to_numpy()
    truth = true_of(world, table["id"][test])
    ridge, flat = (judge.measure(truth, fitted(family).maps[test]) for family in ("place_ridge", "mean"))
    assert ridge["cc"] > 0.75 > flat["cc"]
    assert ridge["l1"] < 0.7 * flat["l1"]


def test_a_closed_form_is_told_the_groups_of_what_it_is_fitted_on(world, monkeypatch):
    told, plain = [], mean.fit
    monkeypatch.setattr(mean, "fit", lambda *a, groups: told.append(groups) or plain(*a, groups=groups))
    rows = world.rows.assign(group=np.arange(len(world.rows)) // 2)
    world.fit("mean", "groups", rows=rows)
    assert np.array_equal(told[0], rows["group"][rows["split"] == "train"])


def test_no_row_to_train_or_to_validate_on(world):
    for split, text in (("train", "no row of the maps split is 'train'"), ("val", "received .* and 0")):
        with pytest.raises(TrainingError, match=text):
            world.fit("unet", "none", rows=world.rows[world.rows["split"] != split])
    without = world.rows[world.rows["split"] != "val"]
    assert world.fit("mean", "mean-no-val", rows=without).where.model.exists()


def test_features_must_be_of_places_of_whole_pictures(world, tmp_path):
    where = world.paths("place_ridge", "none")
    with pytest.raises(ParamsError, match=r"place_ridge reads features; input .*raw holds none"):
        world.fit("place_ridge", where=replace(where, input=world.root / "raw"))
    for name in ("ids.csv", "features.npy"):
        (tmp_path / name).write_bytes((world.root / "features" / name).read_bytes())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ParamsError, match=r"must see all that a map shows; set pixels in the features block"):
        world.fit("place_ridge", where=replace(where, input=tmp_path))


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A track whose maps have one channel."""
    return worlds.pictures_with_maps(tmp_path_factory.mktemp("grey"), 12, channels=1)


@pytest.mark.parametrize("family", ["mean", "place_ridge", "unet", "pix2pix", "palette"])
def test_maps_of_one_channel(grey, family):
    assert grey.fit(family, **SHORT[family]).maps.shape[1:] == (1, SIDE, SIDE)


# The best epoch

MEASURED = {
    "l1": (0.3, 0.1, 0.2),
    "cc": (0.9, 0.1, 0.2),
    "kl": (3.0, 2.0, 1.0),
    "kl_floored": (1.0, 2.0, 3.0),
    "mse": (0.2, 0.1, 0.3),
}


@pytest.mark.parametrize(("select", "best"), [("l1", 1), ("cc", 0), ("kl", 2), ("kl_floored", 0), ("mse", 1)])
def test_the_best_epoch_is_chosen_by_the_named_measure(world, monkeypatch, select, best):
    predicted = []

    def measure(truth, prediction):
        predicted.append(prediction)
        return {name: values[len(predicted) - 1] for name, values in MEASURED.items()}

    monkeypatch.setattr(judge, "measure", measure)
    found = world.fit("unet", f"by-{select}", select=select, epochs=3, patience=9)
    val = (found.table["split"] == "val").to_numpy()
    assert len(predicted) == 3
    closest = [np.abs(found.maps[val] - epoch).max() for epoch in predicted]
    assert int(np.argmin(closest)) == best
    assert closest[best] < 1e-3


def test_training_ends_when_the_chosen_measure_gets_no_better(world, monkeypatch):
    seen = []
    falling = lambda truth, prediction: seen.append(1) or {"l1": 0.1, "cc": -float(len(seen))}  # noqa: E731
    monkeypatch.setattr(judge, "measure", falling)
    world.fit("unet", "patience", select="cc", epochs=9, patience=2)
    assert len(seen) == 3


def test_a_measure_that_does_not_exist_is_the_worst(world, monkeypatch):
    seen = []
    one = lambda truth, prediction: seen.append(1) or {"cc": None if len(seen) != 2 else -0.5}  # noqa: E731
    monkeypatch.setattr(judge, "measure", one)
    assert len(world.fit("unet", "none-measured", select="cc", epochs=3).history) == 3


def test_a_family_may_have_a_measure_of_its_own(world, monkeypatch):
    measured = []
    own = lambda truth, prediction: measured.append(1) or {"l1": 0.25}  # noqa: E731
    monkeypatch.setattr(unet, "measure", own, raising=False)
    history = world.fit("unet", "own-measure", epochs=1).history
    assert measured
    assert [name for name in history if name.startswith("val_")] == ["val_l1"]


@pytest.mark.parametrize(("count", "expected"), [(2, 2), (None, 5), (99, 5)])
def test_some_of_validation_are_sampled_after_each_epoch_and_all_at_the_end(
    world, monkeypatch, count, expected
):
    rows, plain = [], judge.measure
    monkeypatch.setattr(judge, "measure", lambda t, p: rows.append((len(t), len(p), t)) or plain(t, p))
    found = world.fit("palette", f"some-{count}", val_pictures=count, steps=1)
    assert [row[:2] for row in rows] == [(expected, expected)] * 2
    assert np.array_equal(rows[0][2], rows[1][2])  # always the same ones
    assert (found.table["split"] == "val").sum() == (world.rows["split"] == "val").sum() == 5


# Precision, compiling, and losses that not every step has


@gradient
def test_mixed_precision(world, fitted, family):
    mixed = world.fit(family, f"{family}-mixed", compute=replace(COMPUTE, precision="bf16-mixed"))
    assert {values.dtype for values in mixed.arrays.values()} <= {np.dtype(np.float32), np.dtype(np.int64)}
    found, exact = mixed.maps.astype(float), fitted(family).maps.astype(float)
    assert np.isfinite(found).all()
    assert 0 < np.abs(found - exact).mean() < 0.1


@gradient
def test_networks_are_compiled_when_asked_to_be(world, fitted, family, monkeypatch):
    asked, compile = [], torch.compile
    # Wrapped as a compiled network is, and run as it stands: compiling takes long.
    monkeypatch.setattr(torch, "compile", lambda net, **k: asked.append(net) or compile(net, backend="eager"))
    torch.compiler.set_stance("force_eager")
    try:
        compiled = world.fit(family, f"{family}-compiled", compute=replace(COMPUTE, compiled=True))
    finally:
        torch.compiler.set_stance("default")
    assert asked
    assert same(fitted(family), compiled)
    assert np.array_equal(compiled.maps, fitted(family).maps)


def test_epochs_in_which_the_generator_never_learns(world):
    """Three steps of an epoch and a turn at every fifth: losses of the generator are not there in the first."""
    history = world.fit("wgan", "seldom", n_critic=5, epochs=3).history
    assert len(history) == 3
    assert history["train_critic"].notna().all()
    steps = (world.rows["split"] == "train").sum() // 4
    turns = [any(turn % 5 == 0 for turn in range(e * steps + 1, (e + 1) * steps + 1)) for e in range(3)]
    assert turns[0] is False
    assert any(turns)
    assert list(history["train_loss"].notna()) == turns


def test_means_of_losses_are_over_the_steps_that_had_them(world, monkeypatch):
    lines, plain = [], wgan.step
    monkeypatch.setattr(wgan, "step", lambda *a: lines.append(plain(*a)) or lines[-1])
    history = world.fit("wgan", "means", epochs=1).history.iloc[0]
    for name in LOSSES["wgan"]:
        expected = np.mean([float(line[name]) for line in lines if name in line])
        assert history[f"train_{name}"] == pytest.approx(expected, rel=1e-5)


# A borrowed encoder


@pytest.mark.parametrize("encoder", ["frozen", "trained"])
def test_a_whole_fit_with_a_backbone(world, encoder, tmp_path):
    state = backbones.load(world.backbone, head=True).net.state_dict()
    headless = {name: value for name, value in state.items() if not name.startswith("classifier.")}
    backbones.save(tmp_path / "small", arch=ARCH, state=headless, transform=TRANSFORM, source="file")
    where = replace(world.paths("unet", f"borrowed-{encoder}"), models=tmp_path)
    found = world.fit("unet", where=where, backbone="small", encoder=encoder, picture=64, epochs=1)
    assert found.config.backbone["arch"] == ARCH
    assert found.config.shape == (3, 64, 64)
    inside = {name: values for name, values in found.arrays.items() if name.startswith("encoder.net.")}
    assert len(inside) > 10
    kept = [any(np.array_equal(values, value) for value in headless.values()) for values in inside.values()]
    assert all(kept) if encoder == "frozen" else not any(kept)
    assert len(found.table) == len(world.rows)
