"""Between [0, 1] and [-1, 1], and between a map and its composite with the picture: exactly, there and back."""

from __future__ import annotations

import pytest
import torch
from map_networks import batch
from worlds import made

from memorability.core.errors import ParamsError
from memorability.families.blocks import map_batches

TARGETS = ("map", "composite")


def all_pairs(side=1, channels=3):
    """Every value of a picture beside every value of a map, 256 x 256 pixels, each picture's pixel `side` wide."""
    levels = torch.arange(256, dtype=torch.uint8)
    picture = levels[:, None].expand(256, 256).expand(1, 3, 256, 256)
    drawn = levels[None, :].expand(256, 256).expand(1, channels, 256, 256)
    picture = picture.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return {"x": picture.float().div(255), "y": drawn.float().div(255)}


def eight_bits(x):
    return (x * 255).round().to(torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("target", TARGETS)
def test_every_pair_of_pixels_comes_back(channels, side, target):
    settings, data = made("unet", target=target), all_pairs(side, channels)
    picture, wanted = map_batches.pairs(settings, data)
    assert wanted.shape == data["y"].shape
    assert wanted.min() >= -1
    assert wanted.max() <= 1
    found = map_batches.as_map(settings, picture, wanted)
    assert torch.equal(eight_bits(found), eight_bits(data["y"]))
    assert torch.allclose(found, data["y"], atol=1e-6)
    assert map_batches.error(settings, picture, wanted, wanted) == 0


def test_a_composite_is_the_mean_of_picture_and_map():
    data = batch(side=64)
    picture, wanted = map_batches.pairs(made("unet", target="composite"), data)
    small = torch.nn.functional.avg_pool2d(data["x"], 2)
    assert torch.allclose((wanted + 1) / 2, (small + data["y"]) / 2, atol=1e-6)
    assert torch.equal(picture, data["x"] * 2 - 1)
    grey = batch(channels=1)
    _, wanted = map_batches.pairs(made("unet", target="composite"), grey)
    assert torch.allclose((wanted + 1) / 2, (grey["x"].mean(dim=1, keepdim=True) + grey["y"]) / 2, atol=1e-6)


def test_a_map_alone_does_not_know_the_picture():
    data = batch()
    _, wanted = map_batches.pairs(made("unet"), data)
    assert torch.equal(wanted, data["y"] * 2 - 1)
    assert torch.equal(
        map_batches.as_map(made("unet"), torch.full_like(data["x"], torch.nan), wanted), data["y"]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_like_a_map(channels):
    picture = batch(side=128)["x"] * 2 - 1
    found = map_batches.picture_like(picture, torch.zeros(4, channels, 32, 32))
    assert found.shape == (4, channels, 32, 32)
    assert torch.allclose(found.mean(dim=1), picture[:, :, ::4, ::4].mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("mirror", [True, False])
def test_picture_and_map_are_mirrored_together(target, mirror):
    settings, data = made("unet", target=target, mirror=mirror), batch(40, side=64)
    torch.manual_seed(0)
    picture, wanted = map_batches.pairs(settings, data)
    found = map_batches.as_map(settings, picture, wanted)
    x, y = data["x"] * 2 - 1, data["y"]
    turned = (picture != x).flatten(1).any(1)
    assert 8 < turned.sum() < 32 if mirror else not turned.any()
    assert torch.equal(picture, torch.where(turned.view(-1, 1, 1, 1), x.flip(-1), x))
    expected = torch.where(turned.view(-1, 1, 1, 1), y.flip(-1), y)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_augmented_pairs_still_fit_each_other(target):
    settings, data = made("unet", target=target, translation=1.0, cutout=1.0), batch(20, side=64)
    picture, wanted = map_batches.augmented(settings, *map_batches.pairs(settings, data))
    plain = torch.nn.functional.avg_pool2d(picture, 2)
    outside = (plain == 0).all(1, keepdim=True)  # nothing else is 0 in all of its channels
    assert 0.2 < outside.float().mean() < 0.6
    assert (wanted * outside == 0).all()
    found = map_batches.as_map(settings, picture, wanted)
    assert torch.allclose(found[outside.expand_as(found)], torch.tensor(0.5))
    marked = (found[:, :1] > 0.7) & ~outside  # the marked blocks are the bright ones
    assert (plain.mean(1, keepdim=True)[marked] > 0.3).all()


def test_errors_are_of_maps_on_their_own_scale():
    picture, wanted = map_batches.pairs(made("unet"), batch())
    assert map_batches.error(made("unet"), picture, wanted + 0.5, wanted) == pytest.approx(0.25)
    both = made("unet", target="composite")
    picture, wanted = map_batches.pairs(both, batch())
    found = map_batches.error(both, picture, (wanted + 0.5).requires_grad_(), wanted)
    assert found == pytest.approx(0.5)
    assert not found.requires_grad


def test_maps_are_in_full_precision():
    picture, wanted = map_batches.pairs(made("unet"), batch())
    assert map_batches.as_map(made("unet"), picture, wanted.bfloat16()).dtype == torch.float32


def test_no_other_target():
    with pytest.raises(ParamsError, match=r"target 'score' is none of track maps: map, composite"):
        made("unet", target="score")
