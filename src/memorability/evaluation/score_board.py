"""What the board of models of scores says; the names are those of `memorability.evaluation.Board`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from memorability.evaluation import Column, Measured, Star
from memorability.evaluation.scores import MEASURES

REPORTED = ("spearman", "pearson", "l1", "mse")
INTERVALS = ("spearman", "mse")
SUMMARY = ("val_spearman", "test_spearman", "test_mse")
STARS = (Star("*", family="mean", measure="mse"),)
BEATING = "a test rho whose interval excludes 0, and a lower test MSE"


def beats(board: pd.DataFrame, pairs: pd.DataFrame, baseline: str) -> set[str]:
    base = board.loc[board["model"] == baseline, "test_mse"].iloc[0]
    better = board[(board["test_spearman_low"] > 0) & (board["test_mse"] < base)]
    return set(better["model"])


def derived(board: pd.DataFrame, people: Measured) -> pd.DataFrame:
    """With each test rho as a share of the attainable maximum, where people's answers are counted."""
    attainable = people.get("attainable")
    if attainable is None:
        return board
    return board.assign(test_spearman_of_attainable=(board["test_spearman"] / attainable).round(6))


def columns(board: pd.DataFrame) -> list[Column]:
    rho = MEASURES["spearman"]
    share = Column("of max", ("test_spearman_of_attainable",), ".0%")
    return [
        Column.of("val", "spearman", rho),
        Column.of("test", "spearman", rho),
        Column.interval("spearman", rho),
        *([share] if share.keys[0] in board else []),
        *(Column.of("test", name, MEASURES[name]) for name in ("mse", "l1")),
    ]


def remark(row: Mapping[str, Any]) -> str:
    return ""


def notes(board: pd.DataFrame, reports: Mapping[str, Any], people: Measured) -> list[str]:
    if not people:
        return []
    text = (
        f"People: two halves of the answers agree at rho {people['split_half']:.3f}, so all of them have a reliability "
        f"of {people['reliability']:.3f} (Spearman-Brown)"
    )
    attainable = people["attainable"]
    if attainable is None:
        return [f"{text}; no correlation with them is attainable."]
    return [
        f"{text}; no model can be expected above rho {attainable:.3f}, its root (of max: the share of that)."
    ]


def single_items(items: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """None: single scores are in the tables of predictions."""
    return None
