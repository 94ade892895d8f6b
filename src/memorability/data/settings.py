"""Settings of the stages that bring data: acquire, frames, split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memorability.core.settings import Block, checked
from memorability.data import datasets
from memorability.data.tables import Track


class Acquire(BaseModel):
    """One track's data sets, combined in this order; beside the list, a block of settings for each.

    `watch` is a file, such as the table of scores, whose change makes DVC read the data anew: it does not look into
    folders outside the project.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    watch: str
    datasets: tuple[str, ...] = Field(min_length=1)

    def sources(self, track: Track) -> dict[str, BaseModel]:
        """The checked settings of each data set in use."""
        blocks = self.model_extra or {}
        found: dict[str, BaseModel] = {}
        for name in (*self.datasets, *blocks):
            schema = datasets.adapter(name).Params
            if name in self.datasets:
                found[name] = checked(schema, blocks.get(name) or {}, at=f"acquire.{track}.{name}")
        return found


class Frames(Block):
    """How frames are taken from the clips of a track (`memorability.media.video`).

    `evenly`: `count` of them, in the middles of as many equal parts of the clip, so that a clip of any length is
    looked at as a whole. `fps`: so many a second, at most `count`, which of a longer clip is its beginning
    alone. `ffmpeg_rate`: those that `ffmpeg -r FPS` writes, at most `count`. `first_middle_last`: three.
    """

    input: str
    method: Literal["fps", "ffmpeg_rate", "evenly", "first_middle_last"] = "evenly"
    fps: float = Field(1.0, gt=0, le=1000, description="frames a second (fps, ffmpeg_rate)")
    count: int = Field(8, ge=1, le=1000, description="at most (fps, ffmpeg_rate), exactly (evenly)")
    quality: int = Field(2, ge=2, le=31, description="of JPEG, as ffmpeg counts it: 2 is best")

    @model_validator(mode="before")
    @classmethod
    def _three(cls, given: Any) -> Any:
        three = isinstance(given, Mapping) and given.get("method") == "first_middle_last"
        return {"count": 3, **given} if three else given

    @model_validator(mode="after")
    def _count_fits(self) -> Frames:
        if self.method == "first_middle_last" and self.count != 3:
            raise ValueError(f"first_middle_last takes 3 frames, received count: {self.count}")
        return self


class Split(Block):
    """How one track is split. `random` and `folds` are drawn here, `published` comes with the data.

    `input` is the index that is split: of pictures `data/raw/TRACK`, of clips `data/frames/NAME`, where
    it is known which of them can be decoded.

    `published`: what the data sets do not publish is drawn, `val` from train for those without one,
    `val` and `test` for those without a split. `on_bad_item`: a row that cannot be used stops the
    stage (`fail`), or is left out and counted in the report (`skip`).
    """

    input: str
    method: Literal["random", "folds", "published"] = "random"
    val: float = Field(0.15, ge=0, lt=1, description="share of all rows")
    test: float = Field(0.25, ge=0, lt=1, description="share of all rows (random)")
    folds: int = Field(5, ge=2)
    fold: int = Field(
        0, ge=0, description="from 0: the fold that is test (folds), the split in use (published)"
    )
    seed: int = Field(0, ge=0, lt=2**63)
    near_duplicate_bits: int | None = Field(
        4, ge=0, le=15, description="of 64, that near-duplicates may differ in; null: only equal files count"
    )
    on_bad_item: Literal["fail", "skip"] = "fail"

    @model_validator(mode="after")
    def _consistent(self) -> Split:
        if self.val + self.test >= 1:
            raise ValueError(f"val + test must leave some for train, received {self.val} + {self.test}")
        if self.method == "folds" and self.val + 1 / self.folds >= 1:
            raise ValueError(
                f"val + one of {self.folds} folds must leave some for train, received {self.val}"
            )
        if self.method != "published" and self.fold >= self.folds:
            raise ValueError(f"fold must be under folds ({self.folds}), received {self.fold}")
        return self
