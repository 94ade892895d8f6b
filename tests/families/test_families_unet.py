"""The U-Net learns blocky maps, straight or as a composite, by the error it is told to make small."""

from __future__ import annotations

import pytest
import torch
from map_networks import batch, build, predicted, stepped
from torch.nn import functional as F
from worlds import made

from memorability.core.errors import ParamsError
from memorability.families import unet


@pytest.mark.parametrize("target", ["map", "composite"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_overfits_a_handful_of_maps(target, channels):
    settings, data = made("unet", target=target, lr=0.005), batch(channels=channels)
    net = build(settings, channels=channels)
    losses = stepped(settings, net, data, 60)
    assert losses[-1]["loss"] < 0.3 * losses[0]["loss"]
    found = predicted(settings, net, data)
    assert found.shape == data["y"].shape
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert F.l1_loss(found, data["y"]) < 0.5 * F.l1_loss(
        data["y"].mean(0, keepdim=True).expand_as(found), data["y"]
    )


@pytest.mark.parametrize(("loss", "function"), [("l1", F.l1_loss), ("mse", F.mse_loss)])
def test_the_loss_is_of_outputs_within_one(loss, function):
    settings, data = made("unet", loss=loss, normalisation="layer"), batch()
    net = build(settings)
    with torch.no_grad():
        expected = function(net(data["x"] * 2 - 1), data["y"] * 2 - 1)
    (found,) = stepped(settings, net, data, 1)
    assert found["loss"] == pytest.approx(float(expected), rel=1e-5)
    if loss == "l1":
        assert found["l1"] == pytest.approx(float(expected) / 2, rel=1e-5)


def test_picture_and_map_are_augmented_in_training_alone(monkeypatch):
    seen, plain = [], unet.map_batches.augmented
    monkeypatch.setattr(
        unet.map_batches, "augmented", lambda s, *b: seen.append([x.shape for x in b]) or plain(s, *b)
    )
    settings, data = made("unet", translation=1.0, cutout=1.0), batch()
    net = build(settings)
    stepped(settings, net, data, 1)
    assert seen == [[data["x"].shape, data["y"].shape]]
    predicted(settings, net, data)
    assert len(seen) == 1


def test_another_loss_is_refused():
    with pytest.raises(ParamsError, match=r"models\.m\.loss: received 'huber'"):
        made("unet", loss="huber")
