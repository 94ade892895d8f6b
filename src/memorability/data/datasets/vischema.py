"""VISCHEMA: pictures with maps of what made people remember them, their visual memory schemas (VMS).

Akagunduz, Bors and Evans, "Defining Image Memorability using the Visual Memory Schema" (2019); its
extension VISCHEMA PLUS by Kyle-Davidson, Bors and Evans (2022). People who said that they had seen a
picture marked rectangles on what made them remember it; a map sums their marks.

Layout: `images/CATEGORY/NAME.jpg` and `vms/CATEGORY/NAME.png`. A map is RGB. Red, as we read it, is how
often a place is truly remembered and green how often falsely, by people who had not seen the picture; blue
is empty. A copy may order its channels otherwise: models and measures treat the three alike.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from memorability.data.datasets import pairs

ACCESS = (
    "VISCHEMA is handed out at https://www.cs.york.ac.uk/vischema/: put its pictures in images/ and its "
    "maps in vms/ there, or name the folders of your copy in `pictures` and `maps`."
)


class Params(pairs.Folders):
    """`root` is the folder that holds the folders of `pictures` and of `maps`, whose names differ among copies."""

    maps: str = "vms"


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of a VISCHEMA folder: see `memorability.data.datasets` for the columns."""
    return pairs.read_layout(params, channels=3)
