"""Features of pictures: any layer of a frozen backbone, each picture computed once for ever."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from memorability import backbones
from memorability.errors import BackboneError
from memorability.feature_cache import FeatureCache
from memorability.files import digest, write_json
from memorability.pictures import resize_and_crop
from memorability.progress import bar


class Extractor:
    """A backbone cut at a layer: pictures in, features out.

    Args:
        folder: a backbone artifact.
        layer: a module's path within the network, such as `avgpool` or `layer3`.
        pool: `mean` averages over space; `none` keeps the layer's shape (spatial maps of one pixel
            lose their last two dimensions all the same).
        dtype: `float16` or `float32`, of the result.
        batch_size: every batch is padded to this size, because the last bits of a result depend on
            the size of its batch, and the result must not depend on what was computed before.

    Raises:
        BackboneError: there is no such layer, or its weights are not in the artifact.
    """

    def __init__(
        self, folder: Path, *, layer: str, pool: str, dtype: str, batch_size: int, device: str | None = None
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.name = folder.name
        net, self.config = backbones.load(folder, head=False)
        last = backbones.ARCHITECTURES[self.config["arch"]]
        _, nodes = get_graph_node_names(net)
        head = next(i for i, node in enumerate(nodes) if node.startswith(last.split(".")[0]))
        nodes = nodes[1 : head if self.config["headless"] else None]  # the first is the input
        if not any(f"{node}.".startswith(f"{layer}.") for node in nodes):
            raise BackboneError(f"layer {layer!r} is not in {self.config['arch']}; valid: {', '.join(nodes)}")
        self._net = create_feature_extractor(net, {layer: "out"}).eval().to(self.device)
        self.layer, self.pool, self.dtype, self.batch_size = layer, pool, dtype, batch_size
        transform = self.config["transform"]
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
        return settings | {"backbone": {"name": self.name, **self.config}}

    def namespace(self) -> str:
        """The cache's namespace: all of `describe` but the backbone's name, and the kind of device."""
        described = self.describe() | {"backbone": self.config}
        return digest(json.dumps(described, sort_keys=True), self.device.type)[:32]

    def prepare(self, picture: Image.Image) -> np.ndarray:
        """uint8 [3, crop, crop]: the part of the transform that runs in the decoding threads."""
        transform = self.config["transform"]
        return resize_and_crop(picture, resize=transform["resize"], crop=transform["crop"])

    def shape(self) -> tuple[int, ...]:
        """Shape of one picture's features: (D,), or (D, h, w) unpooled."""
        crop = self.config["transform"]["crop"]
        return self._compute(np.zeros((1, 3, crop, crop), np.uint8)).shape[1:]

    def __call__(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Features of up to `batch_size` prepared pictures: [n, D], or [n, D, h, w] unpooled."""
        batch = np.zeros((self.batch_size, *pixels[0].shape), np.uint8)
        batch[: len(pixels)] = np.stack(pixels)
        return self._compute(batch)[: len(pixels)]

    @torch.inference_mode()
    def _compute(self, batch: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(batch).to(self.device).float().div(255).sub(self._mean).div(self._std)
        out: Tensor = self._net(x)["out"]
        if out.ndim == 4 and (self.pool == "mean" or out.shape[2:] == (1, 1)):
            out = out.mean(dim=(2, 3))
        return out.to(getattr(torch, self.dtype)).cpu().numpy()


def extract(
    keys: Sequence[str],
    picture: Callable[[int], Image.Image],
    extractor: Extractor,
    *,
    out: Path,
    cache_root: Path,
    threads: int,
) -> int:
    """Writes `out/features.npy` ([N, D] or [N, D, h, w]) and `out/config.json`; the folder exists.

    Args:
        keys: content hash of each picture, [N]; equal contents are computed once.
        picture: gives picture i, decoded; called from `threads` threads.

    Returns:
        How many pictures were computed, the others being in the cache.
    """
    shape = extractor.shape()
    array = np.lib.format.open_memmap(
        out / "features.npy", mode="w+", dtype=extractor.dtype, shape=(len(keys), *shape)
    )
    cache = FeatureCache(cache_root, extractor.namespace())
    rows_of: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        rows_of.setdefault(key, []).append(i)
    todo = []
    for key, rows in rows_of.items():
        stored = cache.get(key)
        if stored is None:
            todo.append(rows[0])
        else:
            array[rows] = np.frombuffer(stored, array.dtype).reshape(shape)

    def prepared(i: int) -> np.ndarray:
        return extractor.prepare(picture(i))

    with bar(total=len(todo), of="features", unit="picture") as progress:
        # A GPU computes while the cores decode ahead; on a CPU both would only get in each other's way.
        ahead = 3 if extractor.device.type == "cuda" else 0
        for rows, pixels in _batches(todo, prepared, extractor.batch_size, threads, ahead):
            values = extractor(pixels)
            cache.put((keys[i], v.tobytes()) for i, v in zip(rows, values, strict=True))
            for i, value in zip(rows, values, strict=True):
                array[rows_of[keys[i]]] = value
            progress.update(len(rows))
    cache.close()
    array.flush()
    write_json(out / "config.json", extractor.describe())
    return len(todo)


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
