import numpy as np
import pytest
import small_maps
import torch
from scipy import linalg

from memorability.core.errors import BackboneError, DataError
from memorability.core.files import write_json
from memorability.evaluation import fid
from memorability.features import backbones

TRANSFORM = {"resize": 40, "crop": 36, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
N = 24


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A network with random weights, which are enough to tell blurred maps from sharp ones."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "small"
    state = backbones.build("squeezenet1_1", classes=4).state_dict()
    backbones.save(folder, arch="squeezenet1_1", state=state, transform=TRANSFORM, source="file")
    return folder


def distance(truth, prediction, backbone):
    return fid.distance(truth, prediction, backbone=backbone, threads=1)


def frechet(one, other):
    """The closed formula of two normal distributions, of features [N, D]."""
    means = one.mean(axis=0), other.mean(axis=0)
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    between = np.sum((means[0] - means[1]) ** 2)
    return between + np.trace(covariances[0] + covariances[1] - 2 * np.real(root))


class Projected(torch.nn.Module):
    """Few numbers made of many features: with fewer of them than maps, the covariances are regular."""

    def __init__(self, trunk, width, count):
        super().__init__()
        self.trunk = trunk
        self.weight = torch.randn(width, count, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        return self.trunk(x).reshape(len(x), -1) @ self.weight


def test_the_same_maps_have_no_distance(backbone):
    truth = small_maps.blocks(N)
    scale = distance(truth, small_maps.blurred(truth, 2), backbone)
    assert 0 <= distance(truth, truth / np.float32(255), backbone) < 1e-4 * scale


def test_it_grows_with_blur(backbone):
    truth = small_maps.blocks(N)
    found = [distance(truth, small_maps.blurred(truth, sigma), backbone) for sigma in (0.3, 1, 2, 4)]
    assert found == sorted(found)
    assert found[0] < 0.5 * found[-1]


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_the_closed_formula_of_the_features(backbone, channels):
    truth = small_maps.blocks(40, channels=channels)
    prediction = small_maps.blurred(truth, 1)
    features = fid.Features(backbone)
    features.trunk = Projected(features.trunk, 512, 8)
    with torch.inference_mode():
        one, other = (
            features(torch.tensor(v, dtype=torch.float32)).double().numpy() for v in (truth / 255, prediction)
        )
    expected = frechet(one, other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fid, "_network", lambda folder: fid._Seen(features))
        found = distance(truth, prediction, backbone)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 0.01


def test_one_channel_is_seen_as_grey(backbone):
    grey = small_maps.blocks(N, channels=1)
    blurred = small_maps.blurred(grey, 1)
    expected = distance(grey.repeat(3, axis=1), blurred.repeat(3, axis=1), backbone)
    assert distance(grey, blurred, backbone) == pytest.approx(expected, rel=1e-5)


def test_it_is_repeatable_and_clips(backbone):
    truth = small_maps.blocks(N)
    prediction = small_maps.blurred(truth, 1)
    assert distance(truth, prediction, backbone) == distance(truth, prediction, backbone)
    beyond = np.where(prediction <= 0, -0.5, prediction)
    assert distance(truth, beyond, backbone) == pytest.approx(distance(truth, prediction, backbone), rel=1e-6)


def test_threads_are_pinned(backbone, monkeypatch):
    given = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    fid.distance(*[small_maps.blocks(4)] * 2, backbone=backbone, threads=3)
    assert given == [3]


def test_bad_maps_and_networks_are_refused(backbone, tmp_path):
    truth = small_maps.blocks(4)
    for bad in (truth[0], truth[:1], truth[:, :2]):
        with pytest.raises(DataError, match=r"valid: \[N, 1 or 3, S, S\]"):
            distance(truth, bad, backbone)
    write_json(tmp_path / "config.json", {"family": "unet"})
    with pytest.raises(BackboneError, match="not a backbone"):
        distance(truth, truth / 255, tmp_path)


def test_more_features_than_maps_lose_nothing():
    """The closed formula has a root of singular covariances; its trace is known from small matrices alone."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(12, 30)), rng.normal(0.3, 2, size=(9, 30))
    values, vectors = np.linalg.eigh(np.cov(one, rowvar=False))
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ np.cov(other, rowvar=False) @ root).clip(0)
    expected = np.sum((one.mean(axis=0) - other.mean(axis=0)) ** 2) + one.var(axis=0, ddof=1).sum()
    expected += other.var(axis=0, ddof=1).sum() - 2 * np.sqrt(inner).sum()
    assert fid.frechet(one, other) == pytest.approx(expected)
    assert fid.frechet(one, one) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [20, 60])
def test_many_maps_and_few_features_are_the_closed_formula_too(n):
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(n, 5)), rng.normal(0.3, 2, size=(n + 3, 5))
    assert fid.frechet(one, other) == pytest.approx(frechet(one, other))


def test_the_truth_of_a_track_goes_through_the_network_once(backbone, monkeypatch):
    truth, seen = small_maps.blocks(N), []
    network = fid._Seen(fid.Features(backbone).eval())
    plain = network.of
    monkeypatch.setattr(network, "of", lambda values: seen.append(values.dtype) or plain(values))
    monkeypatch.setattr(fid, "_network", lambda folder: network)
    for sigma in (1, 2):
        distance(truth, small_maps.blurred(truth, sigma), backbone)
    assert [kind.name for kind in seen] == ["uint8", "float32", "float32"]
