"""A trained model of pictures as it is handed out: a folder of under 1 MB that an installed package can predict with.

It is fitted anew, on all pictures with a score: what it is worth is known from cross-validation, and no picture need be
held back. Beside config and weights it holds what is known of how far it may be believed: residuals of predictions that
were made out of fold, and hashes of the pictures that it was fitted on; and a card, README.md. No picture is in it. The
same project gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pandas as pd

from memorability import families
from memorability.core import layout
from memorability.core.errors import DataError, ParamsError
from memorability.core.files import read_json, staged_folder, write_text
from memorability.data import tables
from memorability.evaluation import Judged, score_measures
from memorability.experiments import card, crossval, gains
from memorability.experiments.folds import By
from memorability.experiments.train import compute_of, train
from memorability.params import Params
from memorability.training import artifacts
from memorability.training.artifacts import Config
from memorability.training.contract import ClosedForm
from memorability.training.settings import Model

MOST: Final = 2**20  # bytes of weights
CARD: Final = "README.md"
FILES: Final = (CARD, artifacts.CONFIG, artifacts.WEIGHTS, artifacts.EVIDENCE)  # all that a release holds


def release(params: Params, name: str, *, to: Path | None = None, text: Path | None = None) -> str:
    """Writes the model `name` of a project to a folder; returns what was written, for a terminal.

    Args:
        to: the folder; by default released/NAME.
        text: what the card begins with: the intended use, limits, citation and licences, which no file of the project
            knows; by default profiles/NAME.card.md.

    Raises:
        ParamsError: no such model, or not one of pictures' scores that is complete with what pip installs.
        DataError: its weights are too large; there is no such text; it was not cross-validated on the pictures and with
            the settings that the project has now; or the folder holds something else than a release.
    """
    _check(name, params.model(name))
    folder = to or layout.RELEASES / name
    _check_replaceable(folder)
    head = _read(text or layout.CARDS / f"{name}.card.md")
    rows = tables.read(layout.split_table("images"))
    rows = rows.assign(split=rows["split"].where(rows["split"] == "unlabelled", "train"))
    made = crossval.made_of(params, name)
    draws, by_category = out_of_fold(rows, name, made), _by_category(rows, name, made)
    with fitted(params, name, rows) as model:
        config, arrays = artifacts.load(model)
        evidence = replace(artifacts.evidence(model), residuals=_residuals(draws[0]))
    _check_features(name, config)
    weights = _small(name, arrays)
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
            by_category=by_category,
            hashes=len(evidence.phashes),
            plain=len(evidence.contents),
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


def _check_replaceable(folder: Path) -> None:
    """That nothing is lost when the folder is replaced: it is absent, or holds a release and nothing else."""
    if not (folder.exists() or folder.is_symlink()):
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: a file; valid: a folder of a release, which is replaced, or a new one")
    others = sorted(file.name for file in folder.iterdir() if file.name not in FILES or not file.is_file())
    if others:
        raise DataError(
            f"{folder}: holds what no release wrote ({', '.join(others[:3])}), but would be replaced whole; valid: a new "
            f"folder, or one with nothing but {', '.join(FILES)}"
        )
    if any(folder.iterdir()) and not _is_release(folder / artifacts.CONFIG):
        raise DataError(
            f"{folder}: a trained model, but no released one, which would be replaced; valid: a new folder, or that of "
            "a release"
        )


def _is_release(config: Path) -> bool:
    """Whether a config says what the model is worth out of fold, as those of releases alone do."""
    try:
        told = read_json(config)
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and "out_of_fold" in told


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


def out_of_fold(rows: pd.DataFrame, name: str, made: Mapping[str, Any], *, by: By = "fold") -> list[Judged]:
    """The labelled rows of a split table by id, with a model's out-of-fold predictions: one of each fold seed.

    Args:
        made: of `crossval.made_of`, as the model is now.

    Raises:
        DataError: it was not cross-validated; or with other settings or inputs than it has now, on other pictures or
            scores than the split has, or by splits that test a picture several times.
    """
    table = crossval.out_of_fold(name, by=by, expected=made)
    table = table.sort_values("id").reset_index(drop=True)
    option = "" if by == "fold" else " --by category"
    if several := crossval.record(name, by=by).get("averaged"):
        raise DataError(
            f"metrics/crossval has of {name} the means of several predictions of {several} pictures, which are nearer to "
            "the truth than what the model says; valid: a cross-validation by drawn folds (the split's method: folds)"
        )
    rows = rows[rows["split"].isin(tables.LABELLED) & rows["score"].notna()]
    rows = rows.sort_values("id").reset_index(drop=True)
    mend = f"metrics/crossval has {name} of %s than the split has; run memorability crossval {name}{option} again"
    if list(rows["id"]) != list(table["id"]):
        apart = sorted(set(rows["id"]) ^ set(table["id"]))
        such = f", such as {apart[0]}" if apart else ""
        raise DataError(mend % f"other pictures ({len(apart)} are in one alone{such})")
    truth = rows["score"].to_numpy(float)
    if not np.allclose(truth, table["score"], atol=1e-6):
        raise DataError(mend % "other scores")
    predicted = gains.columns(table, "seed").to_numpy(float).T
    ranked = gains.columns(table, "ranking").to_numpy(float).T
    return [Judged(rows, truth, one, ranked[n] if len(ranked) else None) for n, one in enumerate(predicted)]


def _rho(draws: list[Judged]) -> float:
    """The mean of the fold seeds' correlations; a constant has none, and is worth 0."""
    ranked = [(draw.truth, draw.prediction if draw.ranking is None else draw.ranking) for draw in draws]
    found = [score_measures.spearman(truth, ranking) or 0.0 for truth, ranking in ranked]
    return round(float(np.mean(found)), 6)


def _measured(name: str) -> pd.DataFrame:
    return tables.read(layout.METRICS / "crossval" / f"{name}.csv", columns=("fold_seed", "fold", "n"))


def _by_category(rows: pd.DataFrame, name: str, made: Mapping[str, Any]) -> pd.DataFrame | None:
    """Of the categories, each predicted by models of the others; None where that was not tried.

    Raises:
        DataError: as `out_of_fold`.
    """
    called = f"{name}.by_category"
    if not (layout.METRICS / "crossval" / f"{called}.csv").is_file():
        return None
    out_of_fold(rows, name, made, by="category")
    return _measured(called)
