"""The board of the models of maps: ordered by validation CC, with a word on how sharp their maps are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from memorability.evaluation import leaderboard, map_evaluation
from memorability.evaluation.leaderboard import Kind, Samples, Values

MAPS = Kind(
    compared={"cc": 1, "kl": -1, "l1": -1},
    shown=("cc", "kl", "l1", "sharpness_ratio", "variety"),
    intervals=("cc", "kl", "l1", "sharpness_ratio"),
    prefix="fid_",
)
_FID = f"test_{MAPS.prefix}"
BLUR = 0.75  # of the truth's sharpness; under it a model's maps look blurred beside true ones (ours)
SMALL = 200_000  # bytes that a table of all models' single maps may have to be committed
OF_A_MAP = ("cc", "kl", "l1")  # its measures
DIGITS = 4  # of them


def of_maps(tables: dict[str, pd.DataFrame], *, bootstrap: int, seed: int) -> tuple[Values, Samples]:
    """What `leaderboard.comparisons` takes, of each model's table of `map_metrics.per_map` of the same maps."""
    values = {name: map_evaluation.means(table) for name, table in tables.items()}
    samples = {
        name: map_evaluation.resampled(table, repeats=bootstrap, seed=seed) for name, table in tables.items()
    }
    return values, samples


def of_single_maps(tables: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Every model's measures of each map, a line a map: id, MODEL.cc and so on. None if they take too much room."""
    columns = {
        f"{name}.{measure}": table[measure].round(DIGITS).to_numpy()
        for name, table in tables.items()
        for measure in OF_A_MAP
    }
    found = pd.DataFrame({"id": next(iter(tables.values()))["id"].to_numpy(), **columns})
    return found if len(found.to_csv(index=False)) <= SMALL else None


def summary(name: str, board: pd.DataFrame) -> dict[str, float | None]:
    """Few, flat numbers for `dvc metrics diff`."""
    columns = ["val_cc", "val_l1", "test_cc", "test_kl", "test_l1", "test_sharpness_ratio", *_fid(board)]
    return leaderboard.flat(name, board, columns)


def text(
    board: pd.DataFrame,
    pairs: pd.DataFrame,
    reports: dict[str, dict[str, Any]],
    *,
    mean: str | None,
    baseline: str | None,
) -> str:
    """The leaderboard for a terminal.

    Args:
        pairs: of `leaderboard.comparisons`.
        reports: of `map_evaluation.report`, of which it says what has collapsed.
        mean, baseline: the models that answer with the mean map, and with a ridge from each place, if there
            are such; what has a significantly higher CC than they is marked.
    """
    marked = {
        mark: leaderboard.better_than(name, pairs, metric="cc")
        for mark, name in (("*", mean), ("+", baseline))
    }
    mixed, wide = board["trained_on"].nunique() > 1, max(16, *map(len, board["model"]))
    trained = f" {'trained on':11}" if mixed else ""
    fid = "".join(f" {'FID':>8}" for _ in _fid(board))
    lines = [
        f"   {'model':{wide}}{trained} {'val CC':>7} {'test CC':>8}   {'95 % interval':16} {'test KL':>8} "
        f"{'test L1':>8}{fid}  sharpness"
    ]
    for place, row in enumerate(board.to_dict("records"), start=1):
        trained = f" {row['trained_on']:11}" if mixed else ""
        ends = [row["test_cc_low"], row["test_cc_high"]]
        span = f"{ends[0]:.3f} to {ends[1]:.3f}" if not np.isnan(ends).any() else "-"
        distances = "".join(f" {_number(row[column], 2):>8}" for column in _fid(board))
        marks = "".join(mark for mark, names in marked.items() if row["model"] in names)
        sharpness = row["test_sharpness_ratio"]
        remark = " blur" if sharpness < BLUR else ""
        lines.append(
            f"{place:2} {row['model']:{wide}}{trained} {_number(row['val_cc']):>7} {_number(row['test_cc']):>8}"
            f"{marks:2} {span:16} {_number(row['test_kl']):>8} "
            f"{_number(row['test_l1'], 4):>8}{distances}  {_number(sharpness, 2):>4}{remark}"
        )
    lines += leaderboard.dataset_lines(board, wide)
    against = [
        f"{mark} higher test CC than `{name}`" for mark, name in (("*", mean), ("+", baseline)) if name
    ]
    tested = f" {', '.join(against)} (paired bootstrap, 95 %)." if against else ""
    lines.append(f"Ordered by validation.{tested}")
    lines.append(f"Sharpness: mean gradient of the maps over that of the true ones; blur: under {BLUR}.")
    lines += [f"FID: with the features of {column.removeprefix(_FID)}." for column in _fid(board)]
    return "\n".join(lines + _collapses(board, reports))


def _collapses(board: pd.DataFrame, reports: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each model that shows a sign of collapse, in the board's order."""
    found = {name: reports[name]["collapse"] for name in board["model"] if "collapse" in reports[name]}
    return [
        f"{name}: {said['text']}"
        for name, said in found.items()
        if said["outputs_lost_their_variety"] or said.get("discriminator_wins_from_epoch") is not None
    ]


def _fid(board: pd.DataFrame) -> list[str]:
    return [column for column in board.columns if column.startswith(_FID)]


def _number(value: float, digits: int = 3) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"
