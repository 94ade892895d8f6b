"""The blocks of a track of clips: frames, splits of them, given features, targets and models of models."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from memorability import params
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.media import video

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]
RAW = yaml.safe_load("""
seed: 0
threads: 2
precision: 32-true
compile: false
lr: null
epochs: null
batch_size: null
acquire:
  videos:
    datasets: [mediaeval]
    mediaeval: {root: external/mediaeval, features: [C3D, HMP]}
    demo_videos: {clips: 100, size: 64}
frames:
  all: {input: data/raw/videos, method: fps}
split:
  videos:
    {input: data/frames/all, method: random, val: 0.15, test: 0.25, folds: 5, fold: 0, seed: 0,
     near_duplicate_bits: 4}
backbones:
  small:
    arch: resnet18
    source: file
    path: small.safetensors
    transform: {resize: 72, crop: 67, mean: [0.0, 0.0, 0.0], std: [1.0, 1.0, 1.0]}
features:
  pooled: {input: data/frames/all, backbone: small, layer: avgpool, dtype: float32}
  c3d: {input: data/raw/videos, backbone: none, dtype: float16, given: {name: C3D, format: numbers, size: 101}}
models:
  pictures:
    {family: ridge, track: images, target: score, input: data/features/x, backbone: none, alphas: [1.0]}
  ridge:
    {family: ridge, track: videos, target: short_term, input: data/features/pooled, backbone: none,
     alphas: [1.0]}
  titles:
    {family: caption_ridge, track: videos, target: long_term, input: data/raw/videos, backbone: none,
     alphas: [1.0]}
  average:
    {family: frame_average, track: videos, target: short_term, input: data/frames/all, backbone: pictures}
  together:
    {family: ensemble, track: videos, target: short_term, input: data/predictions/videos/0, backbone: none,
     level: 1, members: [ridge, titles]}
