"""Model families: one file each, and the file's name is what `family:` says.

`memorability.training.contract` says what a family has, and what it may leave out. Families do not inherit from
each other; what several of them share stands in `blocks`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from memorability.core.errors import ParamsError
from memorability.training.contract import Family, describe


def names() -> list[str]:
    """Every family there is."""
    return sorted(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem != "__init__")


def load(name: str) -> Family:
    """The family `memorability.families.NAME`.

    Raises:
        ParamsError: there is no such family.
    """
    if name not in names():
        raise ParamsError(f"family {name!r} is not known; valid: {', '.join(names())}")
    return describe(importlib.import_module(f"memorability.families.{name}"))
