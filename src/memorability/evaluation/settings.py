"""Settings of the measures."""

from __future__ import annotations

from pydantic import Field

from memorability.core.settings import Block


class Evaluate(Block):
    """How the models of one track are judged."""

    bootstrap: int = Field(
        1000, ge=100, le=100_000, description="resamples behind each interval and comparison"
    )
    halves: int = Field(25, ge=1, le=10_000, description="random halves behind the agreement of people")
    map_size: int = Field(64, ge=8, le=1024, description="side in pixels at which maps are compared")
    fid: str = Field(
        "none", description="backbone in whose features the FID of maps is computed; none: no FID"
    )
