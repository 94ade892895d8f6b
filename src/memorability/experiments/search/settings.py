"""searches.yaml as checked values: NAME -> the model, which of its settings are tried, how, and by which measure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from memorability.core.errors import ParamsError
from memorability.core.settings import Block, Name, checked
from memorability.core.yaml import read_yaml
from memorability.evaluation import judge
from memorability.experiments.train import variant
from memorability.params import Params
from memorability.training.settings import Model

FILE = Path("searches.yaml")
FIXED = ("track", "target", "select")  # what is predicted, and `score`: trials would not compare
Changes = dict[str, Any]  # settings by their place, such as discriminator.width


class Range(Block):
    """Numbers between two ends, both included; whole ones where both ends are. `log`: each power as likely as another."""

    low: int | float
    high: int | float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low must be under high, and over 0 where log is true; received low {self.low}, high {self.high}"
            )
        return self


class Search(Block):
    """One search.

    `change`: settings in place of the model's own from which it starts. `space`: the variables, in order. Each is named
    after a setting, DISCRIMINATOR.WIDTH for one within a block, and has a list of values, or a `Range`; a value that
    is a block sets several settings at once, whatever the variable is called. `score`: a validation measure. `trials`:
    how many; of `one_at_a_time`, which needs none, at most. `seed`: of what is drawn. `prune`: whether trials of `tpe`
    and `random` end early that are worse than most others were at the same epoch.
    """

    model: str
    change: Changes = Field(default_factory=dict)
    method: Literal["one_at_a_time", "tpe", "random"]
    score: str
    space: dict[str, list[Any] | Range] = Field(min_length=1)
    trials: int | None = Field(None, ge=1, le=100_000)
    seed: int = Field(0, ge=0, lt=2**32)
    prune: bool = True

    @model_validator(mode="after")
    def _fits_its_method(self) -> Search:
        if empty := [name for name, values in self.space.items() if values == []]:
            raise ValueError(f"space.{empty[0]} has no values")
        if self.method != "one_at_a_time":
            if self.trials is None:
                raise ValueError(f"{self.method} needs trials, a number")
            return self
        if ranges := [name for name, values in self.space.items() if isinstance(values, Range)]:
            raise ValueError(
                f"one_at_a_time tries every value; received a range of {ranges[0]}; valid: a list"
            )
        if self.trials is not None and self.most > self.trials:
            raise ValueError(
                f"trials is {self.trials}, and the space has up to {self.most}; valid: at least that"
            )
        return self

    @property
    def most(self) -> int:
        """Trials that `one_at_a_time` makes at most: the start, then every value of every variable."""
        return 1 + sum(len(values) for values in self.space.values() if isinstance(values, list))

    @property
    def combinations(self) -> int | None:
        """How many combinations the space has; None: endless."""
        count = 1
        for values in self.space.values():
            if isinstance(values, Range):
                return None
            count *= len(values)
        return count


class Searches(Block):
    searches: dict[Name, Search]


def load(params: Params, name: str, *, file: Path = FILE) -> Search:
    """The search `name`, each value of its space tried on its model by itself.

    Raises:
        ParamsError: there is no such search, its model or measure is not there, or a value is none that the model takes.
    """
    known = checked(Searches, {"searches": read_yaml(file) or {}}, at="").searches
    if name not in known:
        raise ParamsError(f"{file}: no search {name!r}; valid: {', '.join(known) or 'none'}")
    search = known[name]
    if params.is_ensemble(search.model):
        raise ParamsError(
            f"{file}: {name}.model: {search.model} is an ensemble, which is fitted on validation, by which a search selects; "
            f"valid: a model, or memorability crossval {search.model}, whose weights are of inner folds"
        )
    measures = judge(params.head(search.model).track).MEASURES
    if search.score not in measures:
        raise ParamsError(f"{file}: {name}.score: received {search.score!r}; valid: {', '.join(measures)}")
    _try(params, search, {}, at=f"{file}: {name}.change")
    for variable, values in search.space.items():
        for value in [values.low, values.high] if isinstance(values, Range) else values:
            _try(params, search, changes_of(variable, value), at=f"{file}: {name}.space.{variable}")
    return search


def _try(params: Params, search: Search, changes: Changes, *, at: str) -> None:
    for setting in (*search.change, *changes):
        if setting.split(".")[0] in FIXED:
            raise ParamsError(
                f"{at}: {setting} is the same for all trials; `score` says by which measure they are selected"
            )
    try:
        settings_of(params, search, changes)
    except ParamsError as error:
        raise ParamsError(
            f"{at}: {changes or dict(search.change)} is nothing that the model takes: {error}"
        ) from error


def changes_of(variable: str, value: Any) -> Changes:
    """What a value of a variable sets."""
    return dict(value) if isinstance(value, Mapping) else {variable: value}


def settings_of(params: Params, search: Search, changes: Changes) -> Model:
    """The model's settings with those of the search and these changes, selected by the search's measure.

    Raises:
        ParamsError: together they are not valid.
    """
    return variant(params, search.model, block_of(params, search, changes), at=str(FILE))


def block_of(params: Params, search: Search, changes: Changes) -> dict[str, Any]:
    """The settings that differ from the model's own block, whole: what is said of one within a block leaves the others."""
    own = params.block(search.model)
    block = own
    for place, value in (search.change | changes).items():
        block = _set(block, place.split("."), value)
    if getattr(params.model(search.model), "select", search.score) != search.score:
        block = block | {"select": search.score}
    return {key: value for key, value in block.items() if key not in own or own[key] != value}


def _set(block: Mapping[str, Any], place: list[str], value: Any) -> dict[str, Any]:
    """A copy of the block with one setting changed; a block as the value changes what it names alone."""
    first, *rest = place
    inner = block.get(first)
    inside = inner if isinstance(inner, Mapping) else {}
    if rest:
        return {**block, first: _set(inside, rest, value)}
    if isinstance(value, Mapping):
        for key, part in value.items():
            inside = _set(inside, [key], part)
        return {**block, first: dict(inside)}
    return {**block, first: value}
