"""What every family of frame features has in common: frames that are not there do not count, and it learns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from worlds import COMPUTE

from memorability import families
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.evaluation.score_measures import spearman
from memorability.training import artifacts

STEPS, WIDTH = 4, 6
SMALL = {
    "frame_mlp": {"hidden": 16},
    "lstm_regressor": {"hidden": 16, "layers": 2},
    "time_distributed": {"hidden": 16},
    "lstm_classifier": {"hidden": 16},
    "amnet_video": {"hidden": 16},
    "pairwise_ranker": {"hidden": 32, "second": 16},
}
FLAT = ("frame_mlp", "lstm_classifier")  # they have weights of their own for each place in time
OTHER_LOSS = ("lstm_classifier", "pairwise_ranker")  # of classes, of pairs
HEAD = {
    **{"track": "videos", "target": "short_term", "input": "data/features/x", "backbone": "none"},
    **{"lr": 0.01, "epochs": 12, "batch_size": 16, "dropout": 0.0},
}
LENGTHS = [1, 4, 2, 3, 1]

every = pytest.mark.parametrize("family", SMALL)


def made(family, **changes):
    block = {"family": family, **HEAD, **SMALL[family], **changes}
    return checked(families.load(family).Params, block, at="models.m")


def build(family, shape=(STEPS, WIDTH), **changes):
    torch.manual_seed(0)
    return families.load(family).build(made(family, **changes), shape=shape, backbone=None)


def batch(lengths=LENGTHS, seed=1, behind=0.0):
    """Features whose frames behind each length are all `behind`."""
    rng = torch.Generator().manual_seed(seed)
    length = torch.tensor(lengths)
    x = torch.randn(len(lengths), STEPS, WIDTH, generator=rng)
    x[torch.arange(STEPS) >= length[:, None]] = behind
    return {"x": x, "y": torch.rand(len(lengths), generator=rng), "length": length}


def predicted(family, net, data, **changes):
    with torch.inference_mode():
        return families.load(family).predict(made(family, **changes), net.eval(), data)


def after_a_step(family, data):
    """The losses and the gradients of one step."""
    net, settings, own = build(family).train(), made(family), families.load(family)
    losses = own.take_step(settings, net, data, own.optimisers(settings, net), torch.Tensor.backward)
    return losses, {name: p.grad for name, p in net.named_parameters()}


# Frames that are there, and frames that are not.


@every
def test_predictions_are_scores(family):
    data = batch() | {"x": batch()["x"] * 50}
    found = predicted(family, build(family), data)
    if family == "pairwise_ranker":
        assert found.shape == (5, 2, 32)
        return
    assert found.shape == (5,)
    assert found.dtype == torch.float32
    assert ((found >= 0) & (found <= 1)).all()


@every
@pytest.mark.parametrize("behind", [1.0, -1e6])
def test_frames_that_are_not_there_change_no_prediction(family, behind):
    net, data = build(family), batch()
    assert torch.allclose(predicted(family, net, data), predicted(family, net, batch(behind=behind)))
    longer = data | {"length": data["length"].clamp(min=3)}  # there they count
    assert not torch.allclose(predicted(family, net, data), predicted(family, net, longer), atol=1e-4)


@every
@pytest.mark.parametrize("behind", [1.0, -1e6])
def test_frames_that_are_not_there_change_no_gradient(family, behind):
    expected, found = (after_a_step(family, batch(behind=value)) for value in (0.0, behind))
    for name, loss in expected[0].items():
        assert torch.allclose(found[0][name], loss)
    assert any(gradient.abs().max() > 1e-5 for gradient in expected[1].values())
    for name, gradient in expected[1].items():
        assert torch.allclose(found[1][name], gradient, atol=1e-7), name


@every
def test_every_frame_that_is_there_counts(family):
    net, data = build(family), batch([STEPS] * 2)
    before = predicted(family, net, data)
    for t in range(STEPS):
        x = data["x"].clone()
        x[:, t] += 1
        assert (predicted(family, net, data | {"x": x}) != before).flatten(1 if x is None else 0).any()


@every
def test_clips_of_mixed_lengths_are_as_each_one_alone(family):
    net, data = build(family), batch()
    alone = [{name: values[i : i + 1] for name, values in data.items()} for i in range(len(LENGTHS))]
    expected = torch.cat([predicted(family, net, one) for one in alone])
    assert torch.allclose(predicted(family, net, data), expected, atol=1e-6)


@pytest.mark.parametrize("family", [name for name in SMALL if name not in FLAT])
def test_a_clip_of_few_frames_is_as_if_there_were_no_places_for_more(family):
    net = build(family)
    for length in (1, 2):
        data = batch([length] * 3)
        cut = data | {"x": data["x"][:, :length]}
        assert torch.allclose(predicted(family, net, data), predicted(family, net, cut), atol=1e-6)


@every
def test_dropout_is_in_training_alone(family):
    settings, own, data = made(family, dropout=0.5), families.load(family), batch()
    net = build(family, dropout=0.5).train()
    forward = (data["x"],) if family == "time_distributed" else (data["x"], data["length"])
    first, second = (net(*forward) for _ in range(2))
    first, second = (found[0] if family == "amnet_video" else found for found in (first, second))
    assert not torch.equal(first, second)
    net.eval()
    assert torch.equal(own.predict(settings, net, data), own.predict(settings, net, data))


@pytest.mark.parametrize("family", [name for name in SMALL if name not in OTHER_LOSS])
def test_the_loss_is_that_of_the_predictions(family):
    data = batch()
    losses, _ = after_a_step(family, data)
    expected = ((predicted(family, build(family), data) - data["y"]) ** 2).mean()
    penalty = 0.0
    if family == "amnet_video":
        expected = expected * made(family).target_scale ** 2
        penalty = made(family).gamma * losses["attention_penalty"]
    assert losses["loss"] == pytest.approx(float(expected + penalty), rel=1e-5)
    assert not losses["loss"].requires_grad


@every
def test_the_weights_depend_on_the_seed_alone(family):
    one, again = (build(family).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)


# Whole fits, from features on disk.


@dataclass(frozen=True)
class Clips:
    """Features of clips (`features`) and of pictures (`pictures`), and their split tables."""

    root: Path
    rows: pd.DataFrame
    pictures: pd.DataFrame


def squashed(values):
    return 1 / (1 + np.exp(-1.5 * values / values.std()))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips remembered by the mean over their frames: one direction after minutes, another after days."""
    root, rng, n = tmp_path_factory.mktemp("clips"), np.random.default_rng(0), 150
    length = rng.integers(1, STEPS + 1, n)
    x = rng.normal(size=(n, 1, WIDTH)) + 0.3 * rng.normal(size=(n, STEPS, WIDTH))
    x *= (np.arange(STEPS) < length[:, None])[..., None]
    mean = x.sum(1) / length[:, None]
    split = np.array(["train"] * 100 + ["val"] * 25 + ["test"] * 25)
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(n)], "split": split})
    rows = rows.assign(sha256=[f"{i:064x}" for i in range(n)], dataset="demo")
    pictures = rows.assign(score=squashed(mean @ rng.normal(size=WIDTH)))
    for target in ("short_term", "long_term"):
        rows[target] = squashed(mean @ rng.normal(size=WIDTH))
        rows[f"{target}_responses"] = pd.array([38] * n, "Int64")
    rows.loc[[3, 120], "long_term"] = np.nan  # of which nobody was asked after days
    ids = list(rows["id"])
    worlds.features(root / "features", ids, x.astype(np.float16), lengths=length)
    worlds.features(root / "pictures", ids, mean.astype(np.float32))
    return Clips(root, rows, pictures)


