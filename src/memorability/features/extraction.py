"""Features of pictures and frames: any layer of a frozen backbone, each picture computed once for ever."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from memorability.core import distributed, runtime
from memorability.core.cache import ContentCache
from memorability.core.errors import BackboneError
from memorability.core.files import digest, write_json
from memorability.core.progress import bar
from memorability.features import backbones
from memorability.features.settings import Prepared
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
        net, self.config = backbones.load(folder, head=False)
        if self.config["arch"] in backbones.OF_CLIPS:
            raise BackboneError(f"{self.config['arch']} reads clips; features need a network of pictures")
        headless = self.config["headless"]
        nodes = (
            backbones.before_head(net, self.config["arch"]) if headless else get_graph_node_names(net)[1][1:]
        )
        if not any(f"{node}.".startswith(f"{layer}.") for node in nodes):
            raise BackboneError(f"layer {layer!r} is not in {self.config['arch']}; valid: {', '.join(nodes)}")
        cut = create_feature_extractor(net, {layer: "out"}).eval().to(self.device)
        self._net = cut.to(memory_format=torch.channels_last)  # the layout convolutions are fastest in
        self.layer, self.pool, self.dtype, self.batch_size = layer, pool, dtype, batch_size
        transform = self.config["transform"]
        self._pixels = pixels
        whole = {"fit": "squash", "resize": pixels, "crop": pixels}
        self._prepared = Prepared.model_validate(
            whole if pixels else {key: transform[key] for key in Prepared.model_fields}
        )
        self._crop = self._prepared.crop
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
        """The cache's namespace: all of `describe` but the backbone's name, the decoding, the kind of device.

        And, on a CPU, the number of threads, on which the last bits of convolutions in this layout depend.
        """
        described = self.describe() | {"backbone": self.config}
        device = f"{self.device.type} {torch.get_num_threads() if self.device.type == 'cpu' else ''}"
        return digest(json.dumps(described, sort_keys=True), device, str(VERSION), LAYOUT)[:32]

    def prepare(self, picture: Image.Image) -> np.ndarray:
        """uint8 [3, crop, crop]: the part of the transform that runs in the decoding threads."""
        how = self._prepared
        return prepared(picture, fit=how.fit, resize=how.resize, crop=how.crop)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one picture's features: (D,), or (D, h, w) unpooled."""
        return self._compute(np.zeros((1, 3, self._crop, self._crop), np.uint8)).shape[1:]

    def size(self) -> int:
        """Bytes of one picture's features."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def __call__(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Features of up to `batch_size` prepared pictures: [n, D], or [n, D, h, w] unpooled."""
        batch = np.zeros((self.batch_size, *pixels[0].shape), np.uint8)
        batch[: len(pixels)] = np.stack(pixels)
        return self._compute(batch)[: len(pixels)]

    @torch.inference_mode()
    def _compute(self, batch: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(batch).to(self.device).float().div(255).sub(self._mean).div(self._std)
        out: Tensor = self._net(x.contiguous(memory_format=torch.channels_last))["out"]
        if out.ndim == 4 and (self.pool == "mean" or out.shape[2:] == (1, 1)):
            out = out.mean(dim=(2, 3))
        return out.contiguous().to(getattr(torch, self.dtype)).cpu().numpy()


def extract(
    keys: Sequence[str],
    picture: Callable[[int], Image.Image],
    extractor: Extractor,
    *,
    out: Path,
    cache_root: Path,
    threads: int,
    shape: tuple[int, ...] | None = None,
    slots: Sequence[int] | None = None,
    more: dict[str, Any] | None = None,
) -> int:
    """Writes `out/features.npy` ([N, D] or [N, D, h, w]) and `out/config.json`; the folder exists.

    Of several processes each computes and writes its part, the first one makes the files.

    Args:
        keys: content hash of each picture, [M]; equal contents are computed once.
        picture: gives picture i, decoded; called from `threads` threads.
        shape: of the array that holds a picture's features in each place, instead of (N,): (N, T)
            for T frames of N clips. A place that no picture has stays zero.
        slots: place of each picture in that array, flattened, [M]; by default in their order.
        more: further entries of config.json.

    Returns:
        How many pictures this process computed, the others being in the cache.
    """
    shape = (len(keys),) if shape is None else shape
    slots = range(len(keys)) if slots is None else slots
    path = out / "features.npy"
    if runtime.rank() == 0:
        _allocate(path, dtype=extractor.dtype, shape=(*shape, *extractor.shape))
        write_json(out / "config.json", extractor.describe() | (more or {}))
    distributed.wait(extractor.device)
    rows_of: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        rows_of.setdefault(key, []).append(i)
    with closing(ContentCache(cache_root, extractor.namespace())) as cache, path.open("r+b") as file:
        start = path.stat().st_size - math.prod(shape) * extractor.size()

        def write(key: str, value: bytes) -> None:
            for row in rows_of[key]:
                os.pwrite(file.fileno(), value, start + int(slots[row]) * len(value))

        todo = []
        for key in distributed.share(list(rows_of)):
            stored = cache.get(key)
            if stored is None or len(stored) != extractor.size():
                todo.append(rows_of[key][0])
            else:
                write(key, stored)

        def prepared(i: int) -> np.ndarray:
            return extractor.prepare(picture(i))

        # A GPU computes while the cores decode ahead; on a CPU both would only get in each other's way.
        ahead = 3 if extractor.device.type == "cuda" else 0
        with bar(total=len(todo), of="features", unit="picture") as progress:
            for rows, pixels in _batches(todo, prepared, extractor.batch_size, threads, ahead):
                values = {keys[i]: v.tobytes() for i, v in zip(rows, extractor(pixels), strict=True)}
                cache.put(values.items())
                for key, value in values.items():
                    write(key, value)
                progress.update(len(rows))
    distributed.wait(extractor.device)
    return len(todo)


def _allocate(path: Path, *, dtype: str, shape: tuple[int, ...]) -> None:
    """A .npy file of zeros. Rows are then written at their place: a memory map would fill the memory."""
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + math.prod(shape) * np.dtype(dtype).itemsize)


def _batches(
    rows: list[int], load: Callable[[int], np.ndarray], size: int, threads: int, ahead: int
) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    """Batches of rows with their pixels, decoded in threads up to `ahead` batches early."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[list[int], list[Future[np.ndarray]]]] = deque()
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            waiting.append((part, [pool.submit(load, i) for i in part]))
            if len(waiting) > ahead:
                done, futures = waiting.popleft()
                yield done, [future.result() for future in futures]
        while waiting:
            done, futures = waiting.popleft()
            yield done, [future.result() for future in futures]
