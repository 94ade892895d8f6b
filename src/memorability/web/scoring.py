"""What a model says of one file that was sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image

from memorability.core.errors import MemorabilityError
from memorability.features import items
from memorability.features.items import Item
from memorability.media import pictures, video
from memorability.media.maps import reduced
from memorability.predict.predictor import Predictor
from memorability.predict.results import Failure, Score
from memorability.training import artifacts
from memorability.web.answers import About, Frames, Mapped, Model, Scored
from memorability.web.catalogue import Catalogue, Offer
from memorability.web.limits import Limits
from memorability.web.refusals import Refusal
from memorability.web.uploads import Upload, received

LOOKED_AT = video.Sampling("evenly", count=24)  # frames of a clip that a model of pictures scores
PATCH, STRIDE = 0.25, 0.125  # of an occlusion map: 49 pictures to be scored
GRID = 64  # parts of a side of a memory map
Said = TypeVar("Said", Scored, Mapped)
SIDE = 1024  # pixels of the longer side of a picture that is mapped: as much as models and eyes can use
MEANINGS = {
    "score": "The share of people who would recognise the picture when it comes again among many others, as estimated.",
    "short_term": "The share of people who would recognise the clip a few minutes later, as estimated.",
    "long_term": "The share of people who would recognise the clip a day or more later, as estimated.",
    "map": "Which regions of the picture people say they remember it by, as estimated.",
}
MEAN_OF_FRAMES = "the mean of its frames, each scored as a picture; no model of clips has seen it"


@dataclass(frozen=True)
class Service:
    """What is said of files and of models; every method computes, and so belongs in a worker's thread."""

    catalogue: Catalogue
    limits: Limits

    def score(self, stream: BinaryIO, name: str, model: str | None) -> Scored:
        """Raises a Refusal that says why there is no score."""
        with received(stream, name, self.limits) as upload:
            return _refusing(upload, lambda: self._score(upload, model))

    def map(self, stream: BinaryIO, name: str, model: str | None) -> Mapped:
        """Raises a Refusal that says why there is no map."""
        with received(stream, name, self.limits) as upload:
            if upload.kind == "clip":
                raise Refusal("maps are of pictures, and this is a clip")
            return _refusing(upload, lambda: self._map(upload, model))

    def about(self, name: str) -> About:
        offer = self.catalogue.offer(name, track="images")
        with offer.lock:
            predictor, said = self.catalogue.open(offer)
        quantiles = artifacts.evidence(offer.folder).scores
        return About(
            **self.model(offer).model_dump(),
            line=said.line(),
            meaning=MEANINGS[offer.target],
            warnings=list(said.warnings),
            confidence=predictor.confidence,
            distribution=[round(float(score), 6) for score in quantiles] or None,
        )

    def model(self, offer: Offer) -> Model:
        return Model(
            name=offer.name,
            reads="clips" if offer.track == "videos" else "pictures",
            gives="maps" if offer.track == "maps" else "scores",
            target=offer.target,
            default=self.catalogue.defaults.get(offer.track) == offer.name,
        )

    def _score(self, upload: Upload, model: str | None) -> Scored:
        track = "videos" if upload.kind == "clip" and "videos" in self.catalogue.defaults else "images"
        offer = self.catalogue.offer(model, track=track)
        with offer.lock:
            predictor, _ = self.catalogue.open(offer)
            if upload.kind == "picture" and predictor.clips:
                raise Refusal(f"{offer.name} scores clips, and this is a picture")
            if upload.kind == "clip" and not (predictor.clips or predictor.maps):
                return _mean_of_frames(upload, predictor)
            [found] = _scores(predictor, [upload.path])
        return _scored(upload, predictor, found, _frames(upload, predictor, found))

    def _map(self, upload: Upload, model: str | None) -> Mapped:
        offer = self.catalogue.offer(model, track="maps" if "maps" in self.catalogue.defaults else "images")
        picture = pictures.read(upload.path)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
        with offer.lock:
            predictor, _ = self.catalogue.open(offer)
            values = _memory(predictor, picture) if predictor.maps else _occlusion(predictor, picture)
        kind = "memory" if predictor.maps else "occlusion"
        return Mapped(name=upload.name, kind=kind, model=offer.name, values=np.round(values, 6).tolist())


def _refusing(upload: Upload, work: Callable[[], Said]) -> Said:
    try:
        return work()
    except Refusal:
        raise
    except MemorabilityError as error:
        raise Refusal(upload.reason(error)) from error


def _scores(predictor: Predictor, files: Sequence[Path | Item]) -> list[Score]:
    found = list(predictor.batch(files))
    failed = next((one for one in found if isinstance(one, Failure)), None)
    if failed is not None:
        raise Refusal(failed.reason.replace(f"{failed.path}: ", ""))
    return [one for one in found if isinstance(one, Score)]


def _scored(upload: Upload, predictor: Predictor, found: Score, frames: Frames | None) -> Scored:
    low, high = found.interval or (None, None)
    return Scored(
        name=upload.name,
        kind=upload.kind,
        model=predictor.folder.name,
        score=round(found.score, 6),
        low=None if low is None else round(low, 6),
        high=None if high is None else round(high, 6),
        confidence=predictor.confidence,
        percentile=None if found.percentile is None else round(found.percentile, 2),
        note=found.note,
        frames=frames,
    )


def _mean_of_frames(upload: Upload, predictor: Predictor) -> Scored:
    """Of a clip by a model of pictures: each of some frames is scored; of the clip itself nothing more is claimed."""
    clip = video.sample(video.url(upload.path), LOOKED_AT, name=upload.name)
    opened = [Item(upload.path, picture) for picture in items.Frames(clip.frames)]
    values = [one.score for one in _scores(predictor, opened)]
    mean = Score(upload.path, float(np.mean(values)))
    frames = Frames(kind="score", times=clip.times, values=[round(value, 6) for value in values])
    return _scored(upload, predictor, mean, frames).model_copy(update={"note": MEAN_OF_FRAMES})


def _frames(upload: Upload, predictor: Predictor, found: Score) -> Frames | None:
    """What a model of clips says of frames, at the times that its sampling aims at."""
    if found.frame_values is None:
        return None
    origins = [predictor.config, *(predictor.config.get("features") or [])]
    told: dict[str, Any] = next(
        (origin["frames"] for origin in origins if origin.get("frames")), {"method": "evenly"}
    )
    count = len(found.frame_values)
    if told["method"] == "fps":
        times = [index / told["fps"] for index in range(count)]
    elif told["method"] == "ffmpeg_rate":  # to within a frame: see `memorability.media.rates`
        times = [max(0.0, index - 1.1) / told["fps"] for index in range(count)]
    elif told["method"] == "evenly":
        times = [(2 * index + 1) * upload.seconds / (2 * count) for index in range(count)]
    else:
        times = [index * upload.seconds / max(1, count - 1) for index in range(count)]
    return Frames(kind=found.kind or "score", times=times, values=[round(v, 6) for v in found.frame_values])


def _memory(predictor: Predictor, picture: Image.Image) -> np.ndarray:
    [found] = predictor.predict_maps(picture)
    height, width = found.values.shape[1:]
    return reduced(found.values[None, :2], height=min(GRID, height), width=min(GRID, width))[0]


def _occlusion(predictor: Predictor, picture: Image.Image) -> np.ndarray:
    from memorability.explain import occlusion

    return np.asarray(occlusion.explain(predictor, picture, patch=PATCH, stride=STRIDE).values)[None]
