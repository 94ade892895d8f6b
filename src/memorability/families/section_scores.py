"""A map by asking a model of scores about sections of a picture: the older way, without learning from maps what to look for.

Khan, Predicting Memorable Regions of Images (2023), names it as what came before networks that give maps: a model that was trained
on scores of whole pictures is asked about each section of a grid. `backbone` names that model. Its answers are brought to the
scale of each channel of the maps by a line, fitted by least squares on all sections of the training pictures: two numbers a channel,
so that what is remembered where is the score model's word alone. The coarse map is enlarged bilinearly.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from memorability.media import maps
from memorability.media.parts import Fill
from memorability.training.settings import OfMaps

READS = "section_scores"


class Params(OfMaps):
    """`sections`: on a side. `how` they are asked about.

    `occluded`: what the score loses by covering the section, with the blurred picture or its mean colour (`fill`).
    `cut_out`: the score of the section alone, as if it were a picture.
    """

    target: Literal["map"]
    sections: int = Field(4, ge=2, le=16)
    how: Literal["occluded", "cut_out"] = "occluded"
    fill: Fill = "blur"


def answers(settings: Params, x: np.ndarray) -> np.ndarray:
    """What the score model says of each section, float64 [N, sections, sections], of scores [N, 1 + sections^2]."""
    x = x.astype(np.float64)
    said = x[:, :1] - x[:, 1:] if settings.how == "occluded" else x[:, 1:]
    return said.reshape(len(x), settings.sections, settings.sections)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x [N, 1 + sections^2], y float [N, C, S, S] in [0, 1]. Returns: `slope` [C] and `offset` [C].

    Where all answers are one, `slope` is 0: maps are then the mean of the training maps, and flat.
    """
    said = answers(settings, x)
    coarse = maps.reduced(y, height=settings.sections, width=settings.sections)  # [N, C, h, w]
    mean, wanted = said.mean(), coarse.mean(axis=(0, 2, 3), dtype=np.float64)
    together = np.einsum("nhw,nchw->c", said - mean, coarse - wanted[:, None, None]) / said.size
    slope = together / said.var() if np.ptp(said) > 0 else np.zeros_like(wanted)
    return {"slope": slope, "offset": wanted - slope * mean}


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """float [N, C, pixels, pixels] in [0, 1]."""
    slope, offset = (state[name].astype(np.float64)[:, None, None] for name in ("slope", "offset"))
    coarse = slope * answers(settings, x)[:, None] + offset
    return maps.at_size(coarse, width=settings.pixels, height=settings.pixels).clip(0, 1)
