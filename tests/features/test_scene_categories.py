"""Scene categories, attributes and captions, of files in Places365's published layout and of the demo's own classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import worlds

from memorability.core.errors import BackboneError, DataError, ParamsError
from memorability.core.files import write_json
from memorability.core.settings import checked
from memorability.features import backbones, scene_categories, scene_labels, stored
from memorability.features.captions import Titles
from memorability.features.extraction import extract
from memorability.features.inputs import Listed
from memorability.features.items import Item
from memorability.features.kinds import Where
from memorability.features.recomputed import sources
from memorability.features.scene_categories import SceneExtractor
from memorability.features.scene_labels import SceneLabels
from memorability.features.settings import Features, Scenes
from memorability.training import demo_backbone
from memorability.training.backbone_settings import Backbone, Labels

CLASSES, ATTRIBUTES, WIDTH = 365, 102, 512
TRANSFORM = {"fit": "squash", "resize": 36, "crop": 32}
SCENES = Scenes(strongest=10, said=2)


def lines(*texts):
    return "".join(f"{text}\n" for text in texts)


@pytest.fixture
def published(tmp_path):
    """The four files, of random content; returns their paths by what a block calls them."""
    names = [f"/{chr(97 + i % 26)}/place_{i}" for i in range(CLASSES - 1)] + ["/a/building/outdoor"]
    paths = {
        name: tmp_path / file
        for name, file in {
            "categories": "categories_places365.txt",
            "outdoor": "IO_places365.txt",
            "attributes": "labels_sunattribute.txt",
            "weights": "W_sceneattribute_wideresnet18.npy",
        }.items()
    }
    paths["categories"].write_text(lines(*(f"{name} {i}" for i, name in enumerate(names))))
    paths["outdoor"].write_text(lines(*(f"{name} {1 + i % 2}" for i, name in enumerate(names))))
    paths["attributes"].write_text(lines(*(f"natural light {i}" for i in range(ATTRIBUTES))))
    np.save(paths["weights"], np.random.default_rng(0).normal(size=(ATTRIBUTES, WIDTH)))
    return paths


def read(paths):
    return scene_labels.read(
        paths["categories"],
        outdoor=paths["outdoor"],
        attributes=paths["attributes"],
        weights=paths["weights"],
    )


def saved(folder, labels, arch="resnet18", classes=CLASSES):
    torch.manual_seed(0)
    net = backbones.build(arch, classes=classes)
    backbones.save(
        folder, arch=arch, state=net.state_dict(), transform=TRANSFORM, source="file", labels=labels
    )
    return net


def test_lists_are_read_as_they_are_published(published, tmp_path):
    labels = read(published)
    assert labels.categories[:2] == ("place_0", "place_1")
    assert labels.categories[-1] == "building/outdoor"
    assert labels.outdoor[:3] == (False, True, False)
    assert labels.attributes[3] == "natural light 3"
    assert (labels.weights.shape, labels.weights.dtype) == ((ATTRIBUTES, WIDTH), np.float32)
    saved(tmp_path / "b", labels)
    again, sha256 = scene_labels.load(tmp_path / "b")
    assert (again.categories, again.outdoor, again.attributes) == (
        labels.categories,
        labels.outdoor,
        labels.attributes,
    )
    assert np.array_equal(again.weights, labels.weights)
    assert len(sha256) == 64


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("categories", "", "0 names, of which 0 differ; valid: a name a line"),
        ("categories", "/a/airfield 0\n/a/alley 2\n", "line 2 is '/a/alley 2'; valid: /a/NAME 1"),
        ("categories", "airfield\n", "line 1 is 'airfield'"),
        ("outdoor", "/a/place_0 1\n", "1 lines; valid: one for each of the 365 categories"),
        ("attributes", "sunny\n", "102 rows; valid: one for each of the 1 attributes"),
        ("attributes", "sunny\nsunny\n", "2 names, of which 1 differ"),
        ("weights", b"nothing", "no array of numbers in an .npy file"),
    ],
)
def test_lists_of_another_layout(published, name, content, message):
    path = published[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BackboneError, match=message):
        read(published)


def test_lists_of_other_categories_and_other_numbers(published):
    text = published["outdoor"].read_text()
    published["outdoor"].write_text(text.replace("place_7 ", "place_x "))
    with pytest.raises(BackboneError, match=r"place_x 2'; valid: category place_7 and 1 \(indoor\) or 2"):
        read(published)
    published["outdoor"].write_text(text.replace("place_7 2", "place_7 3"))
    with pytest.raises(BackboneError, match="valid: category place_7"):
        read(published)


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((2, 3), int), np.array([{}], object)])
def test_weights_that_are_none(published, wrong):
    np.save(published["weights"], wrong, allow_pickle=True)
    with pytest.raises(BackboneError, match=r"valid: floats|no array of numbers"):
        read(published)
    np.save(published["weights"], np.full((ATTRIBUTES, WIDTH), np.nan))
    with pytest.raises(BackboneError, match="not finite"):
        read(published)


def test_labels_must_be_those_of_the_network(published, tmp_path):
    labels = read(published)
    with pytest.raises(BackboneError, match="365 categories; valid: one for each of the network's 10"):
        saved(tmp_path / "a", labels, classes=10)
    with pytest.raises(BackboneError, match="of 512 features; valid: of the 2208"):
        saved(tmp_path / "b", labels, arch="densenet161")
    state = backbones.build("resnet18").state_dict()
    headless = {key: value for key, value in state.items() if not key.startswith("fc")}
    with pytest.raises(BackboneError, match="no last layer whose classes could have names"):
        backbones.save(
            tmp_path / "c",
            arch="resnet18",
            state=headless,
            transform=TRANSFORM,
            source="file",
            labels=labels,
        )
    assert not (tmp_path / "a").exists()


@torch.inference_mode()
@pytest.mark.parametrize("arch", ["resnet18", "wideresnet18", "densenet161"])
def test_numbers_are_those_of_the_network(published, tmp_path, arch):
    labels = read(published)
    if arch == "densenet161":
        labels = SceneLabels(labels.categories, labels.outdoor)  # the published attributes are not its own
    net = saved(tmp_path / "b", labels, arch=arch)
    found = SceneExtractor(tmp_path / "b", scenes=SCENES, dtype="float32", batch_size=2, device="cpu")
    assert found.shape == (len(found.names),)
    assert len(found.names) == CLASSES + 1 + len(labels.attributes)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    [values] = found([pixels])
    mean, std = (torch.tensor(found.config["transform"][key]).view(3, 1, 1) for key in ("mean", "std"))
    x = (torch.from_numpy(pixels).float() / 255 - mean) / std
    read_by_last = []
    last = net.classifier if arch == "densenet161" else net.fc
    last.register_forward_pre_hook(lambda module, given: read_by_last.append(given[0]))
    logits = net(x)[0]
    np.testing.assert_allclose(values[:CLASSES], logits.softmax(0).numpy(), rtol=1e-3, atol=1e-6)
    most = logits.argsort(descending=True)[:10]
    assert values[CLASSES] == pytest.approx(np.mean([labels.outdoor[i] for i in most]), abs=1e-6)
    if labels.attributes:
        strengths = labels.weights @ read_by_last[0][0].numpy()
        strongest = np.argsort(-strengths)[:10]
        assert set(np.flatnonzero(values[CLASSES + 1 :])) == set(strongest)
        np.testing.assert_allclose(values[CLASSES + 1 :][strongest], strengths[strongest], rtol=1e-3)


def test_a_wide_resnet18_has_the_weights_of_a_resnet18_and_more_places():
    wide = backbones.build("wideresnet18", classes=365)
    plain = torchvision.models.resnet18(num_classes=365)
    assert wide.state_dict().keys() == plain.state_dict().keys()
    trunk = torch.nn.Sequential(*list(wide.children())[:-2])
    with torch.inference_mode():
        assert trunk(torch.zeros(1, 3, 224, 224)).shape == (1, 512, 14, 14)


def test_captions():
    labels = SceneLabels(
        ("beach", "art_gallery", "building/outdoor"), (True, False, True), ("man-made", "open area"), None
    )
    named = scene_categories.names(labels)
    values = np.array([[0.7, 0.1, 0.2, 0.9, 0.0, 3.0], [0.1, 0.8, 0.1, 0.2, 2.0, 3.0]])
    said = scene_categories.captions(values, named, Scenes(strongest=2, said=2))
    assert said.tolist() == [
        "outdoor. beach, building outdoor. open area",
        "indoor. art gallery, beach. open area, man made",
    ]
    with pytest.raises(DataError, match=r"hue\.mean: no number of a scene"):
        scene_categories.captions(values[:, :1], ["hue.mean"], SCENES)


def test_logits_without_attributes_or_places():
    labels = SceneLabels(("a", "b"))
    found = scene_categories.numbers(np.array([[0.0, np.log(3.0)]]), labels, SCENES)
    np.testing.assert_allclose(found, [[0.25, 0.75]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "none"}, "name either a backbone and its layers or scenes"),
        ({"layers": ["avgpool"]}, "name either a backbone and its layers or scenes"),
        ({"pixels": 96}, "scenes are of the whole network"),
        ({"pools": ["max"]}, "scenes are of the whole network"),
        ({"scenes": {"strongest": 0}}, "greater than or equal to 1"),
    ],
)
def test_blocks_that_are_not_valid(change, message):
    block = {"input": "data/raw/images", "backbone": "places365", "scenes": {}}
    assert checked(Features, block, at="features.x").scenes == Scenes()
    with pytest.raises(ParamsError, match=message):
        checked(Features, block | change, at="features.x")


def test_where_files_come_from(published, tmp_path):
    block = checked(Labels, {"categories": str(published["categories"])}, at="labels")
    assert block.categories.file(tmp_path) == published["categories"]
    with pytest.raises(BackboneError, match="no such file"):
        checked(Labels, {"categories": "elsewhere.txt"}, at="labels").categories.file(tmp_path)
    other = checked(
        Labels, {"categories": {"path": str(published["categories"]), "sha256": "0" * 64}}, at="l"
    )
    with pytest.raises(BackboneError, match="another file than the one that is meant: its SHA-256 is"):
        other.categories.file(tmp_path)
    for wrong, message in (
        ({"url": "https://example.org/x.txt"}, "a url and its sha256"),
        ({"url": "ftp://example.org/x", "sha256": "0" * 64}, "valid: http"),
        ({}, "valid: a path"),
    ):
        with pytest.raises(ParamsError, match=message):
            checked(Labels, {"categories": wrong}, at="labels")
    with pytest.raises(ParamsError, match="go together"):
        checked(Labels, {"categories": "a", "attributes": "b"}, at="labels")
    kept = tmp_path / "store" / ("1" * 64)
    kept.parent.mkdir()
    kept.write_text("a file that was fetched before")
    of_url = checked(
        Labels, {"categories": {"url": "https://example.org/x.txt", "sha256": "1" * 64}}, at="labels"
    )
    assert of_url.categories.file(tmp_path / "store") == kept


def test_a_block_of_a_backbone():
    block = {"arch": "resnet18", "source": "url", "url": "https://example.org/x.tar", "sha256": "0" * 64}
    found = checked(Backbone, block | {"labels": {"categories": "c.txt"}}, at="backbones.x")
    assert found.labels is not None
    with pytest.raises(ParamsError, match="source url needs sha256, url"):
        checked(Backbone, {"arch": "resnet18", "source": "url", "url": "https://a.b/x"}, at="backbones.x")
    with pytest.raises(ParamsError, match="source torchvision needs nothing and may have nothing"):
        checked(
            Backbone,
            {"arch": "resnet18", "source": "torchvision", "labels": {"categories": "c"}},
            at="backbones.x",
        )


# The same on drawn pictures, with the demo's own classes.


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Packed pictures; a backbone of the demo's classes, with random weights; and the scenes that it sees."""
    world = worlds.pictures(tmp_path_factory.mktemp("scenes"), 24)
    torch.manual_seed(1)
    state = backbones.build("resnet18", classes=len(demo_backbone.LABELS)).state_dict()
    backbones.save(
        world.root / "models" / "demo",
        arch="resnet18",
        state=state,
        transform=TRANSFORM,
        source="demo",
        labels=demo_backbone.scene_labels("resnet18", state),
    )
    found = SceneExtractor(
        world.root / "models" / "demo",
        scenes=Scenes(strongest=3),
        dtype="float32",
        batch_size=4,
        device="cpu",
    )
    listed, out = Listed(world.root / "raw"), world.root / "scenes"
    out.mkdir()
    extract(
        listed.keys,
        listed.pictures.picture,
        found,
        out=out,
        cache_root=world.root / "cache",
        threads=1,
    )
    pd.DataFrame({"id": listed.ids}).to_csv(out / stored.IDS, index=False)
    write_json(out / stored.NAMES, found.names)
    return world


