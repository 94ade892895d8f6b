"""What the board of models of maps says; the names are those of `memorability.evaluation.Board`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from memorability.evaluation import Column, Measured, Star
from memorability.evaluation.maps import MEASURES

REPORTED = ("cc", "kl", "kl_floored", "l1", "sharpness_ratio", "variety", "maps_predicted_flat")
INTERVALS = ("cc", "kl", "l1", "sharpness_ratio")
SUMMARY = ("val_cc", "test_cc", "test_kl")
STARS = (Star("*", family="mean", measure="cc"), Star("+", family="place_ridge", measure="cc"))
BEATING = "a gain in test CC whose paired interval excludes 0"
BLUR = 0.75  # of the truth's sharpness; under it a model's maps look blurred beside true ones (ours)
SMALL = 200_000  # bytes that a table of all models' single maps may have to be committed
OF_A_MAP = ("cc", "kl", "l1")  # its measures
DIGITS = 4  # of them
FID = "test_fid_"


def beats(board: pd.DataFrame, pairs: pd.DataFrame, baseline: str) -> set[str]:
    of_cc = pairs[pairs["measure"] == "cc"]
    ahead = of_cc[(of_cc["other"] == baseline) & (of_cc["low"] > 0)]["model"]
    return set(ahead) | set(of_cc[(of_cc["model"] == baseline) & (of_cc["high"] < 0)]["other"])


def derived(board: pd.DataFrame, people: Measured) -> pd.DataFrame:
    """Nothing more."""
    return board


def columns(board: pd.DataFrame) -> list[Column]:
    return [
        *(Column.of(split, "cc", MEASURES["cc"]) for split in ("val", "test")),
        Column.interval("cc", MEASURES["cc"]),
        *(Column.of("test", name, MEASURES[name]) for name in ("kl", "kl_floored", "l1")),
        *(Column("FID", (key,), ".2f") for key in fids(board)),
        Column("sharpness", ("test_sharpness_ratio",), ".2f"),
    ]


def remark(row: Mapping[str, Any]) -> str:
    return "blur" if row["test_sharpness_ratio"] < BLUR else ""


def notes(board: pd.DataFrame, reports: Mapping[str, Any], people: Measured) -> list[str]:
    """How to read it, which maps are predicted as flat, and a line for each model that shows a sign of collapse."""
    lines = [
        "KL: as the MIT benchmark has it; KL0: of predictions mixed with a thousandth of a uniform map.",
        f"Sharpness: mean gradient of the maps over that of the true ones; blur: under {BLUR}.",
        *(f"FID: with the features of {key.removeprefix(FID)}." for key in fids(board)),
    ]
    for row in board.to_dict("records"):
        if row["test_maps_predicted_flat"] > 0:
            count = f"{row['test_maps_predicted_flat']:g} of {row['test_n']:g} test maps"
            lines.append(f"{row['model']}: {count} are predicted as flat; their CC counts as 0.")
    for name, report in reports.items():
        signs = report.get("collapse", {})
        if signs.get("outputs_lost_their_variety") or signs.get("discriminator_wins_from_epoch") is not None:
            lines.append(f"{name}: {signs['text']}")
    return lines


def single_items(items: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """Every model's measures of each map, a line a map: id, MODEL.cc and so on. None if they take too much room."""
    columns = {
        f"{name}.{measure}": table[measure].round(DIGITS).to_numpy()
        for name, table in items.items()
        for measure in OF_A_MAP
    }
    table = pd.DataFrame({"id": next(iter(items.values()))["id"].to_numpy(), **columns})
    return table if len(table.to_csv(index=False)) <= SMALL else None


def fids(board: pd.DataFrame) -> list[str]:
    """The board's columns of test FIDs: one, named after its network, or none."""
    return [column for column in board.columns if column.startswith(FID)]
