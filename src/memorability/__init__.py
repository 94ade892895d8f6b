"""Memorability: predict what people remember in pictures and clips.

>>> from memorability import Predictor  # doctest: +SKIP
>>> Predictor("models/resmem").predict(["photo.jpg"])  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Predictor"]

if TYPE_CHECKING:
    from memorability.predict.predictor import Predictor


def __getattr__(name: str) -> object:
    # `Predictor` is found on first use: most stages and `--help` have no need of what it imports.
    if name == "Predictor":
        from memorability.predict.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
