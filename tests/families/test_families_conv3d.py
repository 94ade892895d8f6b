"""torchvision's r3d_18 with one output, its weights those of a backbone or fresh, and clips of any length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import nn

from memorability import families
from memorability.core import distributed
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.evaluation.score_measures import spearman
from memorability.evaluation.scores import measure
from memorability.families import conv3d
from memorability.families.conv3d import stretched
from memorability.features import backbones
from memorability.training import loop
from memorability.training.loading import Examples

SIZE = 16
TRANSFORM = {"resize": SIZE, "crop": SIZE, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
HEAD = {
    **{"family": "conv3d", "track": "videos", "target": "short_term", "input": "data/frames/x"},
    **{"backbone": "none", "lr": 0.001, "epochs": 6, "batch_size": 8, "resize": SIZE, "crop": SIZE},
}
FAMILY = families.load("conv3d")


def made(**changes):
    return checked(conv3d.Params, HEAD | changes, at="models.m")


class Small(nn.Module):
    """A network of clips [B, 3, T, h, w] in the place of r3d_18, whose 33 million weights take their time."""

    def __init__(self):
        super().__init__()
        self.first, self.fc = nn.Conv3d(3, 6, 3, stride=2, padding=1), nn.Linear(6, 1)
        self.norm = nn.BatchNorm3d(6)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.first(x))).mean((2, 3, 4)))


def small(steps=4):
    torch.manual_seed(0)
    return conv3d.Conv3D(net=Small(), steps=steps)


def batch(lengths=(1, 4, 2, 3), behind=0.0):
    torch.manual_seed(1)
    length = torch.tensor(lengths)
    x = torch.rand(len(lengths), 4, 3, SIZE, SIZE)
    x[torch.arange(4) >= length[:, None]] = behind
    return {"x": x, "length": length, "y": torch.linspace(0.1, 0.9, len(lengths))}


def predicted(net, data):
    with torch.inference_mode():
        return conv3d.predict(made(), net.eval(), data)


# The network.


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """An artifact of r3d_18 with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("backbones") / "b"
    state = backbones.build("r3d_18", classes=4).state_dict()
    backbones.save(folder, arch="r3d_18", state=state, transform=TRANSFORM, source="file")
    return folder


def test_from_scratch_it_is_the_published_network():
    with torch.device("meta"):
        net = conv3d.build(made(), shape=(4, 3, SIZE, SIZE), backbone=None)
        expected = torchvision.models.video.r3d_18(num_classes=1).state_dict()
    found = {name.removeprefix("net."): value.shape for name, value in net.state_dict().items()}
    assert found == {name: value.shape for name, value in expected.items()}
    published = torchvision.models.video.R3D_18_Weights.KINETICS400_V1.meta["num_params"]
    assert sum(p.numel() for p in net.parameters()) == published - 400 * 513 + 513


@pytest.mark.parametrize(("steps", "seen"), [(None, 4), (2, 2), (7, 7)])
def test_it_sees_as_many_steps_as_it_is_told(steps, seen):
    with torch.device("meta"):
        net = conv3d.build(made(steps=steps), shape=(4, 3, SIZE, SIZE), backbone=None)
    net.net, entered = Small(), []
    net.net.register_forward_pre_hook(lambda module, given: entered.append(given[0].shape))
    net(torch.rand(2, 4, 3, 8, 8), torch.tensor([1, 4]))
    assert entered == [(2, 3, seen, 8, 8)]


