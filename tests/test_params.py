import copy
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from memorability import families, params
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.training.settings import Gradient

COMMITTED = Path(__file__).parents[1] / "params.yaml"
COMMITTED_MODELS = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))["models"]
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
    datasets: [demo]
    demo: {pictures: 1400, size: 128, participants: 300, responses: 80}
split:
  images:
    {input: data/raw/images, method: random, val: 0.15, test: 0.25, folds: 5, fold: 0, seed: 0,
     near_duplicate_bits: 4}
backbones:
  small:
    arch: resnet18
    source: demo
    demo: {pictures: 1000, lr: 0.001, epochs: 4, batch_size: 32}
    transform: {resize: 72, crop: 67, mean: [0.0, 0.0, 0.0], std: [1.0, 1.0, 1.0]}
features:
  pooled:
    {input: data/raw/images, backbone: small, layer: avgpool, pool: mean, dtype: float32, batch_size: 32}
models:
  mean: {family: mean, track: images, target: score, input: data/raw/images, backbone: none}
  ridge:
    {family: ridge, track: images, target: score, input: data/features/pooled, backbone: none,
     alphas: [1.0, 10.0]}
  memnet:
    {family: memnet, track: images, target: score, input: data/raw/images, backbone: none,
     resize: 128, crop: 112, width: 48, hidden: 256, lr: 0.001, epochs: 12, batch_size: 32}
  resmem:
    {family: resmem, track: images, target: score, input: data/raw/images, backbone: small,
     resize: 72, crop: 67, hidden: 512, lr: 0.001, epochs: 12, batch_size: 32}
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


def loaded(path, value):
    return checked(params.Params, changed(path, value), at="")


def plain():
    return checked(params.Params, RAW, at="")


def error_of(call, *args):
    with pytest.raises(ParamsError) as caught:
        call(*args)
    return str(caught.value)


# params.yaml as committed


def test_the_committed_params_are_valid():
    found = params.load(COMMITTED)
    for block in found.acquire.values():
        assert set(block.sources("images")) == set(block.datasets)


@pytest.mark.parametrize("name", COMMITTED_MODELS)
def test_every_committed_model_is_valid(name):
    found = params.load(COMMITTED)
    model = found.model(name)
    assert isinstance(model, families.load(found.head(name).family).Params)
    assert found.head(name).model_dump().items() <= model.model_dump().items()


@pytest.mark.parametrize("name", RAW["models"])
def test_a_model_has_the_settings_of_its_block(name):
    model = plain().model(name)
    for key, value in RAW["models"][name].items():
        given = getattr(model, key)
        assert (list(given) if isinstance(value, list) else given) == value


def test_every_committed_model_belongs_to_a_track_that_is_split():
    found = params.load(COMMITTED)
    assert {found.head(name).track for name in found.models} <= set(found.split) <= set(found.acquire)


def test_params_are_read_from_a_file(tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(RAW), encoding="utf-8")
    assert params.load(tmp_path / "params.yaml") == plain()


# The file


def test_a_missing_file_is_named(tmp_path):
    assert "params.yaml: no such file" in error_of(params.load, tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["seed: [1", "a: b: c", "\tseed: 0"])
def test_no_yaml(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert "no valid YAML" in error_of(params.load, tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["", "- seed", "seed"])
def test_no_keys_and_values(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert "expected keys and values" in error_of(params.load, tmp_path / "params.yaml")


# Errors name the key, what it got and what is valid


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("sed", 1, "sed: unknown key; valid keys: seed, threads, precision"),
        ("split.images.vall", 0.1, "split.images.vall: unknown key; valid keys: input, method, val"),
        ("evaluate.halfs", 3, "evaluate.halfs: unknown key; valid keys: bootstrap, halves"),
        ("backbones.small.transform.size", 3, "transform.size: unknown key; valid keys: resize, crop"),
        ("features.pooled.layers", "x", "layers: unknown key; valid keys: input, backbone, dtype"),
        ("seed", "del", "seed: this key is missing"),
        ("split.images.method", "del", "split.images.method: this key is missing"),
    ],
)
def test_unknown_and_missing_keys(path, value, expected):
    assert expected in error_of(loaded, path, value)


