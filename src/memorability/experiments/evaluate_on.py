"""Any model of scores on any table with truth: what it is worth on data that it was not made for.

Nothing is left out without a word: a row that cannot be used is named and stops the evaluation, or is counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.core.settings import checked
from memorability.data import offenders, tables
from memorability.data.datasets import table
from memorability.evaluation import Judged, judge, reports
from memorability.evaluation.score_calibration import calibration
from memorability.evaluation.settings import Evaluate
from memorability.evaluation.statistics import interval, resamples
from memorability.media import pictures

# Of files [N] and their titles what a model says: columns prediction, low and high (the ends of its interval, NaN
# where it has none), seen (whether it was trained on that picture) and problem (why there is no prediction, or missing).
Ask = Callable[[Sequence[Path], Sequence[str]], pd.DataFrame]
WRITTEN: Final = ("id", "category", "score", "prediction", "low", "high", "seen")
SEED: Final = 0  # of the bootstrap


@dataclass(frozen=True)
class Evaluated:
    """What came: `rows` with truth and prediction (`WRITTEN`), `bad` rows that were left out, each with why.

    `numbers`: n, left_out, seen (None where the model cannot tell), and the measures of `all` rows, of those `unseen` in
    training where some were seen (None under 2), and by_category where there are several.
    """

    rows: pd.DataFrame
    bad: list[str]
    numbers: dict[str, Any]

    def write(self, path: Path) -> None:
        tables.write(self.rows[[name for name in WRITTEN if name in self.rows]], path)


def source(csv: Path, *, root: Path | None, scale: float, columns: Mapping[str, str | None]) -> table.Params:
    """The settings of the adapter `table` for a table anywhere.

    Args:
        root: the folder that its files are named in; None: the table's own.
        columns: what the table calls each of the adapter's columns; None: it has no such column.

    Raises:
        DataError: answers are given in part.
        ParamsError: as the adapter's settings.
    """
    named = {name: column for name, column in columns.items() if column is not None}
    counts = [name for name in named if name in tables.COUNTS]
    if counts and not {"hits", "responses"} <= set(counts):
        raise DataError(
            f"of answers, hits and responses are needed (--hits, --responses); received {', '.join(counts)}"
        )
    where = {"root": root or csv.parent, "csv": csv.name if root is None else str(csv.absolute())}
    return checked(table.Params, {**where, "scale": scale, **named}, at="")


def evaluate(
    source: table.Params, ask: Ask, *, clips: bool, knows_seen: bool, skip_bad: bool = False
) -> Evaluated:
    """Asks a model for every row of a table, and holds what it says against the truth.

    Args:
        source: the table and its columns, each of them filled; `score` is the truth, of clips too.
        ask: the model.
        clips: whether it scores clips.
        knows_seen: whether it can tell what it has seen in training.
        skip_bad: leave out rows that cannot be used.

    Raises:
        DataError: rows cannot be used (all are named), none is left, or the table cannot be read.
    """
    rows = read(source)
    found = _problems(rows)
    if found and not skip_bad:
        undecodable = [] if clips else _undecodable(rows.drop(index=list(found)))
        raise _refused([*found.values(), *undecodable], of=len(rows))
    sound = rows.drop(index=list(found)).reset_index(drop=True)
    titles = sound["title"].fillna("") if "title" in sound else [""] * len(sound)
    answers = ask([Path(file) for file in sound["file"]], list(map(str, titles)))
    unanswered = answers["problem"].notna().to_numpy(bool)
    bad = [*found.values(), *answers["problem"][unanswered]]
    if bad and not skip_bad:
        raise _refused(bad, of=len(rows))
    if len(bad) == len(rows):
        raise _refused(bad, of=len(rows), mend="none is left")
    known = pd.concat([sound, answers.drop(columns="problem")], axis=1)[~unanswered].reset_index(drop=True)
    return Evaluated(known, bad, {"left_out": len(bad), **measured(known, knows_seen=knows_seen)})


def read(source: table.Params) -> pd.DataFrame:
    """The rows of the table as the adapter `table` reads them, with what `data.offenders` looks at."""
    rows = table.read(source, work=source.root, seed=0)
    if len(rows) == 0:
        raise DataError(f"{source.root / source.csv}: a table without a row")
    if source.hits is not None and source.false_alarms is None:
        rows["false_alarms"] = 0.0  # scores of hits alone: so are the halves that they are compared by
    there = [os.path.isfile(file) for file in rows["file"]]  # noqa: PTH113 (a name may be too long for Path)
    problem = rows["problem"].mask(rows["problem"].isna() & ~np.array(there, bool), "no such file")
    for name in ("category", *tables.COUNTS):
        if name in rows:
            problem = problem.mask(problem.isna() & rows[name].isna(), f"no {name.replace('_', ' ')}")
    return rows.assign(
        id=[os.path.normpath(path) for path in rows["path"]],  # so that ./a.jpg is a.jpg
        dataset=Path(source.csv).stem,
        split=pd.Series(pd.NA, index=rows.index, dtype="string"),
        problem=problem,
    )


def _problems(rows: pd.DataFrame) -> dict[int, str]:
    """What is wrong with each row that cannot be used, by its number."""
    found: dict[int, str] = {}
    for row, text in offenders.problems(rows):
        more = text.removeprefix(f"{rows['id'].iloc[row]}: ")
        found[row] = f"{found[row]}; {more}" if row in found else text
    return dict(sorted(found.items()))


def _undecodable(rows: pd.DataFrame) -> list[str]:
    """What else would be wrong, so that all is named at once: decoding is quick beside a network."""
    said = []
    for name, file in zip(rows["id"], rows["file"], strict=True):
        try:
            pictures.read(Path(file), name=str(name))
        except DataError as error:
            said.append(str(error))
    return said


def _refused(
    bad: Sequence[str], *, of: int, mend: str = "mend them, or leave them out with --skip-bad"
) -> DataError:
    lines = "\n".join(f"  {text}" for text in bad)
    return DataError(f"{len(bad)} of {of} rows cannot be used; {mend}:\n{lines}")


def measured(rows: pd.DataFrame, *, knows_seen: bool) -> dict[str, Any]:
    """`Evaluated.numbers` of rows with truth and predictions, but for what was left out."""
    seen = rows["seen"].to_numpy(bool)
    counted = int(seen.sum()) if knows_seen else None
    numbers: dict[str, Any] = {"n": len(rows), "seen": counted, "all": _measures(rows)}
    if seen.any():
        unseen = rows[~seen].reset_index(drop=True)
        numbers["unseen"] = _measures(unseen) if len(unseen) > 1 else None
    if "category" in rows and rows["category"].nunique() > 1:
        parts = rows.groupby("category", sort=True)
        numbers["by_category"] = {
            str(name): _scores(part.drop(columns="category").reset_index(drop=True)) for name, part in parts
        }
    return numbers


def _scores(rows: pd.DataFrame) -> dict[str, Any]:
    """n and every measure of scores with its interval, as the reports of a project have them."""
    rows = rows if "category" in rows else rows.assign(category=None)
    judged = Judged(rows, rows["score"].to_numpy(float), rows["prediction"].to_numpy(float))
    return reports.measure(judge("images"), judged, settings=Evaluate(), seed=SEED)[0]


def _measures(rows: pd.DataFrame) -> dict[str, Any]:
    """Those, the calibration, what the model's intervals cover and what people leave to attain."""
    numbers, settings = _scores(rows), Evaluate()
    truth, prediction = rows["score"].to_numpy(float), rows["prediction"].to_numpy(float)
    numbers["calibration"] = reports.rounded(
        calibration(truth, prediction, repeats=settings.bootstrap, seed=SEED)
    )
    if rows[["low", "high"]].notna().all(axis=None):
        low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
        numbers["intervals"] = _coverage(truth, low, high, repeats=settings.bootstrap)
    people = reports.agreement(judge("images"), rows.assign(split="test"), settings=settings, seed=SEED)
    if "test" in people:
        numbers["people"] = people["test"]
    return numbers


def _coverage(truth: np.ndarray, low: np.ndarray, high: np.ndarray, *, repeats: int) -> dict[str, Any]:
    """The share of truths [N] within the model's intervals, and how wide these are."""
    covered = (low <= truth) & (truth <= high)
    samples = resamples(len(truth), repeats=repeats, seed=SEED).means(covered[:, None].astype(float))
    ends = interval(samples[:, 0], n=len(truth)) or (None, None)
    values = {"coverage": float(covered.mean()), "coverage_low": ends[0], "coverage_high": ends[1]}
    return reports.rounded(values | {"width": float((high - low).mean())})
