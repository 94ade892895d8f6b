"""SUN memorability: 2,222 pictures in 25 published splits (Isola et al. 2011), laid out as LaMem is.

A split has a train and a test half and no validation part: the split stage draws one from train.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from memorability.data.datasets import lamem
from memorability.data.datasets.common import Pictures

ACCESS = (
    "The SUN memorability set is handed out at http://web.mit.edu/phillipi/Public/WhatMakesAnImageMemorable: "
    "put its pictures in images/ and splits/{train,test}_N.txt (lines NAME SCORE) there."
)


class Params(Pictures):
    """`root` is the folder that holds `images/` and `splits/`."""


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of the folder: each picture's half and score in each published split, and its mean score."""
    return lamem.read_layout(params.root, parts=("train", "test"))
