"""Maps on their way to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from memorability.cli import common
from memorability.core import runtime
from memorability.predict import map_files, map_formats, report
from memorability.predict.about import Choice
from memorability.predict.predictor import Predictor
from memorability.predict.results import Failure


def write(
    paths: list[str],
    out: Path,
    opened: Callable[[], tuple[Predictor, Choice]],
    *,
    overlay: bool,
    kind: map_formats.Format | None,
    as_json: bool,
) -> None:
    """Writes maps, of several processes each its share; the first one says what was written."""
    targets = map_files.targets(paths, out, overlays=overlay, kind=kind)
    predictor, said = opened()
    if runtime.world() == 1:
        results = list(map_files.written(predictor, targets.found, model=said.folder.name))
    else:
        from memorability.core import distributed

        share = distributed.share(targets.found)
        results = distributed.interleaved(list(map_files.written(predictor, share, model=said.folder.name)))
    if common.is_first():
        written = [result for result in results if not isinstance(result, Failure)]
        failures = [*targets.failures, *(result for result in results if isinstance(result, Failure))]
        print(
            json.dumps([row | said.as_dict() for row in written], indent=2)
            if as_json
            else report.map_table(written, said)
        )
        common.note(report.notes([said], targets.left_out))
        report.check(failures, of=len(failures) + len(written), done="mapped")
