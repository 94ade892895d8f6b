"""A model's folder is never believed: whatever has become of it, it is refused by name, and nothing ends in a traceback."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import worlds
from safetensors.numpy import load_file, save_file

from memorability.core.errors import BackboneError, DataError
from memorability.core.files import digest, write_json
from memorability.features.inputs import Pictures
from memorability.predict.predictor import Predictor
from memorability.training import artifacts

RANKER = {"hidden": 8, "second": 4, "epochs": 1, "batch_size": 8}
MEMBERS = ("memnet", "ridge")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model of each kind: a network of pictures, one with a backbone, a closed form of features, one that ranks, an ensemble."""
    world = worlds.pictures(tmp_path_factory.mktemp("world"), 20)
    worlds.extract_features(world)
    world.fit("memnet", epochs=1)
    world.fit("resmem")
    world.fit("ridge")
    world.fit("pairwise_ranker", **RANKER)
    where = replace(world.paths("ensemble"), input=world.root / "predictions")
    world.fit("ensemble", where=where, members=MEMBERS)
    Pictures(world.rows, world.root / "raw").picture(0).save(world.root / "photo.png")
    return world


@pytest.fixture
def model(world, tmp_path):
    """A copy of a model, to be damaged."""

    def model(name):
        shutil.copytree(world.root / "models" / name, tmp_path / name)
        return tmp_path / name

    return model


def score(world, folder):
    """Of the one picture, by the model in a folder."""
    predictor = Predictor(folder, models=world.root / "models", device="cpu")
    return predictor.predict(world.root / "photo.png")[0].score


def refused(world, folder):
    """The text of the error that the model ends in."""
    with pytest.raises((DataError, BackboneError)) as error:
        score(world, folder)
    return str(error.value)


@pytest.mark.parametrize("name", ["memnet", "resmem", "ridge", "pairwise_ranker", "ensemble"])
def test_a_model_that_nobody_has_touched(world, model, name):
    table = worlds.Fitted(world.paths(name)).table
    if name == "pairwise_ranker":  # which ranks a file among validation, and not among its split
        assert 0 <= score(world, model(name)) <= 1
    else:
        assert score(world, model(name)) == pytest.approx(table["prediction"][0], abs=1e-5)


@pytest.mark.parametrize("name", ["memnet", "resmem", "ridge", "pairwise_ranker", "ensemble"])
def test_the_evidence_of_a_model(world, name):
    """Whatever is fitted on validation has no residuals of it."""
    evidence, split = artifacts.evidence(world.root / "models" / name), world.rows["split"]
    assert len(evidence.residuals) == (
        0 if name in ("pairwise_ranker", "ensemble") else (split == "val").sum()
    )
    assert len(evidence.phashes) + len(evidence.contents) >= (split != "test").sum() - 1  # some may be twins


# Weights.


def rewritten(change):
    """Other tensors in the place of the weights, and the config as it was."""

    def rewrite(path):
        save_file(change(load_file(path)), path)

    return rewrite