def test_the_demo_has_labels_of_the_same_form():
    rows = torch.rand(len(demo_backbone.LABELS), 7)
    labels = demo_backbone.scene_labels("resnet18", {"fc.weight": rows})
    known = dict(zip(labels.categories, labels.outdoor, strict=True))
    assert [name for name, outdoor in known.items() if not outdoor] == ["chair", "lamp"]
    assert labels.attributes == ("people", "animal", "vehicle", "object", "landscape")
    people = [labels.categories.index(name) for name in ("person", "face")]
    np.testing.assert_allclose(labels.weights[0], rows[people].mean(0), rtol=1e-6)
    assert demo_backbone.scene_labels("fcn_resnet18", {}) is None


def where(world):
    def never(folder):
        raise AssertionError(folder)

    return Where(
        models=world.root / "models",
        open_model=never,
        input=world.root / "scenes",
        raw=world.root / "raw",
        device="cpu",
    )


def files(world):
    listed = Listed(world.root / "raw")
    places = {name: i for i, name in enumerate(listed.ids)}
    return [Item(Path("p"), listed.pictures.picture(places[name])) for name in world.rows["id"]]


def test_captions_of_a_track_and_of_files_are_the_same(world):
    settings = worlds.made("caption_ridge", of="images", input="data/features/scenes")
    rows = Titles().rows(settings, world.rows, where(world))
    config = json.loads(json.dumps(rows.origin))
    source = Titles().files(settings, config, where(world))
    assert not source.needs_title
    x, lengths = source.read(files(world))
    assert lengths is None
    assert x.tolist() == list(rows.x)
    assert len(set(x.tolist())) > 1
    assert all(text.startswith(("outdoor. ", "indoor. ")) for text in x)
    [numbers] = sources(config, models=world.root / "models", device="cpu")
    kept = stored.read(world.root / "scenes", list(world.rows["id"]), family="x").values
    np.testing.assert_allclose(numbers.read(files(world))[0], kept, rtol=1e-4, atol=1e-5)


