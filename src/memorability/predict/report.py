"""What the command says of predictions: a table, or rows for JSON, and beside them what there is to know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memorability.core.errors import DataError
from memorability.predict.about import Choice
from memorability.predict.printable import printable
from memorability.predict.results import Failure, Score
from memorability.predict.scoring import Scored

SEEN = "*"  # marks scores of what the model has seen


def score_table(scored: Scored, *, frames: bool = False) -> str:
    """A table for each model, with a line on it above; `frames`: also what it says of each frame."""
    heading = f"{100 * scored.confidence:g} % interval"
    return "\n\n".join(_table(choice, scores, heading, frames=frames) for choice, scores in scored.by_model)


def _table(choice: Choice, scores: Sequence[Score], heading: str, *, frames: bool) -> str:
    width = max([4, *(len(printable(score.path)) for score in scores)])
    known = any(score.interval is not None for score in scores)
    lines = [choice.line(), f"{'path':{width}}  score" + f"  {heading}" * known]
    for score in scores:
        cells = [f"{printable(score.path):{width}}", f"{score.score:.3f}"]
        if score.interval is not None:
            cells.append(f"{f'{score.interval[0]:.3f} to {score.interval[1]:.3f}':{len(heading)}}")
        lines.append("  ".join([*cells, *([SEEN] if score.seen else [])]).rstrip())
        if frames and score.frame_values is not None:
            values = " ".join(f"{value:.3f}" for value in score.frame_values)
            lines.append(f"{'':{width}}  {score.kind} by frame: {values}")
    if any(score.seen for score in scores):
        lines.append(
            f"{SEEN} {choice.folder.name} was fitted or selected on this picture, or a near-duplicate of it"
        )
    return "\n".join(lines)


def score_rows(scored: Scored) -> list[dict[str, Any]]:
    """A row a score, each with what there is to know of its model."""
    return [_row(score, choice, scored.confidence) for choice, scores in scored.by_model for score in scores]


def _row(score: Score, choice: Choice, confidence: float) -> dict[str, Any]:
    row: dict[str, Any] = {"path": str(score.path), "score": round(score.score, 6)}
    interval = None if score.interval is None else [round(end, 6) for end in score.interval]
    row |= {"interval": interval, "confidence": confidence, "seen": score.seen}
    if score.frame_values is not None:
        row[f"{score.kind}_by_frame"] = [round(value, 6) for value in score.frame_values]
    return row | choice.as_dict()


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
