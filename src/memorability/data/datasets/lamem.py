"""LaMem: 58,741 pictures with memory scores and five published splits (Khosla et al. 2015).

Layout: `images/NAME` and `splits/{train,val,test}_N.txt`, N from 1 to 5, with lines `NAME SCORE`.
The scores are hit rates corrected for false alarms; counts of answers are not part of the set. Each
split has scores of its own: those of two splits correlate at 0.84.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from memorability.core.errors import DataError, listing
from memorability.data.datasets.common import Pictures

ACCESS = (
    "LaMem is handed out at http://memorability.csail.mit.edu/download.html: put its images/ and splits/ "
    "there, or name the archive's url and sha256 under downloads."
)


class Params(Pictures):
    """`root` is the folder that holds `images/` and `splits/`."""


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """The rows of a LaMem folder: each picture's part and score in each published split, and its mean score."""
    return read_layout(params.root, parts=("train", "val", "test"))


def read_layout(root: Path, *, parts: tuple[str, ...]) -> pd.DataFrame:
    """The rows of a folder in LaMem's layout whose splits have the given parts.

    A picture that is twice in one split keeps its row with a `problem`.

    Raises:
        DataError: there is no split, a part of one is missing, or lines are not NAME SCORE.
    """
    folds, wrong = sorted(_fold_numbers(root / "splits", parts)), list[str]()
    rows = pd.concat(
        [
            _read(root / "splits" / f"{part}_{fold}.txt", wrong).assign(fold=fold, part=part)
            for fold in folds
            for part in parts
        ]
    )
    if wrong:
        raise DataError(f"{len(wrong)} lines cannot be read:\n{listing(wrong)}")
    once = rows.assign(text=rows["score"].map(repr)).drop_duplicates(["name", "fold"])
    wide = {
        column: once.pivot(index="name", columns="fold", values=column).reindex(columns=folds)
        for column in ("part", "text")
    }
    found = pd.DataFrame(
        {
            "split": _joined(wide["part"]),
            "split_scores": _joined(wide["text"]),
            "score": rows.groupby("name")["score"].mean(),
            "problem": pd.Series(pd.NA, index=wide["part"].index, dtype="string"),
        }
    )
    often = rows.duplicated(["name", "fold"])
    found.loc[rows[often]["name"].unique(), "problem"] = "appears twice in one split"
    found["path"] = "images/" + found.index.astype("string")
    found["file"] = [root / path for path in found["path"]]
    return found.reset_index(drop=True)


def _joined(table: pd.DataFrame) -> list[str]:
    """One text a row, with - where there is nothing."""
    rows = table.itertuples(index=False, name=None)
    return [" ".join("-" if pd.isna(text) else text for text in row) for row in rows]


def _fold_numbers(folder: Path, parts: tuple[str, ...]) -> set[int]:
    by_part = {
        part: {
            int(m[1]) for f in folder.glob(f"{part}_*.txt") if (m := re.fullmatch(rf"{part}_(\d+)", f.stem))
        }
        for part in parts
    }
    everything = set.union(*by_part.values())
    missing = [
        str(folder / f"{part}_{fold}.txt") for part in parts for fold in sorted(everything - by_part[part])
    ]
    if not everything:
        raise DataError(f"{folder}: no split files such as {parts[0]}_1.txt")
    if missing:
        raise DataError(f"{len(missing)} split files are missing:\n{listing(missing)}")
    return everything


def _read(path: Path, wrong: list[str]) -> pd.DataFrame:
    """`name` and `score` of each line; lines that are something else are told to `wrong`."""
    names, scores = list[str](), list[float]()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error
    for number, line in enumerate(lines, start=1):
        try:
            name, score = line.rsplit(maxsplit=1)
            if not math.isfinite(float(score)):
                raise ValueError
            scores.append(float(score))
            names.append(name.strip())
        except ValueError:
            if line.strip():
                wrong.append(f"{path}:{number}: expected NAME SCORE, received {line!r}")
    return pd.DataFrame({"name": pd.array(names, dtype="string"), "score": scores})
