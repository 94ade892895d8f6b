"""Settings of the measures."""

from __future__ import annotations

from pydantic import Field

from memorability.core.settings import Block


class Evaluate(Block):
    bootstrap: int = Field(ge=100, description="resamples behind each interval")
    halves: int = Field(ge=1, description="random halves behind the human consistency")
    map_size: int = Field(64, ge=8, description="side in pixels at which maps are compared")
    fid: str = Field("none", description="backbone whose features FID is computed with; none: no FID")
