"""Rows of a raw index that cannot be used, and why; the split stage judges them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from memorability.data import tables


def problems(rows: pd.DataFrame) -> list[tuple[int, str]]:
    """Every row of a raw index that cannot be used: its number and why, in order.

    Offences: a picture that is missing or undecodable, an id that appears twice, a score outside
    [0, 1], no score at all (or no map) outside `unlabelled`, an unknown split name, counts of answers
    that cannot be.
    """
    found = []
    for offends, text in (*_of_files(rows), *_of_scores(rows), *_of_splits(rows), *_of_counts(rows)):
        texts = text if isinstance(text, pd.Series) else pd.Series(text, index=rows.index)
        places = np.flatnonzero(np.asarray(offends, bool))
        found += [(int(i), f"{rows['id'].iloc[i]}: {texts.iloc[i]}") for i in places]
    return found


def unlabelled(rows: pd.DataFrame) -> np.ndarray:
    """Which rows the data set itself calls unlabelled: bool [N]."""
    return rows["split"].eq("unlabelled").fillna(False).to_numpy(bool)


Offence = tuple[pd.Series | np.ndarray, pd.Series | str]  # which rows offend, and what is said of each


def _of_files(rows: pd.DataFrame) -> Iterator[Offence]:
    counts = rows["id"].map(rows["id"].value_counts())
    yield rows["problem"].notna(), rows["problem"]
    yield counts > 1, "this id appears " + counts.astype(str) + " times"


def _of_scores(rows: pd.DataFrame) -> Iterator[Offence]:
    scores = {name: rows[name].to_numpy(float) for name in tables.targets(rows) if name != "map"}
    for target, score in scores.items():
        said = f"{target.replace('_', '-')} " + rows[target].astype(str)
        yield (score < 0) | (score > 1), said + " is outside [0, 1]" + _hint(score)
    if "map" in rows:
        lacking, none = "map", rows["map"].isna().to_numpy()
    else:
        lacking, none = "score", np.all([np.isnan(score) for score in scores.values()], axis=0)
    yield none & ~unlabelled(rows) & rows["problem"].isna().to_numpy(), f"no {lacking}"


def _of_splits(rows: pd.DataFrame) -> Iterator[Offence]:
    unknown = rows["split"].map(_strange_names, na_action="ignore")
    yield unknown.fillna("") != "", "split " + unknown + f" is none of {', '.join(tables.SPLITS)}"


def _of_counts(rows: pd.DataFrame) -> Iterator[Offence]:
    """Counts below 0, or more answers of a kind than there were answers."""
    present = {name: rows[name].astype("Float64") for name in tables.COUNTS if name in rows}
    for name, values in present.items():
        yield (values < 0).fillna(False), f"{_words(name)} " + _digits(values) + " below 0"
    new = present.get("false_alarm_responses", pd.Series(pd.NA, index=rows.index, dtype="Float64"))
    answers = {"hits": present.get("responses"), "false_alarms": present.get("responses")}
    if answers["false_alarms"] is not None:
        answers["false_alarms"] = new.fillna(answers["false_alarms"])
    for name, most in answers.items():
        if most is not None and name in present:
            said = _digits(present[name]) + f" {_words(name)} of " + _digits(most) + " answers"
            yield (present[name] > most).fillna(False), said


def _words(column: str) -> str:
    return column.replace("_", " ")


def _digits(values: pd.Series) -> pd.Series:
    return values.map(lambda value: f"{value:g}", na_action="ignore").astype("string").fillna("")


def _strange_names(published: str) -> str:
    return " ".join(repr(name) for name in published.split() if name not in (*tables.SPLITS, "-"))


def _hint(score: np.ndarray) -> str:
    """What scores that are all far over 1 probably are."""
    known = score[~np.isnan(score)]
    in_per_cent = len(known) > 0 and np.median(known) > 1 and known.min() >= 0 and known.max() <= 100
    return "; are they per cent? Data set `table` has `scale: 100` for those" if in_per_cent else ""
