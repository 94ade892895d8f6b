"""What came of a search, as a table, as text, and as the arguments of `dvc exp run` that make its winner."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from memorability.experiments.search.settings import Changes, Search, block_of
from memorability.experiments.search.trials import Record
from memorability.params import Params


@dataclass(frozen=True)
class Line:
    """One line of a search's table: a value of a variable, or (of `tpe` and `random`) one of each.

    `changes`: all that differs from the start. `kept`: the value stays in force from here on; of `tpe` and `random`, the
    trial is better than all before it.
    """

    variable: str
    value: Any
    changes: Changes
    record: Record
    kept: bool


def table(search: Search, lines: Sequence[Line], *, name: Callable[[Changes], str]) -> pd.DataFrame:
    """A row a line: the trial's number, what was tried, what came, and all settings that differ from the start.

    A trial that stands in several lines has one number, that of its first one. `epoch` is that of the curve's best value.
    """
    numbers, rows = dict[str, int](), list[dict[str, Any]]()
    for line in lines:
        number = numbers.setdefault(name(line.changes), len(numbers))
        what = (
            {"variable": line.variable, "value": shown(line.value, line.variable)}
            if search.method == "one_at_a_time"
            else {variable: shown(value, variable) for variable, value in line.value.items()}
        )
        record = line.record
        rows.append(
            {
                "trial": number,
                **what,
                "state": record.state,
                search.score: record.score,
                "epochs": len(record.curve),
                "kept": "yes" if line.kept else "",
                "changes": json.dumps(line.changes),
                "said": " ".join(record.said.split()),
            }
        )
    return pd.DataFrame(rows)


def curves(lines: Sequence[Line], numbers: Sequence[int], score: str) -> pd.DataFrame:
    """Trial, epoch and the validation measure after it, each trial once."""
    first = {number: line.record for number, line in reversed(list(zip(numbers, lines, strict=True)))}
    return pd.DataFrame(
        [
            {"trial": number, "epoch": epoch, score: value}
            for number in sorted(first)
            for epoch, value in first[number].curve
        ],
        columns=["trial", "epoch", score],
    )


def text(found: pd.DataFrame, search: Search, *, digits: int) -> str:
    """The table for a terminal, without its longest columns."""
    shown = found.drop(columns=["changes", "said"]).assign(trial=found["trial"].astype(str))
    shown[search.score] = [
        f"{score:.{digits}f}" if pd.notna(score) else state
        for score, state in zip(found[search.score], found["state"], strict=True)
    ]
    shown = shown.drop(columns="state").astype(str)
    rows = [list(shown), *shown.to_numpy().tolist()]
    wide = [max(len(str(row[place])) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip()
        for row in rows
    )


def shown(value: Any, variable: str = "") -> str:
    """A value as a person reads it; of a block, the setting that the variable is named after goes without its name."""
    if isinstance(value, Mapping):
        names = {key: "" if key == variable else f"{key.rsplit('.', 1)[-1]} " for key in value}
        return ", ".join(f"{names[key]}{shown(part, key)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def command(params: Params, search: Search, changes: Changes) -> str:
    """The command that trains the model of a trial as its stage does, and evaluates its track."""
    track = params.head(search.model).track
    blocks = "ensembles" if params.is_ensemble(search.model) else "models"
    own, changed = params.block(search.model), block_of(params, search, changes)
    arguments = [
        f"-S {shlex.quote(f'++{blocks}.{search.model}.{place}={_hydra(value)}')}"
        for place, value in _places(changed, own)
    ]
    return " ".join(["dvc exp run", *arguments, f"evaluate@{track}"])


def _places(block: Mapping[str, Any], own: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """What of a block differs from the model's own, each setting by its place."""
    for key, value in block.items():
        known = own.get(key, _places) if isinstance(own, Mapping) else _places  # no value equals a function
        if isinstance(value, Mapping):
            yield from _places(value, known, *above, key)
        elif value != known:
            yield ".".join((*above, key)), value


def _hydra(value: Any) -> str:
    """A value in the grammar in which DVC reads those of -S."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_hydra(part) for part in value)}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in (
        "null",
        "true",
        "false",
        "nan",
        "inf",
    ):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def summary(search: Search, name: str, best: Line, found: pd.DataFrame, *, digits: int) -> str:
    """What was found, in a sentence or two."""
    trials = found.drop_duplicates("trial")
    counts = ", ".join(f"{count} {state}" for state, count in trials["state"].value_counts().items())
    space = "endlessly many" if search.combinations is None else f"{search.combinations:,}"
    score = "none" if best.record.score is None else f"{best.record.score:.{digits}f}"
    changed = ", ".join(f"{place} {shown(value)}" for place, value in best.changes.items())
    return (
        f"Search {name}: {len(trials)} trials ({counts}) of {space} combinations.\n"
        f"Best validation {search.score} {score}: trial {_number(found, best)}, {changed or 'the start itself'}."
    )


def _number(found: pd.DataFrame, best: Line) -> int:
    return int(found["trial"][found["changes"] == json.dumps(best.changes)].iloc[0])
