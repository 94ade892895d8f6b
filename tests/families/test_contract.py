"""Every family keeps to the contract, and a plain one is four names in a file."""

from __future__ import annotations

import importlib.util
import inspect
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
import worlds
from pydantic import BaseModel
from worlds import COMPUTE, made

from memorability import families
from memorability.core.errors import ParamsError
from memorability.evaluation import scores
from memorability.features import backbones, reads
from memorability.training import contract, fitting
from memorability.training.contract import Build, ClosedForm, Gradient, Step, describe
from memorability.training.settings import GradientModel, Model

GRADIENT = [name for name in families.names() if isinstance(families.load(name), Gradient)]
every = pytest.mark.parametrize("name", families.names())


WITH_BACKBONE = ("resmem", "m3m", "cnn_lstm", "finetune")


def parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


BUILD, STEP = parameters(Build.__call__), parameters(Step.__call__)
# What each part is called with.
CLOSED_FORM = {
    "fit": ["settings", "x", "y", "groups"],
    "predict": ["settings", "state", "x"],
    "frame_values": ["settings", "state", "x"],
}
BY_STEPS = {
    "build": BUILD,
    "step": STEP,
    "predict": ["settings", "net", "batch"],
    "optimisers": ["settings", "net"],
    "augment": ["settings", "batch"],
    "measure": ["truth", "prediction"],
    "frozen_features": ["net", "batch"],
    "is_frozen": ["settings"],
    "rank": ["settings", "net", "outputs"],
    "rank_among": ["settings", "net", "outputs", "others"],
    "frame_values": ["settings", "net", "batch"],
    "class_logits": ["settings", "net", "batch"],
    "attention": ["settings", "net", "batch"],
}


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"memorability.families.{name}")


def test_there_are_families_of_both_kinds():
    assert {"memnet", "unet", "palette"} <= set(GRADIENT)
    assert {"mean", "ridge", "svr", "ensemble"} <= set(families.names()) - set(GRADIENT)


@every
def test_a_family_is_described(name):
    family = families.load(name)
    assert family.name == name
    assert family.READS in reads.KINDS
    assert issubclass(family.Params, Model)
    assert issubclass(family.Params, GradientModel) == isinstance(family, Gradient)


@every
def test_every_part_is_called_as_the_contract_says(name):
    family = families.load(name)
    expected = CLOSED_FORM if isinstance(family, ClosedForm) else BY_STEPS
    callables = {part for part, value in vars(family).items() if callable(value)} - {"Params"}
    assert callables <= expected.keys()
    for part in callables:
        called = expected[part]
        if part == "build" and family.READS == "whole_pictures":
            called = [*called, "channels"]
        assert parameters(getattr(family, part)) == called, part


@every
def test_what_a_module_has_is_taken_and_the_rest_is_the_contract_s(name):
    module, family = module_of(name), families.load(name)
    for part, default in vars(type(family)).items():
        if part.startswith("_") or part in ("name", "take_step"):
            continue
        assert getattr(family, part) is getattr(module, part, default), part


@pytest.mark.parametrize("name", families.names())
def test_every_setting_but_the_head_has_a_default(name):
    """So that a params block says what differs, and nothing else."""
    head = {"family", "track", "target", "input", "members"}
    assert {
        key for key, field in families.load(name).Params.model_fields.items() if field.is_required()
    } <= head


@pytest.mark.parametrize("name", GRADIENT)
def test_no_network_holds_its_settings(name):
    """Its keywords say what it is: a settings object inside would tie it to params."""
    more = {"multipliers": [1, 2], "attention": [1], "width": 8} if name == "palette" else {}
    settings = made(name, **more | ({"backbone": "b"} if name in WITH_BACKBONE else {}))
    shapes = {"frames": (2, 3, 64, 64), "sequences": (4, 6), "pictures_and_places": (8, 67, 67)}
    channels = {"channels": 3} if settings.track == "maps" else {}
    with torch.device("meta"):
        inner = backbones.build("squeezenet1_1", classes=4)
        network = backbones.Network(inner, {"arch": "squeezenet1_1", "transform": worlds.TRANSFORM})
        family = families.load(name)
        net = family.build(
            settings,
            shape=shapes.get(family.READS, (3, 67, 67)),
            backbone=None if settings.backbone == "none" else network,
            **channels,
        )
    held = [
        (where, key)
        for where, module in net.named_modules()
        for key, value in vars(module).items()
        if holds(value)
    ]
    assert not held


def holds(value) -> bool:
    if isinstance(value, dict):
        return any(map(holds, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds, value))
    return isinstance(value, BaseModel)


def test_a_family_that_is_not_there():
    with pytest.raises(
        ParamsError, match=r"family .resmen. is not known; valid: amnet, amnet_video, .*, resmem, "
    ):
        families.load("resmen")


@pytest.mark.parametrize("name", ["blocks", "__init__", "../memnet", "memnet.py", ""])
def test_only_a_family_s_file_is_one(name):
    with pytest.raises(ParamsError, match="is not known; valid"):
        families.load(name)


