"""The weights that a model gives to the places of a picture, each time that it looks.

They say where the model looks, not what for: whether a place raises the score or lowers it they do not tell (Jain and
Wallace, Attention is not Explanation, 2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from memorability.core.errors import DataError
from memorability.explain import Explanation, check, differentiable, scores_of
from memorability.features.items import Item
from memorability.predict.predictor import Predictor


def explain(predictor: Predictor, picture: Image.Image) -> Explanation:
    """`values` [h, w]: the mean of the attention at each of T steps, `steps` [T, h, w]; a step's adds up to 1.

    Args:
        picture: upright RGB.

    Raises:
        DataError: the model's family has no attention to places, or it was trained without; says which methods are valid.
    """
    check(predictor)
    model = predictor.model
    family: Any = model.family
    question = getattr(family, "attention", None)
    if model.network is None or question is None:
        raise DataError(
            f"{predictor.folder}: this model ({predictor.family}) has no attention to places; "
            f"{differentiable.ANY_MODEL}"
        )
    x, lengths = model.source.read([Item(predictor.folder, picture)])
    with torch.inference_mode():
        steps = model.network.asked(question, x, lengths)[0].cpu().numpy()
    steps = differentiable.whole(np.asarray(steps), differentiable.seen_of(predictor), picture)
    return Explanation(
        method="attention",
        values=steps.mean(axis=0),
        score=float(scores_of(predictor, [picture])[0]),
        unit="weight of the place",
        signed=False,
        steps=steps,
        options={"steps": len(steps)},
    )
