"""The blocks of a track of maps: its targets, sides, judges and overrides, and what FID is computed with."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from map_world import BLOCKS, GRADIENT, HEAD, TRAINED, made

from memorability import families, params
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.training.settings import Model

ROOT = Path(__file__).parents[1]
RAW = yaml.safe_load("""
seed: 0
threads: 2
precision: 32-true
compile: false
lr: null
epochs: null
batch_size: null
acquire:
  maps:
    datasets: [pairs]
    pairs: {root: external/pairs, channels: 1}
split:
  maps:
    {input: data/raw/maps, method: random, val: 0.15, test: 0.25, folds: 5, fold: 0, seed: 0,
     near_duplicate_bits: 4}
backbones:
  small:
    arch: resnet18
    source: file
    path: small.safetensors
    transform: {resize: 72, crop: 67, mean: [0.0, 0.0, 0.0], std: [1.0, 1.0, 1.0]}
features:
  places: {input: data/raw/maps, backbone: small, layer: layer3, pool: none, dtype: float32, size: 64}
models: {}
evaluate: {bootstrap: 1000, halves: 25, fid: small, map_size: 64}
""")
for family, own in BLOCKS.items():
    trained = TRAINED if family in GRADIENT else {}
    RAW["models"][family] = {"family": family, **HEAD, **trained, **own}


def loaded(*path, value):
    """The params with the key at a path set."""
    raw = copy.deepcopy(RAW)
    block = raw
    for key in path[:-1]:
        block = block[key]
    block[path[-1]] = value
    return checked(params.Params, raw, at="")


@pytest.mark.parametrize("family", BLOCKS)
def test_every_model_is_valid(family):
    assert loaded("seed", value=1).model(family).track == "maps"


@pytest.mark.parametrize("family", GRADIENT)
@pytest.mark.parametrize(("key", "value"), [("lr", 0.5), ("epochs", 7), ("batch_size", 3)])
def test_an_override_reaches_every_gradient_model(family, key, value):
    found = loaded(key, value=value).model(family)
    assert getattr(found, key) == value
    assert found == made(family, **{key: value})


@pytest.mark.parametrize("family", ["pix2pix", "wgan"])
def test_an_override_leaves_the_judge_a_rate_of_its_own(family):
    own = BLOCKS[family]["discriminator"] | {"lr": 0.03}
    raw = copy.deepcopy(RAW) | {"lr": 0.5}
    raw["models"][family]["discriminator"] = own
    assert checked(params.Params, raw, at="").model(family).discriminator.lr == 0.03


@pytest.mark.parametrize("family", ["mean", "place_ridge"])
def test_an_override_passes_a_closed_form_by(family):
    assert loaded("lr", value=0.5).model(family) == loaded("seed", value=0).model(family)


@pytest.mark.parametrize("family", GRADIENT)
@pytest.mark.parametrize("size", [0, 16, 48, 100, 64.5])
def test_sides_are_multiples_of_32(family, size):
    with pytest.raises(ParamsError, match=rf"models\.m\.size: received {size}"):
        made(family, size=size)


@pytest.mark.parametrize("family", GRADIENT)
@pytest.mark.parametrize("track", ["images", "videos"])
def test_maps_are_of_one_track_alone(family, track):
    target = {"images": "score", "videos": "short_term"}[track]
    with pytest.raises(ParamsError, match=f"family {family} predicts maps; received track: {track}"):
        made(family, track=track, target=target)


@pytest.mark.parametrize(("track", "target"), [("images", "score"), ("videos", "long_term")])
def test_maps_and_composites_are_targets_of_maps_alone(track, target):
    block = {"family": "mean", "track": track, "input": "x", "backbone": "none"}
    for other in ("map", "composite"):
        with pytest.raises(ParamsError, match=f"target '{other}' is none of track {track}"):
            checked(Model, block | {"target": other}, at="models.m")
    with pytest.raises(ParamsError, match=f"target '{target}' is none of track maps: map, composite"):
        checked(Model, block | {"target": target, "track": "maps"}, at="models.m")


@pytest.mark.parametrize("family", GRADIENT)
def test_a_composite_may_be_learnt(family):
    assert made(family, target="composite").target == "composite"


@pytest.mark.parametrize("family", ["mean", "place_ridge"])
def test_a_closed_form_learns_no_composite(family):
    with pytest.raises(ParamsError, match="composite"):
        made(family, target="composite")


def test_the_head_alone_knows_composites():
    found = loaded("models", "unet", "target", value="composite")
    assert found.head("unet").target == "composite"


@pytest.mark.parametrize("family", ["pix2pix", "wgan"])
def test_an_unknown_key_of_a_judge_is_named_with_the_valid_ones(family):
    found = loaded("models", family, "discriminator", "widht", value=8)
    with pytest.raises(ParamsError) as error:
        found.model(family)
    assert (
        f"models.{family}.discriminator.widht: unknown key; valid keys: width, normalisation, verdict"
        in str(error.value)
    )
    assert "batch_size" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("select", "sim"),
        ("translation", 1.1),
        ("cutout", -0.1),
        ("mirror", "sometimes"),
        ("betas", (0.9, 1.0)),
        ("optimiser", "lion"),
        ("batch_size", 1),
    ],
)
def test_settings_out_of_range(key, value):
    with pytest.raises(ParamsError, match=rf"models\.m\.{key}"):
        made("unet", **{key: value})


def test_augmentation_is_as_published_by_default():
    block = {"family": "unet", **HEAD, "lr": 0.001, "epochs": 1, "batch_size": 4}
    found = checked(families.load("unet").Params, block, at="models.m")
    assert (found.translation, found.cutout, found.mirror) == (0.9, 0.9, False)


@pytest.mark.parametrize("fid", ["none", "small"])
def test_fid_is_of_a_backbone(fid):
    assert loaded("evaluate", "fid", value=fid).evaluate.fid == fid


@pytest.mark.parametrize("fid", ["other", "unet"])
def test_fid_of_no_backbone(fid):
    with pytest.raises(ParamsError, match=rf"evaluate\.fid: '{fid}' is none of \['none', 'small'\]"):
        loaded("evaluate", "fid", value=fid)


def test_a_backbone_that_is_not_there():
    raw = copy.deepcopy(RAW)
    raw["models"]["unet"] |= {"backbone": "other", "encoder": "frozen"}
    with pytest.raises(ParamsError, match=r"models\.unet\.backbone: received 'other'; valid: none, small"):
        checked(params.Params, raw, at="").model("unet")


def ablated(**top):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text()) | top
    return checked(params.Params, raw, at="")


def test_a_variant_changes_some_settings_and_keeps_the_others():
    found = ablated()
    patch, scalar = found.variants("verdict").values()
    assert (patch.discriminator.verdict, scalar.discriminator.verdict) == ("patch", "scalar")
    assert patch == found.model("pix2pix")
    assert scalar.discriminator.width == patch.discriminator.width


def test_every_ablation_of_the_committed_params_is_valid():
    found = ablated()
    assert all(len(found.variants(name)) > 1 for name in found.ablations)


def test_an_override_that_would_hide_a_variant_is_refused():
    with pytest.raises(ParamsError, match=r"ablations\.optimiser\.sgd: changes lr, which the top-level lr"):
        ablated(lr=0.1).variants("optimiser")


def test_an_unknown_ablation_is_named():
    with pytest.raises(
        ParamsError, match=r"ablations\.nothing: no such ablation; params\.yaml has normalisation"
    ):
        ablated().variants("nothing")
