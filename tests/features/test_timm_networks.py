"""Features of timm's networks equal timm's own, from a file on this machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from repository import ROOT
from safetensors.torch import save_file
from torch import nn

from memorability import params
from memorability.core.errors import BackboneError
from memorability.core.files import read_json
from memorability.features import backbones, encoders, timm_networks
from memorability.features.extractor import Extractor
from memorability.features.settings import Transform
from memorability.training.backbone_settings import Backbone
from pipeline import backbones as stage

CNN, NHWC, VIT, CLIP = "test_convnext", "test_mambaout", "test_vit", "vit_xsmall_patch16_clip_224"


def randomly(arch, **options):
    torch.manual_seed(0)
    return timm.create_model(arch, pretrained=False, **options).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By architecture: a network with random weights, and the artifact that the stage makes of its file."""
    root, patch, found = tmp_path_factory.mktemp("timm"), pytest.MonkeyPatch(), {}
    patch.chdir(root)
    for arch in (CNN, NHWC, VIT, CLIP):
        net = randomly(arch)
        save_file(net.state_dict(), f"{arch}.safetensors")
        sha256 = hashlib.sha256((root / f"{arch}.safetensors").read_bytes()).hexdigest()
        write(arch, Backbone(arch=arch, source="timm", path=f"{arch}.safetensors", sha256=sha256))
        found[arch] = net, root / "models" / arch
    patch.undo()
    return found


def write(name, block):
    committed = params.load(ROOT / "params.yaml")
    stage.main(committed.model_copy(update={"backbones": {name: block}}), name)


def pictures(side, count=3):
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


def both(made, arch, layers, pools, by_hand, **options):
    """Features by the extractor, and what `by_hand` makes of timm's own network on the same pictures."""
    net, folder = made[arch]
    how = Transform.model_validate(read_json(folder / "config.json")["transform"])
    extractor = Extractor(
        folder, layers=layers, pools=pools, dtype="float32", batch_size=3, device="cpu", **options
    )
    shown = pictures(options.get("pixels", how.crop))
    x = torch.from_numpy(np.stack([np.asarray(p) for p in shown])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (how.mean, how.std))
    x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = by_hand(net.to(memory_format=torch.channels_last), x).numpy()
    return extractor([extractor.prepare(picture) for picture in shown]), expected


@pytest.mark.parametrize(
    ("arch", "pools", "pooled"),
    [
        (CNN, ["mean"], lambda out: out.mean((2, 3))),
        (CNN, ["none"], lambda out: out),
        (NHWC, ["mean"], lambda out: out.mean((1, 2))),
        (NHWC, ["none"], lambda out: out.permute(0, 3, 1, 2)),
        (VIT, ["mean"], lambda out: out[:, 1:].mean(1)),
        (VIT, ["cls", "max"], lambda out: torch.cat([out[:, 0], out[:, 1:].amax(1)], dim=1)),
        (CLIP, ["cls"], lambda out: out[:, 0]),
        (CLIP, ["none"], lambda out: out[:, 1:].transpose(1, 2).reshape(3, -1, 14, 14)),
    ],
)
def test_features_equal_timms_own(made, arch, pools, pooled):
    found, expected = both(
        made, arch, ["forward_features"], pools, lambda net, x: pooled(net.forward_features(x))
    )
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_logits_and_pooled_features_are_layers_too(made):
    found, expected = both(made, CLIP, ["head", "fc_norm"], ["mean"], lambda net, x: net(x))
    assert expected.shape == (3, 512)
    np.testing.assert_allclose(found[:, :512], expected, atol=1e-5)


def test_a_layer_within_and_what_comes_behind_it(made):
    def by_hand(net, x):
        within = net.forward_intermediates(x, indices=[2], intermediates_only=True)[0]
        return torch.cat([within.mean((2, 3)), net.forward_features(x)[:, 1:].mean(1)], dim=1)

    found, expected = both(made, VIT, ["blocks.2", "forward_features"], ["mean"], by_hand)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_network_of_one_size_reads_another_as_timm_does_it(made):
    def by_hand(net, x):
        resized = randomly(VIT)
        resized.set_input_size(img_size=(96, 96))
        return resized.forward_features(x)[:, 0]

    found, expected = both(made, VIT, ["forward_features"], ["cls"], by_hand, pixels=96)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(BackboneError, match=r"vit_xsmall.* cannot read pictures of 8 pixels"):
        Extractor(made[CLIP][1], layers=["norm"], dtype="float32", batch_size=1, pixels=8, device="cpu")


# The artifact


