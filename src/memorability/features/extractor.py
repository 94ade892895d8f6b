"""A backbone cut at a layer: pictures in, features out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from memorability.core import kernels
from memorability.core.errors import BackboneError
from memorability.core.files import digest
from memorability.features import backbones
from memorability.features.encoders import before_head
from memorability.features.settings import Prepared
from memorability.features.stored import check_finite
from memorability.media.pictures import VERSION, prepared

LAYOUT = "channels last"  # of the tensors in memory; results in another one have other last bits


class Extractor:
    """A backbone cut at a layer: pictures in, features out.

    Args:
        folder: a backbone artifact.
        layer: a module's path within the network, such as `avgpool` or `layer3`.
        pool: `mean` averages over space; `none` keeps the layer's shape (spatial maps of one pixel
            lose their last two dimensions all the same).
        dtype: `float16` or `float32`, of the result.
        pixels: brings the whole picture to a square of so many pixels, in place of the backbone's fit, resize
            and crop.
        batch_size: every batch is padded to this size, because the last bits of a result depend on
            the size of its batch, and the result must not depend on what was computed before.

    Raises:
        BackboneError: there is no such layer, or its weights are not in the artifact.
    """

    def __init__(
        self,
        folder: Path,
        *,
        layer: str,
        pool: str,
        dtype: str,
        batch_size: int,
        pixels: int | None = None,
        device: str | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.name = folder.name
        network = backbones.load(folder, head=False)
        self.config = network.config
        cut = _cut(network, layer).eval().to(self.device)
        self._net = cut.to(memory_format=torch.channels_last)  # the layout convolutions are fastest in
        self.layer, self.pool, self.dtype, self.batch_size = layer, pool, dtype, batch_size
        self._pixels, transform = pixels, self.config["transform"]
        whole = {"fit": "squash", "resize": pixels, "crop": pixels}
        own = {key: transform[key] for key in Prepared.model_fields}
        self._prepared = Prepared.model_validate(whole if pixels else own)
        self._mean = torch.tensor(transform["mean"], device=self.device).view(3, 1, 1)
        self._std = torch.tensor(transform["std"], device=self.device).view(3, 1, 1)

    def describe(self) -> dict[str, Any]:
        """What the result depends on besides the pictures, in words and numbers."""
        settings = {
            "layer": self.layer,
            "pool": self.pool,
            "dtype": self.dtype,
            "batch_size": self.batch_size,
        }
        whole = {} if self._pixels is None else {"pixels": self._pixels}
        return settings | whole | {"backbone": {"name": self.name, **self.config}}

    def namespace(self) -> str:
        """The cache's namespace: all of `describe` but the backbone's name, and what else the last bits depend on.

        That is decoding, the tensors' layout, the kind of device, and on a CPU the number of threads and which
        kernels compute.
        """
        described = self.describe() | {"backbone": self.config}
        computing = [self.device.type]
        if self.device.type == "cpu":
            computing += [str(torch.get_num_threads()), kernels.setting()]
        return digest(json.dumps(described, sort_keys=True), json.dumps(computing), str(VERSION), LAYOUT)[:32]

    def prepare(self, picture: Image.Image) -> np.ndarray:
        """uint8 [3, crop, crop]: the part of the transform that runs in the decoding threads."""
        how = self._prepared
        return prepared(picture, fit=how.fit, resize=how.resize, crop=how.crop)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one picture's features: (D,), or (D, h, w) unpooled."""
        crop = self._prepared.crop
        return self._compute(np.zeros((1, 3, crop, crop), np.uint8)).shape[1:]

    def size(self) -> int:
        """Bytes of one picture's features."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def __call__(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Features of up to `batch_size` prepared pictures: [n, D], or [n, D, h, w] unpooled.

        Raises:
            DataError: there are numbers that `dtype` cannot hold.
        """
        batch = np.zeros((self.batch_size, *pixels[0].shape), np.uint8)
        batch[: len(pixels)] = np.stack(pixels)
        values = self._compute(batch)[: len(pixels)]
        check_finite(values, of=f"layer {self.layer} of {self.name}, {len(pixels)} pictures")
        return values

    @torch.inference_mode()
    def _compute(self, batch: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(batch).to(self.device).float().div(255).sub(self._mean).div(self._std)
        out: Tensor = self._net(x.contiguous(memory_format=torch.channels_last))["out"]
        if out.ndim == 4 and (self.pool == "mean" or out.shape[2:] == (1, 1)):
            out = out.mean(dim=(2, 3))
        return out.contiguous().to(getattr(torch, self.dtype)).cpu().numpy()


def _cut(network: backbones.Network, layer: str) -> nn.Module:
    """The network up to a layer; its output is a dict with one entry, `out`."""
    net, arch = network.net, network.config["arch"]
    if arch in backbones.OF_CLIPS:
        raise BackboneError(f"{arch} reads clips; features need a network of pictures")
    headless = network.config["headless"]
    nodes = before_head(net, arch) if headless else get_graph_node_names(net)[1][1:]
    if not any(f"{node}.".startswith(f"{layer}.") for node in nodes):
        raise BackboneError(f"layer {layer!r} is not in {arch}; valid: {', '.join(nodes)}")
    return create_feature_extractor(net, {layer: "out"})
