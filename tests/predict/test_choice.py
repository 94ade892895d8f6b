"""The model that predicts by default is the best on validation that says something, and its worth is said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_models import backbone_config, board, save, split

from memorability.core import layout
from memorability.core.errors import DataError
from memorability.core.files import read_json, write_json
from memorability.predict import cards, listing
from memorability.predict.choice import Project, best, named


@pytest.fixture
def project(tmp_path):
    """Three models of pictures, one of them a constant, trained on two data sets."""
    project = Project.of(tmp_path / "models")
    for name in ("one", "two"):
        save(project, name, "memnet")
    save(project, "mean", "mean")
    split(project, "images", "memcat", "lamem", "memcat")
    return project


def refused(project, track="images", **options):
    with pytest.raises(DataError) as caught:
        best(track, project, **options)
    return str(caught.value)


# The best


def test_the_best_on_validation_predicts_and_says_what_it_is_worth(project):
    board(project, "images", "score", two=0.61234, one=0.5, mean=None)
    predictor, choice = best("images", project)
    assert predictor.folder == choice.folder == project.models / "two"
    assert choice.line() == "two: trained on lamem, memcat; rho 0.612 on validation"
    assert choice.as_dict() == {
        "model": "two",
        "trained_on": ["lamem", "memcat"],
        "val_spearman": 0.61234,
        "fitted_on_val": False,
        "warnings": [],
    }
    assert choice.passed_over == ()


def test_a_constant_is_never_chosen(project):
    board(project, "images", "score", mean=0.9, one=0.5)
    predictor, choice = best("images", project)
    assert predictor.folder.name == "one"
    assert choice.passed_over == ("mean: it says the same of everything",)


def test_without_figures_on_validation_there_is_no_best(project):
    """After `val: 0.0` a board is in no order, and its first model may be the mean."""
    board(project, "images", "score", mean=None, one=None, two=None)
    text = refused(project)
    assert f"{project.board('images', 'score')}: no best model can be told:" in text
    assert "\n  one: it has no figure on validation" in text
    assert text.endswith("name one with --model: one, two")


def test_models_that_are_not_here_are_passed_over_with_the_reason(project):
    board(project, "images", "score", gone=0.9, broken=0.8, one=0.5)
    shutil.copytree(project.models / "one", project.models / "broken")
    (project.models / "broken" / "model.safetensors").write_bytes(b"")
    predictor, choice = best("images", project)
    assert predictor.folder.name == "one"
    gone, broken = choice.passed_over
    assert gone == f"gone: it is not in {project.models}; run dvc repro or dvc pull"
    assert broken.startswith("broken: ")
    assert "not the weights" in broken


def test_a_board_of_other_params_is_not_used(project):
    """Such as the demo's, which is committed, beside models of own pictures."""
    board(project, "images", "score", resmem=0.7, one=0.5)
    text = refused(replace(project, known={"one", "two"}))
    assert "not the leaderboard of the params at hand, which have no model resmem" in text
    assert text.endswith("run dvc repro evaluate@images, or name one with --model: one, two")
    assert best("images", replace(project, known={"one", "resmem"}))[0].folder.name == "one"


def test_without_a_board_one_is_asked_for(project):
    assert refused(project).endswith("run dvc repro, or name one with --model: one, two")
    shutil.rmtree(project.models)
    assert refused(project).endswith(f"name one with --model: none is in {project.models}")


def test_a_model_that_was_fitted_on_validation_is_said_to_be(project):
    save(project, "fused", "memnet")
    board(project, "images", "score", fused=0.7, one=0.5)
    assert best("images", project)[1].folder.name == "one"  # whose 0.5 is of items that it does not know
    _, choice = named("fused", project)
    assert choice.line().endswith("rho 0.700 on validation, which it was fitted on")
    assert choice.as_dict()["fitted_on_val"] is True


# Of clips and of maps


@pytest.fixture
def of_clips(project):
    save(project, "averages", "frame_average", "videos", settings={"backbone": "one"})
    save(project, "titles", "caption_ridge", "videos")
    save(project, "later", "frame_average", "videos", settings={"backbone": "one", "target": "long_term"})
    given = [{"given": {"name": "C3D"}}]
    save(project, "given", "ridge", "videos", features=given)
    board(project, "videos", "short_term", later=0.9, given=0.8, titles=0.7, averages=0.6)
    return project


def test_of_clips_the_best_that_can_score_them_as_they_are(of_clips):
    predictor, choice = best("videos", of_clips)
    assert predictor.folder.name == "averages"
    assert choice.passed_over == (
        "later: it was trained on long_term",
        "given: it reads features that came with its data set",
        "titles: it reads titles; give one with --title",
    )


def test_with_a_title_models_that_read_titles_count(of_clips):
    assert best("videos", of_clips, titled=True)[0].folder.name == "titles"


