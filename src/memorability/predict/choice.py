"""Which trained model predicts, unless one is named: the best of the project at hand, or the released one.

With the package comes a model of photographs, `layout.RELEASED`. It scores pictures wherever the project at hand has no
model of photographs to do it: whichever of the two is better is not known, since they were measured on different data.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memorability.core import layout
from memorability.core.errors import CallError, DataError, GivenFeaturesError, MemorabilityError, listing
from memorability.core.files import read_json
from memorability.data.tables import TARGETS, Track
from memorability.predict.about import Choice, Project, Row, choice, of_drawings, rows, worth
from memorability.predict.predictor import Predictor
from memorability.predict.trust import CONFIDENCE

__all__ = ["Choice", "Project", "best", "named"]

CONSTANT = "mean"  # the family that says the same of everything


def best(
    track: Track,
    project: Project,
    *,
    device: str | None = None,
    titled: bool = False,
    confidence: float = CONFIDENCE,
) -> tuple[Predictor, Choice]:
    """The best model of a track on validation (of clips: of short-term scores) that can predict here.

    Never a constant, nor a model without a figure on validation: their places on a board say nothing. Of pictures the
    released model, unless this one is of photographs; where the released one cannot be opened, this one all the same.

    Args:
        titled: whether titles are given, for models that read them.

    Raises:
        DataError: there is no board, it is that of other params, or no model on it can be chosen; names those to
            choose from with --model. Of pictures only where there is no released model.
        BackboneError: the package that the released model needs is not installed.
    """
    if track != "images" or not _is_file(layout.RELEASED / "config.json"):
        return _best_of_project(track, project, device=device, titled=titled, confidence=confidence)
    if not rows(project.board(track, TARGETS[track][0])):
        return _released(project, device, confidence, why="no leaderboard is here")
    try:
        own, said = _best_of_project(track, project, device=device, titled=titled, confidence=confidence)
    except DataError as error:
        why, reason = "no model of this project can be chosen", " ".join(str(error).split())
        return _released(project, device, confidence, why=why, passed_over=(reason,))
    if not of_drawings(said.datasets):
        of = ", which is of photographs" if said.datasets else ""
        return own, replace(said, why=f"the best of this project{of}")
    try:
        why = f"the best of this project ({said.folder.name}) is of drawings"
        return _released(project, device, confidence, why=why)
    except MemorabilityError as error:
        return own, replace(said, passed_over=(*said.passed_over, f"{layout.RELEASED.name}: {error}"))


def _released(
    project: Project, device: str | None, confidence: float, *, why: str, passed_over: tuple[str, ...] = ()
) -> tuple[Predictor, Choice]:
    predictor = Predictor(layout.RELEASED, device=device, confidence=confidence)
    said = choice(predictor, project, {}, passed_over)
    return predictor, replace(said, why=f"the released model, since {why}")


def _best_of_project(
    track: Track, project: Project, *, device: str | None, titled: bool, confidence: float
) -> tuple[Predictor, Choice]:
    board = project.board(track, TARGETS[track][0])
    ranked = rows(board)
    choose = f"name one with --model: {', '.join(_trained(project, track)) or f'none is in {project.models}'}"
    if not ranked:
        raise DataError(f"{board}: no leaderboard to take the best model from; run dvc repro, or {choose}")
    if why := project.misfit(track):
        raise DataError(f"{why}, or {choose}")
    passed: list[str] = []
    # What was fitted on validation looks better there than it is: such models come after all others.
    for row in sorted(ranked, key=lambda row: row.get("fitted_on_val") == "all"):
        try:
            predictor = _opened(row, project, device=device, titled=titled, confidence=confidence)
        except MemorabilityError as error:
            passed.append(f"{row['model']}: {error}")
            continue
        return predictor, choice(predictor, project, row, tuple(passed))
    raise DataError(f"{board}: no best model can be told:\n{listing(passed)}\n{choose}")


def named(
    name: str, project: Project, *, device: str | None = None, confidence: float = CONFIDENCE
) -> tuple[Predictor, Choice]:
    """The model of that name or, if there is none, the one in that folder, or the released one by its name.

    Raises:
        DataError: there is neither; names the valid ones.
    """
    folder = project.models / name
    if not _is_file(folder / "config.json"):
        folder = Path(name)
        if name == layout.RELEASED.name and not _is_file(folder / "config.json"):
            folder = layout.RELEASED
        if not _is_file(folder / "config.json"):
            valid = ", ".join(_trained(project)) or f"none is in {project.models}"
            raise CallError(f"--model: no model {name[:80]!r}; valid: {valid}; or the folder of a model")
    predictor = Predictor(folder, device=device, confidence=confidence)
    listed = project.known is None or folder.name in project.known
    on_board = rows(project.board(predictor.track, predictor.target)) if listed else []
    own = folder.parent.resolve() == project.models.resolve()
    row = next((row for row in on_board if own and row["model"] == folder.name), {})
    return predictor, choice(predictor, project, row, ())


def _opened(row: Row, project: Project, *, device: str | None, titled: bool, confidence: float) -> Predictor:
    """A MemorabilityError says why the model of a board's row cannot be chosen."""
    if worth(row) is None:
        raise DataError("it has no figure on validation")
    folder = project.models / row["model"]
    if not _is_file(folder / "config.json"):
        raise DataError(f"it is not in {project.models}; run dvc repro or dvc pull")
    try:
        predictor = Predictor(folder, models=project.models, device=device, confidence=confidence)
    except GivenFeaturesError as error:
        raise DataError("it reads features that came with its data set") from error
    if predictor.family == CONSTANT:
        raise DataError("it says the same of everything")
    if not predictor.maps and predictor.target != TARGETS[predictor.track][0]:
        raise DataError(f"it was trained on {predictor.target}")
    if predictor.needs_title and not titled:
        raise DataError("it reads titles; give one with --title")
    return predictor


def _trained(project: Project, track: Track | None = None) -> list[str]:
    """The models in the project's folder, of one track if that is asked for, but for constants."""
    names = []
    for config in sorted(project.models.glob("*/config.json")):
        try:
            settings = read_json(config)["settings"]
            fits = settings["family"] != CONSTANT and track in (None, settings["track"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # a backbone, or damaged
            continue
        if fits:
            names.append(config.parent.name)
    return names


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long to be one
        return False
