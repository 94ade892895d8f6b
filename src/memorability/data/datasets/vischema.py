"""VISCHEMA: pictures with maps of what made people remember them, their visual memory schemas (VMS).

Akagunduz, Bors and Evans, "Defining Image Memorability using the Visual Memory Schema" (2019); its
extension VISCHEMA PLUS by Kyle-Davidson, Bors and Evans (2022). People who said that they had seen a
picture marked rectangles on what made them remember it; a map sums their marks.

Layout: `images/CATEGORY/NAME.jpg` and `vms/CATEGORY/NAME.png`. A map is RGB. Red, as we read it, is how
often a place is truly remembered and green how often falsely, by people who had not seen the picture; blue
is empty. A copy may order its channels otherwise: models and measures treat the three alike.

VISCHEMA PLUS comes in portions, a folder of this layout for each: `train/images/...`, `train/vms/...`, and so on. `portions`
says which part of the split each of them is.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd
from pydantic import Field, field_validator

from memorability.core.errors import DataError
from memorability.data.datasets import pairs

ACCESS = (
    "VISCHEMA is handed out at https://www.cs.york.ac.uk/vischema/: put its pictures in images/ and its "
    "maps in vms/ there, or name the folders of your copy in `pictures` and `maps`."
)


class Params(pairs.Folders):
    """`root` is the folder that holds the folders of `pictures` and of `maps`, whose names differ among copies.

    `portions`: folders below it that hold them instead, and of which part of the split each is: `{train: train,
    validation: test}`. Nothing is left to judge models by where none is `test`; a `val` that is not there
    `split.maps.method: published` draws from train.
    """

    maps: str = "vms"
    portions: dict[str, Literal["train", "val", "test"]] = Field(default_factory=dict)

    @field_validator("portions")
    @classmethod
    def _below_root(
        cls, given: dict[str, Literal["train", "val", "test"]]
    ) -> dict[str, Literal["train", "val", "test"]]:
        for name in given:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or path == PurePosixPath():
                raise ValueError(f"portions are names of folders below root, received {name!r}")
        if len({PurePosixPath(name) for name in given}) < len(given):
            raise ValueError(f"portions: received {', '.join(given)}; valid: each folder once")
        return given


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of a VISCHEMA folder, or of its portions: see `memorability.data.datasets` for the columns.

    Raises:
        DataError: a folder is not there, or holds no picture.
    """
    if not params.portions:
        return pairs.read_layout(params, channels=3)
    found = [_portion(params, name).assign(split=split) for name, split in params.portions.items()]
    rows = pd.concat(found, ignore_index=True).astype({"split": "string"})
    return rows.sort_values("path", ignore_index=True)


def _portion(params: Params, name: str) -> pd.DataFrame:
    """The rows of one portion, their paths within the whole set."""
    root = params.root / name
    if not root.is_dir():
        raise DataError(f"no folder {root}; `portions` names folders below {params.root}")
    rows = pairs.read_layout(params.model_copy(update={"root": root}), channels=3)
    return rows.assign(path=f"{PurePosixPath(name)}/" + rows["path"])
