"""Scores become 11 or 101 classes and come back, from all outputs or from the last one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.evaluation import scores
from memorability.families import lstm_classifier
from memorability.families.lstm_classifier import class_of
from memorability.training import results
from memorability.training.contract import one_optimiser

HEAD = {
    **{"family": "lstm_classifier", "track": "videos", "target": "short_term", "input": "data/features/x"},
    **{"backbone": "none", "lr": 0.001, "epochs": 2, "batch_size": 8},
}


def made(**changes):
    return checked(lstm_classifier.Params, HEAD | changes, at="models.m")


def build(shape=(4, 3), **changes):
    torch.manual_seed(0)
    return lstm_classifier.build(made(**{"hidden": 5} | changes), shape=shape, backbone=None)


def batch(count=3):
    torch.manual_seed(1)
    length = torch.tensor([1, 3, 4])[:count]
    return {"x": torch.randn(count, 4, 3), "length": length, "y": torch.tensor([0.0, 0.52, 1.0])[:count]}


@pytest.mark.parametrize("classes", [11, 101])
@pytest.mark.parametrize(("outputs", "layers"), [("flat", 1), ("last", 2)])
def test_the_published_size(classes, outputs, layers):
    t, d, h = 8, 2048, made().hidden
    assert (h, made().classes, made().outputs) == (1024, 11, "flat")
    with torch.device("meta"):
        net = build((t, d), hidden=h, classes=classes, outputs=outputs, layers=layers)
    inside = 4 * h * (d + h) + 8 * h + (layers - 1) * (4 * h * 2 * h + 8 * h)
    seen = t * h if outputs == "flat" else h
    assert sum(p.numel() for p in net.parameters()) == inside + seen * classes + classes


@pytest.mark.parametrize("classes", [11, 101])
def test_there_are_as_many_logits_as_classes(classes):
    net, data = build(classes=classes), batch()
    assert net(data["x"], data["length"]).shape == (3, classes)


@given(st.sampled_from([11, 101]), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_score_is_in_the_nearest_class(classes, score):
    (found,) = class_of(torch.tensor([score]), classes).tolist()
    assert 0 <= found < classes
    assert abs(found / (classes - 1) - score) <= 0.5 / (classes - 1) + 1e-6


def test_classes_of_scores():
    assert class_of(torch.tensor([0, 0.04, 0.06, 0.52, 0.96, 1]), 11).tolist() == [0, 0, 1, 5, 10, 10]
    assert class_of(torch.tensor([0.0, 0.004, 0.006, 1.0]), 101).tolist() == [0, 0, 1, 100]


@pytest.mark.parametrize("outputs", ["flat", "last"])
def test_what_the_last_layer_sees(outputs):
    net, data = build(outputs=outputs, layers=2).eval(), batch()
    layer = net.head[1]
    for row, count in enumerate(data["length"]):
        seen, _ = net.lstm(data["x"][row : row + 1, :count])
        seen = torch.cat([seen[0], torch.zeros(4 - count, 5)]).flatten() if outputs == "flat" else seen[0, -1]
        expected = seen @ layer.weight.T + layer.bias
        assert torch.allclose(net(data["x"], data["length"])[row], expected, atol=1e-6)


@pytest.mark.parametrize("classes", [11, 101])
def test_the_score_is_the_expected_class_or_the_most_probable_one(classes):
    net, data = build(classes=classes).eval(), batch()
    logits = net(data["x"], data["length"])
    number = torch.arange(classes) / (classes - 1)
    expected = lstm_classifier.predict(made(classes=classes), net, data)
    assert torch.allclose(expected, (logits.softmax(1) * number).sum(1), atol=1e-6)
    likely = lstm_classifier.predict(made(classes=classes, score="argmax"), net, data)
    assert torch.equal(likely, number[logits.argmax(1)])


def test_a_certain_class_is_its_score():
    for score in ("expected", "argmax"):
        net, data = build().eval(), batch()
        for chosen, value in ((0, 0.0), (7, 0.7), (10, 1.0)):
            net.head[1].bias.data = F.one_hot(torch.tensor(chosen), 11) * 1e4
            found = lstm_classifier.predict(made(score=score), net, data)
            assert found.tolist() == pytest.approx([value] * 3)


def test_the_loss_is_the_cross_entropy_of_the_classes():
    net, data, own = build(), batch(), made(dropout=0)
    logits = net(data["x"], data["length"])
    expected = -logits.detach().log_softmax(1)[torch.arange(3), torch.tensor([0, 5, 10])].mean()
    losses = lstm_classifier.step(own, net, data, one_optimiser(own, net), torch.Tensor.backward)
    assert losses["loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"classes": 12}, "classes"), ({"outputs": "first"}, "outputs"), ({"layers": 4}, "layers")],
)
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)


# Version 2.1, read as a classifier.


@pytest.mark.parametrize("layers", [1, 3])
def test_it_may_begin_with_what_the_whole_sequence_says(layers):
    net, data = build(state="sequence", layers=layers).eval(), batch()
    seen = []
    net.lstm.register_forward_pre_hook(lambda module, given: seen.append(given[1]))
    net(data["x"], data["length"])
    there = data["x"].clone()
    there[0, 1:] = there[1, 3:] = 0
    for start, layer in ((net.h0, seen[0][0]), (net.c0, seen[0][1])):
        assert layer.shape == (layers, 3, 5)
        expected = start(there.flatten(1)).view(3, layers, 5).transpose(0, 1)
        assert torch.allclose(layer, expected, atol=1e-6)


def test_the_size_of_version_2_1():
    t, d, h = 8, 2048, 1024
    with torch.device("meta"):
        net = build((t, d), hidden=h, layers=3, state="sequence")
    inside = 4 * h * (d + h) + 8 * h + 2 * (4 * h * 2 * h + 8 * h)
    expected = inside + t * h * 11 + 11 + 2 * 3 * (t * d * h + h)
    assert sum(p.numel() for p in net.parameters()) == expected


# Accuracy.


def test_the_classes_of_predictions_and_of_truths():
    truth = SimpleNamespace(values=np.array([0.0, 0.52, 1.0, np.nan]), kept=np.arange(4))
    logits = np.eye(11, dtype=np.float32)[[0, 6, 10, 3]]
    columns = results.class_columns(SimpleNamespace(truth=truth), logits)
    assert columns["class"].tolist() == [0, 6, 10, 3]
    assert columns["true_class"].tolist() == [0, 5, 10, -1]
    assert results.class_columns(SimpleNamespace(truth=truth), None) == {}


def test_true_classes_are_those_that_it_is_trained_on():
    values = np.linspace(0, 1, 2001)
    truth = SimpleNamespace(values=values, kept=np.arange(len(values)))
    for classes in (11, 101):
        columns = results.class_columns(SimpleNamespace(truth=truth), np.zeros((len(values), classes)))
        expected = class_of(torch.from_numpy(values.astype(np.float32)), classes)
        assert columns["true_class"].tolist() == expected.tolist()


@pytest.mark.parametrize("score", ["expected", "argmax"])
def test_the_report_has_the_accuracy_beside_the_correlations(tmp_path, score):
    rng, n = np.random.default_rng(0), 50
    truth = rng.integers(0, 2, n)
    x = (truth[:, None, None] + 0.05 * rng.normal(size=(n, 4, 3))).astype(np.float32)
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(n)], "short_term": np.where(truth, 0.9, 0.4)})
    rows["short_term_responses"] = pd.array([38] * n, "Int64")
    rows["split"] = ["train", "train", "val", "unlabelled", "test"] * (n // 5)
    rows = rows.assign(sha256=[f"{i:064x}" for i in range(n)], dataset="demo", category=pd.NA)
    worlds.features(tmp_path / "features", list(rows["id"]), x, lengths=np.full(n, 4))
    settings = made(hidden=8, epochs=15, lr=0.03, score=score)
    fitted = worlds.fit(settings, rows, worlds.paths(tmp_path, "m", input="features"))
    right = fitted.table["class"] == fitted.table["true_class"]
    assert right.any()  # how often is not asked: the best epoch is that of the best order
    rows = scores.for_target(rows, "short_term")
    judged = scores.read(fitted.where.predictions, rows, raw=tmp_path, settings=None, threads=1)
    for split in ("val", "test"):
        told = scores.describe(judged.of_split(split), pd.DataFrame())
        assert told["accuracy"] == right[fitted.table["split"] == split].mean()
