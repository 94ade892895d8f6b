"""Stimuli: sets of pictures of high and of low memorability, matched on what else they could differ by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from memorability.bench import folder, matching, scoring
from memorability.core.errors import DataError
from memorability.core.files import staged_folder, write_json, write_text
from memorability.data import duplicates, tables
from memorability.data.known import BITS
from memorability.media import pictures

KEPT_GAP: Final = 0.7  # of the gap of scores that the extremes have
THUMB, COLUMNS = 96, 10  # pixels of a picture in a contact sheet, pictures in a row


@dataclass(frozen=True)
class Selection:
    """Matched sets.

    `rows`: item, set (high, low), pair, score, category and the matched covariates. `balance`: covariate, before, after
    (standardised mean differences; of category how far both sets' shares differ) and limit. `gap_before`, `gap_after`: mean score
    of high less that of low, of the extremes and of the sets. `problems`: why these are no matched sets but the nearest; none if
    they are. `left_out`: how many pictures, by why.
    """

    rows: pd.DataFrame
    balance: pd.DataFrame
    gap_before: float
    gap_after: float
    problems: tuple[str, ...]
    left_out: dict[str, int]

    def numbers(self) -> dict[str, Any]:
        return {
            "matched": not self.problems,
            "problems": list(self.problems),
            "gap_before": self.gap_before,
            "gap_after": self.gap_after,
            "balance": self.balance.to_dict("records"),
            "left_out": self.left_out,
        }


def candidates(rows: pd.DataFrame, *, keep_seen: bool = False) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows without all but the first of each group of near-duplicates, and without what the model was trained on.

    Args:
        rows: item, and where they are known seen, phash, content, sha256.
    """
    left_out: dict[str, int] = {}
    if "seen" in rows and not keep_seen:
        left_out["seen in training"] = int(rows["seen"].sum())
        rows = rows[~rows["seen"].to_numpy(bool)].reset_index(drop=True)
    if "phash" in rows and len(rows):
        groups = duplicates.groups(rows, bits=BITS)
        again = pd.Series(groups).duplicated().to_numpy()
        left_out["near-duplicates"] = int(again.sum())
        rows = rows[~again].reset_index(drop=True)
    return rows, left_out


def select(
    rows: pd.DataFrame,
    *,
    high: int,
    low: int,
    match: Sequence[str],
    seed: int = 0,
    keep_seen: bool = False,
) -> Selection:
    """Sets of high and of low scores whose covariates differ at most half as much as those of the extremes.

    Args:
        rows: item, score, and what is to be matched; and perhaps the columns that `candidates` reads.
        match: names of covariates, `category` for one that is matched exactly.

    Raises:
        DataError: too few pictures, no such covariate, nothing to match, or scores that are missing or constant.
    """
    if high < 2 or low < 2 or not match:
        raise DataError(
            f"sets are of 2 or more pictures, matched on something; received {high}, {low}, {list(match)}"
        )
    kept, left_out = candidates(rows, keep_seen=keep_seen)
    if len(kept) < high + low:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise DataError(
            f"{high} + {low} pictures are wished, and there are {len(kept)} of {len(rows)}{f' ({why} left out)' if why else ''}"
        )
    score = scoring.check(kept["score"], kept["item"])
    problem, values = _problem(kept, score, match, high, low)
    found = matching.match(problem, seed=seed)
    before = matching.extremes(problem, np.random.default_rng(seed))
    chosen = pd.concat(
        [_set(kept, rows, name, match) for rows, name in ((found.high, "high"), (found.low, "low"))]
    )
    balance = _balance(problem, list(map(str, values)), before, found, exact=folder.CATEGORY in match)
    gaps = problem.gap(*before), problem.gap(found.high, found.low)
    return Selection(chosen.reset_index(drop=True), balance, *gaps, _problems(balance, *gaps), left_out)


def _problem(
    kept: pd.DataFrame, score: np.ndarray, match: Sequence[str], high: int, low: int
) -> tuple[matching.Problem, pd.DataFrame]:
    category = np.zeros(len(kept), int)
    if folder.CATEGORY in match:
        if folder.CATEGORY not in kept or kept[folder.CATEGORY].isna().any():
            raise DataError(
                "category is to be matched, and pictures have none; name a table, or put them in folders"
            )
        category = pd.factorize(kept[folder.CATEGORY])[0]
    values = folder.numeric(kept, [name for name in match if name != folder.CATEGORY])
    x = values.to_numpy(float).reshape(len(kept), -1)
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    z = z if z.shape[1] else np.zeros((len(kept), 1))
    return matching.Problem(score, z, category, high, low), values


def _set(kept: pd.DataFrame, chosen: np.ndarray, name: str, match: Sequence[str]) -> pd.DataFrame:
    columns = [name for name in ("item", "score", *dict.fromkeys((folder.CATEGORY, *match))) if name in kept]
    found = kept.iloc[chosen][columns].reset_index(drop=True)
    found.insert(1, "set", name)
    found.insert(2, "pair", np.arange(1, len(found) + 1))
    return found


def _balance(
    problem: matching.Problem,
    names: list[str],
    before: tuple[np.ndarray, np.ndarray],
    found: matching.Matched,
    *,
    exact: bool,
) -> pd.DataFrame:
    was, now = problem.differences(*before), problem.differences(found.high, found.low)
    lines = [(names[k], was[k], now[k], found.limits[k]) for k in range(len(names))]
    if exact:
        even = 1e-9 if problem.high == problem.low else 0.5 / min(problem.high, problem.low)
        lines.append((folder.CATEGORY, problem.uneven(*before), problem.uneven(found.high, found.low), even))
    return pd.DataFrame(lines, columns=["covariate", "before", "after", "limit"])


def _problems(balance: pd.DataFrame, gap_before: float, gap_after: float) -> tuple[str, ...]:
    wrong = balance[balance["after"].abs() > balance["limit"] + 1e-9]
    said = [
        f"{row['covariate']} differs by {row['after']:.2f}, more than {row['limit']:.2g}"
        for row in wrong.to_dict("records")
    ]
    if gap_after < KEPT_GAP * gap_before:
        said.append(f"{gap_after / gap_before:.1%} of the gap in score is left, under {KEPT_GAP:.0%}")
    return tuple(said)


def write(found: Selection, root: Path, to: Path) -> None:
    """Writes selected.csv, balance.csv, selection.json, report.txt and contact_sheet.png, at once or not at all.

    Args:
        root: the folder that items are paths in.
    """
    with staged_folder(to) as scratch:
        tables.write(found.rows, scratch / "selected.csv")
        tables.write(found.balance, scratch / "balance.csv")
        write_json(scratch / "selection.json", found.numbers())
        write_text(scratch / "report.txt", text(found) + "\n")
        contact_sheet(found.rows, root).save(scratch / "contact_sheet.png")


def text(found: Selection) -> str:
    """Whether the sets are matched, and the balance of each covariate."""
    head = "matched sets" if not found.problems else "NO matched sets exist here; the nearest ones"
    lines = [head, *(f"  {problem}" for problem in found.problems)]
    share = found.gap_after / found.gap_before
    lines.append(
        f"gap in mean score: {found.gap_after:.3f}, of the extremes {found.gap_before:.3f} ({share:.0%} kept)"
    )
    lines.append(
        f"{'covariate':<18} {'before':>8} {'after':>8} {'limit':>8}  (standardised mean differences)"
    )
    lines += [
        f"{row['covariate']:<18} {row['before']:>8.3f} {row['after']:>8.3f} {row['limit']:>8.3f}"
        for row in found.balance.to_dict("records")
    ]
    lines += [f"left out: {count} {why}" for why, count in found.left_out.items() if count]
    return "\n".join(lines)


def contact_sheet(rows: pd.DataFrame, root: Path) -> Image.Image:
    """Both sets as small pictures, pair by pair in the same places, with their scores."""
    sets = [rows[rows["set"] == name] for name in ("high", "low")]
    deep = [-(-len(one) // COLUMNS) for one in sets]
    cell = THUMB + 14
    sheet = Image.new("RGB", (COLUMNS * (THUMB + 4), sum(deep) * cell + 2 * 18), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for one, name, count in zip(sets, ("high", "low"), deep, strict=True):
        draw.text(
            (4, top + 3), f"{name}: {len(one)} pictures, mean score {one['score'].mean():.3f}", fill="black"
        )
        top += 18
        for number, (item, score) in enumerate(zip(one["item"], one["score"], strict=True)):
            thumb = pictures.read(root / item)
            thumb.thumbnail((THUMB, THUMB))
            left, y = (number % COLUMNS) * (THUMB + 4), top + number // COLUMNS * cell
            sheet.paste(thumb, (left + (THUMB - thumb.width) // 2, y + (THUMB - thumb.height) // 2))
            draw.text((left + 2, y + THUMB), f"{score:.3f}", fill="black")
        top += count * cell
    return sheet
