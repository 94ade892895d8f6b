"""A trained model of pictures as it is handed out: a folder of under 1 MB that an installed package can predict with.

It is fitted anew, on all pictures with a score: what it is worth is known from cross-validation, and no picture need be
held back. Beside config and weights it holds what is known of how far it may be believed: residuals of predictions that
were made out of fold, and hashes of the pictures that it was fitted on; and a card, README.md. No picture is in it. The
same project gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pandas as pd

from memorability import families
from memorability.core import layout
from memorability.core.errors import DataError, ParamsError
from memorability.core.files import staged_folder, write_text
from memorability.data import tables
from memorability.evaluation import Judged, score_measures
from memorability.experiments import card, crossval
from memorability.experiments.train import compute_of, train
from memorability.params import Params
from memorability.training import artifacts
from memorability.training.artifacts import Config
from memorability.training.contract import ClosedForm
from memorability.training.settings import Model

MOST: Final = 2**20  # bytes of weights
CARD: Final = "README.md"


def release(params: Params, name: str, *, to: Path | None = None, text: Path | None = None) -> str:
    """Writes the model `name` of a project to a folder; returns what was written, for a terminal.

    Args:
        to: the folder; by default released/NAME.
        text: what the card begins with: the intended use, limits, citation and licences, which no file of the project
            knows; by default profiles/NAME.card.md.

    Raises:
        ParamsError: no such model, or not one of pictures' scores that is complete with what pip installs.
        DataError: its weights are too large; there is no such text; or it was not cross-validated on the pictures that
            the project has now.
    """
    _check(name, params.model(name))
    head = _read(text or layout.CARDS / f"{name}.card.md")
    rows = tables.read(layout.split_table("images"))
    rows = rows.assign(split=rows["split"].where(rows["split"] == "unlabelled", "train"))
    draws = out_of_fold(rows, name)
    with fitted(params, name, rows) as model:
        config, arrays = artifacts.load(model)
        evidence = replace(artifacts.evidence(model), residuals=_residuals(draws[0]))
    _check_features(name, config)
    weights = _small(name, arrays)
    folder = to or layout.RELEASES / name
    with staged_folder(folder) as part:
        said = config.model_dump(mode="json", exclude_unset=True, exclude={"sha256", "evidence"})
        said["out_of_fold"] = {"spearman": _rho(draws)}  # what `predict` says that it is worth
        artifacts.save(part, config=said, arrays=weights, evidence=evidence)
        facts = card.Facts(
            name=name,
            config=config,
            chosen={key: float(value) for key, value in sorted(weights.items()) if value.ndim == 0},
            rows=rows,
            draws=draws,
            measured=_measured(name),
            by_category=_by_category(name),
            known=len(evidence.phashes) + len(evidence.contents),
            files=sorted(part.iterdir()),
            settings=params.evaluate["images"],
            seed=params.seed,
        )
        write_text(part / CARD, card.text(head, facts))
    sizes = [f"  {file.stat().st_size:>9,} bytes  {file.name}" for file in sorted(folder.iterdir())]
    return "\n".join([str(folder), *sizes])


@contextmanager
def fitted(params: Params, name: str, rows: pd.DataFrame) -> Iterator[Path]:
    """The folder of the model as it is when it is fitted on these rows, while the block lasts."""
    settings = params.model(name)
    paths = layout.model_paths(name, track=settings.track, input=settings.input)
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        here = replace(paths, model=work / name, predictions=work / "predictions", state=work / "training")
        train(settings, rows, here, compute_of(params))
        yield here.model


def _residuals(draw: Judged) -> np.ndarray:
    """Of one draw of folds: the mean of several predictions is nearer to the truth than what the model says."""
    return np.asarray(draw.truth - draw.prediction, np.float32)


def _check(name: str, settings: Model) -> None:
    """That it is a model of pictures' scores, complete by itself, that can be fitted without validation."""
    if settings.track != "images":
        raise ParamsError(
            f"models.{name}: a model of track {settings.track}; what is released predicts scores of pictures"
        )
    if getattr(settings, "members", ()):
        raise ParamsError(f"models.{name}: family {settings.family} needs its members; release one of them")
    if not isinstance(families.load(settings.family), ClosedForm):
        raise ParamsError(
            f"models.{name}: family {settings.family} is selected on validation, and what is released is fitted on all "
            "pictures; valid: a closed form, such as ridge, svr or kernel_ridge"
        )


def _check_features(name: str, config: Config) -> None:
    """That it can predict where nothing but the package is installed."""
    for origin in config.features or []:
        backbone = origin.get("backbone")
        if not (isinstance(backbone, dict) and backbone.get("package")):
            of = (
                f"backbone {backbone.get('name')}"
                if isinstance(backbone, dict)
                else "files that came with the data"
            )
            raise ParamsError(
                f"models.{name}: its features are of {of}, which users of the package do not have; valid: of "
                "backbones of source 'package'"
            )


def _small(name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights, those that are matrices in half precision, others in single: scores move by under 1e-3."""
    weights = {
        key: array.astype(np.float16 if array.ndim > 1 else np.float32) if array.dtype.kind == "f" else array
        for key, array in arrays.items()
    }
    size = sum(array.nbytes for array in weights.values())
    if size > MOST:
        largest = max(weights, key=lambda name: weights[name].nbytes)
        raise DataError(
            f"models.{name}: {size:,} bytes of weights, {weights[largest].nbytes:,} of them {largest} "
            f"{list(weights[largest].shape)}; a released model has at most {MOST:,}"
        )
    return weights


def _read(path: Path) -> str:
    if not path.is_file():
        raise DataError(
            f"{path}: no such text; write what the card is to begin with there (intended use, limits, citation, "
            "licences), or name another file with --card"
        )
    return path.read_text(encoding="utf-8")


def out_of_fold(rows: pd.DataFrame, name: str) -> list[Judged]:
    """The labelled rows of a split table by id, with a model's out-of-fold predictions: one of each fold seed.

    Raises:
        DataError: it was not cross-validated, or on other pictures or scores than the split has.
    """
    table = crossval.out_of_fold(name).sort_values("id").reset_index(drop=True)
    rows = rows[rows["split"].isin(tables.LABELLED) & rows["score"].notna()]
    rows = rows.sort_values("id").reset_index(drop=True)
    mend = f"metrics/crossval has {name} of %s than the split has; run memorability crossval {name} again"
    if list(rows["id"]) != list(table["id"]):
        apart = sorted(set(rows["id"]) ^ set(table["id"]))
        such = f", such as {apart[0]}" if apart else ""
        raise DataError(mend % f"other pictures ({len(apart)} are in one alone{such})")
    truth = rows["score"].to_numpy(float)
    if not np.allclose(truth, table["score"], atol=1e-6):
        raise DataError(mend % "other scores")
    return [
        Judged(rows, truth, table[seed].to_numpy(float)) for seed in table if str(seed).startswith("seed_")
    ]


def _rho(draws: list[Judged]) -> float:
    """The mean of the fold seeds' correlations; a constant has none, and is worth 0."""
    found = [score_measures.spearman(draw.truth, draw.prediction) or 0.0 for draw in draws]
    return round(float(np.mean(found)), 6)


def _measured(name: str) -> pd.DataFrame:
    return tables.read(layout.METRICS / "crossval" / f"{name}.csv", columns=("fold_seed", "fold", "n"))


def _by_category(name: str) -> pd.DataFrame | None:
    """Of the categories, each predicted by models of the others; None where that was not tried."""
    called = f"{name}.by_category"
    return _measured(called) if (layout.METRICS / "crossval" / f"{called}.csv").is_file() else None
