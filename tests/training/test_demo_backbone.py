"""The demo's backbone is trained on scenes of its own, into weights that any artifact takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from memorability.core.errors import StorageError
from memorability.data import scenes
from memorability.data.datasets import demo
from memorability.features import backbones, encoders
from memorability.features.settings import Transform
from memorability.training import checkpoint, demo_backbone
from memorability.training.backbone_settings import DemoTraining
from memorability.training.demo_backbone import LABELS, LABELS_OF_PLACES, STREAM

ARCH = "squeezenet1_1"
TRANSFORM = Transform(resize=36, crop=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
SETTINGS = DemoTraining(pictures=100, lr=0.001, epochs=1, batch_size=32)


def train(state, seed=0, write=lambda weights: None, arch=ARCH):
    """Trains; returns the weights that were to be written."""
    written = []
    demo_backbone.train(
        arch,
        SETTINGS,
        transform=TRANSFORM,
        seed=seed,
        threads=1,
        state=state,
        write=lambda weights: written.append(weights) or write(weights),
    )
    return written[0]


def test_training_gives_weights_of_the_architecture_by_the_seed(tmp_path, monkeypatch):
    def fails(weights):
        raise StorageError("the disk is full")

    folder = tmp_path / "states" / "b"
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SAVE_SHARE", 1e9)
    state = train(folder, seed=1)
    assert not folder.exists()
    with pytest.raises(StorageError):
        train(folder, seed=1, write=fails)
    assert (folder / "last.pt").is_file()  # what could not be written is not lost
    monkeypatch.setattr(
        demo_backbone, "CLASSIFIER", replace(demo_backbone.CLASSIFIER, step=None, predict=None)
    )
    again = train(folder, seed=1)
    assert all(torch.equal(state[key], again[key]) for key in state)
    transform = TRANSFORM.model_dump(mode="json")
    backbones.save(tmp_path / "b", arch=ARCH, state=state, transform=transform, source="demo")
    loaded, config = backbones.load(tmp_path / "b", head=True)
    assert config["classes"] == len(LABELS)
    assert loaded.state_dict().keys() == state.keys()


@pytest.mark.parametrize("seed", [0, 7])
def test_its_scenes_are_in_no_track(seed):
    assert STREAM not in (demo.PICTURE_STREAM, demo.ANSWER_STREAM)
    own = {repr(scene) for scene in scenes.draw(60, stream=STREAM, seed=seed)}
    track = {repr(scene) for scene in scenes.draw(60, stream=demo.PICTURE_STREAM, seed=seed)}
    assert len(own) == len(track) == 60
    assert not own & track


def test_pictures_and_labels():
    x, y = demo_backbone._draw(40, TRANSFORM, seed=0, masks=False)
    drawn = scenes.draw(40, stream=STREAM, seed=0)
    assert x.shape == (40, 3, 32, 32)
    assert x.dtype == np.uint8
    assert [LABELS[i] for i in y] == [scene.subcategory for scene in drawn]
    assert len(set(LABELS)) == len(LABELS)


def test_pictures_and_masks():
    transform = Transform(resize=36, crop=32)
    x, masks = demo_backbone._draw(6, transform, seed=0, masks=True)
    assert (masks.shape, masks.dtype) == ((6, 32, 32), np.int64)
    assert np.array_equal(x, demo_backbone._draw(6, transform, seed=0, masks=False)[0])
    for mask, scene in zip(masks, scenes.draw(6, stream=STREAM, seed=0), strict=True):
        whole = np.asarray(scenes.render(scene, size=36)[1])
        assert np.array_equal(mask, whole[2:-2, 2:-2])
        assert {LABELS_OF_PLACES[i] for i in np.unique(mask)} <= {"background"} | {
            thing.category for thing in scene.things
        }


def test_a_network_of_places_is_trained_on_the_masks(tmp_path):
    state = train(tmp_path / "states" / "b", arch="fcn_resnet18")
    assert state["classifier.4.weight"].shape == (len(LABELS_OF_PLACES), 32, 1, 1)
    backbones.save(
        tmp_path / "b",
        arch="fcn_resnet18",
        state=state,
        transform=TRANSFORM.model_dump(mode="json"),
        source="demo",
    )
    assert backbones.load(tmp_path / "b", head=True).config["classes"] == 13


def test_a_step_of_places_flips_pictures_with_their_masks():
    """The left half of every picture is white and of class 1: so is that of each that is flipped, or the loss is large."""
    x = torch.zeros(16, 3, 4, 4)
    x[..., :2] = 1

    class Says(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(9.0))

        def forward(self, x):
            return {"out": self.scale * torch.stack([1 - x[:, 0], x[:, 0]], 1)}

    net = Says()
    by = {"net": torch.optim.SGD(net.parameters(), lr=0.1)}
    batch = {"x": x, "y": x[:, 0].long()}
    loss = demo_backbone.step_of_places(None, net, batch, by, torch.Tensor.backward)["loss"]
    assert loss < 0.001


@pytest.mark.parametrize(("clips", "shape"), [(False, (2, 3, 4, 4)), (True, (2, 3, 5, 4, 4))])
def test_a_network_sees_pictures_and_clips_behind_mean_and_std(clips, shape):
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    net, x = encoders.Normalised(torch.nn.Identity(), mean=mean, std=std, clips=clips), torch.rand(shape)
    for channel in range(3):
        assert torch.allclose(net(x)[:, channel], (x[:, channel] - mean[channel]) / std[channel])


def test_mean_and_std_are_no_weights_but_go_where_the_network_goes():
    net = encoders.Normalised(torch.nn.Linear(2, 2), mean=[0.0] * 3, std=[1.0] * 3)
    assert list(net.state_dict()) == ["net.weight", "net.bias"]
    assert {name for name, _ in net.named_buffers()} == {"mean", "std"}
    assert net.to("meta").mean.is_meta


def test_accuracy():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 5.0]])
    assert demo_backbone.accuracy(np.array([0, 1, 1, 1]), logits) == {"accuracy": 0.75}
