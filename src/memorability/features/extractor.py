"""A backbone cut at some of its layers: pictures in, features out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from memorability.core import kernels
from memorability.core.distributed import full_precision
from memorability.core.errors import BackboneError
from memorability.core.files import digest
from memorability.features import architectures, backbones
from memorability.features.settings import Pool, Prepared, Views
from memorability.features.stored import check_finite
from memorability.features.taps import Taps
from memorability.media.pictures import VERSION, five_crops, prepared

COMPUTING = (
    "pillow",
    "simplejpeg",
    "timm",
    "torch",
    "torchvision",
)  # whose other versions may give other last bits
LAYOUT = "channels last"  # of the tensors in memory; results in another one have other last bits


class Extractor:
    """A backbone cut at some of its layers: pictures in, features out.

    Args:
        folder: a backbone artifact.
        layers, pools, views: as `settings.Cut` has them.
        dtype: `float16` or `float32`, of the result; all before that is float32.
        pixels: brings the whole picture to a square of so many pixels, in place of the backbone's fit, resize
            and crop.
        batch_size: every batch is padded to this size, because the last bits of a result depend on
            the size of its batch, and the result must not depend on what was computed before.

    Attributes:
        shape: of one picture's features: (D,), or (D, h, w) unpooled.

    Raises:
        BackboneError: there is no such layer, its weights are not in the artifact, the pools are not for what it
            makes, or the views are not for the backbone's resize and crop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        layers: Sequence[str],
        dtype: str,
        batch_size: int,
        pools: Sequence[Pool] = ("mean",),
        views: Views = "single",
        pixels: int | None = None,
        device: str | None = None,
    ) -> None:
        full_precision()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.name = folder.name
        self.layers, self.pools, self.views = tuple(layers), tuple(pools), views
        self.dtype, self.batch_size, self._pixels = dtype, batch_size, pixels
        network = backbones.load(folder, head=False)
        self.config, transform = network.config, network.config["transform"]
        own = {key: transform[key] for key in Prepared.model_fields}
        whole = {"fit": "squash", "resize": pixels, "crop": pixels} if pixels else {}
        self._prepared = Prepared.model_validate(own | whole)
        self._mean = torch.tensor(transform["mean"], device=self.device).view(3, 1, 1)
        self._std = torch.tensor(transform["std"], device=self.device).view(3, 1, 1)
        self._check_views()
        self._taps = self._tapped(network)
        self.shape = self._taps.shape

    def _check_views(self) -> None:
        how = self._prepared
        if self.views in ("five_crop", "ten_crop") and how.resize == how.crop:
            raise BackboneError(
                f"views: {self.views} are parts of a larger picture, and {self.name} has resize and crop of "
                f"{how.crop}; set a larger resize in its transform, or views: mirror"
            )

    @torch.inference_mode()
    def _tapped(self, network: backbones.Network) -> Taps:
        side = self._prepared.crop
        architectures.check_of_pictures(network.config)
        architectures.fit_size(network.net, network.config, side=side)
        # The layout that convolutions are fastest in.
        net: Any = network.net.eval()  # torch's stubs lack this form of `to`
        net = net.to(device=self.device, memory_format=torch.channels_last)
        example = self._input(np.zeros((1, 3, side, side), np.uint8))
        network = backbones.Network(net, network.config)
        return Taps(network, layers=self.layers, pools=self.pools, example=example)

    def describe(self) -> dict[str, Any]:
        """What the result depends on besides the pictures, in words and numbers."""
        settings = {
            "layers": list(self.layers),
            "pools": list(self.pools),
            "views": self.views,
            "dtype": self.dtype,
            "batch_size": self.batch_size,
        }
        whole = {} if self._pixels is None else {"pixels": self._pixels}
        return settings | whole | {"backbone": {"name": self.name, **self.config}}

    def namespace(self) -> str:
        """The cache's namespace: all of `describe` but the backbone's name, and what else the last bits depend on.

        That is decoding, the tensors' layout, the libraries that decode, build networks and compute, the kind of device, and
        on a CPU the number of threads and which kernels compute.
        """
        described = self.describe() | {"backbone": self.config}
        computing = [self.device.type, *(f"{name} {metadata.version(name)}" for name in COMPUTING)]
        if self.device.type == "cpu":
            computing += [str(torch.get_num_threads()), kernels.setting()]
        return digest(json.dumps(described, sort_keys=True), json.dumps(computing), str(VERSION), LAYOUT)[:32]

    def prepare(self, picture: Image.Image) -> np.ndarray:
        """uint8 [1 or 5, 3, crop, crop]: the part of the transform that runs in the decoding threads."""
        how = self._prepared.model_dump()
        if self.views in ("five_crop", "ten_crop"):
            return five_crops(picture, **how)
        return prepared(picture, **how)[None]

    @property
    def side(self) -> int:
        """Pixels that pictures are resized to."""
        return self._prepared.resize

    def size(self) -> int:
        """Bytes of one picture's features."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def prepared(self) -> Prepared:
        """How a picture becomes pixels."""
        return self._prepared

    @property
    def taps(self) -> Taps:
        """The network with its layers, behind its transform's mean and SD."""
        return self._taps

    def features_of(self, x: torch.Tensor) -> torch.Tensor:
        """Features float32 [B, D] or [B, D, h, w] of one view, float [B, 3, crop, crop] in [0, 1], as a function of tensors."""
        return self._taps(x.sub(self._mean).div(self._std))

    def __call__(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Features of up to `batch_size` prepared pictures: [n, D], or [n, D, h, w] unpooled.

        Raises:
            DataError: there are numbers that `dtype` cannot hold.
        """
        batch = np.zeros((self.batch_size, *pixels[0].shape), np.uint8)
        batch[: len(pixels)] = np.stack(pixels)
        values = self._compute(batch)[: len(pixels)]
        check_finite(values, of=f"layers {', '.join(self.layers)} of {self.name}, {len(pixels)} pictures")
        return values

    @torch.inference_mode()
    def _compute(self, batch: np.ndarray) -> np.ndarray:
        """Features of pictures [B, 1 or 5, 3, crop, crop], the mean over their views."""
        views = [batch[:, view] for view in range(batch.shape[1])]
        if self.views in ("mirror", "ten_crop"):
            views += [view[..., ::-1] for view in views]
        mean = self._taps(self._input(views[0]))
        for view in views[1:]:
            mean += self._taps(self._input(view))
        if len(views) > 1:
            mean /= len(views)
        return mean.contiguous().to(getattr(torch, self.dtype)).cpu().numpy()

    def _input(self, pixels: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).float().div(255)
        return x.sub(self._mean).div(self._std).contiguous(memory_format=torch.channels_last)