def test_with_a_backbone_it_begins_with_its_weights(backbone):
    loaded = backbones.load(backbone, head=True)
    weights = {name: value.clone() for name, value in loaded.net.state_dict().items()}
    net = conv3d.build(made(), shape=(4, 3, SIZE, SIZE), backbone=loaded)
    found = {name.removeprefix("net.net."): value for name, value in net.state_dict().items()}
    assert found.keys() == weights.keys()
    own = [name for name, value in found.items() if not torch.equal(value, weights[name])]
    assert own == ["fc.weight", "fc.bias"]
    assert found["fc.weight"].shape == (1, 512)
    assert all(p.requires_grad for p in net.parameters())
    data = batch((4, 4))
    mean, std = (torch.tensor(TRANSFORM[name]).view(3, 1, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = torch.sigmoid(net.net.net.eval()((data["x"].transpose(1, 2) - mean) / std)[:, 0])
    found = predicted(net, data)
    assert torch.allclose(found, expected, atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()


def test_all_of_the_backbone_is_trained_along(backbone):
    settings = made(mirror=False)
    net = conv3d.build(
        settings, shape=(4, 3, SIZE, SIZE), backbone=backbones.load(backbone, head=True)
    ).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    by = FAMILY.optimisers(settings, net)
    losses = FAMILY.take_step(settings, net, batch(), by, torch.Tensor.backward)
    assert not losses["loss"].requires_grad
    assert not [name for name, value in net.state_dict().items() if value.equal(before[name])]


def test_a_backbone_of_another_architecture():
    with torch.device("meta"):
        inner = backbones.Network(backbones.build("resnet18"), {"arch": "resnet18", "transform": TRANSFORM})
    with pytest.raises(ParamsError, match="must be r3d_18 or none; received resnet18"):
        conv3d.build(made(), shape=(4, 3, SIZE, SIZE), backbone=inner)


def test_it_learns_from_scratch():
    """Bright clips are remembered: the real network, on a few clips of a few pixels."""
    torch.manual_seed(0)
    settings = made(mirror=False, optimiser="sgd", lr=0.01)
    net = conv3d.build(settings, shape=(2, 3, 8, 8), backbone=None).train()
    y, length = torch.linspace(0.05, 0.95, 8), torch.tensor([1, 2] * 4)
    x = y.view(-1, 1, 1, 1, 1) * 0.9 + 0.1 * torch.rand(8, 2, 3, 8, 8)
    data, by = {"x": x, "y": y, "length": length}, FAMILY.optimisers(settings, net)
    losses = [FAMILY.take_step(settings, net, data, by, torch.Tensor.backward)["loss"] for _ in range(6)]
    assert losses[-1] < 0.2 * losses[0]


# Clips of any length.


@given(st.integers(1, 64), st.lists(st.integers(1, 64), min_size=1, max_size=5))
@hypothesis_settings(max_examples=100, deadline=None)
def test_frames_are_those_in_the_middles_of_equal_parts(steps, lengths):
    x = torch.arange(64).expand(len(lengths), 64)
    found = stretched(x, torch.tensor(lengths), steps)
    assert found.shape == (len(lengths), steps)
    for row, length in zip(found.tolist(), lengths, strict=True):
        assert row == [(2 * t + 1) * length // (2 * steps) for t in range(steps)]
        assert set(row) <= set(range(length))
        if steps >= length:
            assert set(row) == set(range(length))  # each frame is seen


@pytest.mark.parametrize(
    ("steps", "length", "frames"),
    [
        (4, 4, [0, 1, 2, 3]),
        (4, 1, [0, 0, 0, 0]),
        (4, 2, [0, 0, 1, 1]),
        (2, 4, [1, 3]),
        (1, 3, [1]),
        (11, 22, list(range(1, 22, 2))),  # (6 + 1/2) / 11 x 22 is 13, and in single precision a little less
    ],
)
def test_a_clip_with_fewer_frames_is_played_slower(steps, length, frames):
    x = torch.arange(30.0).view(1, 30, 1).expand(1, 30, 2)
    assert stretched(x, torch.tensor([length]), steps)[0, :, 0].tolist() == frames


@pytest.mark.parametrize("behind", [1e6, torch.nan])
def test_frames_that_are_not_there_change_nothing(behind):
    found = []
    for value in (0.0, behind):
        net, data, settings = small().train(), batch(behind=value), made(mirror=False)
        FAMILY.take_step(settings, net, data, FAMILY.optimisers(settings, net), torch.Tensor.backward)
        found.append([*(p.grad for p in net.parameters()), predicted(net, data)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_clips_of_mixed_lengths_are_as_each_one_alone():
    net, data = small().eval(), batch()
    alone = [{name: values[i : i + 1] for name, values in data.items()} for i in range(4)]
    expected = torch.cat([predicted(net, one) for one in alone])
    assert torch.allclose(predicted(net, data), expected, atol=1e-6)
    cut = {name: values[:1, :1] if name == "x" else values[:1] for name, values in data.items()}
    assert torch.allclose(predicted(net, cut), expected[:1], atol=1e-6)  # places for more change nothing


# Training.


def test_whole_clips_are_mirrored_in_training_alone():
    settings, net, data, entered = made(), small(), batch((4,) * 40), []
    net.net.register_forward_pre_hook(lambda module, given: entered.append(given[0].transpose(1, 2)))
    FAMILY.take_step(settings, net.train(), data, FAMILY.optimisers(settings, net), torch.Tensor.backward)
    flipped = [torch.equal(seen, clip.flip(-1)) for seen, clip in zip(entered[0], data["x"], strict=True)]
    kept = [torch.equal(seen, clip) for seen, clip in zip(entered[0], data["x"], strict=True)]
    assert all(one != other for one, other in zip(flipped, kept, strict=True))
    assert 5 < sum(flipped) < 35
    predicted(net, data)
    assert torch.equal(entered[1], data["x"])


@pytest.mark.parametrize("mirror", [True, False])
def test_mirroring_is_a_setting(monkeypatch, mirror):
    mirrored = []
    monkeypatch.setattr(conv3d, "mirror", lambda x: mirrored.append(x) or x)
    settings, net, data = made(mirror=mirror), small(), batch()
    FAMILY.take_step(settings, net, data, FAMILY.optimisers(settings, net), torch.Tensor.backward)
    conv3d.predict(settings, net, data)
    assert len(mirrored) == mirror


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_learns_in_the_loop(tmp_path, precision):
    rng, n = np.random.default_rng(0), 60
    y = rng.uniform(0.1, 0.9, n).astype(np.float32)
    length = rng.integers(1, 5, n)
    x = 255 * y[:, None, None, None, None] + rng.normal(0, 10, (n, 4, 3, SIZE, SIZE))
    x = np.where((np.arange(4) < length[:, None])[:, :, None, None, None], x, 0).clip(0, 255).astype(np.uint8)
    everything = Examples(x, y, np.arange(n), more={"length": length})
    train, val, test = (everything.part(np.arange(*ends)) for ends in ((0, 40), (40, 50), (50, 60)))
    fabric = distributed.fabric(precision=precision, threads=1)
    settings = made(lr=0.02)
    with loop.shared_state(tmp_path / "state", "conv3d", fabric=fabric) as state:
        _, outcomes = loop.fit(
            FAMILY,
            settings,
            small(),
            train=train,
            val=val,
            predicted=[val, test],
            criterion=loop.Criterion(measure, "spearman", higher_is_better=True),
            fabric=fabric,
            seed=0,
            state=state,
            log=lambda line: None,
        )
    for part, outcome in zip((val, test), outcomes, strict=True):
        assert outcome.frame_values is None
        assert spearman(part.y, outcome.prediction) > 0.85


# Settings.


@pytest.mark.parametrize(("changes", "key"), [({"steps": 0}, "steps"), ({"mirror": "often"}, "mirror")])
def test_settings_out_of_range(changes, key):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made(**changes)


def test_what_it_offers():
    assert FAMILY.READS == "frames"
    assert FAMILY.frozen_features is None
