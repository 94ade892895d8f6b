"""Pictures as the original MemNet reads them, for any family of pictures or frames.

Khosla et al., Understanding and Predicting Image Memorability at a Large Scale (2015): a mean picture is subtracted, the
network sees crops of 227 pixels of a picture of 256, and a picture's score is the mean of its outputs for ten crops (the
four corners and the centre, and their mirror images), then scaled by fixed numbers. Needell and Bainbridge (2022)
describe this protocol, and leave it out.

`PictureModel.views`, `mean_picture` and `rescale` ask for it. Whole resized pictures are then read, and cropped
here: in training at a random place of each picture, where views have several, and after it as `views` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from memorability.core.errors import ParamsError
from memorability.features.inputs import Inputs
from memorability.features.settings import needs_whole
from memorability.training.contract import Family, Gradient
from memorability.training.settings import MeanFile, PictureModel, Rescale

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

READABLE = ("pictures", "frames")  # kinds whose inputs are pixels alone, [..., 3, H, W]
MEAN = "mean_picture"  # a buffer of the network: float [3, resize, resize] in [0, 1]


def applied(family: Family, settings: Any) -> Family:
    """The family as these settings have it read pictures; itself, where they ask for nothing of this.

    Raises:
        ParamsError: they do, and it reads something else than pixels.
    """
    if not needs_whole(settings) and getattr(settings, "rescale", None) is None:
        return family
    if not isinstance(family, Gradient) or family.READS not in READABLE or family.rank is not None:
        raise ParamsError(
            f"family {family.name} reads {family.READS}; views, mean_picture and rescale are for families that score "
            f"{' or '.join(READABLE)}"
        )
    return _applied(family)


def _applied(family: Gradient) -> Gradient:
    def build(settings: PictureModel, *, shape: tuple[int, ...], **options: Any) -> nn.Module:
        import torch

        net = family.build(settings, shape=(*shape[:-2], settings.crop, settings.crop), **options)
        if settings.mean_picture != "none":
            net.register_buffer(MEAN, torch.zeros(3, settings.resize, settings.resize))
        return net

    def step(
        settings: PictureModel,
        net: nn.Module,
        batch: dict[str, Tensor],
        optimisers: dict[str, Optimizer],
        backward: Callable[[Tensor], None],
    ) -> dict[str, Tensor]:
        x = training_crops(settings, _less_mean(settings, net, batch["x"]))
        y = batch["y"] if settings.rescale is None else _before(settings.rescale, batch["y"])
        return family.take_step(settings, net, batch | {"x": x, "y": y}, optimisers, backward)

    def of_views(question: Any) -> Any:
        def asked(settings: PictureModel, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
            x = _less_mean(settings, net, batch["x"])
            outputs = [question(settings, net, batch | {"x": view}) for view in views(settings, x)]
            mean: Tensor = sum(outputs[1:], start=outputs[0]) / len(outputs)
            return mean if settings.rescale is None else _after(settings.rescale, mean)

        return asked

    def attention(settings: PictureModel, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        x = _central(_less_mean(settings, net, batch["x"]), settings.crop)
        question: Any = family.attention  # which is there, where this stands in for it
        found: Tensor = question(settings, net, batch | {"x": x})
        return found

    return replace(
        family,
        build=build,
        step=step,
        predict=of_views(family.predict),
        frame_values=None if family.frame_values is None else of_views(family.frame_values),
        attention=None if family.attention is None else attention,
        frozen_features=None,  # of crops, which differ from step to step, nothing can be kept
        is_frozen=lambda settings: False,
        ONLY_FROZEN=False,
    )


def views(settings: PictureModel, x: Tensor) -> Iterator[Tensor]:
    """The crops of x [B, ..., R, R] that `settings.views` names, [B, ..., crop, crop] each.

    The corners in the order of `media.pictures.five_crops`, the centre last, then their mirror images.
    """
    crop, end = settings.crop, x.shape[-1] - settings.crop
    found = [_central(x, crop)]
    if settings.views in ("five_crop", "ten_crop"):
        found = [_part(x, top, left, crop) for top, left in ((0, 0), (0, end), (end, 0), (end, end))] + found
    yield from found
    if settings.views in ("mirror", "ten_crop"):
        yield from (view.flip(-1) for view in found)


def training_crops(settings: PictureModel, x: Tensor) -> Tensor:
    """x [B, ..., R, R] to [B, ..., crop, crop]: each at a random place, where `settings.views` has several, else the centre."""
    import torch

    if settings.views not in ("five_crop", "ten_crop"):
        return _central(x, settings.crop)
    places = torch.randint(0, x.shape[-1] - settings.crop + 1, (len(x), 2), device="cpu").tolist()
    return torch.stack(
        [_part(one, top, left, settings.crop) for one, (top, left) in zip(x, places, strict=True)]
    )


def set_mean(settings: Any, net: nn.Module, x: Inputs, rows: np.ndarray, lengths: np.ndarray | None) -> None:
    """Fills the network's mean picture, where it has one: of the training rows, or from the file that is named.

    Args:
        x: uint8 [3, R, R] each, or of clips [T, 3, R, R], of which the first `lengths` frames are there.

    Raises:
        DataError, ParamsError: as `_from_file`.
    """
    import torch

    if not hasattr(net, MEAN):
        return
    if isinstance(settings.mean_picture, MeanFile):
        mean = _from_file(settings.mean_picture, side=settings.resize)
    else:
        total, count = np.zeros((3, settings.resize, settings.resize)), 0
        for row in rows:
            frames = x[int(row)][None] if lengths is None else x[int(row)][: lengths[row]]
            total += frames.sum(axis=0, dtype=np.float64)
            count += len(frames)
        mean = total / (255 * max(1, count))
    getattr(net, MEAN).copy_(torch.from_numpy(mean))


def _from_file(given: MeanFile, *, side: int) -> np.ndarray:
    """A mean picture from a picture file: float [3, side, side] in [0, 1].

    Raises:
        DataError: it is no picture.
        ParamsError: it is another file than its SHA-256 says.
    """
    from memorability.core.files import sha256
    from memorability.media import pictures

    picture = pictures.read(given.path)
    if (found := sha256(given.path)) != given.sha256:
        raise ParamsError(
            f"mean_picture: {given.path} is another file than is meant: its SHA-256 is {found}, not {given.sha256}"
        )
    return pictures.prepared(picture, fit="squash", resize=side, crop=side) / 255


def mean_within(net: nn.Module, side: int) -> Tensor | None:
    """What a network's central crop is shown less of: its mean picture there, float [3, side, side]; None without one."""
    mean = getattr(net, MEAN, None)
    return None if mean is None else _central(mean, side)


def _less_mean(settings: PictureModel, net: nn.Module, x: Tensor) -> Tensor:
    return x if settings.mean_picture == "none" else x - getattr(net, MEAN)


def _part(x: Tensor, top: int, left: int, side: int) -> Tensor:
    return x[..., top : top + side, left : left + side]


def _central(x: Tensor, side: int) -> Tensor:
    return _part(x, (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2, side)


def _after(rescale: Rescale, output: Tensor) -> Tensor:
    """The network's output as a score in [0, 1]."""
    return ((output - rescale.subtract) * rescale.times + rescale.add).clamp(0, 1)


def _before(rescale: Rescale, score: Tensor) -> Tensor:
    """What the network is to put out for a score: it learns what comes before the scaling."""
    return (score - rescale.add) / rescale.times + rescale.subtract