def test_a_model_of_captions_and_one_of_the_numbers(world):
    for family in ("caption_ridge", "ridge"):
        own = {"alphas": [1.0], **({"min_titles": 1} if family == "caption_ridge" else {})}
        settings = worlds.made(family, of="images", input="data/features/scenes", **own)
        fitted = worlds.fit(settings, world.rows, worlds.paths(world.root, f"by-{family}", input="scenes"))
        assert np.isfinite(fitted.table["prediction"].to_numpy(float)).all()


def test_other_labels_than_a_model_was_trained_with(world, tmp_path):
    settings = worlds.made("caption_ridge", of="images", input="data/features/scenes")
    config = json.loads(json.dumps(Titles().rows(settings, world.rows, where(world)).origin))
    config["features"][0]["labels_sha256"] = "0" * 64
    with pytest.raises(DataError, match="not the labels this model was trained with"):
        Titles().files(settings, config, where(world))


def test_captions_of_features_of_another_kind(world, tmp_path):
    settings = worlds.made("caption_ridge", of="images", input="data/features/scenes")
    np.save(tmp_path / stored.VALUES, np.zeros((len(world.rows), 3)))
    world.rows[["id"]].to_csv(tmp_path / stored.IDS, index=False)
    write_json(tmp_path / stored.CONFIG, {"layers": ["x"]})
    with pytest.raises(ParamsError, match="reads titles, or captions of features by `scenes`"):
        Titles().rows(settings, world.rows, Where(**where(world).__dict__ | {"input": tmp_path}))


def test_a_backbone_without_labels(world):
    with pytest.raises(BackboneError, match="its classes have no names; name its lists in `labels`"):
        SceneExtractor(world.backbone, scenes=SCENES, dtype="float32", batch_size=2)


def test_a_last_layer_that_is_not_linear():
    net = backbones.build("squeezenet1_1", classes=2)
    with pytest.raises(BackboneError, match=r"layer classifier\.1 is Conv2d; .* need a linear last layer"):
        scene_categories.extended(net, "classifier.1", SceneLabels(("a", "b")))
