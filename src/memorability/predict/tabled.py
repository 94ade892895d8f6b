"""What a model says of files as a table, a line a file: for whatever compares it with what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from memorability.core import runtime
from memorability.predict.files import Named
from memorability.predict.predictor import Predictor
from memorability.predict.results import Failure, Score
from memorability.training import artifacts

COLUMNS = ("prediction", "low", "high", "seen", "problem")


def tabled(predictor: Predictor, files: Sequence[Path], titles: Sequence[str]) -> pd.DataFrame:
    """Asks a model of scores for each of the files, in their order.

    Args:
        titles: of clips, for models that read them; empty where there is none.

    Returns:
        prediction, low and high (the ends of the interval), float [N], NaN where there is none; seen, bool [N];
        problem, text [N]: why a file has no prediction, missing where it has one. Of several processes each does
        its share, and all know all.

    Raises:
        DataError: the model predicts maps.
    """
    given = {path: title for path, title in zip(files, titles, strict=True) if title}
    scores = predictor.scores if runtime.world() == 1 else predictor.scores_together
    return pd.DataFrame(
        [_line(result) for result in scores(Named(list(files), []), titles=given)], columns=COLUMNS
    )


def knows_seen(predictor: Predictor) -> bool:
    """Whether a model can tell what it has seen: one of pictures with hashes of those that it was trained on."""
    evidence = artifacts.evidence(predictor.folder)
    return not predictor.clips and len(evidence.phashes) + len(evidence.contents) > 0


def _line(result: Score | Failure) -> tuple[float, float, float, bool, str | None]:
    nothing = float("nan")
    if isinstance(result, Failure):
        return nothing, nothing, nothing, False, result.reason
    low, high = result.interval or (nothing, nothing)
    return result.score, low, high, result.seen, None
