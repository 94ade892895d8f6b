"""Why a model says what it says of a picture: which places count, and what its network has learned to see.

Each method is a module with `explain(predictor, picture, **options) -> Explanation`:

    occlusion   covers one place after the other: any model of pictures
    sections    scores parts of the picture alone: any model of pictures
    gradcam     gradients at a layer of the network that looks at the picture
    attention   the weights that the model itself gives to places
    cam         where a network sees a category of scene: no score, and a backbone is asked as well as a model

`features` shows what a unit of a network answers to most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from memorability.predict.predictor import Predictor

Method = Literal["occlusion", "gradcam", "attention", "sections", "cam"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
BATCH = 32  # pictures that are asked for together


@dataclass(frozen=True, eq=False)
class Explanation:
    """What counts in a picture.

    Attributes:
        values: float32 [h, w], of the whole picture in h x w equal cells; in a method's own unit, which `unit` says.
        score: of the picture as it is.
        centre: the value that speaks for neither side: above it places make the picture remembered, below it forgotten.
        signed: whether there are two sides; weights of attention have one.
        steps: float32 [T, h, w], where the model looks several times; `values` is then their mean.
        options: what the method was asked with, by name.
        said: what `score` is.
    """

    method: Method
    values: np.ndarray
    score: float
    unit: str
    centre: float = 0.0
    signed: bool = True
    steps: np.ndarray | None = None
    options: dict[str, Any] = field(default_factory=dict)
    said: str = "score"

    def summary(self) -> dict[str, Any]:
        """For JSON: the score, and where the highest and the lowest value are, as shares of width and height."""
        h, w = self.values.shape
        ends: dict[str, Any] = {}
        for name, index in (("highest", self.values.argmax()), ("lowest", self.values.argmin())):
            row, column = divmod(int(index), w)
            place = {"x": round((column + 0.5) / w, 4), "y": round((row + 0.5) / h, 4)}
            ends[name] = {"value": round(float(self.values[row, column]), 6), **place}
        said = {"score": round(self.score, 6), "said": self.said}
        about = {"method": self.method, **said, "unit": self.unit, **self.options}
        return about | {"centre": round(self.centre, 6), "rows": h, "columns": w, **ends}


def method(name: Method) -> Callable[..., Explanation]:
    """The function `explain` of a method's module."""
    return import_module(f"memorability.explain.{name}").explain


def check(predictor: Predictor) -> None:
    """Raises a DataError for a model that scores no pictures."""
    if predictor.clips or predictor.maps:
        from memorability.core.errors import DataError

        what = "scores of clips" if predictor.clips else "maps"
        raise DataError(
            f"{predictor.folder}: explanations are of scores of pictures; this model ({predictor.family}) predicts {what}"
        )


def scores_of(predictor: Predictor, pictures: Iterable[Image.Image]) -> np.ndarray:
    """Scores, float64 [N], of open pictures (upright RGB), which are made only as they are needed.

    Raises:
        DataError: the model scores no pictures, cannot read one of them, or gives no number for it.
    """
    import numpy as np

    from memorability.core.errors import DataError
    from memorability.features.items import Item

    check(predictor)
    found, left = list[np.ndarray](), iter(pictures)
    while some := [Item(Path("picture"), picture) for picture in islice(left, BATCH)]:
        found.append(np.asarray(predictor.model.predict(some)[0], np.float64))
    scores = np.concatenate(found)
    if not np.isfinite(scores).all():
        raise DataError(
            f"{predictor.folder}: the model ({predictor.family}) gives no number for a part of it"
        )
    return scores