def fit(clips, name, family, *, compute=COMPUTE, rows=None, **changes):
    """A fitted model called `name`."""
    settings = made(family, **changes)
    where = worlds.paths(clips.root, name, input="features" if settings.track == "videos" else "pictures")
    return worlds.fit(settings, clips.rows if rows is None else rows, where, compute)


@pytest.fixture(scope="module")
def fitted(clips):
    """Each family fitted once to short-term scores, on demand."""
    done = {}

    def fitted(family):
        if family not in done:
            done[family] = fit(clips, family, family)
        return done[family]

    return fitted


def rank_correlation(found, split, column="prediction"):
    part = found[found["split"] == split]
    return spearman(part["score"].to_numpy(float), part[column].to_numpy(float))


@every
@pytest.mark.parametrize("target", ["short_term", "long_term"])
def test_it_learns_each_target(clips, fitted, family, target):
    model = fitted(family) if target == "short_term" else fit(clips, f"{family}-long", family, target=target)
    found = model.table
    assert found["score"].equals(clips.rows[target])
    assert list(np.flatnonzero(found["score"].isna())) == ([3, 120] if target == "long_term" else [])
    assert list(found["split"]) == list(clips.rows["split"])  # of the table, whichever score a clip lacks
    found = found[found["score"].notna()]
    ranked = "ranking" if family == "pairwise_ranker" else "prediction"
    assert rank_correlation(found, "val", ranked) > 0.85
    assert rank_correlation(found, "test", ranked) > 0.75
    assert rank_correlation(found, "test") > 0.7
    assert found["prediction"].between(0, 1).all()
    history = model.history
    assert history["train_loss"].iloc[-1] < 0.9 * history["train_loss"].iloc[0]
    measured = rank_correlation(found, "val", ranked)
    assert history["val_spearman"].max() == pytest.approx(measured, abs=1e-5)


