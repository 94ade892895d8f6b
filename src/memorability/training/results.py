"""What a fitted model leaves behind: its weights, its predictions, and what it says of frames and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memorability.features import reads
from memorability.features.items import Array
from memorability.training import artifacts, calibration
from memorability.training.contract import Family, Gradient
from memorability.training.work import Work

if TYPE_CHECKING:
    from torch import nn

    from memorability.training.run import Outcome

REFERENCES = 1000  # validation inputs that a model which ranks keeps, to rank others among


def frame_columns(family: Family, values: Array | None) -> dict[str, Array]:
    """What a family says of each frame, [N, T] if anything, as columns NAME_0, NAME_1, ..."""
    return (
        {} if values is None else {f"{family.FRAME_VALUES}_{t}": column for t, column in enumerate(values.T)}
    )


def class_columns(work: Work, logits: Array | None) -> dict[str, Array]:
    """The most probable class of each predicted row, and the class of its truth (-1 where that is not known)."""
    if logits is None:
        return {}
    truth = work.truth.values[work.truth.kept].astype(np.float32)
    places = np.nan_to_num(truth * (logits.shape[1] - 1), nan=-1.0)
    return {"class": logits.argmax(axis=1), "true_class": places.round().astype(np.int64)}


def write(
    family: Gradient,
    work: Work,
    read: reads.Rows,
    origin: dict[str, Any],
    net: nn.Module,
    outcomes: Sequence[Outcome],
    order: Array,
) -> None:
    """The model and its predictions; `order` brings those of the parts into the order of the rows."""
    columns = {"prediction": np.concatenate([outcome.prediction for outcome in outcomes])[order]}
    frames = [outcome.frame_values for outcome in outcomes if outcome.frame_values is not None]
    columns |= frame_columns(family, np.concatenate(frames)[order] if frames else None)
    logits = [outcome.class_logits for outcome in outcomes if outcome.class_logits is not None]
    columns |= class_columns(work, np.concatenate(logits)[order] if logits else None)
    arrays = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
    if family.rank is not None:
        origin, arrays = _calibrated(work, read, columns, origin, arrays)
    work.write(origin=origin, arrays=arrays, columns=columns, fitted_on_val=family.rank is not None)


def _calibrated(
    work: Work, read: reads.Rows, columns: dict[str, Array], origin: dict[str, Any], arrays: dict[str, Array]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Turns ranks into scores by a curve of validation, and keeps validation inputs from all over the ranks.

    Changes `columns`; returns origin and arrays with what was added.
    """
    ranking, val = columns["prediction"], work.of("val")
    curve = calibration.isotonic(ranking[val], work.truth.values[val])
    columns |= {"prediction": curve(ranking), "ranking": ranking}
    ranked = val[np.argsort(ranking[val], kind="stable")]
    reference = ranked[np.unique(np.linspace(0, len(ranked) - 1, REFERENCES).round().astype(int))]
    lengths = np.ones(len(reference), np.int64) if read.lengths is None else read.lengths[reference]
    kept = {"x": np.stack([read.x[int(row)] for row in reference]), "length": lengths}
    return origin | {"calibration": curve.as_dict()}, arrays | {
        f"{artifacts.REFERENCE}{name}": values for name, values in kept.items()
    }
