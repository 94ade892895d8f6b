"""What there is to predict with: models, families, data sets, cards; and a model as an ONNX file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import save
from typer.testing import CliRunner

from memorability import cli
from memorability.core.files import write_json
from memorability.predict import cards, export, listing
from memorability.predict.choice import Project
from memorability.predict.predictor import Predictor
from memorability.training import artifacts


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("listing")
    project = Project.of(root / "models")
    save(project, "m", "memnet", trained_on={"memcat": 9})
    save(project, "clips", "frame_average", "videos")
    (root / "models" / "broken").mkdir()
    (root / "models" / "broken" / "config.json").write_text("{")
    return root


@pytest.fixture
def here(root, monkeypatch):
    monkeypatch.chdir(root)
    return root


def run(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.mark.usefixtures("here")
def test_models_that_are_whole_are_listed():
    found = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}
    assert sorted(found) == ["clips", "m"]
    assert (found["m"]["family"], found["m"]["data"]) == ("memnet", "memcat (9)")
    assert found["m"]["bytes"] == (Path("models") / "m" / "model.safetensors").stat().st_size
    assert run("models").stdout.splitlines()[0].split()[0] == "model"


def test_families_and_datasets_are_listed():
    assert {"ridge", "memnet", "resmem", "pix2pix"} <= {row["name"] for row in listing.families()}
    assert {"lamem", "memcat", "table", "mediaeval"} <= {row["name"] for row in listing.datasets()}
    assert all(row["about"] for row in [*listing.families(), *listing.datasets()])


@pytest.mark.usefixtures("here")
def test_a_card_says_what_a_model_was_made_of(tmp_path):
    done = run("card", "m", "-o", str(tmp_path / "m.md"))
    assert done.exit_code == 0, done.output
    text = (tmp_path / "m.md").read_text()
    said = ("# m", "memcat (9 items)", "It was not evaluated here", "## Intended use and limits", "digest `")
    assert [one for one in said if one not in text] == []


@pytest.mark.usefixtures("here")
def test_the_card_that_the_evaluation_wrote_is_shown_while_it_is_of_this_model(tmp_path):
    predictions = tmp_path / "predictions"
    described = artifacts.described(Path("models/m"))
    write_json(predictions / artifacts.DESCRIBED, described.model_dump(mode="json"))
    report = {"n": 30, "spearman": 0.5, "spearman_low": 0.4, "spearman_high": 0.6}
    write_json(tmp_path / "metrics" / "m.json", {"score": {"val": report, "test": report | {"seen": 3}}})
    cards.write(tmp_path / "cards" / "images", {"m": predictions}, metrics=tmp_path / "metrics")
    project = replace(Project.of(Path("models")), cards=tmp_path / "cards")
    shown = cards.card(cards.find("m", project), project)
    assert "| spearman | 0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |" in shown
    assert "**3 of the test items are near-duplicates of some that it was fitted or selected on**" in shown
    other = described.files[artifacts.CONFIG].digest
    (tmp_path / "cards" / "images" / "m.md").write_text(shown.replace(other, "0" * 64))
    assert "It was not evaluated here" in cards.card(cards.find("m", project), project)


@pytest.mark.usefixtures("here")
def test_a_card_of_no_model_names_the_valid_ones():
    assert "no model 'x'; valid: clips, m" in str(run("card", "x").exception)


@pytest.mark.usefixtures("here")
def test_an_exported_file_gives_the_models_scores(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done = run("export", "m", "--onnx", str(tmp_path / "m.onnx"))
    assert done.exit_code == 0, done.output
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    told = json.loads(session.get_modelmeta().custom_metadata_map["memorability"])
    predictor, rng = Predictor.load("models/m"), np.random.default_rng(7)
    pictures = [Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)) for _ in range(50)]
    given = np.concatenate([export.pixels(picture, told["preprocessing"]) for picture in pictures])
    (scores,) = session.run(["scores"], {"pixels": given})
    expected = [found.score for found in predictor.batch(pictures)]
    assert scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.usefixtures("here")
def test_what_cannot_be_exported_says_why(tmp_path):
    done = run("export", "clips", "--onnx", str(tmp_path / "c.onnx"))
    assert done.exit_code != 0
    assert not (tmp_path / "c.onnx").exists()
