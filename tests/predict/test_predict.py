"""A trained model scores a user's own files, and says of each file why it cannot."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import memorability
from memorability.core.errors import BackboneError, DataError, ParamsError
from memorability.core.settings import checked
from memorability.families import mean, memnet, resmem, ridge, svr
from memorability.features import backbones
from memorability.features.extraction import Extractor
from memorability.media.pictures import resize_and_crop
from memorability.predict import predictor as module
from memorability.predict.predictor import Failure, Predictor, Score
from memorability.training import artifacts

HEAD = {"track": "images", "target": "score", "input": "x", "backbone": "none"}
SIDES = {"resize": 72, "crop": 67}
GRADIENT = {**SIDES, "lr": 0.001, "epochs": 1, "batch_size": 4}
TRANSFORM = {"resize": 40, "crop": 36, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw(folder):
    """A folder of five pictures of several sizes and kinds, one in a folder of its own."""
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, name in enumerate(["b.png", "a.jpg", "more/c.webp", "d.png", "e.bmp"]):
        pixels = rng.integers(0, 256, (80 + 10 * i, 90, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        (picture.convert("L") if name == "d.png" else picture).save(folder / name)
    return folder


@pytest.fixture
def pictures(tmp_path):
    return draw(tmp_path / "pictures")


def save(folder, family, arrays, **config):
    name = family.__name__.rpartition(".")[2]
    own = {"family": name, **HEAD, **config.pop("settings", {})}
    settings = checked(family.Params, own, at="x").model_dump(mode="json")
    artifacts.save(folder, config={"settings": settings, **config}, arrays=arrays)
    return folder


@pytest.fixture
def constant(tmp_path):
    """A model that gives everything 0.625."""
    return save(tmp_path / "models" / "mean", mean, {"mean": np.array(0.625)})


def backbone(folder, arch="squeezenet1_1", seed=0):
    torch.manual_seed(seed)
    state = backbones.build(arch, classes=3).state_dict()
    backbones.save(folder, arch=arch, state=state, transform=TRANSFORM, source="file")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Ridge and SVR on features, with the backbone beside them, and their scores by hand."""
    root = tmp_path_factory.mktemp("trained")
    folder = backbone(root / "models" / "squeeze")
    extractor = Extractor(
        folder, layer="features.8", pool="mean", dtype="float32", batch_size=3, device="cpu"
    )
    files = sorted(p for p in draw(root / "pictures").rglob("*") if p.is_file())
    opened = [Image.open(file).convert("RGB") for file in files]
    x = np.concatenate([extractor([extractor.prepare(picture)]) for picture in opened])
    y = np.linspace(0.3, 0.9, len(x))
    expected = {}
    for family, own in ((ridge, {"alphas": [1.0, 2.0]}), (svr, {"cs": [1.0], "epsilon": 0.01})):
        name = family.__name__.rpartition(".")[2]
        settings = checked(family.Params, {"family": name, **HEAD, **own}, at="x")
        state = family.fit(settings, x, y)
        save(root / "models" / name, family, state, settings=own, features=extractor.describe())
        expected[name] = family.predict(settings, state, x)
    return root, expected


@pytest.fixture
def of_features(trained, tmp_path, pictures):
    """A copy of the models of `trained`, the pictures, and the scores expected of them."""
    root, expected = trained
    shutil.copytree(root / "models", tmp_path / "models")
    return tmp_path / "models", sorted(p for p in pictures.rglob("*") if p.is_file()), expected


# Scores.


def test_a_model_without_inputs(constant, pictures):
    found = Predictor(constant).predict([pictures / "a.jpg", str(pictures / "b.png")])
    assert found == [Score(pictures / "a.jpg", 0.625), Score(pictures / "b.png", 0.625)]


@pytest.mark.parametrize("name", ["ridge", "svr"])
def test_a_model_of_features(of_features, pictures, name):
    models, files, expected = of_features
    found = Predictor(models / name, device="cpu").predict([pictures])
    assert [score.path for score in found] == files
    assert np.allclose([score.score for score in found], expected[name], atol=1e-6)
    assert np.ptp(expected[name]) > 0.1


def test_models_within_may_lie_elsewhere(of_features, pictures, tmp_path):
    models, _, expected = of_features
    (tmp_path / "elsewhere").mkdir()
    (models / "squeeze").rename(tmp_path / "elsewhere" / "squeeze")
    found = Predictor(models / "ridge", models=tmp_path / "elsewhere", device="cpu").predict([pictures])
    assert np.allclose([score.score for score in found], expected["ridge"], atol=1e-6)


