"""Scores on their way to a terminal, a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from memorability.cli import common
from memorability.core.errors import StorageError
from memorability.core.files import staged
from memorability.core.progress import bar
from memorability.data.urls import Fetcher
from memorability.predict import report, rows
from memorability.predict.about import Choice, Project
from memorability.predict.printable import printable
from memorability.predict.results import Failure
from memorability.predict.scoring import Scoring


def write(
    paths: Iterable[str],
    project: Project,
    *,
    to: Path | None,
    kind: rows.Format | None,
    total: int | None,
    frames: bool,
    private: bool,
    confidence: float,
    **options: Any,
) -> None:
    """Scores what the paths lead to and writes a row a file; of several processes the first one writes.

    Args:
        to: the file, written whole or not at all; None: standard output, as rows come.
        kind: the format; by default what the file's ending says.
        total: how many files there are, where that is known.
        options: of `Scoring`.

    Raises:
        CallError, DataError: as `Scoring`; or the format is not that of the file.
        typer.Exit: files could not be scored, after all others were.
    """
    kind = rows.format_of(to, kind)
    shown = _Shown(total=total)
    scoring = Scoring(
        project,
        confidence=confidence,
        fetcher=Fetcher(private=private),
        opened=shown.model,
        **options,
    )
    text = rows.text(shown.watched(scoring(paths)), kind, confidence=confidence, frames=frames)
    if not common.is_first():
        for _ in text:
            pass
    elif to is None:
        for piece in text:
            sys.stdout.write(piece)
        sys.stdout.flush()
    else:
        _save(text, to)
    shown.end(scoring.left.said())


def _save(text: Iterator[str], to: Path) -> None:
    try:
        with staged(to) as part, part.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(text)
    except OSError as error:
        raise StorageError(f"-o {to}: cannot be written ({error})") from error


class _Shown:
    """What the terminal shows beside the scores."""

    def __init__(self, *, total: int | None) -> None:
        self._bar = bar(of="scores", unit="file", total=total, leave=False)
        self._done = self._failed = 0

    def model(self, said: Choice) -> None:
        self._say(said.line())
        for line in report.notes([said], None):
            self._say(line)

    def watched(self, scored: Iterator[rows.Scored]) -> Iterator[rows.Scored]:
        with self._bar:
            for one in scored:
                self._done += 1
                self._bar.update()
                if isinstance(one[1], Failure):
                    self._failed += 1
                    self._say(f"not scored: {printable(one[1].reason)}")
                yield one

    def end(self, left_out: str | None) -> None:
        if left_out is not None:
            self._say(printable(left_out))
        if self._failed:
            self._say(f"{self._failed:,} of {self._done:,} could not be scored")
            raise typer.Exit(1)

    def _say(self, line: str) -> None:
        if common.is_first():
            self._bar.write(line, file=sys.stderr)
