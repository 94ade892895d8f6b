"""What a model says of files as a table, a line a file: for whatever compares it with what is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from memorability.core import runtime
from memorability.media.scan import is_folder
from memorability.predict.predictor import Predictor
from memorability.predict.results import Failure, Score
from memorability.training import artifacts

COLUMNS = ("prediction", "low", "high", "seen", "problem")


def tabled(
    predictor: Predictor, files: Sequence[Path], titles: Sequence[str], *, dataset: str = ""
) -> pd.DataFrame:
    """Asks a model of scores for each of the files, in their order.

    Args:
        titles: of clips, for models that read them; empty where there is none.
        dataset: that the files are of, as `trained_on` of a model's config calls it.

    Returns:
        prediction, low and high (the ends of the interval), float [N], NaN where there is none; seen, bool [N], of
        every file where `may_have_seen` the data set; problem, text [N]: why a file has no prediction, missing where it has one. Of several processes each does
        its share, and all know all.

    Raises:
        DataError: the model predicts maps.
    """
    given = {path: title for path, title in zip(files, titles, strict=True) if title}
    scores = predictor.batch if runtime.world() == 1 else predictor.batch_together
    lines = [_line(result) for result in scores(map(_one, files), titles=given)]
    table = pd.DataFrame(lines, columns=COLUMNS)
    return table.assign(seen=True) if may_have_seen(predictor, dataset) else table


def _one(file: Path) -> Path | Failure:
    """A line is of one file: a folder in its place is none, and not what lies in it."""
    return Failure(file, f"{file}: cannot be read (Is a directory)") if is_folder(file) else file


def may_have_seen(predictor: Predictor, dataset: str) -> bool:
    """Whether a model was trained on a data set, and nobody knows on which of its files: any may be one of them."""
    told = predictor.config.get("trained_on")
    return isinstance(told, dict) and dataset in told and told[dataset] is None


def knows_seen(predictor: Predictor, *, dataset: str = "") -> bool:
    """Whether a model can tell what it has seen: one of pictures with hashes of those that it was trained on.

    Or one that `may_have_seen` all of a data set.
    """
    if may_have_seen(predictor, dataset):
        return True
    evidence = artifacts.evidence(predictor.folder)
    return not predictor.clips and len(evidence.phashes) + len(evidence.contents) > 0


def _line(result: Score | Failure) -> tuple[float, float, float, bool, str | None]:
    nothing = float("nan")
    if isinstance(result, Failure):
        return nothing, nothing, nothing, False, result.reason
    low, high = result.interval or (nothing, nothing)
    return result.score, low, high, result.seen, None
