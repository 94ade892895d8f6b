"""People's answers in an old/new experiment: of single trials, or counted for each item.

Trials: participant, item, old_or_new (`old`: it was shown before, `new`: it was not) and response. A response is `old` or
`new`; also yes / no, 1 / 0, true / false; and, of experiments in which one key says "old" and none says "new" as jsPsych
saves them, a space and null. Counts: item, hits, responses and, where they were counted, false_alarms and
false_alarm_responses. Where a column `role` says which trials are fillers or vigilance repeats, those of targets alone count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from memorability.core.errors import DataError, listing
from memorability.data.datasets.common import counts, numbers, read_csv

TRIAL: Final = ("participant", "item", "old_or_new", "response")
COUNTED: Final = ("hits", "responses", "false_alarms", "false_alarm_responses")
TARGET: Final = "target"
NOTHING: Final = ("NA", "N/A", "NaN", "nan")  # as R and others write a number that is not there
_THOUSANDS: Final = r"\s*[-+]?[1-9]\d{0,2},\d{3}\s*"
_OLD: Final = {"old", "yes", "y", "1", "true", "space", " ", "repeat"}
_NEW: Final = {"new", "no", "n", "0", "false", "null", "none"}


@dataclass(frozen=True)
class Answers:
    """Answers to old and new trials.

    `items`: item (text, unique), hits, responses, false_alarms, false_alarm_responses as whole numbers, a row an item.
    `trials`: participant, item, old (bool: shown before), said_old (bool); None where only counts are known.
    """

    items: pd.DataFrame
    trials: pd.DataFrame | None = None

    @property
    def has_new(self) -> bool:
        """Whether there are answers to new trials."""
        return bool((self.items["false_alarm_responses"] > 0).any())


def read(path: Path, *, columns: Mapping[str, str] | None = None) -> Answers:
    """Reads trials or counts, whichever the header names.

    Args:
        columns: what the table calls each of `TRIAL`, `item` or `COUNTED`, where it is not that name. A column that is
            named here counts, and not one that has our name beside it.

    Raises:
        DataError: it is no table, lacks a column, `columns` names what is not read, or rows cannot be used (it names them).
    """
    given = columns or {}
    called = {name: given.get(name, name) for name in (*TRIAL, *COUNTED)}
    if unknown := sorted(given.keys() - called.keys()):
        raise DataError(f"--column: no {', '.join(unknown)} is read; valid: {', '.join(called)}")
    table = read_csv(path, [])
    counted = called["hits"] in table
    needed = [called[name] for name in (("item", "hits", "responses") if counted else TRIAL)]
    missing = [name for name in dict.fromkeys((*needed, *given.values())) if name not in table]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}. Valid: of trials "
            f"{', '.join(TRIAL)}; of counts item, hits, responses (and false_alarms, false_alarm_responses); "
            "name others with --column NAME=THEIRS"
        )
    table = table.assign(**{name: table[theirs] for name, theirs in called.items() if theirs in table})
    if not counted:
        return of_trials(table, name=str(path))
    found = {column: counts(table[column], of=path) for column in COUNTED if column in table}
    return of_counts(table[["item"]].assign(**found), name=str(path))


def of_trials(table: pd.DataFrame, *, name: str = "answers") -> Answers:
    """Answers from a row a trial, with the columns of `TRIAL`.

    Rows of other trials than targets (column `role`), and of jsPsych's other pages (a `trial_type` and no item), are left out.

    Raises:
        DataError: values are missing or not known, or a participant answers the same item twice as an old or a new one.
    """
    rows = table.assign(line=np.arange(2, len(table) + 2)).astype(dict.fromkeys(TRIAL, "string"))
    if "trial_type" in rows:
        rows = rows[rows["item"].notna()].assign(response=rows["response"].fillna("null"))
    if "role" in rows:
        rows = rows[rows["role"] == TARGET]
    shown = rows["old_or_new"].str.strip().str.lower()
    said = (
        rows["response"].str.lower().where(rows["response"] == " ", rows["response"].str.strip().str.lower())
    )
    wrong = [
        *lines(rows, rows["participant"].isna(), "no participant"),
        *lines(rows, rows["item"].isna(), "no item"),
        *lines(rows, ~shown.isin(("old", "new")), "old_or_new is neither old nor new", "old_or_new"),
        *lines(rows, ~said.isin(_OLD | _NEW), "response is neither old nor new", "response"),
        *lines(rows, rows.duplicated(["participant", "item", "old_or_new"]), "the same trial twice"),
    ]
    refuse(wrong, name, of=len(table))
    if len(rows) == 0:
        raise DataError(f"{name}: no trial of a target")
    trials = pd.DataFrame(
        {
            "participant": rows["participant"],
            "item": rows["item"],
            "old": (shown == "old").astype(bool),
            "said_old": said.isin(_OLD).astype(bool),
        }
    ).reset_index(drop=True)
    return Answers(counted(trials), trials)


def counted(trials: pd.DataFrame) -> pd.DataFrame:
    """`Answers.items` of `Answers.trials`, items in the order of their names."""
    old = trials["old"].to_numpy(bool)
    yes = trials["said_old"].to_numpy(bool)
    columns = {
        "hits": old & yes,
        "responses": old,
        "false_alarms": ~old & yes,
        "false_alarm_responses": ~old,
    }
    return trials[["item"]].assign(**columns).groupby("item", sort=True).sum().astype(np.int64).reset_index()


def of_counts(table: pd.DataFrame, *, name: str = "answers") -> Answers:
    """Answers from a row an item: item, hits, responses and perhaps false_alarms and false_alarm_responses.

    Without false_alarm_responses there were as many answers to each item as a new one as to it as an old one (MemCat's table
    is such); without false_alarms there were none at all.

    Raises:
        DataError: an item is missing or twice, or counts are missing, no whole numbers, negative or more than the answers.
    """
    rows = table.copy()
    if "false_alarms" not in rows:
        rows["false_alarms"] = rows["false_alarm_responses"] = 0
    elif "false_alarm_responses" not in rows:
        rows["false_alarm_responses"] = rows["responses"]
    rows["line"] = np.arange(2, len(rows) + 2)
    rows["item"] = rows["item"].astype("string")
    number = rows[list(COUNTED)].astype(float)
    faulty = ~np.isfinite(number) | (number < 0) | (number % 1 != 0)
    bad = pd.Series(np.asarray(faulty, bool).any(axis=1), index=rows.index)
    over = (number["hits"] > number["responses"]) | (number["false_alarms"] > number["false_alarm_responses"])
    wrong = [
        *lines(rows, rows["item"].isna(), "no item"),
        *lines(rows, rows["item"].duplicated() & rows["item"].notna(), "the item is there twice", "item"),
        *lines(rows, bad, "counts are missing or no whole numbers of 0 or more"),
        *lines(rows, over & ~bad, "more hits or false alarms than answers"),
    ]
    refuse(wrong, name, of=len(table))
    if len(rows) == 0:
        raise DataError(f"{name}: a table without a row")
    return Answers(rows[["item", *COUNTED]].astype(dict.fromkeys(COUNTED, np.int64)).reset_index(drop=True))


def check_enough(answers: Answers, *, measure: str, needs_new: bool, least: int = 2) -> None:
    """Refuses items without enough answers for two halves.

    Raises:
        DataError: there are under 3 items, none was shown as an old (or, where that is needed, as a new) one, or an item has
            under `least` answers of a kind (it names them).
    """
    items = answers.items
    for column, kind, needed in (
        ("responses", "old", measure != "false_alarm_rate"),
        ("false_alarm_responses", "new", needs_new),
    ):
        if not needed:
            continue
        few = items[items[column] < least]
        if len(few) == len(items) and (items[column] == 0).all():
            other = "; take hit_rate, which needs none" if kind == "new" else ""
            raise DataError(f"{measure} needs answers to {kind} trials, and there are none{other}")
        if len(few):
            few_lines = [f"{row.item}: {getattr(row, column)}" for row in few.itertuples()]
            raise DataError(
                f"{len(few)} of {len(items)} items have under {least} answers to {kind} trials:\n{listing(few_lines)}"
            )
    if len(items) < 3:
        raise DataError(f"agreement is of 3 items or more, received {len(items)}")


def numbers_of(
    table: pd.DataFrame, path: Path, *, beside: Collection[str] = (), named: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """The columns of numbers of a table that was read as text, float [N] each, and what is to be said of the others.

    A number has a decimal point or comma; what is empty or `NA` is NaN. A column is one of numbers if more of its fields are
    than are not, or if it is `named`, and then no other is read. `beside` are no such columns whatever they hold.

    Raises:
        DataError: such a column has a field that is no number, or has commas that could all be of thousands (it names the rows).
    """
    rows = pd.DataFrame({"line": np.arange(2, len(table) + 2)})
    found, wrong, words = dict[str, pd.Series](), list[str](), list[str]()
    for name in named or [str(column) for column in table if column not in beside]:
        given = table[name].mask(table[name].isin(NOTHING))
        values = numbers(given)
        strange = given.notna() & values.isna()
        if name not in named and values.notna().sum() <= strange.sum():
            words.append(name)
            continue
        found[name] = values
        shown = rows.assign(**{name: given})
        wrong += lines(shown, strange, f"{name} is no number", name)
        thousands = given.str.fullmatch(_THOUSANDS).fillna(False)
        if thousands.sum() == given.str.contains(",").sum():
            wrong += lines(shown, thousands, f"{name} could be thousands or a fraction: write no comma", name)
    refuse(wrong, str(path), of=len(table))
    said = [f"{path}: not read, since they hold no numbers: {', '.join(words)}"] if words else []
    return pd.DataFrame(found, index=table.index), said


def lines(rows: pd.DataFrame, wrong: pd.Series, why: str, column: str | None = None) -> list[str]:
    """Of each of the `rows` that are `wrong` its line in the file, and why."""
    found = rows[wrong.fillna(True).to_numpy(bool)]
    what = [""] * len(found) if column is None else [f" ({value!r})" for value in found[column].fillna("")]
    return [f"row {line}: {why}{more}" for line, more in zip(found["line"], what, strict=True)]


def refuse(wrong: list[str], name: str, *, of: int) -> None:
    """Raises a DataError that lists what is wrong, if anything is."""
    if wrong:
        raise DataError(f"{name}: {len(wrong)} faults in {of} rows:\n{listing(wrong)}")
