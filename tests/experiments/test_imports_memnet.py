"""MemNet's Caffe weights, converted: every tensor in its place, the published outputs of ten crops, named errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from memorability.core.errors import BackboneError, DataError
from memorability.experiments import imports
from memorability.predict.predictor import Predictor

SHAPES = {
    **{"conv1": (96, 3, 11, 11), "conv2": (256, 48, 5, 5), "conv3": (384, 256, 3, 3)},
    **{"conv4": (384, 192, 3, 3), "conv5": (256, 192, 3, 3)},
    **{"fc6": (4096, 9216), "fc7": (4096, 4096), "fc8-euclidean": (1, 4096)},
}


def random_state():
    generator = torch.Generator().manual_seed(0)
    state = {"mean": 60 + 120 * torch.rand(3, 256, 256, generator=generator)}
    for layer, shape in SHAPES.items():
        louder = {"conv1": 0.02, "fc8-euclidean": 0.01}.get(layer, 1.0)
        scale = louder * (2 / np.prod(shape[1:])) ** 0.5
        state[f"{layer}.weight"] = scale * torch.randn(shape, generator=generator)
        state[f"{layer}.bias"] = 0.1 * torch.randn(shape[:1], generator=generator)
    state["fc8-euclidean.bias"] = torch.tensor([0.72])
    return state


def published_score(state, picture):
    """Of one picture: blue, green, red of 0 to 255 less the mean, ten crops, their mean scaled."""
    squashed = np.asarray(picture.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR))
    x = torch.from_numpy(squashed[..., ::-1].copy()).permute(2, 0, 1).float() - state["mean"]
    places = ((0, 0), (0, 29), (29, 0), (29, 29), (14, 14))
    crops = torch.stack([x[:, top : top + 227, left : left + 227] for top, left in places])
    return scaled(raw(state, torch.cat([crops, crops.flip(3)])).mean())


def scaled(output):
    return ((output - 0.7626) * 2 + 0.65).clamp(0, 1)


def raw(state, x):
    def conv(number, x, **options):
        return F.relu(F.conv2d(x, state[f"conv{number}.weight"], state[f"conv{number}.bias"], **options))

    def full(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    x = F.local_response_norm(F.max_pool2d(conv(1, x, stride=4), 3, 2), 5, alpha=1e-4, beta=0.75)
    x = F.local_response_norm(F.max_pool2d(conv(2, x, padding=2, groups=2), 3, 2), 5, alpha=1e-4, beta=0.75)
    x = conv(4, conv(3, x, padding=1), padding=1, groups=2)
    x = F.max_pool2d(conv(5, x, padding=1, groups=2), 3, 2).flatten(1)
    return full("fc8-euclidean", F.relu(full("fc7", F.relu(full("fc6", x)))))[:, 0]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The model from a file of the published layout at full size."""
    root, state = tmp_path_factory.mktemp("published"), random_state()
    save_file(state, root / "memnet.safetensors")
    said = imports.run("memnet", weights=root / "memnet.safetensors", models=root / "models")
    (root / "memnet.safetensors").unlink()
    yield root / "models" / "memnet_published", state, said
    (root / "models" / "memnet_published" / "model.safetensors").unlink()


@torch.inference_mode()
def test_the_scores_are_those_of_the_published_network(full, tmp_path):
    folder, state, said = full
    assert "17 tensors, every one in its place" in said
    rng = np.random.default_rng(0)
    for name, (height, width) in {"a": (90, 160), "b": (300, 200)}.items():
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((width, height)).save(tmp_path / f"{name}.png")
    pictures = sorted(tmp_path.glob("*.png"))
    found = [score.score for score in Predictor(folder, device="cpu").predict(pictures)]
    expected = [float(published_score(state, Image.open(path))) for path in pictures]
    assert found == pytest.approx(expected, abs=2e-5)
    assert all(0 < score < 1 for score in found)
    assert np.ptp(found) > 1e-3


def test_every_tensor_is_in_its_place(full):
    folder, state, _ = full
    kept = load_file(folder / "model.safetensors")
    assert torch.equal(kept["trunk.0.weight"], 255 * state["conv1.weight"].flip(1))
    assert torch.equal(kept["mean_picture"], state["mean"].flip(0) / 255)
    assert torch.equal(kept["head.6.weight"], state["fc8-euclidean.weight"])
    assert len(kept) == len(state)


def test_what_is_said_of_it(full):
    folder, _, _ = full
    config = json.loads((folder / "config.json").read_text())
    settings = config["settings"]
    assert (settings["views"], settings["output"], config["shape"]) == ("ten_crop", "linear", [3, 256, 256])
    assert settings["rescale"] == {"subtract": 0.7626, "times": 2.0, "add": 0.65}
    assert config["backbone"] is None
    card = (folder / "README.md").read_text()
    for told in ("Khosla", "LaMem", "mean picture", config["published"]["sha256"]):
        assert told in card


# What is wrong with a file: shapes alone are looked at.


def given(**changes):
    shapes = {"mean": (3, 256, 256)}
    for layer, shape in SHAPES.items():
        shapes |= {f"{layer}.weight": shape, f"{layer}.bias": shape[:1]}
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()} | changes
    return {key: value for key, value in state.items() if value is not None}


def checked(state, mean=None):
    published = imports.PUBLISHED["memnet"]
    net, _, _, _ = imports.network(published, sha256="0" * 64)
    wanted = {published.name_of(key): value for key, value in net.state_dict().items()}
    found = imports.complete(published, state, wanted, mean=mean)
    imports.check(found, wanted, "file")
    return found


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mean": None, "conv5.bias": None}, r"2 missing:\n  mean\n  conv5\.bias"),
        ({"prob.weight": torch.zeros(2)}, r"1 unknown:\n  prob\.weight"),
        ({"fc6.bias": torch.zeros(9)}, r"1 of another shape:\n  fc6\.bias \(9,\), not \(4096,\)"),
        ({"mean": torch.zeros(3)}, r"1 of another shape:\n  mean \(3,\), not \(3, 256, 256\)"),
        ({"mean": torch.zeros(3, 256, 256).int()}, r"1 of another kind:\n  mean torch.int32"),
    ],
)
def test_tensors_that_are_not_those_published(changes, told):
    with pytest.raises(DataError, match=told):
        checked(given(**changes))


@pytest.mark.parametrize("form", ["npy", "safetensors", "pt"])
def test_the_mean_picture_may_be_in_a_file_of_its_own(tmp_path, form):
    mean, path = torch.rand(1, 3, 256, 256), tmp_path / f"mean.{form}"
    if form == "npy":
        np.save(path, mean.numpy())
    else:
        (save_file if form == "safetensors" else torch.save)({"mean": mean}, path)
    assert torch.equal(checked(given(mean=None), mean=path)["mean"], mean[0])
    with pytest.raises(DataError, match="a mean picture is not asked for here"):
        checked(given(), mean=path)


def test_a_mean_picture_that_is_none(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"objects\.npy: no array of numbers"):
        checked(given(mean=None), mean=tmp_path / "objects.npy")
    torch.save({"average": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="valid: one tensor, mean; received average"):
        checked(given(mean=None), mean=tmp_path / "other.pt")
    with pytest.raises(BackboneError, match="no such weights file"):
        checked(given(mean=None), mean=tmp_path / "absent.npy")
