"""Scoring a user's own pictures with a trained model: used by the command line and by Python alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability import artifacts, params
from memorability.errors import DataError, listing
from memorability.files import read_json
from memorability.pictures import decode, find_pictures, resize_and_crop

BATCH = 32
Scorer = Callable[[list[Image.Image]], np.ndarray]  # decoded pictures -> scores [N]


@dataclass(frozen=True)
class Score:
    """A picture's predicted memorability: in [0, 1], or a little outside for linear families."""

    path: Path
    score: float


@dataclass(frozen=True)
class Failure:
    """A path that could not be scored, and why."""

    path: Path
    reason: str


class Predictor:
    """A trained model, ready to score pictures.

    Args:
        model: a folder written by the train stage, such as `models/resmem`.
        backbones: folder of the backbone artifacts that models on features need; by default
            `backbones` beside the model.
        device: `cpu`, `cuda`, ...; by default the GPU if there is one.

    Raises:
        DataError: there is no trained model, or not the backbone that it was trained with.

    >>> Predictor("models/ridge").predict(["photo.jpg"])  # doctest: +SKIP
    [Score(path=PosixPath('photo.jpg'), score=0.71)]
    """

    def __init__(
        self, model: str | Path, *, backbones: str | Path | None = None, device: str | None = None
    ) -> None:
        folder = Path(model)
        config, arrays = artifacts.load(folder)
        task = params.family(config["settings"]["family"])
        settings = params.checked(task.Params, config["settings"], at=f"{folder}/config.json: settings")
        if hasattr(task, "build"):
            self._score = _gradient_scorer(task, settings, config, arrays, device)
        else:
            where = folder.parent / "backbones" if backbones is None else Path(backbones)
            self._score = _closed_form_scorer(task, settings, config, arrays, where, device)

    def predict(self, paths: Iterable[str | Path]) -> list[Score]:
        """Scores pictures, and every picture below a folder (in sorted order).

        Raises:
            DataError: some paths do not exist or are no pictures; it lists them all.
        """
        results = list(self.scores(paths))
        failures = [result for result in results if isinstance(result, Failure)]
        if failures:
            reasons = listing(failure.reason for failure in failures)
            raise DataError(f"{len(failures)} of {len(results)} cannot be scored:\n{reasons}")
        return [result for result in results if isinstance(result, Score)]

    def scores(self, paths: Iterable[str | Path]) -> Iterator[Score | Failure]:
        """As `predict`, batch after batch, with a `Failure` for whatever cannot be scored."""
        yield from self._scored(_found(paths))

    def scores_together(self, paths: Iterable[str | Path]) -> list[Score | Failure]:
        """As `scores`, the work shared by the processes that `torchrun` started; all know all results."""
        from memorability import distributed

        found = _found(paths)
        return distributed.interleaved(list(self._scored(distributed.share(found))))

    def _scored(self, found: Sequence[Path | Failure]) -> Iterator[Score | Failure]:
        for start in range(0, len(found), BATCH):
            opened = [_open(item) for item in found[start : start + BATCH]]
            pictures = [item[1] for item in opened if not isinstance(item, Failure)]
            values = iter(self._score(pictures)) if pictures else iter(())
            for item in opened:
                yield item if isinstance(item, Failure) else Score(item[0], float(next(values)))


def _found(paths: Iterable[str | Path]) -> list[Path | Failure]:
    """The pictures at and below the paths."""
    found: list[Path | Failure] = []
    for path in map(Path, paths):
        try:
            found += find_pictures(path)
        except DataError as error:
            found.append(Failure(path, str(error)))
    return found


def _open(item: Path | Failure) -> tuple[Path, Image.Image] | Failure:
    if isinstance(item, Failure):
        return item
    try:
        return item, decode(item.read_bytes(), name=str(item))
    except (DataError, OSError) as error:
        return Failure(item, str(error))


def _closed_form_scorer(
    task: Any,
    settings: Any,
    config: dict[str, Any],
    arrays: dict[str, np.ndarray],
    where: Path,
    device: str | None,
) -> Scorer:
    if config["features"] is None:  # `mean` looks at nothing
        return lambda pictures: task.predict(settings, arrays, np.empty((len(pictures), 0)))
    from memorability.features import Extractor

    made = dict(config["features"])
    backbone = made.pop("backbone")
    folder = where / backbone["name"]
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder}: the backbone of this model is not here; dvc pull, or name its folder")
    if read_json(folder / "config.json")["sha256"] != backbone["sha256"]:
        raise DataError(f"{folder}: not the weights this model was trained with; train it again")
    extractor = Extractor(folder, **made, device=device)

    def score(pictures: list[Image.Image]) -> np.ndarray:
        size = extractor.batch_size
        pixels = [extractor.prepare(picture) for picture in pictures]
        x = np.concatenate([extractor(pixels[i : i + size]) for i in range(0, len(pixels), size)])
        return np.asarray(task.predict(settings, arrays, x.reshape(len(x), -1)))

    return score


def _gradient_scorer(
    task: Any, settings: Any, config: dict[str, Any], arrays: dict[str, np.ndarray], device: str | None
) -> Scorer:
    import torch

    from memorability import backbones

    made = config["backbone"]
    backbone = backbones.build(made["arch"], classes=made["classes"]) if made is not None else None
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    net = task.build(settings, backbone)
    net.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    net = net.eval().to(place)

    @torch.inference_mode()
    def score(pictures: list[Image.Image]) -> np.ndarray:
        pixels = [resize_and_crop(p, resize=settings.resize, crop=settings.crop) for p in pictures]
        x = torch.from_numpy(np.stack(pixels)).to(place).float().div(255)
        return np.asarray(task.predict(settings, net, {"x": x}).float().cpu().numpy())

    return score
