"""What there is to predict with: trained models, families of models, data sets; read as text, so that it is quick."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memorability.core import layout
from memorability.core.files import read_json
from memorability.predict.about import Project

PACKAGE = Path(__file__).parents[1]
FAMILIES, DATASETS = PACKAGE / "families", PACKAGE / "data" / "datasets"
OF_NO_DATASET = ("__init__", "common")


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        data: the data sets that it was trained on, with their numbers of rows where these are known.
        measure, value: what it is worth on validation (or out of fold), by the measure that its board is ordered by.
        low, high: the range of its predictions on validation; None of maps, and where it was not evaluated.
        bytes: of its weights, without those of a backbone beside it.
        reads: what it reads (a kind of `features.reads`).
    """

    name: str
    family: str
    track: str
    target: str
    data: str
    measure: str | None
    value: float | None
    low: float | None
    high: float | None
    bytes: int
    reads: str
    folder: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def models(project: Project) -> Iterator[Model]:
    """The models of a project by name, then the one that comes with the package; what is damaged is left out."""
    folders = sorted(path.parent for path in project.models.glob("*/config.json"))
    for folder in [*folders, layout.RELEASED]:
        found = _model(folder, project)
        if found is not None:
            yield found


def _model(folder: Path, project: Project) -> Model | None:
    """None of a backbone, or of what is damaged."""
    try:
        config = read_json(folder / "config.json")
        settings = config["settings"]
        family, track, target = (str(settings[key]) for key in ("family", "track", "target"))
        data = config.get("trained_on") or {}
        size = (folder / "model.safetensors").stat().st_size
        own = folder.parent == project.models
        measured = _measured(project.metrics / track / f"{folder.name}.json", target) if own else {}
        out_of_fold = config.get("out_of_fold") or {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    measure = "cc" if track == "maps" else "spearman"
    return Model(
        name=folder.name,
        family=family,
        track=track,
        target=target,
        data=", ".join(f"{name} ({count:,})" if count else str(name) for name, count in data.items()),
        measure=f"out-of-fold {measure}" if out_of_fold else measure if measure in measured else None,
        value=out_of_fold.get(measure, measured.get(measure)),
        low=measured.get("predicted_low"),
        high=measured.get("predicted_high"),
        bytes=size,
        reads=_constant(FAMILIES / f"{family}.py", "READS") or "",
        folder=str(folder),
    )


def _measured(report: Path, target: str) -> dict[str, Any]:
    """The figures on validation of a model's report; empty where there is none."""
    if not report.is_file():
        return {}
    return dict(read_json(report).get(target, {}).get("val", {}))


@functools.cache  # asked for by every card
def families() -> list[dict[str, str]]:
    """Each family: name, what it reads, how it is fitted, and the first line of its documentation."""
    found = []
    for path in sorted(FAMILIES.glob("*.py")):
        if path.stem != "__init__":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            closed = any(isinstance(node, ast.FunctionDef) and node.name == "fit" for node in tree.body)
            found.append(
                {
                    "name": path.stem,
                    "reads": _constant(path, "READS") or "",
                    "fitted": "in closed form" if closed else "by gradients",
                    "about": _first_line(tree),
                }
            )
    return found


@functools.cache
def datasets() -> list[dict[str, str]]:
    """Each data set that there is an adapter for: name, what it is, and where to ask for it."""
    found = []
    for path in sorted(DATASETS.glob("*.py")):
        if path.stem not in OF_NO_DATASET:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found.append(
                {"name": path.stem, "about": _first_line(tree), "access": _constant(path, "ACCESS") or ""}
            )
    return found


def _first_line(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").splitlines()[0]


def _constant(path: Path, name: str) -> str | None:
    """A text that a module's top level gives a name to."""
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            target, value = node.target.id, node.value
        else:
            continue
        if target == name:
            try:
                return str(ast.literal_eval(value))
            except ValueError:
                return None
    return None
