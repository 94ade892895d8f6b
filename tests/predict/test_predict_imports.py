"""Scoring one picture loads no HTTP client, and nothing that only training needs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import worlds
from PIL import Image

from memorability.features.extractor import Extractor
from memorability.training import artifacts

CLIENTS = ("requests", "urllib3", "httpx", "aiohttp", "huggingface_hub")
OF_TRAINING = ("lightning", "lightning_fabric", "torchmetrics", "matplotlib", "diffusers")
SCORE = """
import sys
from memorability.predict.predictor import Predictor
names = sys.argv[1].split(",")
print([name for name in names if name in sys.modules])
for model in sys.argv[3:]:
    Predictor(model, device="cpu").predict(sys.argv[2])
print([name for name in names if name in sys.modules])
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of features, and a network."""
    root = tmp_path_factory.mktemp("models")
    worlds.backbone(root / "small")
    extractor = Extractor(root / "small", **worlds.CUT, device="cpu")
    head = {"track": "images", "target": "score", "input": "x", "backbone": "none"}
    arrays = {"weight": np.zeros(extractor.shape[0]), "bias": np.array(0.5), "alpha": np.array(1.0)}
    config = {"settings": {"family": "ridge", **head}, "features": [extractor.describe()]}
    artifacts.save(root / "ridge", config=config, arrays=arrays)
    settings = worlds.made("memnet")
    torch.manual_seed(0)
    net = worlds.families.load("memnet").build(settings, shape=(3, 67, 67), backbone=None)
    config = {"settings": settings.model_dump(mode="json"), "shape": [3, 67, 67]}
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    artifacts.save(root / "memnet", config=config, arrays=arrays)
    Image.new("RGB", (40, 40)).save(root / "picture.png")
    return root


def test_scoring_a_picture_loads_no_client_and_nothing_of_training(models):
    """By a model of features and by a network; the module by itself does not even load torch."""
    names = ",".join(("torch", *CLIENTS, *OF_TRAINING))
    command = [
        sys.executable,
        "-c",
        SCORE,
        names,
        models / "picture.png",
        models / "ridge",
        models / "memnet",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['torch']"]
