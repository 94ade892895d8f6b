"""Scores and maps of a user's own pictures and clips: used by the command line and by Python alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from memorability import families
from memorability.core.errors import DataError
from memorability.features.items import Array, Item
from memorability.media import pictures, video
from memorability.media.maps import at_size
from memorability.predict.files import Named, Paths, in_batches, named
from memorability.predict.results import Failure, Map, Result, Score, all_of, failure
from memorability.predict.trust import CONFIDENCE, Trust
from memorability.training.trained import TrainedModel

__all__ = ["Failure", "Map", "Predictor", "Score"]

BATCH = 32  # pictures, or frames of clips, at a time
# What is decoded of a clip for models that read no frame: what is no clip has no score.
ANY = video.Sampling("first_middle_last", count=3)
Titles = Mapping[Path, str] | Mapping[str, str]  # of clips, by path


class Predictor:
    """A trained model, ready to score pictures or clips or to map pictures, whichever it was trained for.

    `clips`: whether it reads clips; `maps`: whether it predicts maps; else it scores pictures. A score is the same to
    the last bit whatever is scored with it; on another processor or number of threads its last bits may differ.

    Args:
        model: a folder written by the train stage, such as `models/resmem`.
        models: folder of the backbones and other models that this one needs; by default the one it is in.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.
        confidence: with which a score's interval is to hold the truth, in (0, 1).

    Raises:
        DataError: there is no trained model, a damaged one, not the backbone that it was trained with, no confidence.

    >>> Predictor("models/ridge").predict("photo.jpg")[0].interval  # doctest: +SKIP
    (0.55, 0.87)
    >>> Predictor("models/unet").predict_maps("photo.jpg")[0].values.shape  # doctest: +SKIP
    (3, 768, 1024)
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
        self._model = TrainedModel(
            self.folder,
            models=self.folder.parent if models is None else Path(models),
            load_family=families.load,
            device=device,
        )
        self.config: dict[str, Any] = self._model.config.model_dump()
        settings = self._model.settings
        self.family, self.track, self.target = settings.family, settings.track, settings.target
        self.clips, self.maps = self.track == "videos", self.track == "maps"
        self.needs_title = self._model.source.needs_title
        self._trust = Trust(self.folder, confidence=confidence)

    def predict(self, paths: Paths, *, titles: Titles | None = None) -> list[Score]:
        """Scores files, open pictures, and every picture (or clip) below a folder, in sorted order.

        A warning says what else lies in a folder.

        Args:
            titles: of clips, by path, for models that read them.

        Raises:
            DataError: paths do not exist or cannot be decoded (it lists them all), or this model predicts maps.
        """
        return all_of(self.scores(paths, titles=titles), done="scored")

    def scores(self, paths: Paths | Named, *, titles: Titles | None = None) -> Iterator[Score | Failure]:
        """As `predict`, batch after batch, with a `Failure` for whatever cannot be scored."""
        self._must(maps=False)
        return self._results(self._files(paths), titles, self._score)

    def scores_together(self, paths: Paths | Named, *, titles: Titles | None = None) -> list[Score | Failure]:
        """As `scores`, the work shared by the processes that `torchrun` started; all know all results."""
        from memorability.core import distributed

        self._must(maps=False)
        share = distributed.share(self._files(paths))
        return distributed.interleaved(list(self._results(share, titles, self._score)))

    def predict_maps(self, paths: Paths) -> list[Map]:
        """The maps of pictures, and of every picture below a folder, in sorted order, all in memory.

        Raises:
            DataError: paths do not exist or cannot be decoded (it lists them all), or this model predicts scores.
        """
        return all_of(self.maps_of(paths), done="mapped")

    def maps_of(self, paths: Paths | Named) -> Iterator[Map | Failure]:
        """As `predict_maps`, one map after the other, with a `Failure` for whatever has none."""
        self._must(maps=True)
        return self._results(self._files(paths), None, _map)

    def _must(self, *, maps: bool) -> None:
        model = f"{self.folder}: this model ({self.family})"
        if self.maps and not maps:
            raise DataError(
                f"{model} predicts maps, not scores; they come by predict_maps (the command: with --map -o FILE), "
                "scores from a model of another track"
            )
        if maps and not self.maps:
            raise DataError(
                f"{model} predicts scores of {'clips' if self.clips else 'pictures'}, not maps; they come by predict "
                "(the command: without --map), maps from a model of track maps"
            )

    def _files(self, paths: Paths | Named) -> list[Path | Item | Failure]:
        if isinstance(paths, Named):
            return paths.files
        found = named(paths, clips=self.clips)
        if said := found.said():
            warnings.warn(said, stacklevel=4)
        return found.files

    def _open(self, path: Path | Item | Failure, titles: Mapping[Path, str]) -> Item | Failure:
        if isinstance(path, Failure):
            return path
        if isinstance(path, Item):
            return Failure(path.path, f"{path.path}: no clip, but a picture") if self.clips else path
        try:
            if not self.clips:
                return Item(path, pictures.read(path))
            if self.needs_title and path not in titles:
                raise DataError(f"{path}: this model ({self.family}) reads titles; give one (--title)")
            item = Item(path, title=titles.get(path, ""))
            for sampling in self._model.source.samplings or (ANY,):
                item.frames(sampling)
        except (DataError, OSError) as error:
            return failure(path, error)
        return item

    def _results(
        self,
        files: Sequence[Path | Item | Failure],
        titles: Titles | None,
        result: Callable[[Item, Array, Array | None], Result],
    ) -> Iterator[Result | Failure]:
        by_path = {Path(path): title for path, title in (titles or {}).items()}
        opened = (self._open(path, by_path) for path in files)
        for batch in in_batches(opened, most=BATCH // 8 if self.clips else BATCH):
            answers = self._answers([item for item in batch if isinstance(item, Item)])
            for item in batch:
                if isinstance(item, Failure):
                    yield item
                    continue
                answer = next(answers)
                yield answer if isinstance(answer, Failure) else result(item, *answer)

    def _answers(self, items: list[Item]) -> Iterator[tuple[Array, Array | None] | Failure]:
        """Of each item what the model says of it, and of its frames; or why it says nothing."""
        if not items:
            return
        try:
            values, frames = self._model.predict(items)
        except DataError as error:  # of one that the model cannot read: the others have their answers
            if len(items) == 1:
                yield failure(items[0].path, error)
                return
            for item in items:
                yield from self._answers([item])
            return
        for row, item in enumerate(items):
            if np.isfinite(values[row]).all():
                yield values[row], None if frames is None else frames[row]
            else:
                yield Failure(item.path, f"{item.path}: the model ({self.family}) gives no number for it")

    def _score(self, item: Item, value: Array, frames: Array | None) -> Score:
        score = float(value)
        found = Score(item.path, score, interval=self._trust.interval(score), seen=self._trust.seen(item))
        if frames is not None:
            known = tuple(map(float, frames[np.isfinite(frames)]))
            found = replace(found, frame_values=known, kind=self._model.family.FRAME_VALUES)
        return found


def _map(item: Item, value: Array, frames: Any) -> Map:
    """The map [C, S, S] of the whole picture, brought to its size."""
    if item.picture is None:
        raise DataError(f"{item.path}: maps are of pictures")
    return Map(item.path, at_size(value, width=item.picture.width, height=item.picture.height))
