"""Scores of whatever a user names, each kind by its model: pictures by one of pictures, clips by one of clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from memorability.core import runtime
from memorability.core.errors import MemorabilityError
from memorability.data.tables import Track
from memorability.data.urls import Fetcher, Url
from memorability.features.items import Item
from memorability.media import scan, video
from memorability.media.scan import Kind, LeftOut
from memorability.predict import choice, files, trust
from memorability.predict.about import Choice, Project
from memorability.predict.batches import BATCH, Batches, What
from memorability.predict.files import Entry, Paths
from memorability.predict.predictor import Predictor
from memorability.predict.results import Failure, Score
from memorability.predict.trust import CONFIDENCE

Titles = Mapping[Path, str]
TRACKS: dict[Kind, Track] = {"picture": "images", "clip": "videos"}


class Scoring:
    """Scores one after the other, in the order of the paths, with the name of the model; no list of them is kept.

    `left` counts what in folders is not looked at. A model is opened when the first file of its kind comes.

    Args:
        model: its name or folder; by default the best model of each kind (`memorability.predict.choice`).
        titles: of clips, for models that read them.
        confidence: of the scores' intervals, in (0, 1).
        batch_size: pictures at a time; the scores do not depend on it.
        opened: is told of each model that is opened.

    Raises:
        DataError: there is no such model, it predicts maps, no best one can be told, or such a confidence is none; the
            last three of these when the first file is looked at, unless a model is named.
    """

    def __init__(
        self,
        project: Project,
        *,
        model: str | None = None,
        titles: Titles | None = None,
        device: str | None = None,
        confidence: float = CONFIDENCE,
        batch_size: int = BATCH,
        fetcher: Fetcher | None = None,
        opened: Callable[[Choice], None] = lambda said: None,
    ) -> None:
        trust.check(confidence)
        self.left = LeftOut()
        self._project, self._titles, self._opened = project, titles or {}, opened
        self._device, self._confidence = device, confidence
        self._batches = Batches[Score](titles=self._titles, fetcher=fetcher or Fetcher(), most=batch_size)
        self._models = dict[Kind, Predictor | MemorabilityError]()
        self._named: Predictor | None = None
        if model is not None:
            self._named, said = choice.named(model, project, device=device, confidence=confidence)
            self._named.must_score()
            opened(said)

    def __call__(self, paths: Paths) -> Iterator[tuple[str | None, Score | Failure]]:
        kinds = files.KINDS if self._named is None else (self._named.kind,)
        feed = (self._asked(entry) for entry in files.entries(paths, kinds=kinds, left=self.left))
        found = self._batches(feed) if runtime.world() == 1 else self._batches.together(feed)
        return ((None if model is None else model.name, one) for model, one in found)

    def _asked(self, entry: Entry) -> tuple[Predictor | None, What]:
        """One to be scored with its model; or why there is none."""
        what = entry.what
        if isinstance(what, Failure) or self._named is not None:
            return self._named, what
        kind = entry.kind or self._kind(what)
        if isinstance(kind, Failure):
            return None, kind
        model = self._model(kind)
        if isinstance(model, Predictor):
            return model, what
        name = what.path if isinstance(what, Item) else what
        return None, Failure(name, f"{name}: no model to score it ({model})")

    def _kind(self, what: Path | Url | Item) -> Kind | Failure:
        if isinstance(what, Url):  # by its ending: what comes will show whether it is one
            return "clip" if Path(what.partition("?")[0]).suffix.lower() in video.SUFFIXES else "picture"
        if isinstance(what, Item):
            return "picture" if what.picture is not None else "clip"
        found = scan.looked_at(what)
        return files.as_failure(found) if isinstance(found, scan.NotLookedAt) else found[1]

    def _model(self, kind: Kind) -> Predictor | MemorabilityError:
        if kind not in self._models:
            found = self._models[kind] = self._best(kind)
            if isinstance(found, MemorabilityError):
                for other in set(files.KINDS) - self._models.keys():
                    self._models[other] = self._best(other)
                if not any(isinstance(model, Predictor) for model in self._models.values()):
                    raise found  # nothing whatever can be scored
        return self._models[kind]

    def _best(self, kind: Kind) -> Predictor | MemorabilityError:
        try:
            predictor, said = choice.best(
                TRACKS[kind],
                self._project,
                device=self._device,
                titled=bool(self._titles),
                confidence=self._confidence,
            )
        except MemorabilityError as error:
            return error
        self._opened(said)
        return predictor
