"""AMNet's published weights: every tensor in its place, the published outputs, what may be missing and what is left aside."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from plain_resnet import norm, resnet_places
from torch.nn import functional as F

from memorability.core.errors import DataError
from memorability.experiments import imports
from memorability.experiments.published import PUBLISHED
from memorability.predict.predictor import Predictor

D = H = 1024
L, T = 14 * 14, 3
OWN = {  # beside the ResNet-50, which is there whole (Fajtl et al. 2018, their released code)
    **{"inconv.weight": (D, D, 1, 1), "inconv.bias": (D,)},
    **{f"bn1.{kind}": (D,) for kind in ("weight", "bias", "running_mean", "running_var")},
    **{"hs1.weight": (H, D), "hs1.bias": (H,), "hc1.weight": (H, D), "hc1.bias": (H,)},
    **{"e1.weight": (D, D), "eh1.weight": (L, H), "eh1.bias": (L,), "eh3.weight": (1, D)},
    **{"rnn.weight_ih_l0": (4 * H, D), "rnn.weight_hh_l0": (4 * H, H)},
    **{"rnn.bias_ih_l0": (4 * H,), "rnn.bias_hh_l0": (4 * H,)},
    **{"regnet1.weight": (512, H), "regnet1.bias": (512,), "regnet4.weight": (1, 512), "regnet4.bias": (1,)},
}
INNER = "core_cnn.core_cnn."


def published_shapes():
    with torch.device("meta"):
        inner = torchvision.models.resnet50(weights=None).state_dict()
    counted = {key: tuple(v.shape) for key, v in inner.items() if not key.endswith("num_batches_tracked")}
    return {f"{INNER}{key}": shape for key, shape in counted.items()} | OWN


def random_tensor(key, shape, generator):
    if len(shape) == 1:
        base = 0.1 * torch.randn(shape, generator=generator)
        if key.endswith("running_var"):
            return base.exp()
        if "bn" in key or "downsample.1" in key:
            return base + (0.2 if key.endswith("bn3.weight") else 1 if key.endswith("weight") else 0)
        return base
    louder = {
        "regnet4.weight": 0.4,
        "eh3.weight": 8,
        "eh1.weight": 4,
        "hs1.weight": 3,
        "rnn.weight_ih_l0": 3,
    }.get(key, 1)
    return torch.randn(shape, generator=generator) * louder * (2 / np.prod(shape[1:])) ** 0.5


def published_outputs(state, x, *, attend=True):
    """Scores [B] and attention [B, T, L], of pixels in [0, 1]: the released network written out."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    a = resnet_places(state, INNER, (x - mean.view(3, 1, 1)) / std.view(3, 1, 1), blocks=(3, 4, 6))
    a = F.relu(norm(state, "bn1", F.conv2d(a, state["inconv.weight"], state["inconv.bias"]))).flatten(2)
    h, c = (
        torch.tanh(F.linear(a.mean(2), state[f"{name}.weight"], state[f"{name}.bias"]))
        for name in ("hs1", "hc1")
    )
    e = F.relu(torch.einsum("ed,bdl->bel", state["e1.weight"], a))
    outputs, attention = [], []
    for _ in range(T):
        alpha = torch.full((len(x), a.shape[2]), 1 / a.shape[2])
        if attend:
            of_state = F.linear(h, state["eh1.weight"], state["eh1.bias"])
            energy = torch.einsum("d,bdl->bl", state["eh3.weight"][0], F.relu(e + of_state[:, None]))
            alpha = energy.softmax(1)
        gates = F.linear(
            torch.einsum("bdl,bl->bd", a, alpha), state["rnn.weight_ih_l0"], state["rnn.bias_ih_l0"]
        )
        gates = gates + F.linear(h, state["rnn.weight_hh_l0"], state["rnn.bias_hh_l0"])
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        y = F.relu(F.linear(h, state["regnet1.weight"], state["regnet1.bias"]))
        outputs.append(F.linear(y, state["regnet4.weight"], state["regnet4.bias"])[:, 0])
        attention.append(alpha)
    return torch.stack(outputs).sum(0) / T / 2.0 + 0.754, torch.stack(attention, 1)


