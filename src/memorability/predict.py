"""Scoring a user's own pictures and clips with a trained model: used by the command line and by Python alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability import artifacts, calibration, params, video
from memorability.errors import DataError, GivenFeaturesError, listing
from memorability.files import read_json
from memorability.inputs import mean_over_frames
from memorability.pictures import SUFFIXES, decode, find_files, resize_and_crop

BATCH = 32  # pictures, or frames of clips, at a time
# What is decoded of a clip for models that read no frame: what is no clip has no score.
ANY = video.Sampling("first_middle_last", count=3)
Titles = Mapping[Path, str] | Mapping[str, str]  # of clips, by path


@dataclass(frozen=True)
class Score:
    """A file's predicted memorability: in [0, 1], or a little outside for linear families.

    `by_frame`, of clips and where the family says something of each frame: the score after each frame,
    or the attention to it; `kind` says which.
    """

    path: Path
    score: float
    by_frame: tuple[float, ...] | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Failure:
    """A path that could not be scored, and why."""

    path: Path
    reason: str


@dataclass
class Item:
    """A picture, or a clip with its title, whose frames are decoded once for each way of taking them."""

    path: Path
    picture: Image.Image | None = None
    title: str = ""
    _frames: dict[video.Sampling, list[Image.Image]] = field(default_factory=dict)

    def frames(self, sampling: video.Sampling) -> list[Image.Image]:
        if sampling not in self._frames:
            taken = video.sample(video.url(self.path), sampling, name=str(self.path))
            self._frames[sampling] = [decode(frame) for frame in taken.frames]
        return self._frames[sampling]


Answer = tuple[np.ndarray, np.ndarray | None]  # scores [N], and what is said of each frame [N, T]
Reader = Callable[[Sequence[Item]], tuple[np.ndarray, np.ndarray | None]]  # x [N, ...], frames in each [N]


class Predictor:
    """A trained model, ready to score pictures or clips, whichever it was trained on.

    Args:
        model: a folder written by the train stage, such as `models/resmem`.
        models: folder of the backbones and other models that this one needs; by default the one it is in.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.

    Raises:
        DataError: there is no trained model, or not the backbone that it was trained with.

    >>> Predictor("models/ridge").predict(["photo.jpg"])  # doctest: +SKIP
    [Score(path=PosixPath('photo.jpg'), score=0.71)]
    """

    def __init__(
        self, model: str | Path, *, models: str | Path | None = None, device: str | None = None
    ) -> None:
        folder = Path(model)
        self._models = folder.parent if models is None else Path(models)
        self._device = device
        self._config, self._arrays = artifacts.load(folder)
        self._task = params.family(self._config["settings"]["family"])
        self._settings = params.checked(
            self._task.Params, self._config["settings"], at=f"{folder}/config.json: settings"
        )
        self.clips = self._settings.track == "videos"
        self._samplings: set[video.Sampling] = set()
        self.needs_title = self._task.READS == "titles"
        read = self._reader(self._task.READS)
        closed_form = hasattr(self._task, "fit")
        self._answer = self._closed_form(read) if closed_form else self._network(read)

    def predict(self, paths: Iterable[str | Path], *, titles: Titles | None = None) -> list[Score]:
        """Scores files, and every picture (or clip) below a folder, in sorted order.

        Args:
            titles: of clips, by path, for models that read them.

        Raises:
            DataError: some paths do not exist or cannot be decoded; it lists them all.
        """
        results = list(self.scores(paths, titles=titles))
        failures = [result for result in results if isinstance(result, Failure)]
        if failures:
            reasons = listing(failure.reason for failure in failures)
            raise DataError(f"{len(failures)} of {len(results)} cannot be scored:\n{reasons}")
        return [result for result in results if isinstance(result, Score)]

    def scores(
        self, paths: Iterable[str | Path], *, titles: Titles | None = None
    ) -> Iterator[Score | Failure]:
        """As `predict`, batch after batch, with a `Failure` for whatever cannot be scored."""
        yield from self._scored(self._found(paths), _by_path(titles))

    def scores_together(
        self, paths: Iterable[str | Path], *, titles: Titles | None = None
    ) -> list[Score | Failure]:
        """As `scores`, the work shared by the processes that `torchrun` started; all know all results."""
        from memorability import distributed

        found = self._found(paths)
        return distributed.interleaved(list(self._scored(distributed.share(found), _by_path(titles))))

    def of_pictures(self, pictures: Iterable[Image.Image]) -> Iterator[float]:
        """The scores of decoded pictures, one after the other."""
        if self.clips:
            raise DataError(f"a model of clips ({self._settings.family}) cannot score pictures")
        pictures = iter(pictures)
        while batch := [Item(Path(), picture) for picture in itertools.islice(pictures, BATCH)]:
            yield from map(float, self._answer(batch)[0])

    # From paths to items.

    def _found(self, paths: Iterable[str | Path]) -> list[Path | Failure]:
        """The pictures, or clips, at and below the paths."""
        found: list[Path | Failure] = []
        for path in map(Path, paths):
            try:
                found += find_files(path, video.SUFFIXES if self.clips else SUFFIXES)
            except DataError as error:
                found.append(Failure(path, str(error)))
        return found

    def _open(self, path: Path | Failure, titles: Mapping[Path, str]) -> Item | Failure:
        if isinstance(path, Failure):
            return path
        try:
            if not self.clips:
                return Item(path, decode(path.read_bytes(), name=str(path)))
            if self.needs_title and path not in titles:
                raise DataError(
                    f"{path}: this model ({self._settings.family}) reads titles; give one (--title)"
                )
            item = Item(path, title=titles.get(path, ""))
            for sampling in self._samplings or (ANY,):
                item.frames(sampling)
        except (DataError, OSError) as error:
            return Failure(path, str(error))
        return item

    def _scored(
        self, found: Sequence[Path | Failure], titles: Mapping[Path, str]
    ) -> Iterator[Score | Failure]:
        size = BATCH // 8 if self.clips else BATCH
        for start in range(0, len(found), size):
            opened = [self._open(path, titles) for path in found[start : start + size]]
            items = [item for item in opened if isinstance(item, Item)]
            scores, by_frame = self._answer(items) if items else (np.empty(0), None)
            rows = iter(range(len(scores)))
            for item in opened:
                if isinstance(item, Failure):
                    yield item
                    continue
                row = next(rows)
                said = None if by_frame is None else by_frame[row][np.isfinite(by_frame[row])]
                each = (
                    {} if said is None else {"by_frame": tuple(map(float, said)), "kind": self._task.BY_FRAME}
                )
                yield Score(item.path, float(scores[row]), **each)

    # From items to what the family reads.

    def _reader(self, reads: str) -> Reader:
        if reads == "features":
            return self._features()
        if reads in ("pictures", "frames"):
            return self._pixels()
        if reads == "titles":
            return lambda items: (np.array([item.title for item in items]), None)
        if reads == "predictions":
            members = [self._other(name) for name in self._settings.members]
            for member in members:
                self._samplings |= member._samplings
                self.needs_title |= member.needs_title
            return lambda items: (np.stack([member._answer(items)[0] for member in members], axis=1), None)
        if reads == "frame_scores":
            image_model, sampling = (
                self._other(self._settings.backbone),
                self._sampling(self._config["frames"]),
            )

            def frame_scores(items: Sequence[Item]) -> tuple[np.ndarray, None]:
                found = np.full((len(items), sampling.count), np.nan)
                for row, item in zip(found, items, strict=True):
                    scores = list(image_model.of_pictures(item.frames(sampling)))
                    row[: len(scores)] = scores
                return found, None

            return frame_scores
        return lambda items: (np.empty((len(items), 0)), None)

    def _other(self, name: str) -> Predictor:
        return Predictor(self._models / name, models=self._models, device=self._device)

    def _sampling(self, described: dict[str, Any]) -> video.Sampling:
        """How this model's frames were taken; what is opened will have them."""
        sampling = video.Sampling(**{name: described[name] for name in video.Sampling._fields})
        self._samplings.add(sampling)
        return sampling

    def _features(self) -> Reader:
        from memorability.features import Extractor

        made = dict(self._config["features"])
        if "given" in made:
            raise GivenFeaturesError(
                f"this model reads features that came with its data set ({made['given']['name']}); "
                "they cannot be computed of other files"
            )
        backbone, frames = made.pop("backbone"), made.pop("frames", None)
        folder = self._models / backbone["name"]
        if not (folder / "config.json").is_file():
            raise DataError(f"{folder}: the backbone of this model is not here; dvc pull, or name its folder")
        if read_json(folder / "config.json").get("sha256") != backbone["sha256"]:
            raise DataError(f"{folder}: not the weights this model was trained with; train it again")
        extractor = Extractor(folder, **made, device=self._device)
        size = extractor.batch_size

        def features(pictures: Sequence[Image.Image]) -> np.ndarray:
            pixels = [extractor.prepare(picture) for picture in pictures]
            return np.concatenate([extractor(pixels[i : i + size]) for i in range(0, len(pixels), size)])

        if frames is None:
            return lambda items: (features([item.picture for item in items if item.picture]), None)
        sampling = self._sampling(frames)
        return lambda items: _padded([features(item.frames(sampling)) for item in items], sampling.count)

    def _pixels(self) -> Reader:
        size = {"resize": self._settings.resize, "crop": self._settings.crop}

        def pixels(pictures: Sequence[Image.Image]) -> np.ndarray:
            return np.stack([resize_and_crop(picture, **size) for picture in pictures])

        if self._task.READS == "pictures":
            return lambda items: (pixels([item.picture for item in items if item.picture]), None)
        sampling = self._sampling(self._config["frames"])
        return lambda items: _padded([pixels(item.frames(sampling)) for item in items], sampling.count)

    # From what the family reads to scores.

    def _closed_form(self, read: Reader) -> Callable[[Sequence[Item]], Answer]:
        task, settings, state = self._task, self._settings, self._arrays

        def answer(items: Sequence[Item]) -> Answer:
            x, lengths = read(items)
            if task.READS == "features":
                x = x if lengths is None else mean_over_frames(x, lengths)
                x = x.reshape(len(x), -1)
            by_frame = task.by_frame(settings, state, x) if hasattr(task, "by_frame") else None
            return np.asarray(task.predict(settings, state, x)), by_frame

        return answer

    def _network(self, read: Reader) -> Callable[[Sequence[Item]], Answer]:
        import torch

        from memorability import backbones
        from memorability.loading import as_floats

        task, settings, made = self._task, self._settings, self._config["backbone"]
        backbone = None
        if made is not None:
            backbone = backbones.Network(backbones.build(made["arch"], classes=made["classes"]), made)
        place = torch.device(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))
        net = task.build(settings, shape=tuple(self._config["shape"]), backbone=backbone)
        weights = {
            n: torch.from_numpy(v) for n, v in self._arrays.items() if not n.startswith(artifacts.REFERENCE)
        }
        net.load_state_dict(weights)
        net = net.eval().to(place)

        def asked(
            question: Callable[..., torch.Tensor], x: np.ndarray, lengths: np.ndarray | None
        ) -> torch.Tensor:
            batch = {"x": as_floats(torch.from_numpy(np.ascontiguousarray(x)).to(place))}
            if lengths is not None:
                batch["length"] = torch.from_numpy(lengths).to(place)
            return question(settings, net, batch).float()

        others_of = list[torch.Tensor]()  # the validation files' outputs, once they are asked for

        def ranked(outputs: torch.Tensor) -> np.ndarray:
            """The place of each among the validation files, whose ranks the curve to scores is made for."""
            if not others_of:
                x, lengths = (self._arrays[f"{artifacts.REFERENCE}{name}"] for name in ("x", "length"))
                parts = [slice(i, i + 64) for i in range(0, len(x), 64)]
                others_of.append(torch.cat([asked(task.predict, x[part], lengths[part]) for part in parts]))
            (others,) = others_of
            curve = calibration.Curve(**{k: tuple(v) for k, v in self._config["calibration"].items()})
            return curve(task.against(settings, net, outputs, others).cpu().numpy())

        @torch.inference_mode()
        def answer(items: Sequence[Item]) -> Answer:
            x, lengths = read(items)
            if task.READS == "features":
                x = x.reshape(len(x), *self._config["shape"])
                lengths = np.ones(len(x), np.int64) if lengths is None else lengths
            outputs = asked(task.predict, x, lengths)
            by_frame = asked(task.by_frame, x, lengths).cpu().numpy() if hasattr(task, "by_frame") else None
            return ranked(outputs) if hasattr(task, "together") else outputs.cpu().numpy(), by_frame

        return answer


def _by_path(titles: Titles | None) -> dict[Path, str]:
    return {Path(path): title for path, title in (titles or {}).items()}


def _padded(arrays: list[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of each clip [t, ...] as [N, count, ...] with zeros behind them, and t of each [N]."""
    found = np.zeros((len(arrays), count, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(found, arrays, strict=True):
        row[: len(array)] = array
    return found, np.array([len(array) for array in arrays], np.int64)
