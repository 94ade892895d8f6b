"""The probe begins as a linear model on the mean over places, and learns which places count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import worlds
from worlds import COMPUTE, made

from memorability import families
from memorability.core.errors import ParamsError
from memorability.evaluation.score_measures import spearman
from memorability.families import probe
from memorability.features.extraction import Extractor, extract
from memorability.features.inputs import Pictures
from memorability.features.items import Item
from memorability.training.trained import TrainedModel

WIDTH, HEIGHT, BREADTH = 6, 4, 5
FAMILY = families.load("probe")


def settings(**changes):
    return made("probe", of="images", **{"lr": 0.02, "dropout": 0.0, "input": "data/features/x"} | changes)


def build(width=WIDTH, **changes):
    torch.manual_seed(0)
    return probe.build(settings(**changes), shape=(width, HEIGHT, BREADTH), backbone=None)


def pictures(count, seed=1):
    """Features of very different scales. One place in each picture is marked; what is there is what counts.

    Returns: float32 [N, D, h, w] and scores [N].
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, WIDTH, HEIGHT * BREADTH))
    y, marked = rng.uniform(0.1, 0.9, count), rng.integers(0, HEIGHT * BREADTH, count)
    x[range(count), 0, marked] = 5
    x[range(count), 1, marked] = 8 * (y - 0.5)
    scale, offset = np.exp(np.linspace(-4, 4, WIDTH)), np.linspace(-20, 20, WIDTH)
    x = x * scale[:, None] + offset[:, None]
    return x.reshape(count, WIDTH, HEIGHT, BREADTH).astype(np.float32), y.astype(np.float32)


def batch(count=8, seed=1):
    x, y = pictures(count, seed)
    return {"x": torch.from_numpy(x), "y": torch.from_numpy(y)}


def steps(net, data, count, **changes):
    own = settings(**changes)
    by = FAMILY.optimisers(own, net.train())
    return [float(FAMILY.take_step(own, net, data, by, torch.Tensor.backward)["loss"]) for _ in range(count)]


@pytest.mark.parametrize(("queries", "width"), [(1, 320), (4, 320), (3, 6)])
def test_its_size(queries, width):
    net = build(width, queries=queries)
    assert sum(weight.numel() for weight in net.parameters()) == 2 * queries * width + 1


def test_predictions_are_scores():
    net, data = build(), batch()
    steps(net, data, 3)
    found = probe.predict(settings(), net.eval(), data)
    assert found.shape == (8,)
    assert ((found > 0) & (found < 1)).all()


def test_it_begins_as_a_linear_model_on_the_mean_over_places():
    net, data = build(queries=1).train(), batch()
    standardised = net.standardised(data["x"].flatten(2))
    expected = net.score(standardised.mean(2)).squeeze(1).sigmoid()
    assert torch.allclose(net.eval()(data["x"]), expected, atol=1e-6)


def test_attention_is_spread_over_the_places():
    net = build(queries=3)
    with torch.no_grad():
        net.queries.normal_()
    found = net.attention(torch.randn(2, WIDTH, 20))
    assert found.shape == (2, 3, 20)
    assert (found > 0).all()
    assert torch.allclose(found.sum(2), torch.ones(2, 3))


def test_the_order_of_places_does_not_matter():
    net, x = build(), batch()["x"]
    steps(net, batch(), 3)
    turned = x.flatten(2)[:, :, torch.randperm(HEIGHT * BREADTH)].view_as(x)
    assert torch.allclose(net.eval()(turned), net(x), atol=1e-5)


def test_gradients_reach_all_of_it():
    net, data = build().train(), batch()
    ((net(data["x"]) - data["y"]) ** 2).mean().backward()
    assert {name for name, _ in net.named_parameters()} == {"queries", "score.weight", "score.bias"}
    assert all(weight.grad.abs().min() > 0 for weight in net.parameters())


def test_queries_go_ways_of_their_own():
    net = build(queries=3)
    steps(net, batch(), 3)
    assert len({tuple(query.tolist()) for query in net.queries.round(decimals=4)}) == 3


def test_it_overfits_a_batch():
    losses = steps(build(), batch(16), 150)
    assert losses[-1] < 0.02 * losses[0]


def test_it_finds_the_place_that_counts():
    data, new = batch(200), batch(200, seed=2)
    found = {}
    for name in ("looks", "mean"):
        net = build(queries=2)
        net.queries.requires_grad_(name == "looks")  # which else stays the mean over places
        steps(net, data, 150, weight_decay=0.0)
        with torch.no_grad():
            found[name] = spearman(new["y"].numpy(), net.eval()(new["x"]).numpy())
    assert found["looks"] > 0.9
    assert found["looks"] > found["mean"] + 0.1


