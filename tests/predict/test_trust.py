"""Each score with its interval, and whether the model has seen the picture: from Python, as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_models import HEAD, OF, save
from typer.testing import CliRunner

from memorability import cli
from memorability.core.errors import DataError
from memorability.data.known import Known
from memorability.media.hashes import content_description, perceptual_hash
from memorability.predict.choice import Project
from memorability.predict.predictor import Predictor
from memorability.training import artifacts

RESIDUALS = np.linspace(-0.3, 0.3, 41).astype(np.float32)


def photograph(seed):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return small.resize((160, 120), Image.Resampling.BICUBIC)


def evidence(*pictures, residuals=RESIDUALS):
    table = pd.DataFrame(
        {"phash": map(perceptual_hash, pictures), "content": map(content_description, pictures)}
    )
    known = Known.of(table)
    return artifacts.Evidence(residuals, known.phashes, known.contents)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A model that gives everything 0.8 and was fitted on the first of two pictures."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("known.png", "new.png")):
        photograph(seed).save(tmp_path / name)
    constant(tmp_path, evidence(photograph(0)))
    return tmp_path


def constant(root, evidence, score=0.8):
    settings = {"family": "mean", **HEAD, **OF["images"]}
    config = {"settings": settings, "trained_on": {"memcat": 9}}
    artifacts.save(root / "models" / "m", config=config, arrays={"mean": np.array(score)}, evidence=evidence)


def run(*arguments):
    return CliRunner().invoke(cli.app, ["predict", *arguments, "--model", "m"])


# From Python


def test_a_score_has_its_interval(here):
    known, new = Predictor("models/m").predict(["known.png", "new.png"])
    assert (known.seen, new.seen) == (True, False)
    assert new.interval == pytest.approx((0.8 - 0.285, 1), abs=1e-6)  # clipped
    assert known.interval == new.interval


@pytest.mark.parametrize(("confidence", "half"), [(0.5, 0.165), (0.9, 0.285), (0.999, np.inf)])
def test_the_confidence_is_chosen(here, confidence, half):
    constant(here, evidence(), score=0.4)
    predictor = Predictor("models/m", confidence=confidence)
    assert predictor.confidence == confidence
    (score,) = predictor.predict("new.png")
    assert score.interval == pytest.approx((max(0, 0.4 - half), min(1, 0.4 + half)), abs=0.02)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("confidence", [0, 1, -0.5, 90, np.nan])
def test_a_confidence_that_is_none(confidence):
    with pytest.raises(DataError, match=r"confidence: received .*; valid: between 0 and 1, such as 0\.9"):
        Predictor("models/m", confidence=confidence)


@pytest.mark.usefixtures("here")
def test_of_a_model_that_is_chosen_a_bad_confidence_is_said_once():
    result = CliRunner().invoke(cli.app, ["predict", "new.png", "--confidence", "90"])
    assert str(result.exception) == "confidence: received 90; valid: between 0 and 1, such as 0.9"


@pytest.mark.parametrize(
    "given", [None, evidence(residuals=RESIDUALS[:19])], ids=["no evidence", "19 residuals"]
)
def test_too_few_residuals_make_no_interval(here, given):
    constant(here, given)
    (score,) = Predictor("models/m").predict("known.png")
    assert (score.interval, score.seen) == (None, False)


def test_open_pictures_are_seen_too(here):
    predictor = Predictor("models/m")
    with Image.open("known.png") as picture:
        assert predictor.predict([picture, picture.resize((80, 60))])[1].seen
    small = photograph(0).resize((80, 60))
    assert predictor.predict(small)[0].seen


def test_the_frames_of_a_clip_are_not_asked(here):
    predictor = Predictor("models/m")
    from memorability.features.items import Item

    assert not predictor._trust.seen(Item(here / "clip.webm"))


def test_a_model_whose_evidence_is_gone_is_damaged(here):
    (here / "models" / "m" / "evidence.safetensors").unlink()
    with pytest.raises(DataError, match=r"models/m: damaged model \(evidence\.safetensors is missing"):
        Predictor("models/m")


# By the command


@pytest.mark.usefixtures("here")
def test_the_table_has_intervals_and_says_what_was_seen():
    lines = run("known.png", "new.png").stdout.splitlines()
    assert lines == [
        "score  90 % interval   percentile  path",
        "0.800  0.515 to 1.000           -  known.png  (seen in training)",
        "0.800  0.515 to 1.000           -  new.png",
    ]
    assert "97.5 % interval" in run("new.png", "--confidence", "0.975").stdout


@pytest.mark.usefixtures("here")
def test_json_has_them_too():
    known, new = json.loads(run("known.png", "new.png", "--json", "--confidence", "0.8").stdout)
    assert (new["low"], new["high"]) == pytest.approx((0.8 - 0.255, 1), abs=1e-6)
    assert (known["low"], known["high"]) == (new["low"], new["high"])
    assert (known["note"], new["note"]) == ("seen in training", "")


def test_json_says_that_there_is_no_interval(here):
    constant(here, None)
    (row,) = json.loads(run("new.png", "--json").stdout)
    assert (row["low"], row["high"], row["percentile"], row["note"]) == (None, None, None, "")


# Percentiles


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.2, 0), (0.3, 0), (0.5, 40), (0.5025, 40.5), (0.8, 100), (0.95, 100)],
)
def test_a_percentile_is_the_share_of_training_scores_below(here, score, expected):
    scores = np.linspace(0.3, 0.8, 101).astype(np.float32)
    constant(here, replace(evidence(), scores=scores), score=score)
    (found,) = Predictor("models/m").predict("new.png")
    assert found.percentile == pytest.approx(expected, abs=1e-3)
    (row,) = json.loads(run("new.png", "--json").stdout)
    assert row["percentile"] == pytest.approx(expected, abs=0.01)


def test_a_percentile_within_equal_scores_counts_those_below(here):
    scores = np.repeat([0.4, 0.6], [61, 40]).astype(np.float32)
    constant(here, replace(evidence(), scores=scores), score=0.5)
    assert Predictor("models/m")("new.png").percentile == pytest.approx(60.5, abs=0.6)


def test_a_clip_has_an_interval_and_is_never_seen(tmp_path):
    project = Project.of(tmp_path / "models")
    save(project, "pictures", "memnet")
    save(project, "clips", "frame_average", "videos", settings={"backbone": "pictures"}, evidence=evidence())
    trust = Predictor(project.models / "clips", device="cpu")._trust
    assert trust.interval(0.5) == pytest.approx((0.215, 0.785), abs=1e-6)