@pytest.mark.parametrize("family", [memnet, resmem])
def test_a_network(tmp_path, pictures, family):
    own = {**GRADIENT, "hidden": 16} | ({"width": 12} if family is memnet else {})
    settings = checked(family.Params, {"family": "x", **HEAD, **own}, at="x")
    torch.manual_seed(0)
    made = {"arch": "resnet18", "classes": 3}
    inner = backbones.Network(backbones.build("resnet18", classes=3), made)
    net = family.build(settings, shape=(3, 67, 67), backbone=inner).eval()
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    made = made if family is resmem else None
    folder = save(tmp_path / "m", family, arrays, settings=own, shape=[3, 67, 67], backbone=made)
    files = [pictures / "a.jpg", pictures / "d.png"]
    found = Predictor(folder, device="cpu").predict(files)
    pixels = [resize_and_crop(Image.open(file).convert("RGB"), **SIDES) for file in files]
    with torch.no_grad():
        expected = net(torch.from_numpy(np.stack(pixels)) / 255)
    assert np.allclose([score.score for score in found], expected, atol=1e-6)


def test_the_class_is_found_in_the_package(constant):
    assert memorability.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        memorability.Nothing  # noqa: B018


def test_many_pictures_come_in_batches_and_in_order(constant, pictures, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    predictor, batches = Predictor(constant), []
    inner = predictor._answer
    predictor._answer = lambda items: batches.append(len(items)) or inner(items)
    (pictures / "c.jpg").write_bytes(b"broken")
    found = list(predictor.scores([pictures]))
    assert [item.path.name for item in found] == ["a.jpg", "b.png", "c.jpg", "d.png", "e.bmp", "c.webp"]
    assert [isinstance(item, Failure) for item in found] == [False, False, True, False, False, False]
    assert batches == [2, 1, 2]


def test_scores_come_one_batch_after_the_other(constant, pictures, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 1)
    stream = Predictor(constant).scores([pictures])
    assert next(stream).path.name == "a.jpg"
    shutil.rmtree(pictures)
    assert isinstance(next(stream), Failure)


def test_one_process_scores_together_with_nobody(constant, pictures):
    (pictures / "broken.jpg").write_bytes(b"broken")
    predictor = Predictor(constant)
    assert predictor.scores_together([pictures]) == list(predictor.scores([pictures]))


def test_nothing_to_score(constant):
    assert Predictor(constant).predict([]) == []


# Failures.


def test_every_failure_is_listed(constant, pictures):
    (pictures / "broken.jpg").write_bytes(b"broken")
    (pictures / "cut.png").write_bytes((pictures / "b.png").read_bytes()[:2000])
    (pictures / "empty").mkdir()
    paths = [pictures / name for name in ("a.jpg", "no.jpg", "broken.jpg", "cut.png", "empty")]
    with pytest.raises(DataError, match="4 of 5 cannot be scored") as error:
        Predictor(constant).predict(paths)
    for text in (
        "no.jpg: no such",
        "broken.jpg: not a picture",
        "cut.png: cannot be",
        "empty: nothing to score",
    ):
        assert text in str(error.value)
    found = list(Predictor(constant).scores(paths))
    assert found[0] == Score(paths[0], 0.625)
    assert [item.path for item in found] == paths


def test_no_model(tmp_path):
    with pytest.raises(DataError, match="no trained model here"):
        Predictor(tmp_path / "ridge")


def test_a_model_of_settings_that_are_no_more(constant):
    arrays = artifacts.load(constant)[1]
    config = {"settings": {"family": "mean", **HEAD, "depth": 3}}
    artifacts.save(constant, config=config, arrays=arrays)
    with pytest.raises(ParamsError, match=r"config\.json: settings\.depth: unknown key"):
        Predictor(constant)


def test_a_model_of_a_family_that_is_no_more(constant):
    config = {"settings": {"family": "gone", **HEAD}}
    artifacts.save(constant, config=config, arrays={"mean": np.array(0.5)})
    with pytest.raises(ParamsError, match="family 'gone' is not known"):
        Predictor(constant)


def test_a_missing_backbone(of_features):
    models, _, _ = of_features
    shutil.rmtree(models / "squeeze")
    with pytest.raises(DataError, match="squeeze: the backbone of this model is not here; dvc pull"):
        Predictor(models / "ridge")


def test_other_weights_in_the_backbone(of_features):
    models, _, _ = of_features
    backbone(models / "squeeze", seed=1)
    with pytest.raises(DataError, match="squeeze: not the weights this model was trained with"):
        Predictor(models / "ridge")


def test_another_network_under_the_name_of_the_backbone(of_features):
    models, _, _ = of_features
    backbone(models / "squeeze", arch="resnet18")
    with pytest.raises((DataError, BackboneError)):
        Predictor(models / "ridge")