def test_where_no_model_can_score_clips_as_they_are_all_reasons_are_listed(of_clips):
    board(of_clips, "videos", "short_term", given=0.8, titles=0.7)
    text = refused(of_clips, "videos")
    assert "\n  given: it reads features that came" in text
    assert "\n  titles: it reads titles; give one with --title" in text
    assert text.endswith("name one with --model: averages, given, later, titles")


def test_a_mean_map_is_a_constant_too(project):
    save(project, "mean_map", "mean", "maps")
    board(project, "maps", "map", mean_map=0.3)
    assert "mean_map: it says the same of everything" in refused(project, "maps")


# What its scores do not mean


def test_a_model_of_drawings_says_that_its_scores_mean_nothing_for_photographs(project):
    split(project, "images", "demo", "demo")
    board(project, "images", "score", one=0.7)
    _, choice = best("images", project)
    assert choice.line() == "one: trained on demo; rho 0.700 on validation"
    (warning,) = choice.warnings
    assert warning.startswith(
        "one was trained on the demo's drawings: its scores mean nothing for photographs"
    )
    assert choice.as_dict()["warnings"] == [warning]
    split(project, "images", "demo", "memcat")  # not of drawings alone
    assert best("images", project)[1].warnings == ()


def test_a_backbone_of_drawings_is_warned_of(project):
    config = read_json(project.models / "one" / "config.json")
    demo = backbone_config(source="demo")
    for origin in ({"backbone": demo}, {"features": [{"backbone": demo}]}):
        write_json(project.models / "one" / "config.json", config | origin)
        (warning,) = named("one", project)[1].warnings
        assert warning.startswith("one sees through a backbone that was trained on the demo's drawings")
    write_json(project.models / "one" / "config.json", config | {"backbone": backbone_config(source="file")})
    assert named("one", project)[1].warnings == ()


def test_what_a_model_says_of_its_data_counts_more_than_the_split_at_hand(project):
    config = read_json(project.models / "one" / "config.json")
    write_json(project.models / "one" / "config.json", config | {"trained_on": {"sun": 9, "demo": 1}})
    assert named("one", project)[1].datasets == ("sun", "demo")


# One that is named


def test_a_model_by_name(project):
    board(project, "images", "score", one=0.7, two=0.5)
    predictor, choice = named("two", project)
    assert predictor.folder == project.models / "two"
    assert choice.line() == "two: trained on lamem, memcat; rho 0.500 on validation"
    assert (
        named("mean", project)[1].line()
        == "mean: trained on lamem, memcat; no figure on validation says what it is worth"
    )


def test_a_model_by_its_folder_anywhere(project, tmp_path):
    board(project, "images", "score", one=0.7)
    shutil.copytree(project.models / "one", tmp_path / "else" / "one")
    predictor, choice = named(str(tmp_path / "else" / "one"), project)
    assert predictor.folder == tmp_path / "else" / "one"
    assert choice.line().startswith("one: trained on data that are not known here; no figure on validation")
    assert named(str(project.models / "one"), project)[1].worth == ("spearman", 0.7)


@pytest.mark.parametrize("name", ["rigde", "", ".", "n" * 300, "a/b", "nul\0"])
def test_an_unknown_name_lists_the_valid_ones(project, name):
    with pytest.raises(
        DataError, match=r"^--model: no model '.{0,85}'; valid: one, two; or the folder of a model$"
    ):
        named(name, project)


def test_a_backbone_is_no_model(project):
    write_json(project.models / "resnet" / "config.json", {"arch": "resnet18"})
    with pytest.raises(DataError, match="resnet: a backbone, which predicts no memorability"):
        named("resnet", project)


@pytest.mark.parametrize("models", ["mine/models", "linked", "loose"])
def test_what_a_board_says_is_said_of_the_models_of_its_project_alone(tmp_path, monkeypatch, models):
    """Whatever folder one is in: models of the same name elsewhere are others."""
    monkeypatch.chdir(tmp_path)
    here, mine = Project.of(layout.MODELS), Project.of(Path("mine/models"))
    for project, value in ((here, 0.7), (mine, 0.4)):
        save(project, "one", "memnet")
        split(project, "images", "memcat")
        board(project, "images", "score", one=value)
        report = {"score": {"val": {"spearman": value, "n": 9}}}
        write_json(project.metrics / "images" / "one.json", report)
    shutil.copytree(mine.models, "loose")
    Path("linked").symlink_to(mine.models)
    project, value = Project.of(Path(models)), None if models == "loose" else 0.4
    found = next(listing.models(project))
    assert (found.name, found.value) == ("one", value)
    card = cards.card(found, project)
    assert ("no figure" if value is None else "rho 0.400") in named("one", project)[1].line()
    assert ("It was not evaluated here" if value is None else "val, n = 9") in card
    assert cards.find(f"{models}/one", here).value == value
    assert named("one", here)[1].worth == ("spearman", 0.7)


def test_figures_of_other_params_are_not_told(project):
    board(project, "images", "score", one=0.7)
    assert named("one", replace(project, known={"two"}))[1].worth is None
