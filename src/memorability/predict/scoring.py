"""Scores of whatever a user names, each kind by its model: pictures by one of pictures, clips by one of clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memorability.core import runtime
from memorability.core.errors import MemorabilityError
from memorability.data.tables import Track
from memorability.media.scan import Found, scan
from memorability.predict import choice, files, trust
from memorability.predict.about import Choice, Project
from memorability.predict.files import Named
from memorability.predict.predictor import Predictor
from memorability.predict.results import Failure, Score
from memorability.predict.trust import CONFIDENCE

Titles = Mapping[Path, str]


@dataclass
class Scored:
    """The scores by model, each model with what is to be said of it; what cannot be scored; what was not looked at.

    `left_out` is a line, None if all was looked at; `confidence` is that of the scores' intervals.
    """

    by_model: list[tuple[Choice, list[Score]]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left_out: str | None = None
    confidence: float = CONFIDENCE

    def __len__(self) -> int:
        """How many files were to be scored."""
        return sum(len(scores) for _, scores in self.by_model) + len(self.failures)

    def ask(self, predictor: Predictor, said: Choice, named: Named, titles: Titles) -> None:
        """Adds a model's results. Of several processes each does its share, and all know all results."""
        scores = predictor.scores if runtime.world() == 1 else predictor.scores_together
        results = list(scores(named, titles=titles))
        self.failures += [result for result in results if isinstance(result, Failure)]
        self.by_model.append((said, [result for result in results if isinstance(result, Score)]))


def score(
    paths: Sequence[Path],
    project: Project,
    *,
    model: str | None = None,
    titles: Titles | None = None,
    device: str | None = None,
    confidence: float = CONFIDENCE,
) -> Scored:
    """Scores all pictures and clips at and below the paths.

    Args:
        model: its name or folder; by default the best model of each kind (`memorability.predict.choice`).
        titles: of clips, for models that read them.
        confidence: of the scores' intervals, in (0, 1).

    Raises:
        DataError: there is no such model, it predicts maps, no best one can be told, or such a confidence is none.
    """
    trust.check(confidence)
    if model is None:
        return _by_kind(paths, project, titles or {}, device, confidence)
    predictor, said = choice.named(model, project, device=device, confidence=confidence)
    named, scored = files.named(paths, clips=predictor.clips), Scored(confidence=confidence)
    scored.ask(predictor, said, named, titles or {})
    scored.left_out = named.said()
    return scored


def _by_kind(
    paths: Sequence[Path], project: Project, titles: Titles, device: str | None, confidence: float
) -> Scored:
    scored, found = Scored(confidence=confidence), scan(paths)
    by_track: dict[Track, list[Path]] = {"images": found.pictures, "videos": found.clips}
    asked = {track: items for track, items in by_track.items() if items}
    for track, items in asked.items():
        try:
            predictor, said = choice.best(
                track, project, device=device, titled=bool(titles), confidence=confidence
            )
        except MemorabilityError as error:
            if len(asked) == 1:
                raise
            scored.failures += [Failure(path, f"{path}: no model to score it ({error})") for path in items]
            continue
        scored.ask(predictor, said, Named(list(items), []), titles)
    in_folders = [other for other in found.others if other.path not in paths]
    left_out = [other for other in in_folders if not files.is_unreadable(other)]
    scored.failures += [files.as_failure(other) for other in found.others if other not in left_out]
    scored.left_out = Found(others=left_out).left_out()
    if not len(scored):
        scored.failures = [Failure(path, f"{path}: no picture and no clip in this folder") for path in paths]
    return scored