@every
def test_it_learns_from_features_of_pictures(clips, family):
    changes = {"track": "images", "target": "score"}
    found = fit(clips, f"{family}-pictures", family, rows=clips.pictures, **changes).table
    assert rank_correlation(found, "val") > 0.85
    assert rank_correlation(found, "test") > 0.75
    of_frames = [name for name in found.columns if name.rpartition("_")[2].isdecimal()]
    assert len(of_frames) == (family in ("time_distributed", "amnet_video"))


@every
def test_truths_of_test_clips_never_reach_the_model(clips, family):
    rows = clips.rows.copy()
    test = rows["split"] == "test"
    rows.loc[test, "short_term"] = np.linspace(0, 1, test.sum())
    one = fit(clips, f"{family}-as-is", family, epochs=1)
    other = fit(clips, f"{family}-test", family, epochs=1, rows=rows)
    assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)
    predicted = [each.table.drop(columns=["score", "true_class"], errors="ignore") for each in (one, other)]
    assert predicted[0].equals(predicted[1])


@every
def test_mixed_precision(clips, family):
    compute = replace(COMPUTE, precision="bf16-mixed")
    mixed = fit(clips, f"{family}-mixed", family, compute=compute, epochs=5)
    assert rank_correlation(mixed.table, "val") > 0.6
    weights = {n: value for n, value in mixed.arrays.items() if not n.startswith(artifacts.REFERENCE)}
    assert all(value.dtype == np.float32 for value in weights.values())


@pytest.mark.parametrize(("family", "name"), [("time_distributed", "score"), ("amnet_video", "attention")])
def test_what_is_said_of_each_frame_is_a_column_each(clips, fitted, family, name):
    found = fitted(family).table
    said = found[[f"{name}_{t}" for t in range(STEPS)]].to_numpy(float)
    listed = pd.read_csv(clips.root / "features" / "ids.csv").set_index("id")["length"]
    length = listed[found["id"]].to_numpy()
    assert np.array_equal(np.isfinite(said), np.arange(STEPS) < length[:, None])
    if name == "attention":
        assert np.allclose(np.nansum(said, axis=1), 1, atol=1e-5)
    else:
        assert np.allclose(said[np.arange(len(said)), length - 1], found["prediction"], atol=1e-6)


# Settings.


@every
@pytest.mark.parametrize(
    ("changes", "key"),
    [({"hidden": 0}, "hidden"), ({"dropout": 1}, "dropout"), ({"batch_size": 1}, "batch_size")],
)
def test_settings_out_of_range(family, changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(family, **changes)


@every
def test_what_it_offers(family):
    own = families.load(family)
    assert own.READS == "sequences"
    assert (own.frame_values is not None) == (family in ("time_distributed", "amnet_video"))
    assert (own.rank is None, own.rank_among is None) == (family != "pairwise_ranker",) * 2
