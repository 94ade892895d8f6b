"""One track's metrics, committed and rebuilt on another processor: what is not within its tolerance."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tolerances
from tolerances import NoRule, Numbers

MACHINE = "processor.json"
NAMES = (
    "model",
    "shown_as",
    "other",
    "measure",
    "trained_on",
    "fitted_on_val",
)  # columns of words, which must be equal
COLUMN = re.compile(r"(?:(?P<dataset>.+)\.)?(?P<split>val|test)_(?P<measure>.+)")
BY_DATASET, INTERVALS, RESIDUALS = "by_dataset", "intervals", "residuals"
PEOPLE = "attainable_spearman"

Read = Callable[[str], str]
Rows = dict[tuple[str, ...], dict[str, Any]]


def rows(text: str, *keys: str) -> Rows:
    """A table's lines by some of their cells; numbers as such, None for empty cells."""

    def cell(column: str, value: str) -> Any:
        if column in (*NAMES, "better", "beats_baseline", "id"):
            return value or None
        return float(value) if value else None

    lines = csv.DictReader(io.StringIO(text))
    table = [{column: cell(column, value) for column, value in line.items()} for line in lines]
    return {tuple(line[key] for key in keys or ("model",)): line for line in table}


class Comparison:
    """Of one track's files, whose committed and rebuilt texts `old` and `new` read; `problems` is what differs too much."""

    def __init__(self, paths: list[str], *, old: Read, new: Read) -> None:
        self.paths, self._old, self._new = paths, old, new
        self.problems: list[str] = []
        self.judged = 0
        self.most = (0.0, "")  # the largest share of its tolerance that a number uses, and which
        folders = [path for path in paths if path.count("/") == 2 and path.endswith(".json")]
        self._reports = {Path(p).stem: json.loads(old(p)) for p in folders if "." not in Path(p).stem}
        boards = [rows(old(path)) for path in paths if path.endswith(".leaderboard.csv")]
        self._kinds: dict[str, Callable[[str], None]] = {
            **{".people.json": self._people, ".leaderboard.csv": self._board, ".seeds.csv": self._board},
            **{".pairs.csv": self._pairs, ".items.csv": self._items},
        }
        self._trained_on = {row["model"]: row["trained_on"] for board in boards for row in board.values()}

    def judge(self, path: str) -> None:
        """Judges one file; a board's words are of numbers that other files have."""
        name = Path(path).name
        kind = next((kind for kind in self._kinds if name.endswith(kind)), None)
        if path.count("/") == 1:
            self._summary(path)
        elif kind is not None:
            self._kinds[kind](path)
        elif name.endswith(".json") and name != MACHINE:
            self._report(path)
        elif name != MACHINE and not name.endswith(".txt"):
            self.problems.append(f"{path}: nothing says how to judge such a file")

    def _summary(self, path: str) -> None:
        """metrics/TRACK.json: model -> SPLIT_MEASURE -> number, and what people reach."""
        for model, old, new in self._both(path, *self._json(path)):
            for column, one, other in self._both(f"{path} {model}", old, new):
                if model == PEOPLE:
                    self._number(f"{path} {model}.{column}", "attainable", one, other, {})
                    continue
                targets = self._reports[model]
                target = (
                    self._trained_on[model] if self._trained_on[model] in targets else next(iter(targets))
                )
                self._column(f"{path} {model}", column, one, other, targets[target], {})

    def _report(self, path: str) -> None:
        """metrics/TRACK/MODEL.json: target -> split -> numbers, and `collapse`."""
        for target, old, new in self._both(path, *self._json(path)):
            for part, one, other in self._both(f"{path} {target}", old, new):
                where = f"{path} {target}.{part}"
                if part == "collapse":
                    for name, before, after in self._both(where, one, other):
                        known = f"{part}.{name}" if tolerances.excepted(f"{part}.{name}") else name
                        self._number(f"{where}.{name}", known, before, after, old.get("val", {}))
                else:
                    self._split(where, one, other)

    def _people(self, path: str) -> None:
        for split, old, new in self._both(path, *self._json(path)):
            self._split(f"{path} {split}", old, new)

    def _split(self, where: str, old: Numbers, new: Numbers) -> None:
        for name, one, other in self._both(where, old, new):
            if name == BY_DATASET:
                for dataset, before, after in self._both(f"{where}.{name}", one, other):
                    self._split(f"{where}.{name}.{dataset}", before, after)
            elif name == INTERVALS:
                self._intervals(f"{where}.{name}", one, other, old)
            else:
                self._number(f"{where}.{name}", name, one, other, old)

    def _intervals(self, where: str, old: Numbers, new: Numbers, numbers: Numbers) -> None:
        """How much each level's intervals hold and how wide they are; `by_category` has the same once more."""
        for name, one, other in self._both(where, old, new):
            if isinstance(one, Mapping) and isinstance(other, Mapping) and name != RESIDUALS:
                self._intervals(f"{where}.{name}", one, other, numbers)
            else:
                self._number(f"{where}.{name}", name, one, other, {**numbers, **old})

    def _board(self, path: str) -> None:
        target = Path(path).name.split(".")[0]
        old, new = rows(self._old(path)), rows(self._new(path))
        for (model,), row, other in self._both(path, old, new):
            for column, before, after in self._both(f"{path} {model}", row, other):
                where = f"{path} {model}"
                if column == "beats_baseline":
                    if before != after and not self._may_turn(path, old, row):
                        self.problems.append(f"{where}.{column}: committed {before}, rebuilt {after}")
                elif column in NAMES:
                    self._number(f"{where}.{column}", column, before, after, {})
                else:
                    self._column(where, column, before, after, self._reports[model][target], row)

    def _may_turn(self, path: str, board: Rows, row: Mapping[str, Any]) -> bool:
        """Whether a model that beats the baseline may cease to, or the other way: by the intervals that decide it."""
        baselines = {r["model"] for r in board.values() if r["beats_baseline"] is None}
        pairs = rows(self._old(path.replace(".leaderboard.", ".pairs.").replace(".seeds.", ".pairs.")))
        shown = row.get("shown_as", row["model"])
        deciding = [
            p for p in pairs.values() if shown in (pair := {p["model"], p["other"]}) and pair & baselines
        ]
        first = next(column.removesuffix("_low") for column in row if column.endswith("_low"))
        own = (row[first], row[f"{first}_low"], row[f"{first}_high"])
        intervals = [own, *((p["difference"], p["low"], p["high"]) for p in deciding)]
        return any(value is None or tolerances.may_turn(value, low, high) for value, low, high in intervals)

    def _pairs(self, path: str) -> None:
        old, new = (rows(read(path), "model", "other", "measure") for read in (self._old, self._new))
        for key, row, other in self._both(path, old, new):
            where = f"{path} {' '.join(key)}"
            for column, before, after in self._both(where, row, other):
                if column != "better":
                    apart = self._apart(path, row)
                    interval = {
                        "difference": row["difference"],
                        "difference_low": None if apart is None else row["difference"] - apart,
                        "difference_high": None if apart is None else row["difference"] + apart,
                    }
                    name = f"difference_{column}" if column in ("low", "high") else column
                    self._number(f"{where}.{column}", name, before, after, interval)
                elif before != after and (
                    None not in (before, after)
                    or not tolerances.may_turn(
                        row["difference"], row["low"], row["high"], comparisons=len(old)
                    )
                ):
                    self.problems.append(
                        f"{where}: better is {before or 'neither'}, rebuilt {after or 'neither'}"
                    )

    def _apart(self, path: str, row: Mapping[str, Any]) -> float | None:
        """Half a 95 % interval of a pair's difference, as if of different items: that of the same items, which the two have in common,
        is narrower than two trainings are alike. None of too few rows."""
        if row["low"] is None or row["high"] is None:
            return None
        paired = (row["high"] - row["low"]) / 2
        target, measure = Path(path).name.split(".")[0], row["measure"]
        tests = [
            self._reports.get(row[side], {}).get(target, {}).get("test", {}) for side in ("model", "other")
        ]
        # Seeds that are shown as one line have no report.
        if not all(f"{measure}_low" in test for test in tests):
            return paired
        return max(paired, math.hypot(*(tolerances.half_width(test, measure) for test in tests)))

    def _items(self, path: str) -> None:
        """Single items have no tolerance of their own; their means, over those that exist, have that of the measure."""
        target = Path(path).name.split(".")[0]
        old, new = (rows(read(path), "id") for read in (self._old, self._new))
        if list(old) != list(new):
            self.problems.append(f"{path}: other items")
            return
        columns = (
            {k: [r[k] for r in side.values()] for k in next(iter(side.values()))} for side in (old, new)
        )
        for column, before, after in self._both(path, *columns):
            if column == "id":
                continue
            model, measure = column.rsplit(".", 1)
            exist = [[value for value in side if value is not None] for side in (before, after)]
            self._number(f"{path} {column} (how many)", "n", *map(len, exist), {})
            means = (sum(values) / max(1, len(values)) for values in exist)
            self._number(f"{path} {column} (mean)", measure, *means, self._reports[model][target]["test"])

    def _column(
        self, where: str, column: str, old: Any, new: Any, report: Mapping[str, Any], row: Mapping[str, Any]
    ) -> None:
        """SPLIT_MEASURE or DATASET.SPLIT_MEASURE of a table: as the report has it, or its own row where seeds are one."""
        match = COLUMN.fullmatch(column)
        if match is None:
            self._number(f"{where}.{column}", column, old, new, {})
            return
        numbers = report.get(match["split"], {})
        if match["dataset"]:
            numbers = numbers.get(BY_DATASET, {}).get(match["dataset"], {})
        else:
            prefix = f"{match['split']}_"
            numbers = {
                **numbers,
                **{c.removeprefix(prefix): v for c, v in row.items() if c.startswith(prefix)},
            }
        self._number(f"{where}.{column}", match["measure"], old, new, numbers)

    def _number(self, where: str, name: str, old: Any, new: Any, numbers: Numbers) -> None:
        if tolerances.excepted(name):
            return
        self.judged += 1
        if not all(isinstance(value, int | float) for value in (old, new)):
            if old != new:
                self.problems.append(f"{where}: committed {old}, rebuilt {new}")
            return
        try:
            allowed = tolerances.tolerance(name, numbers)
        except (NoRule, KeyError) as error:
            self.problems.append(f"{where}: .ci/tolerances.py does not say how to judge it ({error!r})")
            return
        off = abs(new - old)
        if not off <= allowed:
            self.problems.append(f"{where}: committed {old}, rebuilt {new}; may differ by {allowed:.6g}")
        if off > 0:
            self.most = max(self.most, (off / allowed if allowed else float("inf"), where))

    def _json(self, path: str) -> tuple[Any, Any]:
        return json.loads(self._old(path)), json.loads(self._new(path))

    def _both(
        self, where: str, old: Mapping[Any, Any], new: Mapping[Any, Any]
    ) -> Iterator[tuple[Any, Any, Any]]:
        """What both sides have, by key; what one alone has is a problem."""
        for key in {**old, **new}:
            if key in old and key in new:
                yield key, old[key], new[key]
            else:
                side = "is not in the rebuilt ones" if key in old else "is not in the committed ones"
                self.problems.append(f"{where}: {' '.join(key) if isinstance(key, tuple) else key} {side}")