def published_input(picture):
    squashed = np.asarray(picture.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
    return torch.from_numpy(squashed.copy()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def state():
    generator = torch.Generator().manual_seed(0)
    return {key: random_tensor(key, shape, generator) for key, shape in published_shapes().items()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, (height, width) in {"a": (90, 160), "b": (300, 200), "c": (224, 224)}.items():
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((width, height)).save(root / f"{name}.png")
    return sorted(root.glob("*.png"))


@pytest.fixture(scope="module", params=["amnet", "amnet_mean"])
def imported(request, state, tmp_path_factory):
    """The model from a file of the published layout at full size."""
    root = tmp_path_factory.mktemp(request.param)
    torch.save({"model": state}, root / "weights_35.pkl")
    said = imports.run(request.param, weights=root / "weights_35.pkl", models=root / "models")
    (root / "weights_35.pkl").unlink()
    folder = root / "models" / f"{request.param}_published"
    yield request.param, folder, said
    (folder / "model.safetensors").unlink()


@torch.inference_mode()
def test_the_scores_and_the_attention_are_those_of_the_released_network(imported, state, pictures):
    name, folder, said = imported
    assert "tensors, every one in its place, from a file that is not known here" in said
    predictor = Predictor(folder, device="cpu")
    x = torch.stack([published_input(Image.open(path)) for path in pictures])
    scores, attention = published_outputs(state, x, attend=name == "amnet")
    found = [score.score for score in predictor.predict(pictures)]
    assert found == pytest.approx(scores.clamp(0, 1).tolist(), abs=2e-6)
    assert np.ptp(found) > 1e-3
    assert ((scores > 0) & (scores < 1)).all()
    if name == "amnet":
        assert attention.amax(2).min() > 2 / L  # uneven, so that a wrong one would be seen


def test_what_is_said_of_it(imported):
    name, folder, said = imported
    config = json.loads((folder / "config.json").read_text())
    assert config["trained_on"] == {"lamem": None}
    settings = config["settings"]
    assert (settings["fit"], settings["resize"], settings["crop"]) == ("squash", 224, 224)
    assert settings["attention"] == (name == "amnet")
    assert config["backbone"]["sha256"] == config["published"]["sha256"]
    card = (folder / "README.md").read_text()
    for told in ("Fajtl", "MIT", "LaMem", config["published"]["sha256"]):
        assert told in card
    assert "MIT" in said


# What a file may lack and what it may not: shapes alone are looked at, on tensors without memory of their own.


@functools.cache
def names_of(name):
    """The tensors that must be in a file, without numbers to speak of."""
    published = PUBLISHED[name]
    net, _, _, _ = imports.network(published, sha256="0" * 64)
    wanted = {published.name_of(key): value for key, value in net.state_dict().items()}
    return (
        published,
        wanted,
        {key: torch.zeros(()).expand(shape) for key, shape in published_shapes().items()},
    )


@pytest.mark.parametrize("name", ["amnet", "amnet_mean"])
def test_the_published_layout_is_that_of_the_family(name):
    published, wanted, given = names_of(name)
    found = imports.complete(published, given, wanted, mean=None)
    imports.check(found, wanted, "file")
    of_the_file = {key for key in wanted if not key.endswith("num_batches_tracked")}
    left_aside = set(given) - of_the_file
    beginnings = {f"{INNER}layer4", f"{INNER}fc"} | ({"e1", "eh1", "eh3"} if name == "amnet_mean" else set())
    assert all(any(key.startswith(f"{start}.") for start in beginnings) for key in left_aside)
    assert all(any(key.startswith(f"{start}.") for key in left_aside) for start in beginnings)
    assert of_the_file <= set(given)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"eh1.bias": None}, "1 missing:\n  eh1.bias"),
        ({f"{INNER}layer3.0.conv1.weight": None}, f"1 missing:\n  {INNER}layer3.0.conv1.weight"),
        ({"eh12.weight": torch.zeros(2)}, "1 unknown:\n  eh12.weight"),
        ({"rnn.bias_hh_l0": torch.zeros(3)}, r"1 of another shape:\n  rnn.bias_hh_l0 \(3,\), not \(4096,\)"),
    ],
)
def test_tensors_that_are_not_those_published(change, told):
    published, wanted, given = names_of("amnet")
    given = {key: value for key, value in (given | change).items() if value is not None}
    with pytest.raises(DataError, match=told):
        imports.check(imports.complete(published, given, wanted, mean=None), wanted, "file")


def test_there_is_no_package_of_it():
    with pytest.raises(DataError, match="no package has these weights; give their file by --weights"):
        imports.run("amnet")