evaluate: {bootstrap: 1000, halves: 25}
""")


def changed(path, value):
    """`RAW` with the key at a dotted path set; `del` removes it."""
    raw = copy.deepcopy(RAW)
    *folders, key = path.split(".")
    block = raw
    for folder in folders:
        block = block[folder]
    if value == "del":
        del block[key]
    else:
        block[key] = value
    return raw


def loaded(path="seed", value=0):
    return checked(params.Params, changed(path, value), at="")


def error_of(call, *args):
    with pytest.raises(ParamsError) as caught:
        call(*args)
    return str(caught.value)


# Files that are part of the project


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_block_of_a_file_is_valid(file):
    found = params.load(file)
    for name in found.models:
        model = found.model(name)
        assert model.track in found.split
        assert set(getattr(model, "members", ())) <= set(found.models)
    for track, block in found.acquire.items():
        assert set(block.sources(track)) == set(block.datasets)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_input_is_made_by_another_block(file):
    found = params.load(file)
    raw = {f"data/raw/{track}" for track in found.acquire}
    frames = {f"data/frames/{name}" for name in found.frames}
    features = {f"data/features/{name}" for name in found.features}
    predictions = {f"data/predictions/{track}/0" for track in found.split}
    assert {block.input for block in found.frames.values()} <= raw
    assert {block.input for block in found.split.values()} <= raw | frames
    assert {block.input for block in found.features.values()} <= raw | frames
    for name in found.models:
        head = found.head(name)
        assert head.input in raw | frames | features | (predictions if head.level else set())


# Frames


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"method": "fps"}, ("fps", 1.0, 8, 2)),
        ({"method": "fps", "fps": 2, "count": 20}, ("fps", 2.0, 20, 2)),
        ({"method": "evenly", "count": 1, "quality": 31}, ("evenly", 1.0, 1, 31)),
        ({"method": "first_middle_last"}, ("first_middle_last", 1.0, 3, 2)),
        ({"method": "first_middle_last", "count": 3}, ("first_middle_last", 1.0, 3, 2)),
    ],
)
def test_frames_as_they_are_taken(given, expected):
    block = loaded("frames.all", {"input": "data/raw/videos"} | given).frames["all"]
    assert (block.method, block.fps, block.count, block.quality) == expected
    video._check(video.Sampling(*expected))  # which asks for the same


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("method", "all", "frames.all.method: received 'all'; Input should be 'fps', 'evenly' or 'first_"),
        ("fps", 0, "frames.all.fps: received 0; Input should be greater than 0"),
        ("count", 0, "frames.all.count: received 0; Input should be greater than or equal to 1"),
        ("quality", 1, "frames.all.quality: received 1; Input should be greater than or equal to 2"),
        ("quality", 32, "frames.all.quality: received 32; Input should be less than or equal to 31"),
        ("seconds", 3, "frames.all.seconds: unknown key; valid keys: input, method, fps, count, quality"),
        ("input", "del", "frames.all.input: this key is missing"),
        ("method", "del", "frames.all.method: this key is missing"),
    ],
)
def test_frames_that_cannot_be_taken(key, value, expected):
    assert expected in error_of(loaded, f"frames.all.{key}", value)


@pytest.mark.parametrize("count", [1, 8])
def test_the_first_the_middle_and_the_last_are_three(count):
    block = {"input": "data/raw/videos", "method": "first_middle_last", "count": count}
    message = error_of(loaded, "frames.all", block)
    assert f"frames.all: first_middle_last takes 3 frames, received count: {count}" in message


@pytest.mark.parametrize("key", ["fps", "count"])
def test_more_frames_than_can_be_taken(key):
    message = error_of(loaded, f"frames.all.{key}", 1001)
    assert f"frames.all.{key}: received 1001; Input should be less than or equal to 1000" in message


@pytest.mark.parametrize("block", [None, [], "fps"])
def test_frames_that_are_no_block(block):
    assert "frames.all" in error_of(loaded, "frames.all", block)


def test_a_track_of_pictures_needs_no_frames():
    assert loaded("frames", "del").frames == {}


# Splits


def test_a_split_names_the_index_that_is_split():
    assert loaded().split["videos"].input == "data/frames/all"
    assert "split.videos.input: this key is missing" in error_of(loaded, "split.videos.input", "del")


def test_what_cannot_be_decoded_stops_the_split_unless_it_is_told_otherwise():
    assert loaded().split["videos"].on_bad_item == "fail"
    assert loaded("split.videos.on_bad_item", "skip").split["videos"].on_bad_item == "skip"
    assert "'fail' or 'skip'" in error_of(loaded, "split.videos.on_bad_item", "warn")


# Features


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("features.pooled.layer", "del"),
        ("features.pooled.backbone", "none"),
        ("features.pooled.given", {"name": "C3D", "format": "numbers", "size": 101}),
        ("features.c3d.given", "del"),
        ("features.c3d.backbone", "small"),
        ("features.c3d.layer", "avgpool"),
    ],
)
def test_features_are_computed_or_given(path, value):
    message = error_of(loaded, path, value)
    assert "name either a backbone and its layer, or backbone: none and what is given" in message
    assert path.rpartition(".")[0] in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("format", "pickle", "given.format: received 'pickle'; Input should be 'numbers', 'pairs' or 'rows'"),
        ("size", 0, "given.size: received 0; Input should be greater than or equal to 1"),
        ("channels", 0, "given.channels: received 0"),
        ("first", 2, "given.first: received 2; Input should be 0 or 1"),
        ("name", "del", "given.name: this key is missing"),
        ("frames", 3, "given.frames: unknown key; valid keys: name, format, size, channels, first"),
    ],
)
def test_given_features_that_are_not_described(key, value, expected):
    assert f"features.c3d.{expected}" in error_of(loaded, f"features.c3d.given.{key}", value)


def test_a_model_is_no_backbone_of_features():
    message = error_of(loaded, "features.pooled.backbone", "pictures")
    assert "features.pooled.backbone: 'pictures' is none of ['small']" in message


def test_the_features_of_a_data_set_are_named_in_its_settings():
    sources = loaded().acquire["videos"].sources("videos")
    assert sources["mediaeval"].features == ("C3D", "HMP")
    wrong = loaded("acquire.videos.mediaeval.features", "C3D").acquire["videos"]
    assert "acquire.videos.mediaeval.features: received 'C3D'" in error_of(wrong.sources, "videos")


# Models


@pytest.mark.parametrize(
    ("track", "target", "valid"),
    [
        ("videos", "score", "short_term, long_term"),
        ("images", "short_term", "score"),
        ("images", "long_term", "score"),
        ("maps", "score", "map, composite"),
    ],
)
def test_a_target_is_one_of_its_track(track, target, valid):
    raw = changed("models.ridge.track", track)
    raw["models"]["ridge"]["target"] = target
    found = checked(params.Params, raw, at="")
    for call in (found.head, found.model):
        message = error_of(call, "ridge")
        assert f"models.ridge: target {target!r} is none of track {track}: {valid}" in message


def test_a_model_without_a_target():
    assert "models.ridge.target: this key is missing" in error_of(
        loaded("models.ridge.target", "del").head, "ridge"
    )


def test_the_level_says_whose_predictions_are_read():
    found = loaded()
    assert {name: found.head(name).level for name in found.models} == dict.fromkeys(
        ("pictures", "ridge", "titles", "average"), 0
    ) | {"together": 1}
    assert "models.ridge.level: received 2" in error_of(loaded("models.ridge.level", 2).head, "ridge")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("level", 0, "models.together: an ensemble reads other models' predictions: its level is 1"),
        ("level", "del", "models.together: an ensemble reads other models' predictions: its level is 1"),
        ("members", [], "models.together.members: received []"),
        ("members", ["ridge", "ridge"], "members: each model once, received ridge, ridge"),
        ("weights", "best", "models.together.weights: received 'best'"),
    ],
)
def test_an_ensemble_of_what_cannot_be_one(key, value, expected):
    assert expected in error_of(loaded(f"models.together.{key}", value).model, "together")


def test_a_model_may_contain_another_one():
    assert loaded().model("average").backbone == "pictures"


@pytest.mark.parametrize("name", ["average", "resnet", "all", "pooled"])
def test_a_model_contains_neither_itself_nor_what_is_not_there(name):
    found = loaded("models.average.backbone", name)
    message = error_of(found.model, "average")
    assert f"models.average.backbone: received {name!r}; valid: none, small, pictures, ridge" in message
    assert "average," not in message.partition("valid")[2]


def test_a_model_and_a_backbone_have_different_names():
    raw = changed("models.small", RAW["models"]["ridge"])
    message = error_of(lambda: checked(params.Params, raw, at=""))
    assert "'small' is a backbone and a model; both lie in models/, so name one otherwise" in message


@pytest.mark.parametrize("name", ["none", "a/b", "", "../up"])
def test_frames_whose_name_is_none(name):
    raw = copy.deepcopy(RAW)
    raw["frames"][name] = RAW["frames"]["all"]
    assert f"{name!r} is no name" in error_of(lambda: checked(params.Params, raw, at=""))


def test_settings_of_clips_and_titles():
    titles = loaded().model("titles")
    assert (titles.min_titles, titles.words) == (2, 1)
    assert "alphas: received []" in error_of(loaded("models.titles.alphas", []).model, "titles")
    assert "unknown key" in error_of(loaded("models.titles.lr", 0.1).model, "titles")
