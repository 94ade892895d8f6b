"""Scores and maps of a user's own pictures and clips: used by the command line and by Python alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memorability import families
from memorability.core import layout
from memorability.core.errors import DataError
from memorability.data.urls import Fetcher
from memorability.features.items import Array
from memorability.media.maps import at_size
from memorability.media.scan import Kind, LeftOut
from memorability.predict import files
from memorability.predict.batches import BATCH, Batches, What
from memorability.predict.files import One, Paths
from memorability.predict.opening import Open, Opener
from memorability.predict.results import Failure, Map, Score, all_of, failure
from memorability.predict.trust import CONFIDENCE, Trust
from memorability.training.trained import TrainedModel

__all__ = ["Failure", "Map", "Predictor", "Score"]

Titles = Mapping[Path, str] | Mapping[str, str]  # of clips, by path


class Predictor:
    """A trained model, ready to score pictures or clips or to map pictures, whichever it was trained for.

    It needs its folder, and those of the models in it, and nothing else: no repository, no params.yaml. A score is the
    same to the last bit whatever is scored with it; on another processor or number of threads its last bits may differ.

    Args:
        model: a folder written by the train stage, such as `models/resmem`; or `photos`, the model that comes with the
            package, where there is no folder of that name.
        models: folder of the backbones and other models that this one needs; by default the one it is in.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.
        confidence: with which a score's interval is to hold the truth, in (0, 1).

    Attributes:
        clips: whether it reads clips; maps: whether it predicts maps; else it scores pictures.
        config: the model's config.json.

    Raises:
        DataError: there is no trained model, a damaged one, not the backbone that it was trained with, no confidence.

    >>> import numpy as np
    >>> predictor = Predictor.load("photos")
    >>> 0 < predictor(np.full((300, 400, 3), 128, np.uint8)).score < 1
    True
    >>> found = predictor.batch(np.full((64, 64, 3), grey, np.uint8) for grey in (0, 255))
    >>> [score.note for score in found]
    ['smaller than the 224 pixels that the model looks at', 'smaller than the 224 pixels that the model looks at']
    """

    def __init__(
        self,
        model: str | Path,
        *,
        models: str | Path | None = None,
        device: str | None = None,
        confidence: float = CONFIDENCE,
    ) -> None:
        self.folder, self.confidence = Path(model), confidence
        if str(model) == layout.RELEASED.name and not (self.folder / "config.json").is_file():
            self.folder = layout.RELEASED
        self.models = self.folder.parent if models is None else Path(models)
        self._model = TrainedModel(
            self.folder,
            models=self.models,
            load_family=families.load,
            device=device,
        )
        self.config: dict[str, Any] = self._model.config.model_dump()
        settings = self._model.settings
        self.family, self.track, self.target = settings.family, settings.track, settings.target
        self.clips, self.maps = self.track == "videos", self.track == "maps"
        self.needs_title = self._model.source.needs_title
        self._trust = Trust(self.folder, confidence=confidence)
        self._opener = Opener(
            self._model.source,
            self._trust,
            clips=self.clips,
            whole=self.maps,
            family=self.family,
        )

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        models: str | Path | None = None,
        device: str | None = None,
        confidence: float = CONFIDENCE,
    ) -> Predictor:
        """The predictor of a trained model, as the class itself makes it."""
        return cls(model, models=models, device=device, confidence=confidence)

    @property
    def has_percentiles(self) -> bool:
        """Whether the model came with the scores that it was trained on: those trained before these were kept did not."""
        return self._trust.has_percentiles

    @property
    def model(self) -> TrainedModel:
        """The open model, for whoever looks into it."""
        return self._model

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def kind(self) -> Kind:
        """What it reads."""
        return "clip" if self.clips else "picture"

    def __call__(self, image: One, *, title: str = "") -> Score:
        """The score of one file (a picture; of a model of clips a clip), URL, PIL picture, array or tensor.

        Args:
            image: an array is [height, width, 3], a tensor [3, height, width], of uint8 or of floats in [0, 1].
            title: of a clip, for models that read them.

        Raises:
            DataError: it cannot be read; or this model predicts maps.
        """
        titles = {Path(image): title} if title and isinstance(image, (str, Path)) else None
        found = self.predict(image, titles=titles)
        if len(found) != 1:
            raise DataError(
                f"{image}: a folder or a pattern of {len(found)} files; they come by batch or predict"
            )
        return found[0]

    def predict(self, paths: Paths, *, titles: Titles | None = None) -> list[Score]:
        """Scores files, open pictures, and every picture (or clip) below a folder, in sorted order.

        A warning says what else lies in a folder.

        Args:
            titles: of clips, by path, for models that read them.

        Raises:
            DataError: paths do not exist or cannot be decoded (it lists them all), or this model predicts maps.
        """
        return all_of(self.batch(paths, titles=titles), done="scored")

    def batch(
        self,
        paths: Paths,
        *,
        titles: Titles | None = None,
        batch_size: int = BATCH,
        fetcher: Fetcher | None = None,
    ) -> Iterator[Score | Failure]:
        """Scores one after the other, in the order of `paths`, with a `Failure` for whatever cannot be scored.

        Lazy: `paths` may be a generator of millions; a few are read ahead.

        Args:
            paths: of whatever a call takes; and folders and patterns, for all that they hold.
            titles: as of `predict`.
            batch_size: pictures that the model is asked for at a time; scores do not depend on it.
            fetcher: brings what is named by a URL, within its bounds of bytes and time.
        """
        self.must_score()
        batches = Batches[Score](titles=_by_path(titles), fetcher=fetcher or Fetcher(), most=batch_size)
        return (found for _, found in batches(self._feed(paths)))

    def batch_together(self, paths: Paths, *, titles: Titles | None = None) -> Iterator[Score | Failure]:
        """As `batch`, the work shared by the processes that `torchrun` started; all know all results."""
        self.must_score()
        batches = Batches[Score](titles=_by_path(titles), fetcher=Fetcher())
        return (found for _, found in batches.together(self._feed(paths)))

    def predict_maps(self, paths: Paths) -> list[Map]:
        """The maps of pictures, and of every picture below a folder, in sorted order, all in memory.

        Raises:
            DataError: paths do not exist or cannot be decoded (it lists them all), or this model predicts scores.
        """
        return all_of(self.maps_of(paths), done="mapped")

    def maps_of(self, paths: Paths, *, batch_size: int = BATCH) -> Iterator[Map | Failure]:
        """As `predict_maps`, one map after the other, with a `Failure` for whatever has none; `batch_size` as of `batch`."""
        if not self.maps:
            raise DataError(
                f"{self._said} predicts scores of {'clips' if self.clips else 'pictures'}, not maps; they come by predict "
                "(the command: without --map), maps from a model of track maps"
            )
        asked = _OfMaps(self)
        feed = ((None if isinstance(what, Failure) else asked, what) for _, what in self._feed(paths))
        return (found for _, found in Batches[Map](titles={}, fetcher=Fetcher(), most=batch_size)(feed))

    def opened(self, what: What, titles: Mapping[Path, str], fetcher: Fetcher) -> Open | Failure:
        """A file, read as far as the model reads it; may be called from several threads."""
        return self._opener.open(what, titles, fetcher)

    def answers(self, items: list[Open]) -> Iterator[Score | Failure]:
        """The score of each of what was opened, or why it has none."""
        return self.answered(items, self._score)

    def answered(
        self, items: list[Open], result: Callable[[Open, Array, Array | None], Any]
    ) -> Iterator[Any]:
        """Of each item what `result` makes of what the model says of it, and of its frames; or why it says nothing."""
        if not items:
            return
        try:
            values, frames = self._model.predict([one.item for one in items])
        except DataError as error:  # of one that the model cannot read: the others have their answers
            if len(items) == 1:
                yield failure(items[0].path, error)
                return
            for one in items:
                yield from self.answered([one], result)
            return
        for row, one in enumerate(items):
            if np.isfinite(values[row]).all():
                yield result(one, values[row], None if frames is None else frames[row])
            else:
                yield Failure(one.path, f"{one.path}: the model ({self.family}) gives no number for it")

    def _feed(self, paths: Paths) -> Iterator[tuple[Predictor | None, What]]:
        left = LeftOut()
        for entry in files.entries(paths, kinds=(self.kind,), left=left):
            yield (None if isinstance(entry.what, Failure) else self), entry.what
        if said := left.said():
            warnings.warn(said, stacklevel=2)

    def must_score(self) -> None:
        """Raises a DataError if this model predicts maps."""
        if self.maps:
            raise DataError(
                f"{self._said} predicts maps, not scores; they come by predict_maps (the command: with --map -o FILE), "
                "scores from a model of another track"
            )

    @property
    def _said(self) -> str:
        return f"{self.folder}: this model ({self.family})"

    def _score(self, of: Open, value: Array, frames: Array | None) -> Score:
        score = float(value)
        found = Score(
            of.path,
            score,
            interval=self._trust.interval(score),
            seen=of.seen,
            percentile=self._trust.percentile(score),
            note=of.note,
        )
        if frames is not None:
            known = tuple(map(float, frames[np.isfinite(frames)]))
            found = replace(found, frame_values=known, kind=self._model.family.FRAME_VALUES)
        return found


class _OfMaps:
    """A predictor as `Batches` asks it, for maps."""

    clips = False

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self.name = predictor, predictor.name
        self.opened = predictor.opened

    def answers(self, items: list[Open]) -> Iterator[Map | Failure]:
        return self._predictor.answered(items, _map)


def _map(of: Open, value: Array, frames: Any) -> Map:
    """The map [C, S, S] of the whole picture, brought to its size."""
    if of.item.picture is None:
        raise DataError(f"{of.path}: maps are of pictures")
    return Map(Path(of.path), at_size(value, width=of.item.picture.width, height=of.item.picture.height))


def _by_path(titles: Titles | None) -> dict[Path, str]:
    return {Path(path): title for path, title in (titles or {}).items()}
