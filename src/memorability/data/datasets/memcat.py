"""MemCat: 10,000 pictures of five categories with memory scores (Goetschalckx and Wagemans 2019).

Layout: `images/CATEGORY/SUBCATEGORY/FILE` and `data/memcat_image_data.csv`, whose columns are read
by name. `H` are hits, `FA` false alarms and `n_resp` the responses of each kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import pandas as pd

from memorability.data.datasets.common import Pictures, counts, file_columns, read_csv, scores

ACCESS = "MemCat is handed out at http://gestaltrevision.be/projects/memcat: put its images/ and data/ there."
WITH: Final = "memorability_w_fa_correction"
WITHOUT: Final = "memorability_wo_fa_correction"


class Params(Pictures):
    """`root` is the folder that holds `images/` and `data/`; `score` names the column to learn."""

    score: Literal["memorability_w_fa_correction", "memorability_wo_fa_correction"] = WITH


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of a MemCat folder: see `memorability.data.datasets` for the columns."""
    return read_layout(params.root, score=params.score)


def read_layout(root: Path, *, score: str = WITH) -> pd.DataFrame:
    columns = ["image_file", "category", "subcategory", "H", "FA", "n_resp", score]
    table = root / "data" / "memcat_image_data.csv"
    raw = read_csv(table, columns)
    found, problems = scores(raw[score])
    path = "images/" + raw["category"] + "/" + raw["subcategory"] + "/" + raw["image_file"]
    return pd.DataFrame(
        file_columns(path, problems, root=root, table=table.name)
        | {
            "category": raw["category"],
            "subcategory": raw["subcategory"],
            "score": found,
            "responses": counts(raw["n_resp"], of=table),
            "hits": counts(raw["H"], of=table),
            "false_alarms": counts(raw["FA"], of=table),
        }
    )
