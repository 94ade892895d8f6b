"""The validation curves of all trials of a search in one figure, as Needell and Bainbridge (2022, Figures 7 and 9) have them.

Of `one_at_a_time` a panel for each variable, each value a line, as all panels together would be a tangle; of `tpe` and
`random` one panel, with the best trials in colour before all others. Closed forms, which have no epochs, are dots in
the order of their trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memorability.evaluation import figures
from memorability.experiments.search.settings import Search
from memorability.experiments.search.table import Line, shown
from memorability.experiments.search.trials import Record

COLUMNS = 3  # panels in a row
WIDE, HIGH, LEGEND = 2.4, 2.1, 2.55  # inches of a panel, and of the legend beside it
BEST = 6  # trials that have a colour in one panel
FAR = 3.0  # of the curves' middle half, beyond which the axis is cut: one trial that diverges would flatten all others
SMALL, ROWS = 7.0, 11  # points of a legend beside a panel, and the lines that it has room for
LETTERS = 35
GREY = "0.75"


def draw(
    search: Search,
    name: str,
    lines: Sequence[Line],
    numbers: Sequence[int],
    *,
    label: str,
    higher: bool,
    to: Path,
) -> None:
    """Writes the figure as PDF, SVG and PNG beside each other.

    Args:
        numbers: of the lines' trials.
        label: of the measure.
        higher: whether more of it is better.
    """
    epochs = any(len(line.record.curve) > 1 for line in lines)
    places = [None if epochs else number for number in numbers]
    with figures.styled():
        title = f"{name}: validation {label} of all trials"
        if search.method == "one_at_a_time":
            figure = _by_variable(search, lines, places, title)
        else:
            figure = _together(lines, numbers, places, title, higher=higher)
        limits = _limits([line.record for line in lines])
        last = max((len(line.record.curve) for line in lines), default=1) - 1 if epochs else max(numbers)
        for axes in figure.axes:
            axes.set(ylim=limits, ylabel=label, xlabel="epoch" if epochs else "trial")
            axes.set_xlim(-0.03 * last - 0.1, 1.03 * last + 0.1)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if not higher and limits[0] > 0:  # of errors, whose first ones are large
                figures.log_axis(axes)
        figures.save(figure, to, png=True)


def _by_variable(search: Search, lines: Sequence[Line], places: Sequence[int | None], title: str) -> Figure:
    figure, panels = _grid(f"{title}; * kept", len(search.space))
    for axes, variable in zip(panels, search.space, strict=True):
        own = [(line, place) for line, place in zip(lines, places, strict=True) if line.variable == variable]
        for turn, (line, place) in enumerate(own):
            colour = figures.MODELS[turn % len(figures.MODELS)]
            dashes = ("-", "--", ":")[turn // len(figures.MODELS) % 3]
            label = _named(shown(line.value, variable), line)
            _curve(axes, line, place, colour, label=label, thick=line.kept, dashes=dashes)
        axes.set_title(variable)
        axes.legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.06), fontsize=SMALL * min(1, ROWS / len(own)),
            handlelength=1.3, labelspacing=0.35, borderaxespad=0.2,
        )  # fmt: skip
    return figure


def _together(
    lines: Sequence[Line],
    numbers: Sequence[int],
    places: Sequence[int | None],
    title: str,
    *,
    higher: bool,
) -> Figure:
    figure, (axes,) = _grid(title, 1, wide=5.4, high=3.6, legend=2.9)
    each = {
        number: (line, place)
        for number, line, place in reversed(list(zip(numbers, lines, places, strict=True)))
    }
    ranked = sorted(
        (number for number, (line, _) in each.items() if line.record.score is not None),
        key=lambda number: (-1 if higher else 1) * float(each[number][0].record.score or 0),
    )
    for number in sorted(set(each) - set(ranked[:BEST])):
        _curve(axes, *each[number], GREY)
    for turn, number in reversed(list(enumerate(ranked[:BEST]))):
        line, place = each[number]
        _curve(
            axes, line, place, figures.MODELS[turn],
            label=f"trial {number}: {line.record.score:.4f}", thick=turn == 0,
        )  # fmt: skip
    ended = ", x: ended early" if any(line.record.state == "pruned" for line in lines) else ""
    handles, labels = axes.get_legend_handles_labels()
    (others,) = axes.plot([], [], color=GREY, marker="" if places[0] is None else "o")
    axes.legend(
        [*handles[::-1], others],
        [*labels[::-1], f"others{ended}"],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
    )
    if ranked:
        best = each[ranked[0]][0].value
        text = "\n".join(
            f"{variable.rsplit('.', 1)[-1]} {shown(value, variable)}"[:40] for variable, value in best.items()
        )
        axes.text(1.03, 0.02, f"the best:\n{text}", transform=axes.transAxes, fontsize=9, va="bottom")
    return figure


def _named(value: str, line: Line) -> str:
    """A line's name in a legend: the value, what came, and whether it stayed."""
    value = value if len(value) <= LETTERS else f"{value[: LETTERS - 1]}…"
    score = line.record.state if line.record.score is None else f"{line.record.score:.4f}"
    return f"{value}: {score}{' *' if line.kept else ''}"


def _curve(
    axes: Axes,
    line: Line,
    place: int | None,
    colour: str,
    *,
    label: str = "_",
    thick: bool = False,
    dashes: str = "-",
) -> None:
    """A trial's curve, or its dot at `place`; one that was pruned ends in a cross."""
    epochs = [epoch if place is None else place for epoch, _ in line.record.curve]
    values = [value for _, value in line.record.curve]
    width, above = (2.2, 3) if thick else (1.0, 2)
    (drawn,) = axes.plot(epochs, values, color=colour, linewidth=width, linestyle=dashes, zorder=above)
    drawn.set(label=label, marker="o" if len(values) == 1 else "")
    if line.record.state == "pruned" and values:
        axes.plot(epochs[-1], values[-1], "x", color=colour, markersize=4)


def _grid(
    title: str, count: int, *, wide: float = WIDE, high: float = HIGH, legend: float = LEGEND
) -> tuple[Figure, list[Axes]]:
    """Panels of one size in inches, row by row, each with room for a legend at its right."""
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    step, down = figures.LEFT + wide + legend, high + 0.85
    width, height = columns * step + 0.1, rows * down + 0.35
    figure = Figure(figsize=(width, height))
    figure.text(0.12 / width, 1 - 0.1 / height, title, va="top", fontsize=12)
    panels = []
    for place in range(count):
        row, column = divmod(place, columns)
        left, bottom = column * step + figures.LEFT, height - 0.35 - (row + 1) * down + 0.5
        panels.append(figure.add_axes((left / width, bottom / height, wide / width, high / height)))
    return figure, panels


def _limits(records: Sequence[Record]) -> tuple[float, float]:
    """The ends of the measure's axis: those of all curves, but for first epochs, and for what lies far from most."""
    curves = [record.curve[1:] if len(record.curve) > 2 else record.curve for record in records]
    values = np.array([value for curve in curves for _, value in curve] or [0.0, 1.0])
    first, third = np.quantile(values, (0.25, 0.75))
    reach = FAR * (third - first)
    near = values[(values >= first - reach) & (values <= third + reach)]
    low, high = float(near.min()), float(near.max())
    margin = 0.05 * ((high - low) or 1.0)
    return (0.95 * low if 0 < low <= margin else low - margin), high + margin
