"""What one model gains on another: both cross-validated on the same folds, compared item by item."""

from __future__ import annotations

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.evaluation import Judged, judge
from memorability.evaluation.comparisons import comparisons
from memorability.evaluation.settings import Evaluate
from memorability.training.settings import Model


def paired(
    name: str,
    own: pd.DataFrame,
    other: str,
    theirs: pd.DataFrame,
    settings: Model,
    evaluate: Evaluate,
    *,
    seed: int,
) -> pd.DataFrame:
    """Two models' out-of-fold predictions, each the mean over the fold seeds, compared by the paired bootstrap.

    Args:
        own, theirs: of `predictions`.

    Returns:
        see `evaluation.comparisons`; the measures of a model here are those of its mean predictions.

    Raises:
        DataError: they are not of the same items, scores and number of fold seeds.
    """
    if list(own) != list(theirs) or not own[["id", "score"]].astype(object).equals(
        theirs[["id", "score"]].astype(object)
    ):
        raise DataError(
            f"{name} and {other} were not cross-validated on the same {len(own)} items, scores and "
            f"{own.shape[1] - 2} fold seeds; {other} has {len(theirs)} and {theirs.shape[1] - 2}: run it again"
        )
    judging, resampled = judge(settings.track), {}
    for model, table in ((name, own), (other, theirs)):
        mean = table.filter(like="seed_").to_numpy(float).mean(axis=1)
        judged = Judged(table[["id"]], table["score"].to_numpy(float), mean)
        resampled[model] = judging.resampled(judged, repeats=evaluate.bootstrap, seed=seed)
    return comparisons(resampled, judging.MEASURES, compared=judging.COMPARED)


def text(pairs: pd.DataFrame, own: pd.DataFrame) -> list[str]:
    """What `paired` found, in lines for a terminal."""
    first = pairs.iloc[0]
    lines = [
        f"  {first['model']} less {first['other']}: paired over {len(own)} items, each prediction the mean of "
        f"{own.shape[1] - 2} fold seeds, 95 % interval"
    ]
    for line in pairs.to_dict("records"):
        ends = "no interval" if np.isnan(line["low"]) else f"{line['low']:+.4f} to {line['high']:+.4f}"
        lines.append(f"    {line['measure']:16} {line['difference']:+.4f}  {ends}  p {line['p']:.3g}")
    return lines