def test_the_config_and_the_transform_are_what_timm_says(made):
    config = read_json(made[CLIP][1] / "config.json")
    own = timm.get_pretrained_cfg(CLIP)
    assert config["transform"] == {
        "fit": "squash",
        "resize": 224,
        "crop": 224,
        "interpolation": own.interpolation,
        "mean": list(own.mean),
        "std": list(own.std),
    }
    assert (config["library"], config["source"], config["package"]) == ("timm", "timm", None)
    assert (config["classes"], config["headless"]) == (512, False)


def test_classes_are_those_of_the_weights(tmp_path):
    for classes in (7, 0):
        state = randomly(CNN, num_classes=classes).state_dict()
        backbones.save(tmp_path / "b", arch=CNN, state=state, transform={}, source="timm", library="timm")
        loaded, config = backbones.load(tmp_path / "b", head=False)
        assert (config["classes"], config["headless"]) == (classes, classes == 0)
        assert all(torch.equal(loaded.state_dict()[key], value) for key, value in state.items())
    with pytest.raises(BackboneError, match="no last layers"):
        backbones.load(tmp_path / "b", head=True)


def test_weights_that_do_not_fit(tmp_path):
    state = {"model." + key: value for key, value in randomly(CNN).state_dict().items()}
    backbones.save(tmp_path / "b", arch=CNN, state=state, transform={}, source="timm", library="timm")
    state = randomly(CNN).state_dict() | {"text": torch.ones(1)}
    with pytest.raises(BackboneError, match=r"do not fit test_convnext: .* unknown \['text'\]"):
        backbones.save(tmp_path / "c", arch=CNN, state=state, transform={}, source="timm", library="timm")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("arch", ["resnet_18", "resnet18.none_such", "hf-hub:timm/resnet18", "local-dir:x"])
def test_an_architecture_that_timm_does_not_have(arch):
    with pytest.raises(BackboneError, match="timm has no architecture"):
        timm_networks.build(arch, classes=5)
    assert "near it: resnet18" in said(lambda: timm_networks.transform("resnet_18"))


def said(call):
    with pytest.raises(BackboneError) as caught:
        call()
    return str(caught.value)


# The hub


def test_the_hubs_weights(monkeypatch, tmp_path):
    net, create = randomly(CNN), timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda arch, pretrained, **more: net if pretrained else create(arch, **more)
    )
    monkeypatch.chdir(tmp_path)
    write("hub", Backbone(arch=CNN, source="timm"))
    loaded, _ = backbones.load(tmp_path / "models" / "hub", head=True)
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("no pretrained weights exist")])
def test_a_hub_without_an_answer(monkeypatch, error):
    def create(arch, pretrained):
        raise error

    monkeypatch.setattr(timm, "create_model", create)
    text = said(lambda: timm_networks.published_weights(CNN))
    assert f"timm's hub gives no weights of {CNN} ({type(error).__name__}: {error})" in text
    assert "go in by path" in text


# Within other networks


@pytest.mark.parametrize(("arch", "width"), [(CNN, 64), (VIT, 64), (NHWC, 256)])
def test_trunks_end_before_the_classifier(made, arch, width):
    net, folder = made[arch]
    trunk, found = encoders.trunk(backbones.load(folder, head=False), side=160)
    x = torch.rand(2, 3, 160, 160)
    config = read_json(folder / "config.json")["transform"]
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        out = trunk(x)
        inside = (x - mean) / std
        expected = net.forward_head(net.forward_features(inside), pre_logits=True)
    assert (found, out.shape) == (width, (2, width))
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("arch", [CNN, NHWC])
def test_stages_are_timms_features(arch):
    network = backbones.Network(
        randomly(arch), {"library": "timm", "arch": arch, "transform": Transform().model_dump()}
    )
    own = timm.create_model(arch, features_only=True).eval()
    wide, steps = own.feature_info.channels(), own.feature_info.reduction()
    net, widths = encoders.stages(network, side=96, finest=48)
    x = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        found = net(x)
    assert widths == wide
    assert [stage.shape[1:] for stage in found] == [
        (d, 96 // r, 96 // r) for d, r in zip(wide, steps, strict=True)
    ]


def test_networks_without_stages():
    network = backbones.Network(randomly(VIT), {"library": "timm", "arch": VIT, "transform": {}})
    with pytest.raises(
        BackboneError, match=r"test_vit has stages of \[6\] pixels for pictures of 96; two of"
    ):
        encoders.stages(network, side=96, finest=48)
    plain = backbones.Network(nn.Identity(), {"library": "timm", "arch": "resnest14d", "transform": {}})
    with pytest.raises(BackboneError, match="timm has no stages of resnest14d"):
        encoders.stages(plain, side=96, finest=48)
