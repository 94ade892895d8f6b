"""Features of a track's pictures or frames: each computed once for ever, and written to its place."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from memorability.core import distributed, runtime
from memorability.core.cache import ContentCache
from memorability.core.files import write_json
from memorability.core.progress import bar
from memorability.features import stored
from memorability.features.extractor import Extractor


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
    if runtime.rank() == 0:
        whole = (len(keys),) if shape is None else shape
        _allocate(out / stored.VALUES, dtype=extractor.dtype, shape=(*whole, *extractor.shape))
        write_json(out / stored.CONFIG, extractor.describe() | (more or {}))
    distributed.wait(extractor.device)
    rows_of: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    size = extractor.size()
    with (
        closing(ContentCache(cache_root, extractor.namespace())) as cache,
        (out / stored.VALUES).open("r+b") as file,
    ):
        places = math.prod(shape) if shape is not None else len(keys)
        start = os.fstat(file.fileno()).st_size - places * size

        def write(key: str, value: bytes) -> None:
            for row in rows_of[key]:
                os.pwrite(file.fileno(), value, start + size * int(row if slots is None else slots[row]))

        todo = []
        for key in distributed.share(list(rows_of)):
            value = cache.get(key)
            if value is None or len(value) != size:
                todo.append(rows_of[key][0])
            else:
                write(key, value)
        for rows, values in _computed(todo, picture, extractor, threads):
            new = {keys[row]: value.tobytes() for row, value in zip(rows, values, strict=True)}
            cache.put(new.items())
            for key, value in new.items():
                write(key, value)
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


def _computed(
    rows: list[int], picture: Callable[[int], Image.Image], extractor: Extractor, threads: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Batches of rows with their features."""

    def prepare(row: int) -> np.ndarray:
        return extractor.prepare(picture(row))

    # A GPU computes while the cores decode ahead; on a CPU both would only get in each other's way.
    ahead = 3 if extractor.device.type == "cuda" else 0
    with bar(total=len(rows), of="features", unit="picture") as progress:
        for part, pixels in _batches(rows, prepare, extractor.batch_size, threads, ahead):
            yield part, extractor(pixels)
            progress.update(len(part))


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
