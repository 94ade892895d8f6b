"""What goes with memorability in a set of pictures, and what is left of each property when the others are held constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from memorability.bench import folder, partial, scoring

LEAST_CATEGORY = 2


@dataclass(frozen=True)
class Confounds:
    """`table`: of `partial.table`, hue as hue_cos and hue_sin. `category`: eta squared, None without categories. `dropped`:
    covariates that are the same of all pictures."""

    table: pd.DataFrame
    category: float | None
    dropped: tuple[str, ...]
    n: int


def confounds(rows: pd.DataFrame, covariates: list[str]) -> Confounds:
    """Correlations of covariates with the score, each also given all the others and the category.

    Args:
        rows: item, score, the covariates and perhaps category.

    Raises:
        DataError: as `partial.table`, or scores are missing or constant.
    """
    score = scoring.check(rows["score"], rows["item"])
    values = folder.numeric(rows, covariates)
    same = [str(name) for name in values if np.ptp(values[name].to_numpy(float)) == 0]
    category = None
    if folder.CATEGORY in rows and rows[folder.CATEGORY].notna().all():
        category = rows[folder.CATEGORY]
        category = category if category.nunique() >= LEAST_CATEGORY else None
    found = partial.table(score, values.drop(columns=same), category=category)
    eta = None if category is None else partial.explained(score, category)
    return Confounds(found, eta, tuple(same), len(rows))


def text(found: Confounds) -> str:
    """A line a covariate."""
    lines = [f"{'covariate':<18} {'rho':>7} {'95 %':>18} {'partial rho':>12} {'95 %':>18} {'p (Holm)':>9}"]
    for row in found.table.to_dict("records"):
        spans = [_span(row["low"], row["high"]), _span(row["partial_low"], row["partial_high"])]
        p = "-" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.2g}"
        lines.append(
            f"{row['covariate']:<18} {_number(row['spearman']):>7} {spans[0]:>18} "
            f"{_number(row['partial_spearman']):>12} {spans[1]:>18} {p:>9}"
        )
    lines.append(
        f"{found.n} pictures; partial: given all other lines{' and the category' if found.category is not None else ''}"
    )
    if found.category is not None:
        lines.append(f"category explains {found.category:.1%} of the score's variance (eta squared)")
    if found.table["partial_spearman"].isna().any():
        lines.append("-: the other lines determine this one")
    if found.dropped:
        lines.append(f"the same of all pictures: {', '.join(found.dropped)}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.3f}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or pd.isna(low) or high is None else f"{low:.3f} to {high:.3f}"
