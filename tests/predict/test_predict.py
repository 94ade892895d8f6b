"""A trained model scores a user's own files, and says of each file why it cannot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from small_models import backbone_config

import memorability
from memorability.core import runtime
from memorability.core.errors import BackboneError, DataError
from memorability.core.settings import checked
from memorability.families import mean, memnet, resmem, ridge, svr
from memorability.features import backbones
from memorability.features.extractor import Extractor
from memorability.media.pictures import prepared
from memorability.predict import batches as batches_module
from memorability.predict.predictor import Failure, Predictor, Score
from memorability.training import artifacts

HEAD = {"track": "images", "target": "score", "input": "x", "backbone": "none"}
TRANSFORM_OF_PIXELS = {"fit": "squash", "resize": 72, "crop": 67}
GRADIENT = {**TRANSFORM_OF_PIXELS, "lr": 0.001, "epochs": 1, "batch_size": 4}
TRANSFORM = {"fit": "squash", "resize": 40, "crop": 36, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


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
def mean_model(tmp_path):
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
    extractor = Extractor(folder, layers=["features.8"], dtype="float32", batch_size=3, device="cpu")
    files = sorted(p for p in draw(root / "pictures").rglob("*") if p.is_file())
    opened = [Image.open(file).convert("RGB") for file in files]
    x = np.concatenate([extractor([extractor.prepare(picture)]) for picture in opened])
    y = np.linspace(0.3, 0.9, len(x))
    expected = {}
    for family, own in ((ridge, {"alphas": [1.0, 2.0]}), (svr, {"cs": [1.0], "epsilon": 0.01})):
        name = family.__name__.rpartition(".")[2]
        settings = checked(family.Params, {"family": name, **HEAD, **own}, at="x")
        state = family.fit(settings, x, y, groups=np.arange(len(x)))
        save(root / "models" / name, family, state, settings=own, features=[extractor.describe()])
        expected[name] = family.predict(settings, state, x)
    return root, expected


@pytest.fixture
def of_features(trained, tmp_path, pictures):
    """A copy of the models of `trained`, the pictures, and the scores expected of them."""
    root, expected = trained
    shutil.copytree(root / "models", tmp_path / "models")
    return tmp_path / "models", sorted(p for p in pictures.rglob("*") if p.is_file()), expected


# Scores.


def test_a_model_without_inputs(mean_model, pictures):
    found = Predictor(mean_model).predict([pictures / "a.jpg", str(pictures / "b.png")])
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


def network(folder, family):
    """A network with random weights, saved as the train stage does; and the network itself."""
    own = {**GRADIENT} | ({"hidden": 16, "width": 12} if family is memnet else {"hidden": 256})
    settings = checked(family.Params, {"family": "x", **HEAD, **own}, at="x")
    torch.manual_seed(0)
    made = backbone_config()
    inner = backbones.Network(backbones.build("resnet18", classes=3), made)
    net = family.build(settings, shape=(3, 67, 67), backbone=inner).eval()
    for name, weight in net.named_parameters():
        if name.startswith("fc"):  # else hardly anything of a picture is left behind seven layers
            weight.data.mul_(2)
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    made = made if family is resmem else None
    save(folder, family, arrays, settings=own, shape=[3, 67, 67], backbone=made)
    return net


@pytest.mark.parametrize("family", [memnet, resmem])
def test_a_network(tmp_path, pictures, family):
    net = network(tmp_path / "m", family)
    files = [pictures / "a.jpg", pictures / "d.png"]
    found = Predictor(tmp_path / "m", device="cpu").predict(files)
    pixels = [prepared(Image.open(file).convert("RGB"), **TRANSFORM_OF_PIXELS) for file in files]
    with torch.no_grad():
        expected = net(torch.from_numpy(np.stack(pixels)) / 255)
    assert np.allclose([score.score for score in found], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["ridge", "svr", "memnet", "resmem"])
def test_a_score_is_the_same_to_the_last_bit_whatever_is_scored_with_it(of_features, pictures, name):
    """Kernels, and with them last bits, depend on how many inputs there are."""
    models, files, _ = of_features
    if name in ("memnet", "resmem"):
        network(models / name, {"memnet": memnet, "resmem": resmem}[name])
    predictor = Predictor(models / name, device="cpu")
    together = predictor.predict(files)
    assert len({score.score for score in together}) == len(files)
    assert [predictor.predict(file)[0] for file in files] == together
    assert predictor.predict(files[::-1]) == together[::-1]
    assert predictor.predict(files * 8)[-len(files) :] == together
    for size in (1, 2, 3):
        assert list(predictor.batch(files, batch_size=size)) == together


def test_the_class_is_found_in_the_package(mean_model):
    assert memorability.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        memorability.Nothing  # noqa: B018


def test_many_pictures_come_in_batches_and_in_order(mean_model, pictures, monkeypatch):
    predictor, batches = Predictor(mean_model), []
    inner = predictor._model.predict
    monkeypatch.setattr(predictor._model, "predict", lambda items: batches.append(len(items)) or inner(items))
    (pictures / "c.jpg").write_bytes(b"broken")
    found = list(predictor.batch([pictures], batch_size=2))
    assert [item.path.name for item in found] == ["a.jpg", "b.png", "c.jpg", "d.png", "e.bmp", "c.webp"]
    assert [isinstance(item, Failure) for item in found] == [False, False, True, False, False, False]
    assert batches == [2, 1, 2]


def test_scores_come_while_later_files_are_not_even_named(mean_model, pictures):
    """No list of files and none of scores: a few are read ahead."""
    named = []

    def endless():
        while True:
            named.append(pictures / "a.jpg")
            yield named[-1]

    stream = Predictor(mean_model).batch(endless(), batch_size=4)
    for count in range(1, 100):
        assert next(stream).score == 0.625
        assert len(named) <= count + 4 + 2 * runtime.cores() + 1
    stream.close()


def test_one_process_scores_together_with_nobody(mean_model, pictures):
    (pictures / "broken.jpg").write_bytes(b"broken")
    predictor = Predictor(mean_model)
    assert list(predictor.batch_together([pictures])) == list(predictor.batch([pictures]))


def test_nothing_to_score(mean_model):
    assert Predictor(mean_model).predict([]) == []


# What is named.


@pytest.fixture
def listed(monkeypatch):
    """The folders that are looked into."""
    found, scandir = [], os.scandir

    def watched(path="."):
        if not isinstance(path, int):
            found.append(Path(path).resolve())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    return found


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_one_item_and_nothing_beside_it_is_looked_at(mean_model, pictures, listed, kind):
    predictor = Predictor(mean_model)
    listed.clear()
    assert [score.path for score in predictor.predict(kind(pictures / "more"))] == [
        pictures / "more" / "c.webp"
    ]
    assert [score.path for score in predictor.predict(kind(pictures / "a.jpg"))] == [pictures / "a.jpg"]
    assert set(listed) <= {pictures / "more"}
    with pytest.raises(DataError, match="1 of 1 cannot be scored:\n  nothing/here: cannot be read"):
        predictor.predict(kind("nothing/here"))
    assert set(listed) <= {pictures / "more"}


def test_what_else_lies_in_a_folder_is_warned_of(mean_model, pictures):
    (pictures / "notes.txt").write_text("notes")
    with pytest.warns(UserWarning, match=r"not looked at: 1 of ending '\.txt' \(such as '.*notes\.txt'\)"):
        assert len(Predictor(mean_model).predict(pictures)) == 5


def test_open_pictures_are_scored_as_their_files(of_features, pictures):
    """Upright, and what is transparent on white."""
    models, _, _ = of_features
    predictor = Predictor(models / "ridge", device="cpu")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    Image.open(pictures / "b.png").save(pictures / "turned.png", exif=turned)
    clear = Image.open(pictures / "a.jpg").convert("RGBA")
    clear.putalpha(90)
    clear.save(pictures / "clear.png")
    for name in ("b.png", "d.png", "turned.png", "clear.png"):
        (of_file,) = predictor.predict(pictures / name)
        with Image.open(pictures / name) as picture:
            (found,) = predictor.predict(picture)
            assert predictor.predict([picture, pictures / name]) == [of_file, of_file]
        assert found == of_file
    (made,) = predictor.predict(Image.new("CMYK", (9, 9)))
    assert made.path == Path("picture")


def test_an_open_picture_that_none_can_read_is_a_failure(mean_model):
    (found,) = Predictor(mean_model).batch(Image.new("F", (9, 9)))
    assert isinstance(found, Failure)
    assert found.reason.startswith("picture: ")


# Failures.


def test_every_failure_is_listed(mean_model, pictures):
    (pictures / "broken.jpg").write_bytes(b"broken")
    (pictures / "cut.png").write_bytes((pictures / "b.png").read_bytes()[:2000])
    (pictures / "empty").mkdir()
    paths = [pictures / name for name in ("a.jpg", "no.jpg", "broken.jpg", "cut.png", "empty")]
    with pytest.raises(DataError, match="4 of 5 cannot be scored") as error:
        Predictor(mean_model).predict(paths)
    for text in (
        "no.jpg: cannot be read (No such file or directory)",
        "broken.jpg: not a picture",
        "cut.png: cannot be",
        "empty: no pictures in this folder; it holds 0 clips, 0 other files",
    ):
        assert text in str(error.value)
    found = list(Predictor(mean_model).batch(paths))
    assert found[0] == Score(paths[0], 0.625)
    assert [item.path for item in found] == paths


def test_what_the_model_refuses_costs_no_other_score(mean_model, pictures, monkeypatch):
    predictor = Predictor(mean_model)
    inner = predictor._model.predict

    def refuse(items):
        if any(item.path.name == "b.png" for item in items):
            raise DataError("layer x: 3 of 4 numbers are not finite")
        return inner(items)

    monkeypatch.setattr(predictor._model, "predict", refuse)
    found = list(predictor.batch(pictures))
    assert [type(item) for item in found] == [Score, Failure, Score, Score, Score]
    assert found[1].reason == f"{pictures / 'b.png'}: layer x: 3 of 4 numbers are not finite"


def test_a_score_that_is_no_number_is_a_failure(mean_model, pictures, monkeypatch):
    predictor = Predictor(mean_model)
    monkeypatch.setattr(predictor._model, "predict", lambda items: (np.full(len(items), np.nan), None))
    (found,) = predictor.batch(pictures / "a.jpg")
    assert found.reason == f"{pictures / 'a.jpg'}: the model (mean) gives no number for it"


def test_large_pictures_are_scored_a_few_at_a_time(mean_model, pictures, monkeypatch):
    """Not a whole batch of them is in memory at once."""
    predictor, batches = Predictor(mean_model), []
    inner = predictor._model.predict
    monkeypatch.setattr(predictor._model, "predict", lambda items: batches.append(len(items)) or inner(items))
    monkeypatch.setattr(batches_module, "PIXELS", 15_000)
    monkeypatch.setattr(
        predictor._opener, "_whole", True
    )  # else little more of them is held than the model reads
    assert len(predictor.predict(pictures)) == 5
    assert batches == [2, 2, 1]


@pytest.mark.parametrize("on_gpu", [False, True])
def test_files_are_opened_while_a_model_computes_only_where_both_do_not_share_the_cores(
    mean_model, pictures, monkeypatch, on_gpu
):
    predictor, begun, ahead = Predictor(mean_model), [], []
    inner, opened = predictor._model.predict, predictor._opener.open

    def compute(items):
        ahead.append(len(begun) - sum(len(part) for part in parts) - len(items))
        parts.append(items)
        return inner(items)

    parts = []
    monkeypatch.setattr(batches_module, "_on_gpu", lambda: on_gpu)
    monkeypatch.setattr(predictor._model, "predict", compute)
    monkeypatch.setattr(predictor._opener, "open", lambda *given: begun.append(given) or opened(*given))
    assert len(list(predictor.batch([pictures / "a.jpg"] * 20, batch_size=3))) == 20
    assert [len(part) for part in parts] == [3] * 6 + [2]
    assert ahead[-1] == 0
    assert any(ahead) == on_gpu


LONG = "n" * 300 + ".jpg"


def test_unusable_paths_cost_no_other_score(mean_model, pictures):
    os.mkfifo(pictures / "pipe.jpg")
    (pictures / "loop.jpg").symlink_to("loop.jpg")
    (pictures / "endless.jpg").symlink_to("/dev/zero")
    (pictures / "folder.jpg").mkdir()
    names = ["a.jpg", "pipe.jpg", "loop.jpg", "endless.jpg", "folder.jpg", "a.jpg/b.jpg", LONG, "b.png"]
    paths = [pictures / name for name in names]
    found = list(Predictor(mean_model).batch(paths))
    assert [item.path for item in found] == paths
    assert [type(item) for item in found] == [Score, *[Failure] * 6, Score]
    assert all(item.reason.count(str(item.path)) == 1 for item in found[1:-1])


def test_names_that_are_not_utf8_or_hold_line_breaks_are_scored(mean_model, pictures):
    for name in (b"\xff.jpg", b"two\nlines.jpg", b"\x1b[31m.jpg"):
        shutil.copy(pictures / "a.jpg", os.fsdecode(bytes(pictures) + b"/" + name))
    (pictures / os.fsdecode(b"\xfe.jpg")).write_bytes(b"broken")
    found = list(Predictor(mean_model).batch(pictures))
    assert len(found) == 9
    assert [os.fsencode(item.path.name) for item in found if isinstance(item, Failure)] == [b"\xfe.jpg"]


def test_no_model(tmp_path):
    with pytest.raises(DataError, match="no trained model here"):
        Predictor(tmp_path / "ridge")


def test_a_model_of_settings_that_are_no_more(mean_model):
    arrays = artifacts.load(mean_model)[1]
    config = {"settings": {"family": "mean", **HEAD, "depth": 3}}
    artifacts.save(mean_model, config=config, arrays=arrays)
    with pytest.raises(DataError, match=r"config\.json: .*\n  settings\.depth: unknown key"):
        Predictor(mean_model)


def test_a_model_of_a_family_that_is_no_more(mean_model):
    config = {"settings": {"family": "gone", **HEAD}}
    artifacts.save(mean_model, config=config, arrays={"mean": np.array(0.5)})
    with pytest.raises(DataError, match=r"config\.json: family 'gone' is not known"):
        Predictor(mean_model)


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
