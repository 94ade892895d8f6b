"""Progress of long work: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def bar(items: Iterable[T] | None = None, *, of: str, unit: str, **options: Any) -> tqdm[T]:
    """A tqdm bar named `of`, counting `unit`s a second."""
    live = sys.stderr.isatty()
    return tqdm(items, desc=of, unit=unit, mininterval=0.1 if live else 30, ascii=not live, **options)