@pytest.mark.parametrize(
    ("path", "value", "valid"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 1.5, "valid integer"),
        ("threads", 0, "greater than or equal to 1"),
        ("threads", "many", "valid integer"),
        ("precision", "8-bit", "'32-true'"),
        ("lr", 0, "greater than 0"),
        ("lr", "fast", "valid number"),
        ("epochs", 0, "greater than or equal to 1"),
        ("batch_size", 1, "greater than or equal to 2"),
        ("split.images.method", "sorted", "'random', 'folds' or 'published'"),
        ("split.images.val", 1.0, "less than 1"),
        ("split.images.test", -0.1, "greater than or equal to 0"),
        ("split.images.folds", 1, "greater than or equal to 2"),
        ("split.images.near_duplicate_bits", 16, "less than or equal to 15"),
        ("features.pooled.dtype", "float8", "'float16' or 'float32'"),
        ("features.pooled.batch_size", [32], "valid integer"),
        ("evaluate.bootstrap", 99, "greater than or equal to 100"),
        ("backbones.small.source", "web", "'torchvision', 'file' or 'demo'"),
    ],
)
def test_wrong_values(path, value, valid):
    message = error_of(loaded, path, value)
    assert f"{path}: received {value!r}" in message
    assert valid in message


def test_an_unknown_track_is_named():
    message = error_of(loaded, "split.pictures", RAW["split"]["images"])
    assert "'pictures'" in message
    assert "'images', 'videos' or 'maps'" in message


def test_all_problems_are_listed_at_once():
    raw = changed("seed", -1)
    raw["threads"] = 0
    raw["split"]["images"]["vall"] = 1
    message = error_of(lambda: checked(params.Params, raw, at=""))
    assert message.startswith("3 problems in the params:")
    assert all(f"  {key}: " in message for key in ("seed", "threads", "split.images.vall"))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("split.images.val", 0.8, "val + test must leave some for train, received 0.8 + 0.25"),
        ("split.images.fold", 5, "fold must be under folds (5), received 5"),
        ("backbones.small.transform.crop", 73, "crop must be at most resize (72), received 73"),
        ("backbones.small.source", "torchvision", "demo belongs to source 'demo' and only there"),
        ("backbones.small.demo", None, "demo belongs to source 'demo' and only there"),
        ("backbones.small.path", "w.pt", "path belongs to source 'file' and only there"),
        ("features.pooled.backbone", "vgg", "features.pooled.backbone: 'vgg' is none of"),
    ],
)
def test_values_that_do_not_fit_together(path, value, expected):
    assert expected in error_of(loaded, path, value)


@pytest.mark.parametrize("block", ["backbones", "features", "models"])
@pytest.mark.parametrize("name", ["none", "a/b", "a b", "", "../up"])
def test_names_that_are_no_names(block, name):
    raw = copy.deepcopy(RAW)
    raw[block][name] = next(iter(RAW[block].values()))
    assert f"{name!r} is no name" in error_of(lambda: checked(params.Params, raw, at=""))


# Data sets


def test_an_unknown_data_set_is_named():
    message = error_of(loaded("acquire.images.datasets", ["lamen"]).acquire["images"].sources, "images")
    assert "data set 'lamen' is not known; valid: " in message
    assert "demo" in message


def test_a_block_of_an_unknown_data_set_is_named():
    acquire = loaded("acquire.images.demoo", {"pictures": 100}).acquire["images"]
    assert "data set 'demoo' is not known" in error_of(acquire.sources, "images")


def test_no_data_sets():
    assert "acquire.images.datasets: received []" in error_of(loaded, "acquire.images.datasets", [])


def test_data_set_settings_are_checked():
    acquire = loaded("acquire.images.demo.sizes", 3).acquire["images"]
    assert "demo.sizes: unknown key; valid keys: pictures, size" in error_of(acquire.sources, "images")
    acquire = loaded("acquire.images.demo.responses", 301).acquire["images"]
    assert "responses must be at most participants (300)" in error_of(acquire.sources, "images")
    acquire = loaded("acquire.images.demo", None).acquire["images"]
    assert "demo.pictures: this key is missing" in error_of(acquire.sources, "images")


def test_settings_of_data_sets_out_of_use_may_stay():
    found = loaded("acquire.images.memcat", {"root": "elsewhere"}).acquire["images"].sources("images")
    assert list(found) == ["demo"]


