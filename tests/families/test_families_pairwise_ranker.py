"""All pairs are compared, as one by one; places are of one split alone; scores come from validation alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from torch import nn

from memorability.core import distributed
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.evaluation import scores
from memorability.families import pairwise_ranker
from memorability.families.blocks import tournament
from memorability.training import calibration, results
from memorability.training.contract import one_optimiser

HEAD = {
    **{"family": "pairwise_ranker", "track": "videos", "target": "short_term", "input": "data/features/x"},
    **{"backbone": "none", "lr": 0.003, "epochs": 8, "batch_size": 20},
}
SMALL = {"hidden": 32, "second": 16, "dropout": 0.0}
STEPS, WIDTH = 3, 5


def made(**changes):
    return checked(pairwise_ranker.Params, HEAD | SMALL | changes, at="models.m")


def build(seed=0, **changes):
    torch.manual_seed(seed)
    return pairwise_ranker.build(made(**changes), shape=(STEPS, WIDTH), backbone=None)


def batch(count, seed=1):
    rng = torch.Generator().manual_seed(seed)
    length = torch.randint(1, STEPS + 1, (count,), generator=rng)
    x = torch.randn(count, STEPS, WIDTH, generator=rng)
    return {"x": x, "length": length, "y": torch.rand(count, generator=rng)}


def logit(net, one, other):
    """What the published network says of two clips by their features, side by side."""
    first = torch.cat([net.one.weight, net.other.weight], dim=1)  # one layer of both clips
    hidden = torch.relu(torch.cat([one, other]) @ first.T + net.one.bias)
    hidden = torch.relu(hidden @ net.head[2].weight.T + net.head[2].bias)
    return (hidden @ net.head[5].weight.T + net.head[5].bias)[0]


def means(data):
    return [x[:count].mean(0) for x, count in zip(data["x"], data["length"], strict=True)]


def test_the_published_size():
    settings = checked(pairwise_ranker.Params, HEAD, at="models.m")
    assert (settings.hidden, settings.second, settings.dropout) == (2048, 128, 0.75)
    d = 2048
    with torch.device("meta"):
        net = pairwise_ranker.build(settings, shape=(8, d), backbone=None)
    layers = (2 * d * 2048 + 2048) + (2048 * 128 + 128) + (128 + 1)
    assert sum(p.numel() for p in net.parameters()) == layers
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.75, 0.75]


def test_the_three_dropouts_of_the_source():
    net = build(dropout=0.75, input_dropout=0.75)
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.75] * 3
    assert isinstance(net.before, nn.Dropout)
    kept = (net.before(torch.ones(4000)) > 0).float().mean()
    assert kept == pytest.approx(0.25, abs=0.03)
    data = batch(5)
    expected = build().eval()(data["x"], data["length"])
    assert torch.equal(net.eval()(data["x"], data["length"]), expected)


def test_validation_counts_the_pairs_in_the_right_order():
    found = pairwise_ranker.measure(np.array([0.1, 0.2, 0.9, 0.9]), np.array([0.0, 0.7, 0.3, 1.0]))
    assert found["pair_accuracy"] == 0.8
    assert set(found) == {"spearman", "pearson", "pair_accuracy"}


@torch.no_grad()
def test_a_batch_is_compared_pair_by_pair():
    net, data = build().eval(), batch(5)
    found, clips = net(data["x"], data["length"]), means(data)
    assert found.shape == (5, 5)
    for i in range(5):
        for j in range(5):
            assert torch.allclose(found[i, j], logit(net, clips[i], clips[j]), atol=1e-6)


def test_the_loss_is_of_the_pairs_whose_scores_differ():
    net, data, settings = build(), batch(5), made()
    data["y"] = torch.tensor([0.2, 0.9, 0.2, 0.5, 0.9])
    clips, terms, right = means(data), [], []
    with torch.no_grad():
        for i in range(5):
            for j in range(5):
                if data["y"][i] != data["y"][j]:
                    more, said = bool(data["y"][i] > data["y"][j]), logit(net, clips[i], clips[j])
                    terms.append(-torch.log(torch.sigmoid(said if more else -said)))
                    right.append(float((said > 0) == more))
    losses = pairwise_ranker.step(settings, net, data, one_optimiser(settings, net), torch.Tensor.backward)
    assert len(terms) == 16
    assert losses["loss"] == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)
    assert losses["pairs_right"] == pytest.approx(np.mean(right))


def test_a_batch_of_equal_scores_teaches_nothing():
    net, data, settings = build(), batch(4), made(optimiser="sgd")
    before = [p.clone() for p in net.parameters()]
    data["y"] = torch.full((4,), 0.7)
    by = one_optimiser(settings, net)
    losses = pairwise_ranker.step(settings, net, data, by, torch.Tensor.backward)
    assert losses == {"loss": 0, "pairs_right": 0}
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


# Ranks.


def ranks(net, data, settings=None):
    with torch.inference_mode():
        outputs = pairwise_ranker.predict(settings or made(), net.eval(), data)
        return pairwise_ranker.rank(settings or made(), net, outputs).numpy()


@torch.no_grad()
def brute_force(net, clips):
    """Wins against all others: the first is more memorable if both orders together say so."""
    wins = np.zeros(len(clips))
    for i, one in enumerate(clips):
        for j, other in enumerate(clips):
            if i != j:
                this, that = logit(net, one, other), logit(net, other, one)
                wins[i] += float(this > that) + 0.5 * float(this == that)
    return wins


@pytest.mark.parametrize("seed", range(3))
def test_it_is_a_tournament_of_all_pairs(seed):
    net, data = build(seed).eval(), batch(23, seed)
    wins = brute_force(net, means(data))
    assert wins.sum() == 23 * 22 / 2
    assert np.allclose(ranks(net, data), tournament.ranking(wins))


@pytest.mark.parametrize("rows", [1, 2, 7, 22, 23, 100])
def test_the_size_of_a_block_changes_nothing(monkeypatch, rows):
    net, data = build(), batch(23)
    data["x"][[4, 9, 22]], data["length"][[4, 9, 22]] = data["x"][4].clone(), 2  # three are the same clip
    expected, wins, plain = ranks(net, data), [], tournament.ranking
    monkeypatch.setattr(pairwise_ranker, "AT_ONCE", rows * 23 * SMALL["hidden"])
    monkeypatch.setattr(tournament, "ranking", lambda found: wins.append(found) or plain(found))
    assert np.array_equal(ranks(net, data), expected)
    assert wins[0].sum() == 23 * 22 / 2  # of two clips that meet, one win in all


def test_a_block_is_never_empty(monkeypatch):
    net, data = build(), batch(5)
    expected = ranks(net, data)
    monkeypatch.setattr(pairwise_ranker, "AT_ONCE", 1)
    assert np.array_equal(ranks(net, data), expected)


def test_equal_clips_share_a_place():
    net, data = build(), batch(8)
    data["x"][[1, 5]], data["length"][[1, 5]] = data["x"][1].clone(), 2
    found = ranks(net, data)
    assert found[1] == found[5]
    same = {name: values[:1].expand(4, *values.shape[1:]) for name, values in data.items()}
    assert ranks(net, same).tolist() == [0.5] * 4


def test_one_clip_alone_is_in_the_middle():
    assert ranks(build(), batch(1)).tolist() == [0.5]


def test_the_order_of_the_clips_changes_no_place():
    net, data, order = build(), batch(19), torch.randperm(19)
    shuffled = {name: values[order] for name, values in data.items()}
    assert np.array_equal(ranks(net, shuffled), ranks(net, data)[order])


@pytest.mark.parametrize("compiled", [False, True])
def test_the_wrapper_it_is_trained_in_predicts_as_well(compiled):
    net, data, settings = build(), batch(6), made()
    expected = ranks(net, data)
    by = one_optimiser(settings, net)
    fabric = distributed.fabric(precision="32-true", threads=1)
    wrapped, _ = fabric.setup(torch.compile(net) if compiled else net, *by.values())
    assert np.array_equal(ranks(wrapped, data), expected)


# Whole fits.


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root, rng, n = tmp_path_factory.mktemp("clips"), np.random.default_rng(0), 130
    length = rng.integers(1, STEPS + 1, n)
    x = rng.normal(size=(n, 1, WIDTH)) + 0.2 * rng.normal(size=(n, STEPS, WIDTH))
    x *= (np.arange(STEPS) < length[:, None])[..., None]
    score = 1 / (1 + np.exp(-(x.sum(1) / length[:, None]) @ rng.normal(size=WIDTH)))
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(n)], "short_term": score.round(2)})
    rows["short_term_responses"] = pd.array([38] * n, "Int64")
    rows["split"] = ["train", "train", "val", "train", "test"] * (n // 5)
    rows = rows.assign(sha256=[f"{i:064x}" for i in range(n)], dataset="demo")
    x = x.astype(np.float32)
    worlds.features(root / "features", list(rows["id"]), x, lengths=length)
    return SimpleNamespace(root=root, rows=rows, x=x, length=length)


def fit(clips, name, rows=None, **changes):
    where = worlds.paths(clips.root, name, input="features")
    return worlds.fit(made(**changes), clips.rows if rows is None else rows, where)


def by_id(fitted):
    return fitted.table.set_index("id")


@pytest.fixture(scope="module")
def fitted(clips):
    return fit(clips, "fitted")


def test_each_split_is_ranked_by_itself(fitted):
    for _, part in fitted.table.groupby("split"):
        ranking = part["ranking"].to_numpy()
        assert (ranking.min(), ranking.max()) == pytest.approx((0, 1), abs=0.1)
        assert ranking.mean() == pytest.approx(0.5)


def test_the_places_of_one_split_do_not_depend_on_another_ones_clips(clips, fitted):
    fewer = by_id(fit(clips, "fewer", clips.rows.drop(clips.rows.index[clips.rows["split"] == "test"][:13])))
    whole = by_id(fitted)
    kept = fewer.index[fewer["split"] != "test"]
    assert fewer.loc[kept, "ranking"].equals(whole.loc[kept, "ranking"])
    assert fewer.loc[kept, "prediction"].equals(whole.loc[kept, "prediction"])
    left = fewer[fewer["split"] == "test"]["ranking"]
    assert not left.equals(whole.loc[left.index, "ranking"])


def test_scores_are_made_from_ranks_on_validation_alone(fitted):
    found = fitted.table
    val = found[found["split"] == "val"]
    curve = calibration.isotonic(val["ranking"].to_numpy(), val["score"].to_numpy())
    assert np.allclose(curve(found["ranking"].to_numpy()), found["prediction"], atol=1e-6)
    kept = fitted.config.calibration
    known = calibration.Curve(tuple(kept.x), tuple(kept.y))
    assert np.allclose(known(found["ranking"].to_numpy()), found["prediction"])
    test = found[found["split"] == "test"]
    measured = scores.measure(*(test[name].to_numpy() for name in ("score", "prediction", "ranking")))
    assert measured["spearman"] > 0.8
    assert measured["mse"] < 0.5 * test["score"].var()


def test_truths_of_test_clips_change_nothing(clips, fitted):
    rows = clips.rows.copy()
    test = rows["split"] == "test"
    rows.loc[test, "short_term"] = np.linspace(0, 1, test.sum())
    again = fit(clips, "test", rows)
    assert again.table[["prediction", "ranking"]].equals(fitted.table[["prediction", "ranking"]])
    assert again.config == fitted.config


def test_validation_clips_are_kept_to_rank_others_among(clips, fitted, monkeypatch):
    val = np.flatnonzero(clips.rows["split"] == "val")
    arrays = fitted.arrays
    kept = {row.tobytes() for row in arrays["reference.x"]}
    assert kept == {clips.x[row].tobytes() for row in val}
    assert sorted(arrays["reference.length"]) == sorted(clips.length[val])
    monkeypatch.setattr(results, "REFERENCES", 4)  # evenly over the order of validation
    few = fit(clips, "few", epochs=1)
    order = val[np.argsort(few.table["ranking"].to_numpy()[val], kind="stable")]
    even = order[np.linspace(0, len(order) - 1, 4).round().astype(int)]
    assert np.array_equal(few.arrays["reference.x"], clips.x[even])


def test_history_has_the_correlations_and_pairs_alone(fitted):
    """Of ranks, L1 and MSE say nothing."""
    found = {name for name in fitted.history if name.startswith("val_")}
    assert found == {"val_spearman", "val_pearson", "val_pair_accuracy"}


@pytest.mark.parametrize(("changes", "key"), [({"second": 0}, "second"), ({"batch_size": 1}, "batch_size")])
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)
