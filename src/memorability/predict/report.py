"""What the command says beside its output: of models, of what was not looked at, of what could not be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memorability.core.errors import DataError
from memorability.predict.about import Choice
from memorability.predict.printable import printable
from memorability.predict.results import Failure


def map_table(rows: Sequence[Mapping[str, Any]], choice: Choice) -> str:
    """Of the rows of `map_files.written`."""
    shown = [(printable(row["path"]), printable(row["map"])) for row in rows]
    width = max([4, *(len(path) for path, _ in shown)])
    return "\n".join([choice.line(), f"{'path':{width}}  map", *(f"{p:{width}}  {m}" for p, m in shown)])


def notes(choices: Iterable[Choice], left_out: str | None) -> list[str]:
    """What is not to be overlooked: warnings, better models that were passed over, files that were not looked at."""
    lines = list[str]()
    for choice in choices:
        lines += [f"warning: {warning}" for warning in choice.warnings]
        lines += [f"passed over: {printable(reason)}" for reason in choice.passed_over]
    return lines if left_out is None else [*lines, printable(left_out)]


def check(failures: Sequence[Failure], *, of: int, done: str) -> None:
    """Raises a DataError that lists all failures, if there are some."""
    if failures:
        lines = "\n".join(f"  {printable(failure.reason)}" for failure in failures)
        raise DataError(f"{len(failures)} of {of} could not be {done}:\n{lines}")
