"""A frozen backbone stays as it is and runs once for each clip; another one is trained along, more slowly."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from PIL import Image

from memorability import families
from memorability.core import distributed
from memorability.core.errors import BackboneError, ParamsError
from memorability.core.files import write_json
from memorability.core.settings import checked
from memorability.data import tables
from memorability.data.shards import ShardWriter
from memorability.evaluation.score_measures import spearman
from memorability.families import cnn_lstm
from memorability.features import backbones
from memorability.features.inputs import Clips as Frames

STEPS, SIZE = 3, 32
TRANSFORM = {"resize": SIZE, "crop": SIZE, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
HEAD = {
    **{"family": "cnn_lstm", "track": "videos", "target": "short_term", "input": "data/frames/x"},
    **{"backbone": "b", "lr": 0.01, "epochs": 8, "batch_size": 8, "resize": SIZE, "crop": SIZE},
    **{"hidden": 8, "dropout": 0.0},
}
FAMILY = families.load("cnn_lstm")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """An artifact with random weights and the batch statistics of pictures of every brightness."""
    torch.manual_seed(0)
    net = backbones.build("resnet18", classes=4).train()
    grey = torch.linspace(-2, 2, 16).view(-1, 1, 1, 1) + 0.2 * torch.randn(16, 3, SIZE, SIZE)
    with torch.no_grad():
        for _ in range(10):
            net(grey)
    folder = tmp_path_factory.mktemp("backbones") / "b"
    backbones.save(folder, arch="resnet18", state=net.state_dict(), transform=TRANSFORM, source="file")
    return folder


def made(**changes):
    return checked(cnn_lstm.Params, HEAD | changes, at="models.m")


def build(backbone, **changes):
    loaded = backbones.load(backbone, head=True)
    torch.manual_seed(0)
    return cnn_lstm.build(made(**changes), shape=(STEPS, 3, SIZE, SIZE), backbone=loaded)


def batch(lengths=(1, 3, 2, 3), behind=0.0):
    torch.manual_seed(1)
    length = torch.tensor(lengths)
    x = torch.rand(len(lengths), STEPS, 3, SIZE, SIZE)
    x[torch.arange(STEPS) >= length[:, None]] = behind
    return {"x": x, "length": length, "y": torch.linspace(0.1, 0.9, len(lengths))}


def predicted(net, data):
    with torch.inference_mode():
        return cnn_lstm.predict(made(), net.eval(), data)


def test_its_size():
    d, h = 2048, 512
    settings = checked(cnn_lstm.Params, HEAD | {"hidden": h}, at="models.m")
    with torch.device("meta"):
        inner = backbones.Network(backbones.build("resnet50"), {"arch": "resnet50", "transform": TRANSFORM})
        net = cnn_lstm.build(settings, shape=(8, 3, 224, 224), backbone=inner)
    own = sum(p.numel() for name, p in net.named_parameters() if not name.startswith("trunk."))
    assert own == 4 * h * (d + h) + 8 * h + h + 1
    assert not any(name.startswith("trunk.net.fc.") for name in net.state_dict())


def test_predictions_are_scores(backbone):
    found = predicted(build(backbone), batch())
    assert found.shape == (4,)
    assert ((found > 0) & (found < 1)).all()


def test_features_are_those_of_the_backbone_after_its_mean_and_std(backbone):
    net, data = build(backbone).eval(), batch()
    plain = backbones.load(backbone, head=True).net
    plain.fc = torch.nn.Identity()
    mean, std = (torch.tensor(TRANSFORM[name]).view(3, 1, 1) for name in ("mean", "std"))
    found = cnn_lstm.frozen_features(net, data)
    assert found.shape == (4, STEPS, 512)
    for row, count in enumerate(data["length"]):
        with torch.no_grad():
            expected = plain((data["x"][row, :count] - mean) / std)
        assert torch.allclose(found[row, :count], expected, atol=1e-5)
        assert (found[row, count:] == 0).all()


@pytest.mark.parametrize("frozen", [True, False])
def test_frames_that_are_not_there_never_enter(backbone, frozen):
    found = {}
    for value in (0.0, torch.nan):
        net, data, entered = build(backbone, frozen=frozen), batch(behind=value), []
        net.trunk.register_forward_pre_hook(lambda module, given, entered=entered: entered.append(given[0]))
        settings = made(frozen=frozen)
        FAMILY.take_step(
            settings, net.train(), data, cnn_lstm.optimisers(settings, net), torch.Tensor.backward
        )
        assert entered[0].shape == (9, 3, SIZE, SIZE)
        gradients = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        found[str(value)] = gradients, predicted(net, data)
    one, other = found.values()
    assert torch.allclose(one[0], other[0])
    assert torch.allclose(one[1], other[1])


@pytest.mark.parametrize("known", [True, False])
def test_clips_of_mixed_lengths_are_as_each_one_alone(backbone, known):
    net, data = build(backbone).eval(), batch()
    if known:
        data["frozen"] = cnn_lstm.frozen_features(net, data)
    alone = [{name: values[i : i + 1] for name, values in data.items()} for i in range(4)]
    assert torch.allclose(predicted(net, data), torch.cat([predicted(net, one) for one in alone]), atol=1e-5)


def test_features_known_already_spare_the_backbone(backbone):
    net, data = build(backbone).eval(), batch()
    known = cnn_lstm.frozen_features(net, data)
    expected = predicted(net, data)
    net.trunk.forward = None
    empty = data | {"x": torch.empty(4, 0), "frozen": known}
    assert torch.equal(predicted(net, empty), expected)
    assert cnn_lstm.ONLY_FROZEN


# One step.


def test_a_frozen_backbone_is_left_alone(backbone):
    settings, net = made(), build(backbone).train()
    assert not any(module.training for module in net.trunk.modules())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    by = cnn_lstm.optimisers(settings, net)
    assert set(by) == {"net"}
    FAMILY.take_step(settings, net, batch(), by, torch.Tensor.backward)
    changed = {
        name.split(".")[0] for name, value in net.state_dict().items() if not value.equal(before[name])
    }
    assert changed == {"lstm", "head"}


def test_another_backbone_is_trained_along_at_a_rate_of_its_own(backbone):
    settings = made(frozen=False, lr=0.02, backbone_lr=0.05)
    net = build(backbone, frozen=False).train()
    assert all(module.training for module in net.trunk.modules())
    by = cnn_lstm.optimisers(settings, net)
    head, trunk = by["net"].param_groups
    assert (head["lr"], trunk["lr"]) == (0.02, 0.02 * 0.05)
    held = [{id(p) for p in group["params"]} for group in (head, trunk)]
    assert held[1] == {id(p) for p in net.trunk.parameters()}
    assert held[0] == {id(p) for p in net.parameters()} - held[1]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    FAMILY.take_step(settings, net, batch(), by, torch.Tensor.backward)
    same = [name for name, value in net.state_dict().items() if value.equal(before[name])]
    assert not same


# Whole fits, from frames on disk.


@dataclass(frozen=True)
class Clips:
    root: Path
    rows: pd.DataFrame


@pytest.fixture(scope="module")
def clips(tmp_path_factory, backbone):
    """Clips of 1 to 3 frames; those with bright frames are remembered after minutes, dark ones after days."""
    root, rng, n = tmp_path_factory.mktemp("clips"), np.random.default_rng(0), 48
    folder = root / "frames"
    folder.mkdir()
    rows = pd.DataFrame({"id": [f"demo/{i}.mp4" for i in range(n)]})
    light, length = rng.uniform(0.1, 0.9, n), rng.integers(1, STEPS + 1, n)
    rows["short_term"], rows["long_term"] = light, 1 - 0.8 * light
    for target in ("short_term", "long_term"):
        rows[f"{target}_responses"] = pd.array([38] * n, "Int64")
    rows = rows.assign(sha256=[f"{i:064x}" for i in range(n)], dataset="demo")
    listed = []
    with ShardWriter(folder, prefix="frames") as shards:
        for name, level, count in zip(rows["id"], light, length, strict=True):
            for number in range(count):
                pixels = 255 * level + rng.normal(0, 12, (SIZE + 4, SIZE + 8, 3))
                stream = io.BytesIO()
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=95)
                span = shards.add(f"{name}/{number:02d}.jpg", stream.getvalue())
                found = {"id": name, "frame": number, "time": float(number)}
                listed.append(found | span._asdict())
    bad = pd.DataFrame({"id": ["demo/bad.mp4"], "problem": ["no video stream"]})
    tables.write(pd.concat([bad, rows.assign(frames=length)], ignore_index=True), folder / "index.csv")
    tables.write(pd.DataFrame(listed), folder / "frames.csv")
    write_json(folder / "config.json", {"method": "fps", "fps": 1.0, "count": STEPS, "quality": 2})
    order = rng.permutation(n)  # the split table's is another one than that of the frames
    return Clips(root, rows.assign(split=(["train"] * 4 + ["val", "test"]) * (n // 6)).iloc[order])


def fit(clips, backbone, name, **changes):
    where = replace(worlds.paths(clips.root, name, input="frames"), models=backbone.parent)
    return worlds.fit(made(**changes), clips.rows, where)


def rank_correlations(fitted):
    """Of truth and prediction, of each split."""
    parts = [part for _, part in fitted.table.groupby("split")]
    return [spearman(part["score"].to_numpy(float), part["prediction"].to_numpy(float)) for part in parts]


@pytest.fixture(scope="module")
def frozen(clips, backbone):
    """The one frozen fit for minutes, and how many clips the features were computed of in each batch."""
    computed, plain = [], cnn_lstm.frozen_features

    def watched(net, data):
        computed.append(len(data["x"]))
        return plain(net, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnn_lstm, "frozen_features", watched)
        return fit(clips, backbone, "frozen"), computed


def test_it_learns_with_a_frozen_backbone(clips, frozen):
    assert list(frozen[0].table["id"]) == list(clips.rows["id"])
    assert min(rank_correlations(frozen[0])) > 0.8


def test_it_learns_the_other_target(clips, backbone):
    long = fit(clips, backbone, "long", target="long_term")
    assert list(long.table["score"]) == list(clips.rows["long_term"])
    assert min(rank_correlations(long)) > 0.8


def test_a_frozen_backbone_is_that_of_the_artifact_after_training(backbone, frozen):
    config, arrays = frozen[0].config, frozen[0].arrays
    state = backbones.load(backbone, head=True).net.state_dict()
    inside = {name.removeprefix("trunk.net."): v for name, v in arrays.items() if name.startswith("trunk.")}
    assert inside.keys() == {name for name in state if not name.startswith("fc.")}
    assert all(
        np.array_equal(value.reshape(state[name].shape), state[name]) for name, value in inside.items()
    )
    assert config.shape == (STEPS, 3, SIZE, SIZE)
    assert config.frames["count"] == STEPS


def test_features_of_a_frozen_backbone_are_computed_once_for_each_clip(clips, frozen):
    assert sum(frozen[1]) == len(clips.rows)


def test_predictions_are_those_of_the_network_from_the_frames(clips, backbone, frozen):
    found, net = frozen[0].table, build(backbone)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in frozen[0].arrays.items()})
    whole = {"fit": "squash", "resize": SIZE, "crop": SIZE}
    frames = Frames(list(found["id"]), clips.root / "frames", **whole)
    x = torch.from_numpy(np.stack([frames[i] for i in range(len(found))])).float() / 255
    scores = predicted(net, {"x": x, "length": torch.from_numpy(frames.lengths)})
    assert np.allclose(scores, found["prediction"], atol=1e-5)


def test_it_learns_with_the_backbone(clips, backbone, monkeypatch):
    def never(net, data):
        raise AssertionError("nothing is frozen then")

    monkeypatch.setattr(cnn_lstm, "frozen_features", never)
    trained = fit(clips, backbone, "trained", frozen=False, epochs=3, lr=0.005)
    assert min(rank_correlations(trained)) > 0.7
    state = backbones.load(backbone, head=True).net.state_dict()
    for name in ("conv1.weight", "bn1.running_mean", "layer4.1.conv2.weight"):
        assert not np.array_equal(trained.arrays[f"trunk.net.{name}"], state[name])


@pytest.mark.parametrize("frozen", [True, False])
def test_mixed_precision(backbone, frozen):
    fabric = distributed.fabric(precision="bf16-mixed", threads=1)
    settings, net, data = made(frozen=frozen), build(backbone, frozen=frozen), batch((1, 2))
    by = cnn_lstm.optimisers(settings, net)
    wrapped, *placed = fabric.setup(net, *by.values())
    if frozen:
        with torch.inference_mode(), fabric.autocast():
            features = cnn_lstm.frozen_features(net, data).float()
        data["frozen"] = features.clone()
    by = dict(zip(by, placed, strict=True))
    assert FAMILY.take_step(settings, wrapped, data, by, fabric.backward)["loss"].isfinite()
    found = predicted(wrapped, data)
    assert ((found > 0) & (found < 1)).all()
    assert found.dtype == torch.float32


# What it refuses.


def test_no_backbone():
    with pytest.raises(ParamsError, match="cnn_lstm needs a backbone; received none"):
        cnn_lstm.build(made(), shape=(STEPS, 3, SIZE, SIZE), backbone=None)


def test_a_backbone_of_clips():
    with torch.device("meta"):
        inner = backbones.Network(backbones.build("r3d_18"), {"arch": "r3d_18", "transform": TRANSFORM})
    with pytest.raises(BackboneError, match="r3d_18 reads clips; this needs a network of pictures"):
        cnn_lstm.build(made(), shape=(STEPS, 3, SIZE, SIZE), backbone=inner)


def test_an_input_without_frames(clips, backbone, tmp_path):
    pictures = tables.read(clips.root / "frames" / "frames.csv").assign(problem=None)
    tables.write(pictures, tmp_path / "index.csv")
    where = replace(worlds.paths(clips.root, "none", input=tmp_path), models=backbone.parent)
    with pytest.raises(ParamsError, match="expected a frames artifact"):
        worlds.fit(made(), clips.rows, where)


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"backbone_lr": 0}, "backbone_lr"), ({"backbone_lr": 1.5}, "backbone_lr"), ({"hidden": 0}, "hidden")],
)
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)


def test_what_it_offers():
    assert FAMILY.READS == "frames"
    assert FAMILY.ONLY_FROZEN
    assert [FAMILY.is_frozen(made(frozen=frozen)) for frozen in (True, False)] == [True, False]
