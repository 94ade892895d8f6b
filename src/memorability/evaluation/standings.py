"""The standings of models on one target: the board, its comparisons and its text, and the files that hold them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from memorability.core.files import write_text
from memorability.data import tables
from memorability.data.tables import Track
from memorability.evaluation import Measured, board_of, judge, leaderboard
from memorability.evaluation.board_text import across_targets, text
from memorability.evaluation.comparisons import comparisons
from memorability.evaluation.leaderboard import Line
from memorability.evaluation.statistics import SMALLEST


@dataclass(frozen=True)
class Standings:
    """`table` has a row a model, those that differ in their seed alone as one; `models` has a row for each by itself."""

    table: pd.DataFrame
    models: pd.DataFrame
    pairs: pd.DataFrame
    text: str
    people: Measured
    items: pd.DataFrame | None

    def write(self, folder: Path, target: str) -> None:
        """TARGET.leaderboard.csv, .pairs.csv and .txt; .seeds.csv where seeds are shown as one, .items.csv of maps."""
        tables.write(self.models, folder / f"{target}.leaderboard.csv")
        tables.write(self.pairs, folder / f"{target}.pairs.csv")
        write_text(folder / f"{target}.txt", self.text + "\n")
        if len(self.table) < len(self.models):
            tables.write(self.table, folder / f"{target}.seeds.csv")
        if self.items is not None:
            tables.write(self.items, folder / f"{target}.items.csv")


def standings(
    track: Track,
    target: str,
    lines: Mapping[str, Line],
    people: Measured,
    *,
    seeds: Sequence[Sequence[str]],
    repeats: int,
) -> Standings:
    """Of models on one target.

    Args:
        lines: by model; people: how far people agree on the test split.
        seeds: names of models that differ in nothing but their seed, which are shown and compared as one, under
            the name of the first.
        repeats: bootstrap samples.
    """
    kind, board = judge(track), board_of(track)
    of = {name: group[0] for group in seeds for name in group}
    groups: dict[str, list[Line]] = {}
    for name, line in lines.items():
        groups.setdefault(of.get(name, name), []).append(line)
    shown = {name: leaderboard.over_seeds(group, measure=kind.COMPARED[0]) for name, group in groups.items()}
    tests = {name: line.test for name, line in shown.items() if line.test is not None}
    pairs = comparisons(tests, kind.MEASURES, compared=kind.COMPARED)
    baselines = _baselines(shown, target, [star.family for star in board.STARS])
    table = board.derived(leaderboard.table(shown, kind, board), people)
    baseline = baselines.get(board.STARS[0].family)
    beating = board.beats(table, pairs, baseline) if baseline is not None else set()
    known = baseline is not None and table["test_n"].max() >= SMALLEST
    beats = {
        name: ("yes" if name in beating else "no") if known and name != baseline else "" for name in shown
    }
    table.insert(3, "beats_baseline", table["model"].map(beats))
    models = board.derived(leaderboard.table(lines, kind, board), people)
    models.insert(1, "shown_as", models["model"].map(lambda name: of.get(name, name)))
    models.insert(4, "beats_baseline", models["shown_as"].map(beats))
    order = {name: place for place, name in enumerate(table["model"])}
    models = models.sort_values("shown_as", key=lambda names: names.map(order), kind="stable").reset_index(
        drop=True
    )
    reports = {name: line.report for name, line in shown.items()}
    words = text(table, pairs, reports, people, judge=kind, board=board, baselines=baselines, repeats=repeats)
    items = board.single_items({name: test.items for name, test in tests.items()})
    return Standings(table, models, pairs, words, people, items)


def twins(track: Track, on: Mapping[str, Standings], settings: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Models that differ in their target alone, on all targets, in words; None if there are none.

    Args:
        on: the standings by target; settings: every model's block of the params.
    """
    shown = set(next(iter(on.values())).table["model"])
    blocks = {name: block for name, block in settings.items() if name in shown}
    pairs = [pair for group in alike(blocks, "target") for pair in itertools.combinations(group, 2)]
    if not pairs or len(on) < 2:
        return None
    by_target = {target: (standing.table, standing.pairs) for target, standing in on.items()}
    return across_targets(by_target, pairs, measure=judge(track).COMPARED[0])


def _baselines(lines: Mapping[str, Line], target: str, families: Sequence[str]) -> dict[str, str]:
    """The first model of each family that predicts the target, where there is one."""
    found: dict[str, str] = {}
    for name, line in lines.items():
        if line.family in families and target in (line.trained_on, "map"):
            found.setdefault(line.family, name)
    return found


def alike(settings: Mapping[str, Mapping[str, Any]], key: str) -> list[list[str]]:
    """Models that differ in nothing but one key, which each has differently: their names, in groups of at least two."""
    groups: list[tuple[dict[str, Any], list[str]]] = []
    for name, block in settings.items():
        rest = {other: value for other, value in block.items() if other != key}
        for known, names in groups:
            if known == rest and all(settings[other].get(key) != block.get(key) for other in names):
                names.append(name)
                break
        else:
            groups.append((rest, [name]))
    return [names for _, names in groups if len(names) > 1]
