"""One page on models and people's answers: Markdown, tables, and figures as PDF."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from memorability.bench.validate import Validation
from memorability.core.files import staged_folder, write_text
from memorability.data import tables
from memorability.evaluation.figures import MODELS, draw_scatter, panels, save, short, styled

SHOWN = 8  # models in the figures


def write(found: Validation, to: Path) -> None:
    """Writes report.md, models.csv, pairs.csv, curves.csv, rows.csv and the figures, at once or not at all."""
    with staged_folder(to) as folder:
        tables.write(found.models, folder / "models.csv")
        tables.write(found.pairs, folder / "pairs.csv")
        tables.write(found.curves, folder / "curves.csv")
        tables.write(found.rows, folder / "rows.csv")
        write_text(folder / "report.md", markdown(found))
        draw(found, folder)


def markdown(found: Validation) -> str:
    lines = ["# Predicted memorability and people's answers", "", text(found), "", _models(found), ""]
    if len(found.pairs):
        shown = found.pairs[found.pairs["measure"] == "spearman"]
        lines += [
            "Differences in rho on the same items (paired bootstrap, p with Holm's correction):",
            "",
            "| model | other | difference | 95 % | p | better |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {row['model']} | {row['other']} | {row['difference']:.3f} | {_span(row['low'], row['high'])} "
            f"| {row['p_holm']:.3g} | {row['better'] or '-'} |"
            for row in shown.to_dict("records")
        ]
        lines.append("")
    lines += [
        "Figures: `figures.pdf`: scores over the predictions of the model of the highest rho, and the mean score of ten "
        "bins of predictions; on the dashed line these are right as they stand. Intervals are of 95 %, over items.",
        "",
    ]
    return "\n".join(lines)


def text(found: Validation) -> str:
    """What the models were held against, in some sentences."""
    said = f"{len(found.rows)} items; score: {found.measure}."
    if any(found.left_out):
        said += (
            f" Left out: {found.left_out[0]} items without answers, {found.left_out[1]} without predictions."
        )
    people = found.people
    if people is None or people.reliability is None:
        return f"{said} The answers are too few, or agree too little, for a ceiling."
    return (
        f"{said} Split-half rho of people {people.split_half:.3f}, reliability {people.reliability:.3f}, ceiling "
        f"{0 if people.attainable is None else people.attainable:.3f}."
    )


def _models(found: Validation) -> str:
    partial = f" | rho given {', '.join(found.confounds)}" if found.confounds else ""
    lines = [
        f"| model | rho | 95 % | share of the ceiling | r | MSE | slope{partial} |",
        "| --- | --- | --- | --- | --- | --- | ---" + (" | ---" if partial else "") + " |",
    ]
    for row in found.models.to_dict("records"):
        cells = [
            str(row["model"]),
            _number(row["rho"]),
            _span(row["rho_low"], row["rho_high"]),
            "-" if pd.isna(row["share"]) else f"{row['share']:.0%}",
            _number(row["r"]),
            f"{row['mse']:.4f}",
            _number(row["slope"]),
        ]
        cells += [_number(row["partial_rho"])] if partial else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "none" if value is None or pd.isna(value) else f"{value:.3f}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None or pd.isna(low) else f"{low:.3f} to {high:.3f}"


def draw(found: Validation, to: Path) -> None:
    """`figures`: the fit of the model of the highest rho, and the calibration of the first models."""
    ordered = found.models.sort_values("rho", ascending=False, na_position="last")["model"]
    best = str(ordered.iloc[0])
    with styled():
        figure, (left, right) = panels("Models and people", 3.2, 3.6, height=3.2)
        draw_scatter(left, found.rows["score"].to_numpy(float), found.rows[best].to_numpy(float), margin=0.02)
        left.set(title=short(best), xlabel=f"people: {found.measure}", ylabel="prediction")
        low, high = found.curves["predicted"].min(), found.curves["predicted"].max()
        right.plot([low, high], [low, high], color="0.6", linewidth=1, linestyle="--")
        for colour, name in zip(MODELS, ordered[:SHOWN], strict=False):
            own = found.curves[found.curves["model"] == name]
            right.vlines(own["predicted"], own["low"], own["high"], color=colour, alpha=0.5)
            right.plot(
                own["predicted"], own["score"], "o-", color=colour, markersize=3, label=short(str(name))
            )
        right.set(title="calibration", xlabel="mean prediction", ylabel=f"mean {found.measure}")
        right.legend(loc="upper left")
        save(figure, to / "figures")