WEIGHTS = {
    "zeros": rewritten(lambda arrays: {name: np.zeros_like(value) for name, value in arrays.items()}),
    "one changed": rewritten(
        lambda arrays: {name: np.asarray(value + (name == max(arrays))) for name, value in arrays.items()}
    ),
    "half of them": rewritten(lambda arrays: dict(sorted(arrays.items())[: len(arrays) // 2])),
    "none of them": rewritten(lambda arrays: {}),
    "others": rewritten(lambda arrays: {"a": np.ones(3)}),
    "half a file": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "an empty file": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
}


@pytest.mark.parametrize("name", ["memnet", "ridge", "pairwise_ranker"])
@pytest.mark.parametrize("change", WEIGHTS)
def test_weights_that_are_not_those_of_the_config(world, model, name, change):
    folder = model(name)
    WEIGHTS[change](folder / "model.safetensors")
    text = refused(world, folder)
    assert text == f"{folder}/model.safetensors: not the weights that config.json was written with (SHA-256)"


def test_weights_of_another_model(world, model):
    one, other = model("memnet"), model("resmem")
    shutil.copyfile(other / "model.safetensors", one / "model.safetensors")
    assert f"{one}/model.safetensors: not the weights" in refused(world, one)


def sealed(folder, change):
    """The weights changed, and their hash with them: as by someone who means it."""
    rewritten(change)(folder / "model.safetensors")
    edit(folder, sha256=digest(folder / "model.safetensors"))


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["memnet", "ridge"])
def test_weights_that_are_not_finite(world, model, name, value):
    def one(arrays):
        first = min(arrays)
        changed = arrays[first].copy()
        changed.flat[0] = value
        return arrays | {first: changed}

    folder = model(name)
    sealed(folder, one)
    assert refused(world, folder).startswith(f"{folder}/model.safetensors: ")
    assert "has numbers that are not finite; train it again" in refused(world, folder)


@pytest.mark.parametrize("name", ["memnet", "ridge", "pairwise_ranker"])
@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {},
        lambda arrays: dict(sorted(arrays.items())[:-1]),
        lambda arrays: {f"{name}.x": value for name, value in arrays.items()},
        lambda arrays: {name: np.concatenate([np.atleast_1d(value)] * 2) for name, value in arrays.items()},
    ],
    ids=["none", "one is missing", "of other names", "of other shapes"],
)
def test_weights_of_other_names_and_shapes(world, model, name, change):
    folder = model(name)
    sealed(folder, change)
    assert str(folder) in refused(world, folder)


# Configs.

DEEP = "[" * 100_000
CONFIGS = {
    "a list": "[]",
    "nothing in it": "{}",
    "null": "null",
    "a number": "3",
    "a text": '"x"',
    "a list of itself": '[{"settings": {}}]',
    "half of it": '{"settings": {"family"',
    "empty": "",
    "not UTF-8": b'{"settings": "\xff\xfe"}',
    "UTF-16": '{"settings": {}}'.encode("utf-16"),
    "deep": DEEP,
    "a long number": '{"sha256": ' + "9" * 5000 + "}",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", CONFIGS)
def test_configs_that_are_none(world, model, content):
    folder, text = model("memnet"), CONFIGS[content]
    (folder / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert str(folder) in refused(world, folder)


REMOVED = object()


def changed(config, path, value):
    """The config with another value at a path such as `settings.lr`; or without it."""
    *outer, last = path.split(".")
    inner = config
    for key in outer:
        inner = inner[int(key) if isinstance(inner, list) else key]
    if value is REMOVED:
        del inner[last]
    else:
        inner[last] = value
    return config


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("memnet", "settings", REMOVED),
        ("memnet", "settings", []),
        ("memnet", "settings", None),
        ("memnet", "settings.family", REMOVED),
        ("memnet", "settings.family", "memnett"),
        ("memnet", "settings.family", 7),
        ("memnet", "settings.family", "../memnet"),
        ("memnet", "settings.track", "sounds"),
        ("memnet", "settings.batch_size", 0),
        ("memnet", "settings.crop", "wide"),
        ("memnet", "settings.hidden", 10**9),
        ("memnet", "settings.width", 24),
        ("memnet", "settings.unknown", 1),
        ("memnet", "sha256", REMOVED),
        ("memnet", "sha256", 5),
        ("memnet", "sha256", "0" * 64),
        ("memnet", "shape", "wide"),
        ("memnet", "shape", [3, -67, 67]),
        ("memnet", "build_options", {"channels": 3}),
        ("memnet", "build_options", []),
        ("resmem", "backbone", None),
        ("resmem", "backbone", {}),
        ("resmem", "backbone", "small"),
        ("resmem", "backbone.arch", REMOVED),
        ("resmem", "backbone.arch", "resnet9000"),
        ("resmem", "backbone.arch", "alexnet"),
        ("resmem", "backbone.classes", 0),
        ("resmem", "backbone.classes", 5),
        ("resmem", "backbone.classes", "many"),
        ("ridge", "settings.alphas", []),
        ("ridge", "features", REMOVED),
        ("ridge", "features", None),
        ("ridge", "features", []),
        ("ridge", "features", {}),
        ("ridge", "features.0.backbone", REMOVED),
        ("ridge", "features.0.backbone", "small"),
        ("ridge", "features.0.backbone.name", 3),
        ("ridge", "features.0.backbone.name", "nowhere"),
        ("ridge", "features.0.backbone.sha256", "0" * 64),
        ("ridge", "features.0.batch_size", 0),
        ("ridge", "features.0.batch_size", "x"),
        ("ridge", "features.0.dtype", "float128"),
        ("ridge", "features.0.layers", ["features.0"]),
        ("ridge", "features.0.layers", []),
        ("ridge", "features", ["small"]),
        ("pairwise_ranker", "shape", []),
        ("pairwise_ranker", "shape", [1, 7]),
        ("pairwise_ranker", "calibration", None),
        ("pairwise_ranker", "calibration", {}),
        ("pairwise_ranker", "calibration", {"x": [0.0], "y": []}),
        ("pairwise_ranker", "calibration", {"x": [1.0, 0.0], "y": [0.0, 1.0]}),
        ("pairwise_ranker", "calibration", {"x": ["a"], "y": [1.0]}),
        ("pairwise_ranker", "calibration", {"x": [0.0], "y": [1.0], "z": [1.0]}),
        ("ensemble", "settings.members", []),
        ("ensemble", "settings.members", ["memnet"]),
        ("ensemble", "settings.members", ["memnet", "nowhere"]),
        ("ensemble", "settings.members", ["memnet", "small"]),
        ("ensemble", "settings.members", "memnet"),
    ],
)
def test_configs_that_were_changed(world, model, name, path, value):
    folder = model(name)
    config = changed(json.loads((folder / "config.json").read_text()), path, value)
    (folder / "config.json").write_text(json.dumps(config))
    assert (str(folder) in (text := refused(world, folder))) or str(world.root / "models") in text


