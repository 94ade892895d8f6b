"""Which pictures a set holds already: near-duplicates of its own, told as `duplicates.groups` tells them.

A model has "seen" a picture of which it was fitted or selected on a near-duplicate. What it says of such a picture is no
test of it, even where a published split has put both on different sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from memorability.media import hashes

# Of 64 that perceptual hashes of near-duplicates may differ in: the default of a split's near_duplicate_bits. What counts as
# seen does not follow that setting: whoever has a model and a picture has no split, and must come to the same answer.
BITS = 4


@dataclass(frozen=True, eq=False)
class Known:
    """A set of pictures, or of clips by their middle frames.

    `phashes` uint64 [M] are the perceptual hashes of photographs, `contents` uint8 [K, 266] the content of pictures that
    are mostly of one colour (256 cells, then 10 numbers, of `hashes.parsed`). A perceptual hash hardly tells such plain
    pictures apart, so they are known by their content alone; of pictures of one colour nothing can be told, so none
    of them is ever known.
    """

    phashes: np.ndarray
    contents: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Known:
        """Of rows of an index or a split table, each picture once and in rising order; of rows without hashes none."""
        phashes, contents = _columns(rows)
        photographs = phashes[contents.isna()].dropna()
        plain = contents[contents.notna() & contents.ne(hashes.EMPTY)]
        numbers = np.array([int(phash, 16) for phash in photographs], np.uint64)
        return cls(np.unique(numbers), np.unique(_parsed(list(plain)), axis=0))

    def __len__(self) -> int:
        return len(self.phashes) + len(self.contents)

    def holds(self, rows: pd.DataFrame) -> np.ndarray:
        """Whether each of the rows is known, bool [N]."""
        phashes, contents = _columns(rows)
        found = [
            self._holds(None if pd.isna(phash) else str(phash), None if pd.isna(content) else str(content))
            for phash, content in zip(phashes, contents, strict=True)
        ]
        return np.array(found, bool)

    def holds_picture(self, picture: Image.Image) -> bool:
        """Whether an upright RGB picture is known."""
        phash = hashes.perceptual_hash(picture) if len(self.phashes) else None
        if not len(self.contents) and not self._holds(phash, None):
            return False  # and what is on it need not be looked at
        return self._holds(phash, hashes.content_description(picture))

    def _holds(self, phash: str | None, content: str | None) -> bool:
        if content == hashes.EMPTY:
            return False
        if content is not None:
            both = np.concatenate([_parsed([content]), self.contents])
            cells, numbers = both[:, : hashes.CELLS**2], both[:, hashes.CELLS**2 :]
            return bool((hashes.differences(cells, numbers, 0, np.arange(1, len(both))) <= BITS).any())
        if phash is None:
            return False
        return bool((np.bitwise_count(self.phashes ^ np.uint64(int(phash, 16))) <= BITS).any())


def across(rows: pd.DataFrame) -> frozenset[str]:
    """The ids of rows in neither train nor val of which train or val hold a near-duplicate.

    That is what every model fitted and selected on such a table has seen. A drawn split puts near-duplicates on
    one side, so there are none; a published one may not.

    Args:
        rows: a split table as models of a target see it (`tables.for_target`).
    """
    own = rows["split"].isin(("train", "val"))
    others = rows[~own]
    return frozenset(others["id"][Known.of(rows[own]).holds(others)])


def _columns(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The perceptual hashes and the contents of rows, missing where a table has no such column."""
    found = rows.reindex(columns=["phash", "content"]).astype("string")
    return found["phash"], found["content"]


def _parsed(descriptions: list[str]) -> np.ndarray:
    return np.concatenate(hashes.parsed(descriptions), axis=1)
