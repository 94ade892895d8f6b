"""The score of each part of a picture, cut out and looked at alone.

An older way to a map of a picture's memorability, which works on maps are compared with: a section is scored as if it
were a whole picture. What makes a thing memorable beside others is then cut away, and a model that was
trained on whole pictures reads parts, unlike any that it was fitted on.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from PIL import Image

from memorability.core.errors import DataError
from memorability.explain import Explanation, scores_of
from memorability.media.parts import cut_out
from memorability.predict.predictor import Predictor

SECTIONS = 4  # on a side
MOST = 64


def explain(predictor: Predictor, picture: Image.Image, *, sections: int = SECTIONS) -> Explanation:
    """Scores of `sections` x `sections` equal parts; their mean is the centre.

    Args:
        picture: upright RGB. A side must have a pixel for each section.

    Raises:
        DataError: there are not so many sections, or the model scores no pictures.
    """
    most = min(MOST, *picture.size)
    if not 2 <= sections <= most:
        raise DataError(f"sections: received {sections}; valid: 2 to {most} on a side of this picture")
    scores = scores_of(predictor, chain([picture], cut_out(picture, cells=sections)))
    values = scores[1:].reshape(sections, sections).astype(np.float32)
    return Explanation(
        method="sections",
        values=values,
        score=float(scores[0]),
        unit="score of the section alone (no colour: their mean)",
        centre=float(values.mean()),
        options={"sections": sections},
    )