# Writing one.

PLAIN = """
from torch import nn

from memorability.training.settings import GradientModel

READS = "features"


class Params(GradientModel):
    hidden: int = 8


def build(settings, *, shape, backbone):
    return nn.Sequential(nn.Linear(shape[0], settings.hidden), nn.Tanh(), nn.Linear(settings.hidden, 1))


def predict(settings, net, batch):
    return net(batch["x"]).squeeze(1)
"""


@pytest.fixture
def written(tmp_path):
    """A family's module from its text."""

    def written(text, name="plain"):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"memorability.families.{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return written


def without(text, part):
    """The text without the definition of a part."""
    blocks = text.split("\n\n\n")
    kept = [block for block in blocks if not block.startswith((f"def {part}", f"class {part}"))]
    return "\n\n\n".join(kept).replace(f'{part} = "features"', "")


@pytest.mark.parametrize("part", ["Params", "READS", "build", "predict"])
def test_a_family_that_lacks_a_part(written, part):
    text = without(PLAIN, part)
    assert text != PLAIN
    with pytest.raises(
        TypeError, match=rf"family plain \(Gradient\) lacks {part}; it needs Params, READS, build, predict"
    ):
        describe(written(text))


def test_a_closed_form_that_lacks_a_part(written):
    with pytest.raises(
        TypeError, match=r"family plain \(ClosedForm\) lacks Params, READS, predict; it needs"
    ):
        describe(written("def fit(settings, x, y, *, groups):\n    return {}\n"))


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A folder with features of 80 pictures, and their rows: scores that depend on them."""
    root, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    x = rng.normal(size=(80, 5)).astype(np.float32)
    rows = pd.DataFrame(
        {"id": [f"demo/{i}.jpg" for i in range(80)], "score": 0.5 + 0.3 * np.tanh(x[:, 0] - x[:, 1])}
    )
    rows["split"] = ["train"] * 48 + ["val"] * 16 + ["test"] * 16
    rows = rows.assign(sha256=rows["id"], dataset="demo", group=range(80))
    worlds.features(root / "features", list(rows["id"]), x)
    return root, rows


def train(features, family, **changes):
    root, rows = features
    block = {"family": family.name, "track": "images", "input": "data/features/x"}
    settings = family.Params(**block | {"lr": 0.02, "epochs": 15, "batch_size": 8} | changes)
    where = worlds.paths(root, family.name, input="features")
    fitting.fit(settings, rows, where, COMPUTE, family=family, judge=scores, open_model=None)
    return worlds.Fitted(where)


def test_a_plain_family_trains_by_the_contract_s_step(written, features):
    family = describe(written(PLAIN))
    assert family.step is None
    assert family.optimisers is contract.one_optimiser
    fitted = train(features, family)
    table = fitted.table
    test = table[table["split"] == "test"]
    assert scores.measure(test["score"].to_numpy(), test["prediction"].to_numpy())["spearman"] > 0.8
    history = fitted.history
    assert set(history) == {"epoch", "lr", "train_loss", *(f"val_{name}" for name in scores.MEASURES)}
    assert history["train_loss"].iloc[-1] < 0.2 * history["train_loss"].iloc[0]


def test_its_augmentation_is_of_training_batches_alone(written, features):
    module = written(PLAIN)
    seen = []
    module.augment = lambda settings, batch: seen.append(len(batch["x"])) or batch | {"x": batch["x"] * 0}
    blind = train(features, describe(module), epochs=2)
    assert seen == [8] * (2 * 6)
    assert blind.table["prediction"].nunique() > 1  # predicted from what is there


def test_its_own_step_stands_in_for_the_contract_s(written, features):
    module = written(PLAIN)
    module.step = lambda settings, net, batch, optimisers, backward: {"mine": batch["y"].mean()}
    history = train(features, describe(module), epochs=1).history
    assert [name for name in history if name.startswith("train_")] == ["train_mine"]


def test_the_contract_s_step_is_of_squared_error(written):
    family = describe(written(PLAIN))
    settings = family.Params(family="plain", track="images", input="x", optimiser="sgd", lr=0.1, momentum=0.0)
    torch.manual_seed(0)
    net = family.build(settings, shape=(5,), backbone=None)
    batch = {"x": torch.randn(4, 5), "y": torch.rand(4)}
    loss = ((net(batch["x"]).squeeze(1) - batch["y"]) ** 2).mean()
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    expected = [p.detach() - 0.1 * gradient for p, gradient in zip(net.parameters(), gradients, strict=True)]
    losses = family.take_step(settings, net, batch, family.optimisers(settings, net), torch.Tensor.backward)
    assert losses["loss"] == pytest.approx(float(loss))
    assert not losses["loss"].requires_grad
    assert all(torch.allclose(p, value) for p, value in zip(net.parameters(), expected, strict=True))
