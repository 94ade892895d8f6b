"""What the JSON API says: the one description of its answers, for programs and for /openapi.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Frames(BaseModel):
    """What is said of each of a clip's frames that were looked at."""

    kind: str = Field(
        description="`score`: after each frame, or of it; `attention`: the weight of each frame."
    )
    times: list[float] = Field(description="When each frame begins, in seconds.")
    values: list[float]


class Scored(BaseModel):
    """A file's predicted memorability."""

    name: str
    kind: Literal["picture", "clip"]
    model: str
    score: float = Field(description="In [0, 1], or a little outside for linear families.")
    low: float | None = Field(description="The lower end of the interval; null where the model has none.")
    high: float | None = Field(description="The upper end of the interval.")
    confidence: float = Field(description="With which the interval holds the true score.")
    percentile: float | None = Field(
        description="Per cent of the model's training scores that are below this score."
    )
    note: str = Field(
        description="What is to be known of this score: seen in training, too small, ...; or empty."
    )
    frames: Frames | None = Field(description="Of clips, where something is said of frames.")


class Mapped(BaseModel):
    """Which regions of a picture matter, on a grid over the whole picture."""

    name: str
    kind: Literal["occlusion", "memory"] = Field(
        description="`occlusion`: by how much the score falls when a region is hidden; `memory`: a model's map of what "
        "is remembered of the picture."
    )
    model: str
    values: list[list[list[float]]] = Field(
        description="[channels][height][width]. Occlusion: one channel, in units of the score, below 0 where hiding a region "
        "raises it. Memory: truly remembered and, of models that tell, falsely remembered, in [0, 1]."
    )


class Model(BaseModel):
    """A model that is offered."""

    name: str
    reads: Literal["pictures", "clips"]
    gives: Literal["scores", "maps"]
    target: str
    default: bool = Field(description="Whether it is taken where none is named.")


class Models(BaseModel):
    models: list[Model]
    limits: dict[str, float] = Field(description="bytes, pixels and seconds of a file.")


class About(Model):
    """What is to be known of a model."""

    line: str = Field(description="What it was trained on, and what it is worth.")
    meaning: str = Field(description="What its scores, or maps, say.")
    warnings: list[str]
    confidence: float
    distribution: list[float] | None = Field(
        description="101 quantiles (0, 1, ..., 100 %) of the scores that it was trained on; null where they are not known."
    )


class Health(BaseModel):
    status: Literal["ok"]
    opened: list[str] = Field(description="Models in memory.")
    inside: int = Field(description="Requests that arrive, wait or compute.")
    slots: int = Field(description="As many as are taken at a time.")
    refused: int = Field(description="Requests that were answered 503 since the start.")


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str
