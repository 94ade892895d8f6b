"""One map model's report: every measure on every split, from its predictions and the true maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from memorability.core.errors import DataError
from memorability.evaluation import map_metrics, metrics
from memorability.evaluation.reports import SPLITS, rounded
from memorability.media import maps

Array = np.ndarray
SAME = 0.2  # share of the truth's variety under which outputs count as nearly all the same
WINS = 0.98  # share of pairs from which a discriminator counts as having won
LASTING = 3  # epochs it must last


class Judged(NamedTuple):
    """Rows of the split table with their true and predicted maps: uint8 and float32 [N, C, S, S]."""

    rows: pd.DataFrame
    truth: Array
    prediction: Array

    def of_split(self, split: str) -> Judged:
        return self.where(self.rows["split"] == split)

    def where(self, mask: pd.Series) -> Judged:
        kept = mask.to_numpy(bool)
        return Judged(self.rows[kept], self.truth[kept], self.prediction[kept])


def judged(predictions: Path, table: pd.DataFrame, *, raw: Path, size: int, threads: int) -> Judged:
    """What a model is judged by: the rows of the split table that it predicted, in the table's order.

    Args:
        predictions: a model's table of predictions.
        table: the split table as `tables.for_target` gives it.
        raw: the raw track, with the true maps.
        size: side that all maps are brought to, so that models of different sizes can be compared.

    Raises:
        DataError: a row of val or test has no prediction.
    """
    predicted, values = maps.read_predictions(predictions, size=size)
    rows = joined(predicted, table)
    places = pd.Index(predicted["id"]).get_indexer(pd.Index(rows["id"]))
    truth = maps.truth(raw, list(rows["id"]), size=size, threads=threads)
    return Judged(rows, truth, values[places])


def joined(predicted: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """The split table's rows with a true map and a prediction.

    Raises:
        DataError: a row of val or test has no prediction, or an id has two.
    """
    if predicted["id"].duplicated().any():
        twice = predicted["id"][predicted["id"].duplicated()].iloc[0]
        raise DataError(f"{twice}: two predictions of one picture; there must be one")
    known = table["id"].isin(predicted["id"])
    lacking = table["id"][table["split"].isin(("val", "test")) & ~known]
    if len(lacking):
        raise DataError(f"{len(lacking)} rows of val and test have no prediction, such as {lacking.iloc[0]}")
    return table[known & table["split"].isin(SPLITS)].reset_index(drop=True)


def report(
    found: Judged,
    history: pd.DataFrame,
    *,
    bootstrap: int,
    seed: int,
    of_test: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """All measures of one model by split (of train, the part that was predicted).

    Args:
        history: of its training, a line an epoch.
        bootstrap: resamples behind the intervals.
        of_test: further measures of the test split, by name, such as the Frechet distance.

    Returns:
        split -> name -> number (None where a statistic does not exist), with `by_dataset` where several
        data sets are combined; and `collapse` of a model trained by gradients.
    """
    written: dict[str, Any] = {}
    for split in SPLITS:
        part = found.of_split(split)
        if len(part.rows) == 0:
            continue
        written[split] = rounded(_measure(part, bootstrap=bootstrap, seed=seed))
        names = sorted(set(part.rows["dataset"]))
        if len(names) > 1:
            of = {name: part.where(part.rows["dataset"] == name) for name in names}
            written[split]["by_dataset"] = {
                name: rounded(_measure(of[name], bootstrap=bootstrap, seed=seed)) for name in names
            }
    if "test" in written:
        written["test"] |= rounded(dict(of_test or {}))
    if len(history) > 1:
        written["collapse"] = collapse(history, written.get("val", {}).get("variety"))
    return written


def _measure(part: Judged, *, bootstrap: int, seed: int) -> dict[str, Any]:
    values = map_metrics.per_map(part.truth, part.prediction, list(part.rows["id"]))
    samples = resampled(values, repeats=bootstrap, seed=seed)
    found: dict[str, Any] = {"n": len(values)}
    for name, value in means(values).items():
        low, high = metrics.interval(samples[name]) or (None, None)
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    # The published L1 is of maps in [-1, 1] or in [0, 1]; which, is not said.
    found["l1_on_-1_to_1"] = 2 * found["l1"]
    for name in values.columns[values.columns.str.startswith("cc_channel_")]:
        found[name] = map_metrics.mean(values[name].to_numpy())
    found["variety"] = map_metrics.variety(part.truth, part.prediction)
    found["maps_without_cc"] = int(values["cc"].isna().sum())
    return found


def means(values: pd.DataFrame) -> dict[str, float | None]:
    """The measures of a table of `map_metrics.per_map` over its maps, and `sharpness_ratio`."""
    found = {name: map_metrics.mean(values[name].to_numpy()) for name in map_metrics.MEASURES}
    sharpness = (values[name].to_numpy() for name in ("sharpness", "true_sharpness"))
    return found | {"sharpness_ratio": map_metrics.ratio(*sharpness)}


def resampled(values: pd.DataFrame, *, repeats: int, seed: int) -> dict[str, Array]:
    """`means` on bootstrap samples of the maps, name -> float [repeats], NaN where one does not exist.

    As in `metrics.resampled`, the samples of two models of the same maps are paired.
    """
    names = [*map_metrics.MEASURES, "sharpness", "true_sharpness"]
    columns = {name: values[name].to_numpy() for name in names}
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for rows in metrics.draws(len(values), repeats=repeats, seed=seed):
        for name, column in columns.items():
            parts[name].append(_means_of_rows(column[rows]))
    found = {name: np.concatenate(part) for name, part in parts.items()}
    with np.errstate(invalid="ignore", divide="ignore"):  # true maps of one value have no sharpness
        sharpness = found.pop("sharpness") / found.pop("true_sharpness")
    return found | {"sharpness_ratio": np.where(np.isfinite(sharpness), sharpness, np.nan)}


def _means_of_rows(values: Array) -> Array:
    """Mean of those values of each row [B, N] that exist: [B], NaN where none does."""
    exists = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(exists, values, 0).sum(axis=1) / exists.sum(axis=1)


def collapse(history: pd.DataFrame, variety: float | None) -> dict[str, Any]:
    """Signs that training has collapsed, in a network of any kind or in a GAN alone.

    The thresholds are ours: outputs have lost their variety where they differ from picture to picture
    less than `SAME` times as much as the true maps (a model that answers with the mean map has 0); a
    discriminator has won once it puts the real map first in at least `WINS` of the pairs in every epoch
    to the end, over at least `LASTING` epochs, since its answers then hardly tell the generator what to
    change. The kept weights may be from before that epoch.

    Args:
        history: a line an epoch; `train_wins` of a GAN.
        variety: of the predictions on val, as `map_metrics.variety` has it.

    Returns:
        variety, outputs_lost_their_variety, discriminator_wins_from_epoch (None if it does not; of a GAN
        only) and all of it as a sentence, `text`.
    """
    lost = variety is not None and variety < SAME
    found: dict[str, Any] = {"variety": variety, "outputs_lost_their_variety": lost}
    differ = "hardly differ" if lost else "differ"
    text = f"its maps on val {differ} from picture to picture ({variety or 0:.2f} of the truth's variety)"
    if variety is None:
        text = "there are no different maps on val to compare the variety of its maps with"
    if "train_wins" in history:
        won = history["train_wins"].to_numpy(float) >= WINS
        lasting = len(won) if won.all() else int(np.argmin(won[::-1]))
        since = int(history["epoch"].iloc[-lasting]) if lasting >= LASTING else None
        found["discriminator_wins_from_epoch"] = since
        text += "; its discriminator " + (
            "does not win" if since is None else f"has won from epoch {since} on"
        )
    return found | {"text": f"{text}."}
