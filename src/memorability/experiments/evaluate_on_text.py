"""What `memorability evaluate` says on a terminal: a column for all rows, and one for those not seen in training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorability.evaluation import judge

Numbers = dict[str, Any]
LABEL = 34  # columns


def text(numbers: Numbers, *, table: str, confidence: float) -> str:
    """Of `Evaluated.numbers`. `confidence`: what the model's intervals promise to cover."""
    left_out = f", {numbers['left_out']} more left out" if numbers["left_out"] else ""
    seen = "it is not known which of them were" if numbers["seen"] is None else f"{numbers['seen']} of them"
    head = f"{table}: {numbers['n']} rows{left_out}; {seen} seen in training"
    blocks = {"all": numbers["all"]}
    if numbers.get("unseen"):
        blocks["not seen"] = numbers["unseen"]
    columns = [dict(_lines(block, confidence)) for block in blocks.values()]
    width = max(len(value) for column in columns for value in column.values())
    lines = [head]
    if len(blocks) > 1:
        heads = [f"{name} ({block['n']})" for name, block in blocks.items()]
        lines.append(f"  {'':{LABEL}}{'  '.join(f'{one:{width}}' for one in heads)}".rstrip())
    for label in columns[0]:
        values = [f"{column.get(label, '-'):{width}}" for column in columns]
        lines.append(f"  {label:{LABEL}}{'  '.join(values)}".rstrip())
    return "\n".join([*lines, *_by_category(numbers.get("by_category", {}))])


def _lines(block: Numbers, confidence: float) -> Iterator[tuple[str, str]]:
    """Label and value of each line that there is of some rows."""
    for name, measure in judge("images").MEASURES.items():
        yield measure.label, _with_ends(block, name, digits=measure.digits)
    if (within := block.get("spearman_within_category")) is not None:
        yield "rho within categories", f"{within:.3f}"
    if people := block.get("people"):
        yield (
            "people: split-half, attainable",
            f"{_number(people['split_half'])}, {_number(people['attainable'])}",
        )
        if people["attainable"] and block["spearman"] is not None:
            yield "rho as a share of the attainable", f"{block['spearman'] / people['attainable']:.0%}"
    line = block["calibration"]
    yield "mean truth, mean prediction", f"{line['mean_truth']:.3f}, {line['mean_prediction']:.3f}"
    yield "slope of truth on prediction", _with_ends(line, "slope")
    yield "intercept", _with_ends(line, "intercept")
    if intervals := block.get("intervals"):
        yield f"covered by {confidence:.0%} intervals", _with_ends(intervals, "coverage")
        yield "mean width of the intervals", f"{intervals['width']:.3f}"


def _by_category(categories: Numbers) -> Iterator[str]:
    if categories:
        width = max(map(len, categories))
        yield "  rho by category"
        for name, block in categories.items():
            yield f"    {name:{width}}  n {block['n']:<6} {_with_ends(block, 'spearman')}"


def _with_ends(block: Numbers, name: str, *, digits: int = 3) -> str:
    """A number, and its 95 % interval where it has one."""
    value, low, high = (_number(block[f"{name}{end}"], digits=digits) for end in ("", "_low", "_high"))
    return value if low == "-" else f"{value}  {low} to {high}"


def _number(value: float | None, *, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
