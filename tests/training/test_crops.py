"""The original MemNet's protocol: crops and their mean, the mean picture, the scaling; for any family of pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import worlds
from PIL import Image

from memorability import families
from memorability.core.errors import ParamsError
from memorability.features.inputs import Pictures
from memorability.media.pictures import five_crops, prepared
from memorability.predict.predictor import Predictor
from memorability.training import crops
from memorability.training.settings import Rescale

SIDES = {"resize": 72, "crop": 67}
PROTOCOL = {
    **SIDES,
    "views": "ten_crop",
    "mean_picture": "train",
    "rescale": {"subtract": 0.1, "times": 0.8, "add": 0.15},
}


def made(**changes):
    return worlds.made("memnet", **changes)


def test_the_ten_crops_are_the_corners_and_the_centre_and_their_mirror_images():
    picture = np.random.default_rng(0).integers(0, 256, (72, 72, 3), np.uint8)
    x = torch.from_numpy(picture.transpose(2, 0, 1))[None]
    found = [view[0].numpy() for view in crops.views(made(views="ten_crop", **SIDES), x)]
    five = five_crops(Image.fromarray(picture), fit="squash", resize=72, crop=67)
    assert len(found) == 10
    for i in range(5):
        assert np.array_equal(found[i], five[i])
        assert np.array_equal(found[i + 5], five[i][..., ::-1])
    assert len(list(crops.views(made(views="mirror", **SIDES), x))) == 2
    (single,) = crops.views(made(mean_picture="train", **SIDES), x)
    assert np.array_equal(single[0].numpy(), five[4])


def test_a_score_is_the_mean_of_the_outputs_less_the_mean_picture_scaled_and_kept_within_0_and_1():
    settings = made(**PROTOCOL)
    family = crops.applied(families.load("memnet"), settings)
    net = family.build(settings, shape=(3, 72, 72), backbone=None).eval()
    mean = torch.rand(3, 72, 72)
    net.get_buffer("mean_picture").copy_(mean)
    x = torch.rand(2, 3, 72, 72)
    with torch.no_grad():
        found = family.predict(settings, net, {"x": x})
        alone = families.load("memnet")
        outputs = [alone.predict(settings, net, {"x": view}) for view in crops.views(settings, x - mean)]
    expected = (torch.stack(outputs).mean(0) - 0.1) * 0.8 + 0.15
    assert torch.allclose(found, expected.clamp(0, 1))
    far = made(**PROTOCOL | {"rescale": {"subtract": 0.0, "times": 1000.0, "add": 0.5}})
    assert set(family.predict(far, net, {"x": x}).tolist()) <= {0.0, 1.0}


def test_training_sees_one_crop_of_each_at_a_random_place():
    settings = made(**PROTOCOL)
    y, x = torch.meshgrid(torch.arange(72.0), torch.arange(72.0), indexing="ij")
    pictures = torch.stack([y, x, torch.zeros(72, 72)]).expand(200, 3, 72, 72)
    torch.manual_seed(0)
    found = crops.training_crops(settings, pictures)
    assert found.shape == (200, 3, 67, 67)
    places = {(int(one[0, 0, 0]), int(one[1, 0, 0])) for one in found}
    assert places <= {(top, left) for top in range(6) for left in range(6)}
    assert len(places) == 36
    centre = crops.training_crops(made(mean_picture="train", **SIDES), pictures)
    assert {(int(one[0, 0, 0]), int(one[1, 0, 0])) for one in centre} == {(2, 2)}


def test_what_is_learnt_is_the_score_before_the_scaling():
    rescale, score = Rescale(subtract=0.3, times=2.0, add=0.1), torch.rand(9)
    assert torch.allclose(crops._after(rescale, crops._before(rescale, score)), score)


def test_a_family_is_itself_where_nothing_of_this_is_asked():
    family = families.load("memnet")
    assert crops.applied(family, made(**SIDES)) is family


@pytest.mark.parametrize("name", ["ridge", "amnet"])
def test_families_of_other_inputs_refuse(name):
    settings = made(**PROTOCOL)
    with pytest.raises(ParamsError, match=f"family {name} reads .*; views, mean_picture and rescale are for"):
        crops.applied(families.load(name), settings)


def test_crops_of_all_of_a_picture_are_one():
    with pytest.raises(ParamsError, match="views: ten_crop are parts of a larger picture"):
        made(views="ten_crop", resize=67, crop=67)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return worlds.pictures(tmp_path_factory.mktemp("world"), 24)


@pytest.fixture(scope="module")
def fitted(world):
    return world.fit("memnet", "protocol", **PROTOCOL | {"epochs": 1})


def test_the_mean_picture_is_of_the_training_rows(world, fitted):
    rows = world.rows[world.rows["split"] == "train"].reset_index(drop=True)
    read = Pictures(rows, world.root / "raw")
    pixels = [prepared(read.picture(i), fit="squash", resize=72, crop=72) for i in range(len(rows))]
    assert np.abs(fitted.arrays["mean_picture"] - np.mean(pixels, axis=0) / 255).max() < 1e-6


def test_a_user_s_file_has_the_score_that_it_had_in_training(world, fitted, tmp_path):
    predictor = Predictor(fitted.where.model, device="cpu")
    (i,) = np.flatnonzero(world.rows["id"] == fitted.table["id"][0])
    Pictures(world.rows, world.root / "raw").picture(i).save(tmp_path / "a.png")
    expected = fitted.table["prediction"][0]
    assert predictor.predict(tmp_path / "a.png")[0].score == pytest.approx(expected, abs=1e-5)


def test_a_mean_picture_of_a_file_is_known_by_its_hash(world, tmp_path):
    path = tmp_path / "mean.png"
    Image.new("RGB", (80, 80), (102, 51, 204)).save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    given = {"mean_picture": {"path": str(path), "sha256": sha256}}
    found = world.fit("memnet", "of_a_file", **SIDES | given | {"epochs": 1}).arrays["mean_picture"]
    assert found.reshape(3, -1).mean(1) == pytest.approx([0.4, 0.2, 0.8])
    wrong = {"mean_picture": {"path": str(path), "sha256": "0" * 64}}
    with pytest.raises(ParamsError, match="another file than is meant"):
        world.fit("memnet", "of_another", **SIDES | wrong | {"epochs": 1})
