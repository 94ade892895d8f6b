"""Data sets: one adapter per file, found by its name.

An adapter has `Params`, its settings, and `read(params, work=, seed=)`, which turns the data set's
own layout into a table with one row a picture:

    path      where it is within the data set; together with the data set's name, its id
    file      where it lies now
    score     memorability in [0, 1]
    split, category, subcategory, mask, responses, hits, false_alarms     optional

`work` is an empty scratch folder for adapters that generate their data.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from memorability.errors import ParamsError

_NOT_ADAPTERS = {"__init__", "common"}


def names() -> list[str]:
    """Every data set there is an adapter for."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(f.stem for f in files if f.stem not in _NOT_ADAPTERS)


def adapter(name: str) -> Any:
    """The module of the data set `name`.

    Raises:
        ParamsError: there is no such data set.
    """
    if name not in names():
        raise ParamsError(f"data set {name!r} is not known; valid: {', '.join(names())}")
    module: ModuleType = importlib.import_module(f"memorability.datasets.{name}")
    return module
