"""Ablations of models of maps and of scores by the same code: variants, what is refused, and names that lead nowhere."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pandas as pd
import pytest
import worlds
import yaml

from memorability import families
from memorability.core import layout
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.experiments import ablation
from memorability.params import Params, load

TOP = {
    **{"seed": 0, "threads": 1, "precision": "32-true", "compile": False},
    **{"lr": None, "epochs": None, "batch_size": None},
}
ASKED = {
    "width": {
        "narrow": {"model": "memnet", "change": {"width": 6}},
        "wide": {"model": "memnet"},
    },
    "loss": {"l1": {"model": "unet"}, "mse": {"model": "unet", "change": {"loss": "mse"}}},
    "mixed": {"one": {"model": "unet"}, "other": {"model": "memnet"}},
    "unknown": {"one": {"model": "memnet", "change": {"widht": 6}}},
    "rate": {"slow": {"model": "memnet", "change": {"lr": 0.01}}},
}


def project(**top):
    """The params of a project with a small model of each kind."""
    models = {family: worlds.made(family).model_dump(mode="json") for family in ("memnet", "unet")}
    tracks = ("images", "maps")
    return checked(
        Params,
        {
            **(TOP | top),
            "acquire": {track: {"watch": "x", "datasets": ["demo"]} for track in tracks},
            "split": {track: {"input": f"data/raw/{track}"} for track in tracks},
            "models": models,
            "evaluate": {track: {"bootstrap": 100, "halves": 5, "map_size": worlds.SIDE} for track in tracks},
        },
        at="",
    )


@pytest.fixture
def file(tmp_path, monkeypatch):
    """An empty project with a file of ablations."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    ablation.FILE.write_text(yaml.safe_dump(ASKED))
    return ablation.FILE


def test_a_variant_changes_some_settings_and_keeps_the_others(file):
    narrow, wide = ablation.variants(project(), "width").values()
    assert wide == project().model("memnet")
    assert narrow.model_dump(exclude={"width"}) == wide.model_dump(exclude={"width"})
    assert (narrow.width, wide.width) == (6, 12)


def test_an_ensemble_is_known_to_be_fitted_on_validation_and_by_what():
    members = ("memnet", "unet")
    asked = {"both": families.load("ensemble").Params(family="ensemble", track="images", members=members)}
    assert ablation._is_ensemble(asked["both"])
    assert not ablation._is_ensemble(worlds.made("memnet"))
    read = [layout.predictions("images", name, ensemble=False) / "predictions.csv" for name in members]
    assert ablation._members(project(), asked | {"one": worlds.made("memnet")}) == read


def test_of_a_block_within_a_model_the_settings_that_are_not_named_stay():
    block = worlds.made("pix2pix", discriminator={"width": 12, "lr": 0.003}).model_dump(mode="json")
    params = project()
    params = params.model_copy(update={"models": params.models | {"gan": block}})
    changed = params.model("gan", {"discriminator": {"verdict": "scalar"}, "betas": [0.5, 0.9]})
    assert (changed.discriminator.width, changed.discriminator.lr) == (12, 0.003)
    assert (changed.discriminator.verdict, changed.betas) == ("scalar", (0.5, 0.9))
    assert params.models["gan"] == block


def committed():
    """Every ablation that is committed, beside the files of params whose models it may be of."""
    root = Path(__file__).parents[2]
    names = yaml.safe_load((root / "ablations.yaml").read_text())
    return [
        (name, root, root / file) for name in names for file in ("params.yaml", "profiles/demo-full.yaml")
    ]


@pytest.mark.parametrize(("name", "root", "file"), committed(), ids=lambda value: str(value).split("/")[-1])
def test_committed_ablations_are_of_both_demos_and_compare_what_differs(name, root, file):
    variants = ablation.variants(load(file), name, file=root / "ablations.yaml")
    made = {name: variant.model_dump_json() for name, variant in variants.items()}
    assert len(set(made.values())) == len(made) >= 2, "two variants are the same"


@pytest.mark.parametrize(
    ("name", "top", "said"),
    [
        ("skips", {}, "no ablation 'skips'; valid: loss, mixed, rate, unknown, width"),
        ("mixed", {}, "mixed compares models of images, maps; valid: one track"),
        ("unknown", {}, "models.memnet.widht: unknown key"),
        ("rate", {"lr": 0.1}, "rate.slow changes lr, which the top-level lr of params.yaml"),
    ],
)
def test_what_cannot_be_asked(file, name, top, said):
    with pytest.raises(ParamsError) as error:
        ablation.variants(project(**top), name)
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["../../victim", "../victim", "none", "-x", "a" * 300])
@pytest.mark.parametrize("place", ["ablation", "variant"])
def test_a_name_that_leads_elsewhere_deletes_and_writes_nothing(file, tmp_path, name, place):
    victim = tmp_path / "victim" / "kept.txt"
    victim.parent.mkdir()
    victim.write_text("of the user")
    variants = {"one": {"model": "memnet"}}
    file.write_text(
        yaml.safe_dump({name: variants} if place == "ablation" else {"width": {name: variants["one"]}})
    )
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(ParamsError, match="is no name"):
        ablation.run(project(), name if place == "ablation" else "width")
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert victim.read_text() == "of the user"


@pytest.mark.parametrize(
    ("name", "track", "damaged"),
    [("width", "images", False), ("width", "images", True), ("loss", "maps", False)],
)
def test_variants_are_trained_compared_and_taken_up_again(file, monkeypatch, name, track, damaged):
    """A run that was stopped at its second variant trains that one alone."""
    make = worlds.pictures if track == "images" else worlds.pictures_with_maps
    world = make(file.parent.absolute() / "data" / "made", 24)
    raw = file.parent.absolute() / "data" / "raw"
    raw.mkdir()
    (world.root / "raw").rename(raw / track)
    (file.parent / "data" / "splits").mkdir()
    (world.root / "split.csv").rename(file.parent / "data" / "splits" / f"{track}.csv")
    calls, train = count(1), ablation.train

    def stopping(*arguments):
        if next(calls) == 2:
            raise KeyboardInterrupt
        train(*arguments)

    monkeypatch.setattr(ablation, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        ablation.run(project(), name)
    if damaged:
        first = next(iter(ASKED[name]))
        with (file.parent / ".states" / f"ablate-{name}" / first / "predictions" / "predictions.csv").open(
            "a"
        ) as end:
            end.write("x")
    text = ablation.run(project(), name)
    assert (
        next(calls) == 4 + damaged
    )  # of the two variants the first was trained again only if it was damaged
    board = pd.read_csv(next((file.parent / "metrics" / "ablations" / name).glob("*.leaderboard.csv")))
    assert set(board["model"]) == set(ASKED[name])
    assert all(variant in text for variant in ASKED[name])
    assert not (file.parent / ".states" / f"ablate-{name}").exists()
