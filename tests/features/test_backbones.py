"""Frozen networks: built by name, filled from a file or a download, kept as an artifact."""

from __future__ import annotations

import hashlib
import pickle
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from memorability.core.errors import BackboneError
from memorability.core.files import read_json
from memorability.features import architectures, backbones, encoders, weights

ARCH = "squeezenet1_1"
TRANSFORM = {"resize": 40, "crop": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return backbones.build(ARCH, classes=5)


@pytest.fixture
def state(net):
    return dict(net.state_dict())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def save(folder, state, arch=ARCH):
    backbones.save(folder, arch=arch, state=state, transform=TRANSFORM, source="file")


# Networks by name.


@pytest.mark.parametrize(("arch", "last"), backbones.ARCHITECTURES.items())
def test_every_architecture_ends_in_its_last_layer(arch, last):
    with torch.device("meta"):
        net = backbones.build(arch, classes=7)
        size = (8, 112, 112) if arch in backbones.OF_CLIPS else (299, 299)
        found = net(torch.zeros(2, 3, *size))
    if arch in architectures.OF_PLACES:
        assert set(found) == {"out"}
        assert found["out"].shape == (2, 7, 299, 299)
    else:
        assert found.shape == (2, 7)
    assert not net.training
    assert net.get_submodule(last).weight.shape[0] == 7
    named = [key for key in net.state_dict() if key.endswith(".weight") and "Aux" not in key]
    assert named[-1] == f"{last}.weight"


def test_a_fully_convolutional_network_has_torchvision_s_size():
    with torch.device("meta"):
        net = backbones.build("fcn_resnet50", classes=21)
    weights = torchvision.models.get_model_weights("fcn_resnet50").DEFAULT
    assert len(weights.meta["categories"]) == 21
    auxiliary = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
    assert sum(p.numel() for p in net.parameters()) == weights.meta["num_params"] - auxiliary
    with torch.device("meta"):
        assert net.backbone(torch.zeros(1, 3, 224, 224))["out"].shape == (1, 2048, 28, 28)
        assert backbones.build("fcn_resnet18", classes=13).backbone(torch.zeros(1, 3, 48, 48))[
            "out"
        ].shape == (1, 128, 6, 6)


def test_published_weights_of_places_come_without_their_auxiliary_head(tmp_path):
    torch.manual_seed(0)
    net = backbones.build("fcn_resnet18", classes=3)
    save(tmp_path / "b", net.state_dict() | {"aux_classifier.0.weight": torch.zeros(2)}, arch="fcn_resnet18")
    loaded, config = backbones.load(tmp_path / "b", head=True)
    assert (config["arch"], config["classes"], config["headless"]) == ("fcn_resnet18", 3, False)
    assert same(loaded.state_dict(), net.state_dict())


def test_its_places_are_what_it_enlarges():
    torch.manual_seed(0)
    net, x = backbones.build("fcn_resnet18", classes=3), torch.rand(2, 3, 48, 48)
    small = net.classifier(net.backbone(x)["out"])
    enlarged = nn.functional.interpolate(small, size=(48, 48), mode="bilinear", align_corners=False)
    assert torch.equal(net(x)["out"], enlarged)


@pytest.mark.parametrize("use", ["trunk", "stages"])
def test_a_network_of_places_classifies_no_pictures(use):
    network = backbones.Network(backbones.build("fcn_resnet18"), {"arch": "fcn_resnet18"})
    more = {"finest": 8} if use == "stages" else {}
    with pytest.raises(BackboneError, match="fcn_resnet18 says what is at each place of a picture"):
        getattr(encoders, use)(network, side=48, **more)


# A network up to one layer.


def up_to(layer, arch="resnet18", side=64):
    torch.manual_seed(0)
    network = backbones.Network(backbones.build(arch), {"arch": arch, "transform": TRANSFORM})
    return network.net, encoders.places(network, side=side, layer=layer)


@pytest.mark.parametrize(("layer", "shape"), [("layer2", (128, 8, 8)), ("layer3.0.conv1", (256, 4, 4))])
def test_a_network_up_to_a_layer(layer, shape):
    net, (cut, found) = up_to(layer)
    assert found == shape
    assert not cut.training
    x, seen = torch.rand(2, 3, 64, 64), []
    net.get_submodule(layer).register_forward_hook(lambda module, given, out: seen.append(out))
    mean, std = (torch.tensor(TRANSFORM[name]).view(3, 1, 1) for name in ("mean", "std"))
    net((x - mean) / std)
    assert torch.equal(cut(x), seen[0])
    assert not any(key.startswith(("net.cut.layer4", "net.cut.fc")) for key in cut.state_dict())


@pytest.mark.parametrize(
    ("layer", "arch", "said"),
    [("layer9", "resnet18", "layer9"), ("fc", "resnet18", "no maps"), ("layer2", "r3d_18", "reads clips")],
)
def test_layers_that_make_no_maps(layer, arch, said):
    with pytest.raises(BackboneError, match=said):
        up_to(layer, arch=arch)


def test_a_thousand_classes_unless_said_otherwise():
    with torch.device("meta"):
        assert backbones.build("resnet18").fc.out_features == 1000


@pytest.mark.parametrize("call", [backbones.build, weights.published_weights])
def test_an_unknown_architecture(call):
    with pytest.raises(BackboneError, match=r"'vgg16' is not known; valid: resnet18, .*squeezenet1_1"):
        call("vgg16")


# Weights from a file.


def test_safetensors(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    assert same(weights.file_weights(tmp_path / "w.safetensors"), state)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.pth.tar"])
def test_a_state_dict_of_torch(state, tmp_path, name):
    torch.save(state, tmp_path / name)
    assert same(weights.file_weights(tmp_path / name), state)


def test_a_checkpoint_of_a_parallel_training(state, tmp_path):
    parallel = {f"module.{key}": value for key, value in state.items()}
    torch.save({"arch": ARCH, "epoch": 90, "best": 0.5, "state_dict": parallel}, tmp_path / "w.pth.tar")
    assert same(weights.file_weights(tmp_path / "w.pth.tar"), parallel)
    assert same(architectures.own_names(ARCH, parallel, "torchvision"), state)


@pytest.mark.parametrize("prefix", ["model.", "visual.", "module.model.", "model.visual."])
def test_a_prefix_of_all_names_is_left_out(state, prefix):
    found = architectures.own_names(
        ARCH, {prefix + key: value for key, value in state.items()}, "torchvision"
    )
    assert same(found, state)


def test_a_prefix_of_some_names_stays(state):
    some = {"module.features.0.weight": torch.ones(1), **state}
    assert same(architectures.own_names(ARCH, some, "torchvision"), some)


def test_a_prefix_that_the_architecture_has_stays(monkeypatch):
    net = nn.ModuleDict({"model": nn.Linear(2, 2)})
    monkeypatch.setattr(architectures, "build", lambda arch, **options: net)
    assert same(architectures.own_names("own", net.state_dict(), "timm"), net.state_dict())


def test_the_hash_of_a_file(state, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file(state, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert same(weights.file_weights(file, sha256=sha256), state)
    with pytest.raises(BackboneError, match=f"its SHA-256 is {sha256}, not 0000"):
        weights.file_weights(file, sha256="0" * 64)


class Malicious:
    """Pickled, it would make a folder when it is read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (__import__("os").mkdir, (str(self.folder),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("by", ["torch", "pickle"])
def test_code_in_a_file_is_refused(tmp_path, by):
    target, file = tmp_path / "made", tmp_path / "w.pth"
    if by == "torch":
        torch.save({"a": torch.ones(1), "b": Malicious(target)}, file)
    else:
        file.write_bytes(pickle.dumps({"a": Malicious(target)}))
    with pytest.raises(BackboneError, match=r"w\.pth: no safetensors and no plain state dict"):
        weights.file_weights(file)
    assert not target.exists()


@pytest.mark.parametrize(
    "content", [nn.Linear(2, 2), [torch.ones(1)], {"a": 3}, {"state_dict": [1]}, torch.ones(2)]
)
def test_anything_but_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match=r"w\.pth"):
        weights.file_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"hello world\n", b"version https://git-lfs"])
def test_no_weights_file_at_all(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BackboneError, match=name):
        weights.file_weights(tmp_path / name)


def test_a_file_cut_short(state, tmp_path):
    for name, write in (("w.pth", torch.save), ("w.safetensors", save_file)):
        write(state, tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(BackboneError, match=name):
            weights.file_weights(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(BackboneError, match=r"w\.pth: no such weights file"):
        weights.file_weights(tmp_path / "w.pth")


# The artifact.


def test_a_saved_network_gives_the_same_outputs(net, state, tmp_path):
    save(tmp_path / "b", state)
    loaded, config = backbones.load(tmp_path / "b", head=True)
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(x), net(x))
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    content = (tmp_path / "b" / "weights.safetensors").read_bytes()
    assert config.pop("sha256")
    assert config == {
        "library": "torchvision",
        "arch": ARCH,
        "classes": 5,
        "headless": False,
        "source": "file",
        "package": None,
        "transform": {"fit": "squash", "interpolation": "bilinear", **TRANSFORM},
    }
    save(tmp_path / "again", state)
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == content


def test_other_weights_have_another_hash(state, tmp_path):
    save(tmp_path / "one", state)
    save(tmp_path / "two", state | {"classifier.1.bias": torch.ones(5)})
    hashes = [read_json(tmp_path / name / "config.json")["sha256"] for name in ("one", "two")]
    assert hashes[0] != hashes[1]


@pytest.fixture
def dense(monkeypatch):
    """A tiny network in densenet161's place, whose batch statistics are not those it starts with."""

    def build(arch, *, classes=1000, library="torchvision"):
        return torchvision.models.DenseNet(4, (1, 1), 8, num_classes=classes).eval()

    monkeypatch.setattr(backbones, "build", build)
    net = build("densenet161", classes=3).train()
    net(torch.rand(4, 3, 64, 64))
    return net.eval()


@pytest.mark.parametrize("counts", [True, False])  # of batches: old files, torchvision's too, have none
def test_batch_statistics_are_kept(dense, tmp_path, counts):
    state = {k: v for k, v in dense.state_dict().items() if counts or not k.endswith("num_batches_tracked")}
    save(tmp_path / "b", state, arch="densenet161")
    loaded, config = backbones.load(tmp_path / "b", head=True)
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(loaded(x), dense(x))
    assert (config["classes"], config["headless"]) == (3, False)


def test_inception_does_without_its_second_head(monkeypatch, tmp_path):
    def build(arch, *, classes=1000, library="torchvision"):
        layers = {
            "Conv2d_1a": nn.Linear(3, 3),
            "AuxLogits": nn.Linear(3, classes),
            "fc": nn.Linear(3, classes),
        }
        return nn.ModuleDict(layers)

    monkeypatch.setattr(backbones, "build", build)
    state = {k: v for k, v in build("", classes=2).state_dict().items() if not k.startswith("AuxLogits")}
    save(tmp_path / "b", state, arch="inception_v3")
    loaded, config = backbones.load(tmp_path / "b", head=True)
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in state.items())
    assert (config["classes"], config["headless"]) == (2, False)


def test_features_alone_are_headless(net, state, tmp_path):
    features = {key: value for key, value in state.items() if key.startswith("features.")}
    save(tmp_path / "b", features)
    loaded, config = backbones.load(tmp_path / "b", head=False)
    assert config["headless"]
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded.features(x), net.features(x))
    with pytest.raises(BackboneError, match="no last layers"):
        backbones.load(tmp_path / "b", head=True)


def test_weights_of_another_architecture_are_refused(state, tmp_path):
    with pytest.raises(BackboneError, match=r"do not fit resnet18.*conv1\.weight.*features\.0\.weight"):
        save(tmp_path / "b", state, arch="resnet18")
    assert not (tmp_path / "b").exists()


def test_a_missing_an_unknown_and_a_wrong_tensor_are_named(state, tmp_path):
    del state["features.0.weight"]
    with pytest.raises(BackboneError, match=r"missing \['features\.0\.weight'\]"):
        save(tmp_path / "b", state)
    state["features.0.weight"] = torch.zeros(64, 3, 5, 5)
    with pytest.raises(BackboneError, match=r"features\.0\.weight \(64, 3, 5, 5\), not \(64, 3, 3, 3\)"):
        save(tmp_path / "b", state)
    state["head.weight"] = torch.zeros(1)
    with pytest.raises(BackboneError, match=r"unknown \['head\.weight'\]"):
        save(tmp_path / "b", state)


def test_a_refused_save_leaves_the_artifact_as_it_was(state, tmp_path):
    save(tmp_path / "b", state)
    config = read_json(tmp_path / "b" / "config.json")
    with pytest.raises(BackboneError):
        save(tmp_path / "b", {"other": torch.ones(1)})
    assert read_json(tmp_path / "b" / "config.json") == config
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


# Weights by download, from a server on this machine alone.


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Publishes a state dict as torchvision's weights, under the hash in its name (or a wrong one)."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            requests.append(args)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def publish(state, sha=None):
        torch.save(state, folder / "w.pth")
        sha = sha or hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()
        file = (folder / "w.pth").rename(folder / f"net-{sha[:8]}.pth")
        published = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/{file.name}")
        monkeypatch.setattr(
            torchvision.models, "get_model_weights", lambda arch: {"IMAGENET1K_V1": published}
        )
        return requests

    yield publish
    server.shutdown()
    server.server_close()
    thread.join()


def test_published_weights_are_downloaded_once(publish, state):
    requests = publish(state)
    assert same(weights.published_weights(ARCH), state)
    assert same(weights.published_weights(ARCH), state)
    assert len(requests) == 1


def test_a_download_with_a_wrong_hash_is_refused(publish, state, tmp_path):
    publish(state, sha="0" * 64)
    with pytest.raises((BackboneError, RuntimeError), match="hash"):
        weights.published_weights(ARCH)
    assert not list((tmp_path / "home").rglob("*.pth"))


def test_code_in_a_download_is_refused(publish, tmp_path):
    publish({"a": Malicious(tmp_path / "made")})
    with pytest.raises((BackboneError, pickle.UnpicklingError)):
        weights.published_weights(ARCH)
    assert not (tmp_path / "made").exists()


def test_published_densenet_has_old_names(publish, dense, tmp_path):
    def old(key):
        return re.sub(r"\.(norm|conv)([12])\.", r".\1.\2.", key)

    state = {old(k): v for k, v in dense.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    publish(state)
    save(tmp_path / "b", weights.published_weights("densenet161"), arch="densenet161")
    loaded, _ = backbones.load(tmp_path / "b", head=True)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded(x), dense(x))


def test_the_published_weights_are_the_named_ones():
    for arch in backbones.ARCHITECTURES:
        name = weights.PUBLISHED.get(arch, "IMAGENET1K_V1")
        if name is None:
            with pytest.raises(BackboneError, match=f"publishes no weights of {arch}"):
                weights.published_weights(arch)
            continue
        url = torchvision.models.get_model_weights(arch)[name].url
        assert torch.hub.HASH_REGEX.search(url), f"{arch}: no hash in {url}"