def test_a_layer_that_a_backbone_does_not_have(world, model):
    folder = model("ridge")
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", changed(config, "features.0.layers", ["nowhere"]))
    with pytest.raises(BackboneError, match="layer 'nowhere' is not in squeezenet1_1"):
        score(world, folder)


# Folders.


def test_an_ensemble_of_itself(world, tmp_path):
    models = shutil.copytree(world.root / "models", tmp_path / "models")
    config = json.loads((models / "ensemble" / "config.json").read_text())
    config["settings"]["members"] = ["memnet", "ensemble"]
    write_json(models / "ensemble" / "config.json", config)
    with pytest.raises(DataError, match=r"models/ensemble: this model contains itself"):
        Predictor(models / "ensemble", device="cpu")


def test_ensembles_of_each_other(world, tmp_path):
    models = shutil.copytree(world.root / "models", tmp_path / "models")
    shutil.copytree(models / "ensemble", models / "other")
    for name, member in (("ensemble", "other"), ("other", "ensemble")):
        config = json.loads((models / name / "config.json").read_text())
        config["settings"]["members"] = ["memnet", member]
        write_json(models / name / "config.json", config)
    with pytest.raises(DataError, match=r"models/ensemble: this model contains itself"):
        Predictor(models / "ensemble", device="cpu")


def test_a_backbone_is_no_model(world):
    text = refused(world, world.backbone)
    assert text == f"{world.backbone}: a backbone, which predicts no memorability; valid: a trained model"


def missing(folder, file):
    (folder / file).unlink()


def in_a_folder(folder, file):
    (folder / file).unlink()
    (folder / file).mkdir()


def as_a_pipe(folder, file):
    import os

    (folder / file).unlink()
    os.mkfifo(folder / file)


def as_a_dead_link(folder, file):
    (folder / file).unlink()
    (folder / file).symlink_to(folder / "nowhere")


def as_a_device(folder, file):
    (folder / file).unlink()
    (folder / file).symlink_to("/dev/zero")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("change", [missing, in_a_folder, as_a_pipe, as_a_dead_link, as_a_device])
def test_files_that_are_none(world, model, file, change):
    folder = model("memnet")
    change(folder, file)
    assert refused(world, folder) == f"{folder}: no trained model here; run dvc repro or dvc pull first"


@pytest.mark.parametrize("name", ["nowhere", "photo.png", "x" * 300, "photo.png/deeper"])
def test_folders_that_are_none(world, name):
    assert str(world.root / name) in refused(world, world.root / name)
