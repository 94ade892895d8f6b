"""Scores and maps of a user's own pictures and clips: used by the command line and by Python alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from memorability import families
from memorability.core.errors import DataError, listing
from memorability.features.items import Item
from memorability.media import video
from memorability.media.maps import at_size
from memorability.media.pictures import SUFFIXES, decode, find_files
from memorability.training.trained import TrainedModel

BATCH = 32  # pictures, or frames of clips, at a time
PIXELS = 2**26  # of pictures, whose maps are made at a time: fewer than BATCH of large ones
# What is decoded of a clip for models that read no frame: what is no clip has no score.
ANY = video.Sampling("first_middle_last", count=3)
Titles = Mapping[Path, str] | Mapping[str, str]  # of clips, by path
Paths = str | Path | Iterable[str | Path]  # one path is one item, not an iterable of characters


@dataclass(frozen=True)
class Score:
    """A file's predicted memorability: in [0, 1], or a little outside for linear families.

    `frame_values`, of clips and where the family says something of each frame: the score after each frame,
    or the attention to it; `kind` says which.
    """

    path: Path
    score: float
    frame_values: tuple[float, ...] | None = None
    kind: str | None = None


@dataclass(frozen=True, eq=False)
class Map:
    """Which regions of a picture are remembered: float32 [C, height, width] in [0, 1], of the picture's own size.

    That of the upright picture, as EXIF says. `memorability.media.maps` says what the channels are.
    """

    path: Path
    values: np.ndarray


@dataclass(frozen=True)
class Failure:
    """A path that could not be scored, or mapped, and why."""

    path: Path
    reason: str


Result = TypeVar("Result", Score, Map)


class Predictor:
    """A trained model, ready to score pictures or clips or to map pictures, whichever it was trained for.

    `clips`: whether it reads clips; `maps`: whether it predicts maps; else it scores pictures.

    Args:
        model: a folder written by the train stage, such as `models/resmem`.
        models: folder of the backbones and other models that this one needs; by default the one it is in.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.

    Raises:
        DataError: there is no trained model, or not the backbone that it was trained with.

    >>> Predictor("models/ridge").predict("photo.jpg")  # doctest: +SKIP
    [Score(path=PosixPath('photo.jpg'), score=0.71)]
    >>> Predictor("models/unet").predict_maps("photo.jpg")[0].values.shape  # doctest: +SKIP
    (3, 768, 1024)
    """

    def __init__(
        self, model: str | Path, *, models: str | Path | None = None, device: str | None = None
    ) -> None:
        self._folder = Path(model)
        self._model = TrainedModel(
            self._folder,
            models=self._folder.parent if models is None else Path(models),
            load_family=families.load,
            device=device,
        )
        settings = self._model.settings
        self.family, self.track = str(settings.family), str(settings.track)
        self.clips, self.maps = self.track == "videos", self.track == "maps"
        self.needs_title = self._model.source.needs_title

    def predict(self, paths: Paths, *, titles: Titles | None = None) -> list[Score]:
        """Scores files, and every picture (or clip) below a folder, in sorted order.

        Args:
            titles: of clips, by path, for models that read them.

        Raises:
            DataError: some paths do not exist or cannot be decoded (it lists them all), or this model
                predicts maps.
        """
        return _all_of(self.scores(paths, titles=titles), "scored")

    def scores(self, paths: Paths, *, titles: Titles | None = None) -> Iterator[Score | Failure]:
        """As `predict`, batch after batch, with a `Failure` for whatever cannot be scored."""
        self._must_score()
        return self._results(self._files(paths), _by_path(titles), self._score)

    def scores_together(self, paths: Paths, *, titles: Titles | None = None) -> list[Score | Failure]:
        """As `scores`, the work shared by the processes that `torchrun` started; all know all results."""
        from memorability.core import distributed

        self._must_score()
        share = distributed.share(self._files(paths))
        return distributed.interleaved(list(self._results(share, _by_path(titles), self._score)))

    def of_pictures(self, pictures: Iterable[Image.Image]) -> Iterator[float]:
        """The scores of decoded pictures, one after the other."""
        self._must_score()
        if self.clips:
            raise DataError(f"a model of clips ({self.family}) cannot score pictures")
        pictures = iter(pictures)
        while batch := [Item(Path(), picture) for picture in itertools.islice(pictures, BATCH)]:
            yield from map(float, self._model.predict(batch)[0])

    def predict_maps(self, paths: Paths) -> list[Map]:
        """The maps of pictures, and of every picture below a folder, in sorted order, all in memory.

        Raises:
            DataError: some paths do not exist or cannot be decoded (it lists them all), or this model
                predicts scores.
        """
        return _all_of(self.maps_of(paths), "mapped")

    def maps_of(self, paths: Paths) -> Iterator[Map | Failure]:
        """As `predict_maps`, one map after the other, with a `Failure` for whatever has none."""
        if not self.maps:
            kind = "clips" if self.clips else "pictures"
            raise DataError(
                f"{self._folder}: this model ({self.family}) predicts scores of {kind}, not maps; "
                "they come by predict (the command: without --map), maps from a model of track maps"
            )
        return self._results(self._files(paths), {}, _map)

    def _must_score(self) -> None:
        if self.maps:
            raise DataError(
                f"{self._folder}: this model ({self.family}) predicts maps, not scores; they come by "
                "predict_maps (the command: with --map -o FILE), scores from a model of another track"
            )

    # From paths to items.

    def _files(self, paths: Paths) -> list[Path | Failure]:
        """The pictures, or clips, at and below the paths."""
        files: list[Path | Failure] = []
        for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
            try:
                files += find_files(path, video.SUFFIXES if self.clips else SUFFIXES)
            except (DataError, OSError) as error:
                files.append(Failure(path, str(error)))
        return files

    def _open(self, path: Path | Failure, titles: Mapping[Path, str]) -> Item | Failure:
        if isinstance(path, Failure):
            return path
        try:
            if not self.clips:
                return Item(path, decode(path.read_bytes(), name=str(path)))
            if self.needs_title and path not in titles:
                raise DataError(f"{path}: this model ({self.family}) reads titles; give one (--title)")
            item = Item(path, title=titles.get(path, ""))
            for sampling in self._model.source.samplings or (ANY,):
                item.frames(sampling)
        except (DataError, OSError) as error:
            return Failure(path, str(error))
        return item

    def _batches(
        self, files: Sequence[Path | Failure], titles: Mapping[Path, str]
    ) -> Iterator[list[Item | Failure]]:
        most, pixels = (BATCH // 8 if self.clips else BATCH), 0
        batch: list[Item | Failure] = []
        for path in files:
            batch.append(self._open(path, titles))
            if self.maps and isinstance(item := batch[-1], Item) and item.picture:
                pixels += math.prod(item.picture.size)
            if len(batch) >= most or pixels >= PIXELS:
                yield batch
                batch, pixels = [], 0
        if batch:
            yield batch

    # From items to results.

    def _results(
        self,
        files: Sequence[Path | Failure],
        titles: Mapping[Path, str],
        result: Callable[[Item, np.ndarray, np.ndarray | None], Result],
    ) -> Iterator[Result | Failure]:
        for opened in self._batches(files, titles):
            items = [item for item in opened if isinstance(item, Item)]
            values, frames = self._model.predict(items) if items else (np.empty(0), None)
            rows = iter(range(len(values)))
            for item in opened:
                if isinstance(item, Failure):
                    yield item
                    continue
                row = next(rows)
                yield result(item, values[row], None if frames is None else frames[row])

    def _score(self, item: Item, value: np.ndarray, frames: np.ndarray | None) -> Score:
        if frames is None:
            return Score(item.path, float(value))
        known = tuple(map(float, frames[np.isfinite(frames)]))
        return Score(item.path, float(value), frame_values=known, kind=self._model.family.FRAME_VALUES)


def _map(item: Item, value: np.ndarray, frames: Any) -> Map:
    """The map [C, S, S] of the whole picture, brought to its size."""
    if item.picture is None:
        raise DataError(f"{item.path}: maps are of pictures")
    return Map(item.path, at_size(value, width=item.picture.width, height=item.picture.height))


def _all_of(results: Iterable[Result | Failure], done: str) -> list[Result]:
    listed = list(results)
    failures = [result for result in listed if isinstance(result, Failure)]
    if failures:
        reasons = listing(failure.reason for failure in failures)
        raise DataError(f"{len(failures)} of {len(listed)} cannot be {done}:\n{reasons}")
    return [result for result in listed if not isinstance(result, Failure)]


def _by_path(titles: Titles | None) -> dict[Path, str]:
    return {Path(path): title for path, title in (titles or {}).items()}
