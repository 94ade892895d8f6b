"""searches.yaml: what is valid, what each error says, and the command that makes a winner."""

from __future__ import annotations

import shlex
import shutil
from itertools import pairwise

import pytest
import searching
import yaml
from sources import ROOT

from memorability import params
from memorability.core.errors import ParamsError
from memorability.experiments.search import settings, table

BLOCK = {
    "model": "pix2pix",
    "method": "one_at_a_time",
    "score": "l1",
    "space": {"width": [4, 8], "discriminator.width": [4, 8]},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "unknown"}, "models.unknown: no such model"),
        ({"score": "loss"}, "one.score: received 'loss'; valid: l1, mse, cc"),
        ({"method": "grid"}, "searches.one.method: received 'grid'"),
        ({"space": {}}, "space: received {}"),
        ({"space": {"width": []}}, "space.width has no values"),
        ({"space": {"widht": [4]}}, "one.space.widht: {'widht': 4} is nothing that the model takes: "),
        ({"space": {"discriminator.widht": [4]}}, "models.pix2pix.discriminator.widht: unknown key"),
        ({"space": {"width": [2]}}, "models.pix2pix.width: received 2"),
        (
            {"space": {"width": {"low": 4, "high": 8}}},
            "one_at_a_time tries every value; received a range of width",
        ),
        ({"method": "tpe"}, "tpe needs trials"),
        ({"method": "tpe", "trials": 3, "space": {"width": {"low": 8, "high": 4}}}, "low must be under high"),
        (
            {"method": "tpe", "trials": 3, "space": {"lr": {"low": 0, "high": 1, "log": True}}},
            "over 0 where log",
        ),
        ({"method": "tpe", "trials": 3, "space": {"lr": {"low": -1.0, "high": 1.0}}}, "lr: received -1.0"),
        ({"trials": 4}, "trials is 4, and the space has up to 5"),
        ({"space": {"target": ["composite"]}}, "target is the same for all trials"),
        ({"change": {"select": "cc"}}, "select is the same for all trials"),
        ({"change": {"widht": 4}}, "one.change: {'widht': 4} is nothing that the model takes"),
        ({"sed": 1}, "searches.one.sed: unknown key"),
    ],
)
def test_what_cannot_be_searched(here, change, said):
    searching.asked(here, "one", **(BLOCK | change))
    with pytest.raises(ParamsError) as error:
        settings.load(searching.params(), "one")
    assert said in str(error.value)


def test_names_and_overrides(here):
    searching.asked(here, "one", **BLOCK)
    with pytest.raises(ParamsError, match="no search 'other'; valid: one"):
        settings.load(searching.params(), "other")
    searching.asked(here, "one", **{**BLOCK, "space": {"rate": [{"lr": 0.1}]}})
    with pytest.raises(ParamsError, match="changes lr, which the top-level lr"):
        settings.load(searching.params(lr=0.01), "one")
    searching.asked(here, "../one", **BLOCK)
    with pytest.raises(ParamsError, match="is no name"):
        settings.load(searching.params(), "../one")


def test_one_setting_within_a_block_leaves_the_others(here):
    searching.asked(here, "one", **BLOCK, change={"discriminator": {"lr": 0.5}})
    known = settings.load(searching.params(), "one")
    own = searching.params().model("pix2pix").discriminator
    found = settings.settings_of(searching.params(), known, {"discriminator.width": 5}).discriminator
    assert found == own.model_copy(update={"width": 5, "lr": 0.5})


def test_the_committed_searches_are_valid_and_of_some_size():
    names = yaml.safe_load((ROOT / settings.FILE).read_text())
    for name in names:
        profile = "profiles/vischema.yaml" if name == "khan" else "params.yaml"
        settings.load(params.load(ROOT / profile), name, file=ROOT / settings.FILE)
    khan = settings.load(params.load(ROOT / "profiles/vischema.yaml"), "khan", file=ROOT / settings.FILE)
    assert khan.combinations > 5000
    assert khan.most < 100


def test_every_committed_model_can_be_searched(here):
    """Of each family and track."""
    committed = params.load(ROOT / "params.yaml")
    for name in committed.models:
        score = "l1" if committed.head(name).track == "maps" else "spearman"
        space = {"training_seed": [1, 2]}
        searching.asked(here, "one", model=name, method="random", trials=2, score=score, space=space)
        known = settings.load(committed, "one")
        found = settings.settings_of(committed, known, {"training_seed": 2})
        assert getattr(found, "select", score) == score
        assert found.training_seed == 2


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pix2pix", {"width": 24, "discriminator.optimiser": "sgd", "discriminator.lr": 1e-5}),
        ("pix2pix", {"betas": [0.5, 0.999], "dropout": 0.25, "mirror": False, "optimiser": "adadelta"}),
        ("lstm_pictures", {"lr": 0.000123, "hidden": 128, "optimiser": "adamw"}),
        ("ridge", {"input": "data/features/handcrafted", "alphas": [10.0]}),
    ],
)
def test_the_command_makes_the_winner(tmp_path, name, changes):
    """As DVC reads its -S."""
    from dvc.utils.hydra import apply_overrides

    committed = params.load(ROOT / "params.yaml")
    search = settings.load(committed, name, file=ROOT / settings.FILE)
    words = shlex.split(table.command(committed, search, changes))
    assert words[:3] == ["dvc", "exp", "run"]
    given = [word for before, word in pairwise(words) if before == "-S"]
    assert len(given) + 1 == len([word for word in words[3:] if word != "-S"])
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", given)
    assert params.load(tmp_path / "params.yaml").model(name) == settings.settings_of(
        committed, search, changes
    )


@pytest.mark.parametrize(
    "value", ["it's", "a b", "null", "True", "1e-3", "a,b", "x: y", "12", "", None, [1, "a b"]]
)
def test_any_value_survives_the_command(tmp_path, value):
    from dvc.utils.hydra import apply_overrides

    (tmp_path / "params.yaml").write_text("models: {m: {a: 1}}\n")
    apply_overrides(tmp_path / "params.yaml", [f"++models.m.b={table._hydra(value)}"])
    assert yaml.safe_load((tmp_path / "params.yaml").read_text())["models"]["m"]["b"] == value


def test_without_optuna_it_is_said_what_to_install(here, monkeypatch):
    import sys

    from memorability.experiments import search

    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "memorability.experiments.search.sampled", raising=False)
    searching.asked(here, "one", **{**BLOCK, "method": "random", "trials": 2})
    known = settings.load(searching.params(), "one")
    with pytest.raises(ParamsError, match=r"pip install 'memorability\[search\]'"):
        search._method(known)
