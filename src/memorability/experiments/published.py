"""Models that their authors have published: what their files hold, and what a user must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that its authors have published, as a family of ours.

    `settings` are those of the family at the published size; `arch` is the network inside it, whose weights
    are in the same file; `files` are the published files by their SHA-256; `package` is the distribution that
    a file may lie in, `file` its name there; `card` is what a user must know of it, with places for the model's
    name and the licence.
    """

    settings: Mapping[str, Any]
    arch: str
    classes: int
    trained_on: tuple[str, ...]
    files: Mapping[str, str]
    package: str
    file: str
    licence: str
    card: str


RESMEM = Published(
    settings={
        **{"family": "resmem", "track": "images", "target": "score", "input": "data/raw/images"},
        **{"fit": "squash", "resize": 256, "crop": 227},
        **{"hidden": 4096, "dropout": 0.5, "backbone": "resnet152"},
        **{"optimiser": "sgd", "lr": 1e-5, "momentum": 0.9, "epochs": 20},
    },
    arch="resnet152",
    classes=1000,
    trained_on=("lamem", "memcat"),
    files={"8e4b8ab0ac338909add68a674e9bd4c1602350731abe7f97bc060dc159706a53": "resmem 1.1.6, of PyPI"},
    package="resmem",
    file="model.pt",
    licence="ResMem Non-commercial License, (c) 2021 The University of Chicago: for non-commercial purposes only",
    card="""\
# {name}

The model of Needell and Bainbridge, Embracing New Techniques in Deep Learning for Estimating Image
Memorability (2022), as its authors published it (https://github.com/Brain-Bridge-Lab/resmem); the weights
are theirs, unchanged.

- Licence: {licence}.
  Whoever passes these weights on passes on the notice, the conditions and the disclaimer of that licence,
  which come with the published files. The licence of the code around them does not cover them.
- Trained on: LaMem (58,741 pictures) and MemCat (10,000), mixed, less a test set. Which pictures are in that
  test set is not known here, nor how many the model was fitted on. So figures on any picture of LaMem or
  MemCat are of pictures that the model may have seen: they do not say what it is worth on new ones.
- The paper's figures of ResMem, on that test set: Spearman 0.66 (the text: 0.68), MSE 0.008 (the text: 0.0091).
- Input: the whole picture squashed to 256 x 256 pixels, of which the central 227 x 227 in [0, 1], no mean
  subtracted. A resize that keeps the proportions ranks pictures otherwise.
- The residual network inside (ResNet-152) is part of the file: its batch statistics moved in training, so
  torchvision's weights are not the same.
- In config.json, the optimiser, its rate and momentum and the epochs are the published ones; what else belongs
  to training is not known, and stands there as this project's defaults.
""",
)
PUBLISHED = {"resmem": RESMEM}