# Standardised inputs.


def test_an_epoch_gives_the_statistics_of_the_training_rows():
    layer, x = probe.Standardised(WIDTH).train(), batch(40)["x"].flatten(2)
    for part in x.split(10):
        layer(part)
    rows = x.transpose(1, 2).reshape(-1, WIDTH)
    assert torch.allclose(layer.running_mean, rows.mean(0), rtol=1e-4)
    assert torch.allclose(layer.running_var, rows.var(0), rtol=0.1)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    found = layer.eval()(x)
    assert torch.allclose(found.mean((0, 2)), torch.zeros(WIDTH), atol=1e-3)
    assert torch.allclose(found.std((0, 2)), torch.ones(WIDTH), atol=0.05)
    assert all(value.equal(before[name]) for name, value in layer.state_dict().items())


def test_training_and_prediction_standardise_alike():
    layer, one, other = (
        probe.Standardised(WIDTH).train(),
        batch(8)["x"].flatten(2),
        batch(8, 2)["x"].flatten(2),
    )
    layer(one)
    assert torch.equal(layer(other), layer.eval()(other))


def test_what_never_changes_is_zero():
    x = batch()["x"].flatten(2)
    x[:, 2] = 7.0
    layer = probe.Standardised(WIDTH).train()
    assert (layer(x)[:, 2] == 0).all()
    assert layer(x).isfinite().all()


def test_units_of_the_features_do_not_matter():
    data = batch(16)
    scaled = data | {"x": data["x"] * 100 - 3}
    one, other = (steps(build(), given, 10) for given in (data, scaled))
    assert one == pytest.approx(other, rel=1e-3)


def test_dropout_is_in_training_alone():
    net, x = build(dropout=0.5).train(), batch()["x"]
    net(x)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


# Whole fits, from features on disk.


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A track of pictures with features of their places, and in `pooled` those of their means."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 24)
    rows = world.index
    for name, pools in (("features", ["none"]), ("pooled", ["mean"])):
        out = world.root / name
        out.mkdir()
        rows[["id"]].to_csv(out / "ids.csv", index=False)
        extractor = Extractor(world.backbone, **worlds.CUT | {"pools": pools}, device="cpu")
        picture = Pictures(rows, world.root / "raw").picture
        cache = world.root / "cache"
        extract(list(rows["sha256"]), picture, extractor, out=out, cache_root=cache, threads=1)
    return world


def test_a_model_from_its_folder_predicts_what_was_written(world):
    fitted = world.fit("probe", epochs=3)
    table = fitted.table
    assert table["prediction"].between(0, 1).all()
    assert fitted.arrays["queries"].any()
    models = world.root / "models"
    model = TrainedModel(models / "probe", models=models, load_family=families.load, device="cpu")
    shown = Pictures(world.rows, world.root / "raw")
    items = [Item(world.root / "p.png", shown.picture(i)) for i in range(5)]
    assert np.allclose(model.predict(items)[0], table["prediction"][:5], atol=1e-5)


def test_two_fits_are_the_same_to_the_bit(world):
    one, again = (world.fit("probe", name, dropout=0.5, epochs=2) for name in ("one", "again"))
    assert all(np.array_equal(value, again.arrays[name]) for name, value in one.arrays.items())
    assert one.table.equals(again.table)


def test_it_learns_from_features_on_disk(tmp_path, world):
    rows = world.rows.iloc[[0] * 240].reset_index(drop=True)
    rows["id"] = [f"demo/{i}.jpg" for i in range(240)]
    rows["split"] = ["train"] * 160 + ["val"] * 40 + ["test"] * 40
    x, y = pictures(240)
    worlds.features(tmp_path / "features", list(rows["id"]), x, config={"pools": ["none"]})
    where = worlds.paths(tmp_path, "probe", input="features")
    own = settings(epochs=30, batch_size=32, queries=2)
    table = worlds.fit(own, rows.assign(score=y, group=range(240)), where, COMPUTE).table
    test = table[table["split"] == "test"]
    assert spearman(test["score"].to_numpy(), test["prediction"].to_numpy()) > 0.85


# What is refused.


def test_features_without_places(world):
    where = worlds.paths(world.root, "none", input="pooled")
    with pytest.raises(ParamsError, match=r"family probe reads features of each place .*set pools: \[none\]"):
        world.fit("probe", where=where)


@pytest.mark.parametrize(("key", "value"), [("queries", 0), ("dropout", 1), ("weight_decay", -1)])
def test_settings_out_of_range(key, value):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        settings(**{key: value})
