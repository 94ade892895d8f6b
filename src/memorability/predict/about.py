"""What is to be said of a model that predicts: what it was trained on, what it is worth, what its scores do not mean."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorability.core import layout

if TYPE_CHECKING:
    from memorability.predict.predictor import Predictor

DRAWN = ("demo", "demo_videos", "demo_maps")  # data sets whose pictures are drawings
LABELS = {"spearman": "rho", "cc": "CC"}
Row = Mapping[str, str]  # of a board; empty where a model is on none


@dataclass(frozen=True)
class Project:
    """Where models, boards, splits and cards lie. `known` are the models of the params at hand; None: there are no params."""

    models: Path
    metrics: Path
    splits: Path
    cards: Path
    known: Collection[str] | None = None

    @classmethod
    def of(cls, models: Path, *, known: Collection[str] | None = None) -> Project:
        """The project whose models lie in that folder: the boards of another one say nothing of them."""
        root = root_of(models)
        return cls(models, root / layout.METRICS, root / layout.SPLITS, root / layout.MODEL_CARDS, known)

    def board(self, track: str, target: str) -> Path:
        return self.metrics / track / f"{target}.leaderboard.csv"

    def misfit(self, track: str) -> str:
        """Which board of a track is not that of the params at hand, and why; empty where none is."""
        if self.known is None:
            return ""
        for board in sorted((self.metrics / track).glob("*.leaderboard.csv")):
            if others := [row["model"] for row in rows(board) if row["model"] not in self.known]:
                return (
                    f"{board}: not the leaderboard of the params at hand, which have no model {', '.join(others)}; run "
                    f"dvc repro evaluate@{track}"
                )
        return ""


@dataclass(frozen=True)
class Choice:
    """What is to be said of a model that predicts.

    `datasets` are those that it was trained on, `worth` a measure on validation by name, None where it is not known;
    `fitted_on_val`: whether the model has seen validation, so that the measure flatters it; `out_of_fold`: the
    measure is no figure on validation, but of predictions out of fold. `passed_over` are better models that cannot
    predict here, each with the reason. `why` this model, where others were there to be chosen.
    """

    folder: Path
    datasets: tuple[str, ...]
    worth: tuple[str, float] | None
    fitted_on_val: bool = False
    warnings: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    out_of_fold: bool = False
    why: str = ""

    def line(self) -> str:
        """Which model, what it was trained on and what it is worth."""
        data = ", ".join(self.datasets) or "data that are not known here"
        said = [f"{self.folder.name}: trained on {data}", self._worth(), self.why]
        return "; ".join(filter(None, said))

    def _worth(self) -> str:
        if self.worth is None:
            return "no figure on validation says what it is worth"
        measure, value = self.worth
        where = "out of fold" if self.out_of_fold else "on validation"
        seen = ", which it was fitted on" if self.fitted_on_val else ""
        return f"{LABELS.get(measure, measure)} {value:.3f} {where}{seen}"

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        where = "out_of_fold" if self.out_of_fold else "val"
        worth = {} if self.worth is None else {f"{where}_{self.worth[0]}": self.worth[1]}
        said = {"model": self.folder.name, "trained_on": list(self.datasets), **worth}
        why = {"chosen": self.why} if self.why else {}
        return said | {"fitted_on_val": self.fitted_on_val, "warnings": list(self.warnings)} | why


def root_of(models: Path) -> Path:
    """The root of the project whose models lie in that folder, by its name or by where a link leads.

    Of a folder that is no project's, such as one of models from elsewhere, that folder itself: no metrics lie in it.
    """
    for root in (models.parent, models.resolve().parent):
        if (root / layout.MODELS).resolve() == models.resolve():
            return root
    return models


def rows(board: Path) -> list[dict[str, str]]:
    """The rows of a board, the best on validation first; none if there is no board."""
    if not board.is_file():
        return []
    with board.open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row.get("model")]


def worth(row: Row) -> tuple[str, float] | None:
    """The measure on validation that a board is ordered by: its first column of one."""
    for column, value in row.items():
        if column.startswith("val_") and column != "val_n":
            try:
                return column.removeprefix("val_"), float(value)
            except ValueError:  # there is none
                return None
    return None


def choice(predictor: Predictor, project: Project, row: Row, passed_over: tuple[str, ...]) -> Choice:
    """Of an open model and its row of a board."""
    datasets, on_validation = _datasets(predictor, project), worth(row)
    out_of_fold = None if on_validation else _out_of_fold(predictor)
    return Choice(
        folder=predictor.folder,
        datasets=datasets,
        worth=on_validation or out_of_fold,
        fitted_on_val=row.get("fitted_on_val") == "all",
        warnings=(*_warnings(predictor, datasets), *_no_percentiles(predictor)),
        passed_over=passed_over,
        out_of_fold=out_of_fold is not None,
    )


def _out_of_fold(predictor: Predictor) -> tuple[str, float] | None:
    """What a model is worth that was fitted on all of its data: as its config has it, of a cross-validation."""
    told = predictor.config.get("out_of_fold")
    value = told.get("spearman") if isinstance(told, dict) else None
    return ("spearman", value) if isinstance(value, float) else None


def _datasets(predictor: Predictor, project: Project) -> tuple[str, ...]:
    """As the model's config says or else, of a model of this project, the table of its track's split."""
    told = predictor.config.get("trained_on")
    if isinstance(told, (list, dict)) and told:
        return tuple(map(str, told))
    table = project.splits / f"{predictor.track}.csv"
    if predictor.folder.parent.resolve() != project.models.resolve() or not table.is_file():
        return ()
    with table.open(newline="", encoding="utf-8") as stream:
        return tuple(sorted({row["dataset"] for row in csv.DictReader(stream) if row["split"] == "train"}))


def of_drawings(datasets: Collection[str]) -> bool:
    """Whether all that a model was trained on are the demo's drawings."""
    return bool(datasets) and set(datasets) <= set(DRAWN)


def _warnings(predictor: Predictor, datasets: tuple[str, ...]) -> list[str]:
    name, what = predictor.folder.name, "maps" if predictor.maps else "scores"
    if of_drawings(datasets):
        return [
            f"{name} was trained on the demo's drawings: its {what} mean nothing for photographs; train on real data"
        ]
    if "demo" in _sources(predictor.config):
        return [
            f"{name} sees through a backbone that was trained on the demo's drawings: on photographs its {what} are "
            "worth next to nothing; take a backbone with ImageNet's weights"
        ]
    return []


def _no_percentiles(predictor: Predictor) -> list[str]:
    """Of a model whose config names evidence: one without any is not expected to have this part of it."""
    if predictor.maps or predictor.has_percentiles or predictor.config.get("evidence") is None:
        return []
    return [
        f"{predictor.name} came without the scores that it was trained on: no percentiles; train it again"
    ]


def _sources(config: Mapping[str, Any]) -> set[str]:
    """Where the weights of the backbones in a model come from."""
    features = [origin.get("backbone") for origin in config.get("features") or []]
    backbones = [config.get("backbone"), *features]
    return {str(backbone.get("source")) for backbone in backbones if isinstance(backbone, dict)}
