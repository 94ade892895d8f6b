"""What named features have to do with the scores: each number by itself, and each block by a ridge out of fold.

As Isola, Xiao, Torralba and Oliva, What Makes an Image Memorable? (2011), have it. The training split alone is looked at:
who chooses features by these numbers has not seen the test pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.data import tables
from memorability.evaluation.score_measures import extremes
from memorability.evaluation.statistics import interval, resamples
from memorability.features import stored

Array = np.ndarray
SEED, REPEATS, FOLDS = 0, 1000, 5
ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)


def correlations(
    folders: Sequence[Path], split: Path, *, target: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of features artifacts whose numbers have names, with the scores of a split table's training rows.

    Args:
        target: what is predicted, of a track with several; None: the first that the table has.

    Returns:
        singles: a row for each number that is not the same everywhere, strongest first: `feature`, `rho`
            (Spearman), `low` and `high` (95 % by bootstrap, of the ranks among all rows).
        blocks: a row for each block, each artifact of several blocks, and all artifacts together: `block`, `numbers` (how
            many), and of a ridge's predictions out of fold `rho`, `low`, `high` and the mean truth of those that are
            predicted highest and lowest (`evaluation.score_measures.extremes`).

    Raises:
        DataError, ParamsError: an artifact has no names or lacks rows, or there are under 10 training rows with scores.
    """
    rows = tables.read(split, columns=("id", "split", "group"))
    rows = tables.for_target(rows, target or tables.targets(rows)[0])
    rows = rows[rows["split"] == "train"].reset_index(drop=True)
    if len(rows) < 2 * FOLDS:
        raise DataError(f"{split}: {len(rows)} training rows with scores; valid: at least {2 * FOLDS}")
    y, groups = rows["score"].to_numpy(float), rows["group"].to_numpy(np.int64)
    read = [(folder.name, *_read(folder, list(rows["id"]))) for folder in folders]
    names = [name for _, found, _ in read for name in found]
    rho = _rho(np.concatenate([x for _, _, x in read], axis=1), y).assign(feature=names).dropna(subset="rho")
    order = rho["rho"].abs().sort_values(ascending=False, kind="stable").index
    blocks = []
    for label, x in _parts(read):
        predicted = _out_of_fold(x, y, groups)
        found: dict[Any, Any] = _rho(predicted[:, None], y).iloc[0].to_dict()
        blocks.append({"block": label, "numbers": x.shape[1], **found, **extremes(y, predicted)})
    singles = rho.loc[order, ["feature", "rho", "low", "high"]].reset_index(drop=True)
    return singles, pd.DataFrame(blocks)


def _read(folder: Path, ids: list[str]) -> tuple[list[str], Array]:
    names, found = stored.names(folder), stored.read(folder, ids, family="correlations")
    x = found.values if found.lengths is None else stored.mean_over_frames(found.values, found.lengths)
    return names, np.asarray(x, np.float64).reshape(len(ids), -1)


def _parts(read: list[tuple[str, list[str], Array]]) -> list[tuple[str, Array]]:
    """The numbers of each block, of each artifact that has several, and of all artifacts."""
    parts = []
    for folder, names, x in read:
        of = np.array([name.split(".")[0] for name in names])
        known = list(dict.fromkeys(of))
        parts += [(str(block), x[:, of == block]) for block in known]
        parts += [(f"{folder}, all", x)] * (len(known) > 1)
    everything = np.concatenate([x for _, _, x in read], axis=1)
    return [*parts, *([("all", everything)] if len(read) > 1 else [])]


def _rho(x: Array, y: Array) -> pd.DataFrame:
    """Spearman's rho of each column of x [N, D] with y [N], and its interval; missing of a column of one value."""
    ranks = pd.DataFrame(x).rank().to_numpy()
    a, b = ((values - values.mean(axis=0)) for values in (ranks, pd.Series(y).rank().to_numpy()[:, None]))
    columns = np.concatenate([a, a**2, a * b, b, b**2], axis=1)

    def of_means(means: Array) -> Array:
        """Correlations [R, D] of means [R, 3 D + 2]."""
        width = x.shape[1]
        one, squares, products = (means[:, i * width : (i + 1) * width] for i in range(3))
        other, others_squares = means[:, -2:-1], means[:, -1:]
        spread = np.sqrt((squares - one**2).clip(0) * (others_squares - other**2).clip(0))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 1e-9, (products - one * other) / spread, np.nan)

    again = of_means(resamples(len(y), repeats=REPEATS, seed=SEED).means(columns))
    ends = [interval(samples, n=len(y)) or (np.nan, np.nan) for samples in again.T]
    found = pd.DataFrame(ends, columns=["low", "high"])
    return found.assign(rho=of_means(columns.mean(axis=0, keepdims=True))[0])


def _out_of_fold(x: Array, y: Array, groups: Array) -> Array:
    """What a ridge says of each row that was fitted on the other folds, its strength chosen within these: [N]."""
    from sklearn.model_selection import GroupKFold

    from memorability.families import ridge

    settings = ridge.Params(
        family="ridge", track="images", target="score", input="correlations", alphas=ALPHAS
    )
    predicted = np.empty(len(y))
    for inside, outside in GroupKFold(FOLDS).split(x, groups=groups):
        state = ridge.fit(settings, x[inside], y[inside], groups=groups[inside])
        predicted[outside] = ridge.predict(settings, state, x[outside])
    return predicted


def text(singles: pd.DataFrame, blocks: pd.DataFrame, *, shown: int) -> str:
    """Both tables for reading; of single numbers the `shown` strongest."""

    def line(label: str, row: dict[Any, Any]) -> str:
        return f"  {label:<28} {row['rho']:6.3f} [{row['low']:6.3f}, {row['high']:6.3f}]"

    strongest = singles.head(shown).to_dict("records")
    lines = [f"Spearman with the scores of training rows, the strongest {len(strongest)} of {len(singles)}:"]
    lines += [line(row["feature"], row) for row in strongest]
    lines.append("Blocks, by a ridge out of fold:")
    for row in blocks.to_dict("records"):
        ends = {name: row.get(name) for name in ("top_20", "bottom_20")}
        more = "" if pd.isna(list(ends.values())).any() else "  top, bottom 20: {top_20:.3f}, {bottom_20:.3f}"
        lines.append(line(row["block"], row) + f"  {row['numbers']:>5} numbers" + more.format(**ends))
    return "\n".join(lines)
