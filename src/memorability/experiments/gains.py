"""What one model gains on another: both cross-validated on the same folds, compared item by item."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.evaluation import Array, Judged, judge
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

    Correlations of a model that ranks are those of its mean ranking, as everywhere.

    Args:
        own, theirs: of `crossval.predictions`: one row an item.

    Returns:
        see `evaluation.comparisons`; the measures of a model here are those of its mean predictions.

    Raises:
        DataError: they are not of the same items, scores and fold seeds.
    """
    one, two = (list(map(str, columns(table, "seed"))) for table in (own, theirs))
    if one != two or not own[["id", "score"]].astype(object).equals(theirs[["id", "score"]].astype(object)):
        raise DataError(
            f"{name} and {other} were not cross-validated on the same {len(own)} items, scores and "
            f"{len(one)} fold seeds ({', '.join(one)}); {other} has {len(theirs)} and {len(two)} "
            f"({', '.join(two)}): run it again"
        )
    judging, resampled = judge(settings.track), {}
    for model, table in ((name, own), (other, theirs)):
        prediction, ranking = _mean(table, "seed"), _mean(table, "ranking")
        if prediction is None:
            raise DataError(
                f"{model}: no column seed_N with out-of-fold predictions; cross-validate it again"
            )
        judged = Judged(table[["id"]], table["score"].to_numpy(float), prediction, ranking)
        resampled[model] = judging.resampled(judged, repeats=evaluate.bootstrap, seed=seed)
    return comparisons(resampled, judging.MEASURES, compared=judging.COMPARED)


def columns(table: pd.DataFrame, of: Literal["seed", "ranking"]) -> pd.DataFrame:
    """The predictions, or the rankings of a model that ranks: a column a fold seed, whichever these are."""
    return table.filter(regex=rf"^{of}_\d+$")


def _mean(table: pd.DataFrame, of: Literal["seed", "ranking"]) -> Array | None:
    """Over the fold seeds: float [N]; None where there is no such column."""
    found = columns(table, of)
    return found.to_numpy(float).mean(axis=1) if found.shape[1] else None


def text(pairs: pd.DataFrame, own: pd.DataFrame) -> list[str]:
    """What `paired` found, in lines for a terminal."""
    first = pairs.iloc[0]
    lines = [
        f"  {first['model']} less {first['other']}: paired over {len(own)} items, each prediction the mean of "
        f"{columns(own, 'seed').shape[1]} fold seeds, 95 % interval"
    ]
    for line in pairs.to_dict("records"):
        ends = "no interval" if np.isnan(line["low"]) else f"{line['low']:+.4f} to {line['high']:+.4f}"
        lines.append(f"    {line['measure']:16} {line['difference']:+.4f}  {ends}  p {line['p']:.3g}")
    return lines
