"""Progress of long work: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(items: Iterable[Any] | None = None, *, of: str, unit: str, **options: Any) -> tqdm[Any]:
    """A tqdm bar named `of`, counting `unit`s a second; short-lived ones (`leave=False`) on terminals only."""
    live = sys.stderr.isatty()
    options |= {
        "mininterval": 0.1 if live else 30,
        "ascii": not live,
        "disable": not live and not options.get("leave", True),
    }
    return tqdm(items, desc=of, unit=unit, **options)