def test_data_sets_are_combined_in_the_order_of_the_list():
    raw = changed("acquire.images", {"datasets": ["memcat", "demo"], "memcat": {"root": "elsewhere"}})
    raw["acquire"]["images"]["demo"] = RAW["acquire"]["images"]["demo"]
    found = checked(params.Params, raw, at="").acquire["images"].sources("images")
    assert list(found) == ["memcat", "demo"]


# Models


def test_an_unknown_model_is_named():
    message = error_of(plain().model, "nemnet")
    assert "models.nemnet: no such model" in message
    assert "memnet" in message


def test_an_unknown_family_is_named():
    message = error_of(loaded("models.ridge.family", "lasso").model, "ridge")
    assert "family 'lasso' is not known; valid: " in message
    assert "mean, memnet" in message


def test_an_unknown_backbone_is_named():
    message = error_of(loaded("models.resmem.backbone", "vgg").model, "resmem")
    assert "models.resmem.backbone: received 'vgg'; valid: none, small" in message


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("models.memnet.widht", 48, "models.memnet.widht: unknown key; valid keys: lr, epochs"),
        ("models.memnet.width", 50, "models.memnet.width: received 50; Input should be a multiple of 6"),
        ("models.memnet.crop", 129, "crop must be at most resize (128), received 129"),
        ("models.memnet.schedule", "linear", "schedule: received 'linear'; Input should be 'constant'"),
        ("models.memnet.lr", "del", "models.memnet.lr: this key is missing"),
        ("models.ridge.lr", 0.1, "models.ridge.lr: unknown key; valid keys: family, track"),
        ("models.ridge.alphas", [], "models.ridge.alphas: received []"),
        ("models.mean.target", "clicks", "models.mean.target: received 'clicks'; Input should be 'score'"),
        ("models.mean.family", "del", "models.mean.family: this key is missing"),
    ],
)  # fmt: skip
def test_model_settings_are_checked_by_their_family(path, value, expected):
    found = loaded(path, value)
    assert expected in error_of(found.model, path.split(".")[1])


def test_a_rate_that_yaml_reads_as_text_is_a_number():
    assert yaml.safe_load("lr: 1e-05") == {"lr": "1e-05"}  # YAML 1.1 wants 1.0e-05
    assert loaded("models.memnet.lr", "1e-05").model("memnet").lr == 1e-5
    assert loaded("lr", "1e-05").model("memnet").lr == 1e-5


@pytest.mark.parametrize("name", ["memnet", "resmem"])
@pytest.mark.parametrize(("key", "value"), [("lr", 0.0125), ("epochs", 3), ("batch_size", 7)])
def test_top_level_values_override_gradient_models(name, key, value):
    found = loaded(key, value).model(name)
    assert getattr(found, key) == value
    assert found.model_dump(exclude={key}) == plain().model(name).model_dump(exclude={key})


def test_a_top_level_value_is_enough():
    raw = changed("models.memnet.lr", "del")
    raw["lr"] = 0.5
    assert checked(params.Params, raw, at="").model("memnet").lr == 0.5


@pytest.mark.parametrize("name", ["mean", "ridge"])
def test_top_level_values_leave_closed_form_models_alone(name):
    raw = changed("lr", 0.5)
    raw |= {"epochs": 3, "batch_size": 7}
    found = checked(params.Params, raw, at="")
    assert found.model(name) == plain().model(name)


def test_overrides_change_neither_backbones_nor_features():
    raw = changed("lr", 0.5)
    raw |= {"epochs": 3, "batch_size": 7}
    found = checked(params.Params, raw, at="")
    assert found.backbones == plain().backbones
    assert found.features == plain().features


def test_params_are_frozen():
    found = plain()
    for block, key in ((found, "seed"), (found.split["images"], "val"), (found.model("memnet"), "lr")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(block, key, 1)


def test_a_gradient_block_gives_its_rate_and_optimiser():
    block = Gradient(lr=0.1, epochs=10, batch_size=4, schedule="step", step_epochs=4, optimiser="sgd")
    assert [round(block.rate(epoch), 6) for epoch in (0, 3, 4, 9)] == [1, 1, 0.1, 0.01]
    assert block.optimiser_options() == {
        "name": "sgd",
        "lr": 0.1,
        "betas": (0.9, 0.999),
        "momentum": 0.9,
        "weight_decay": 0.0,
    }
