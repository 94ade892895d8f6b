"""What explanations cost beside scoring, by the demo's trained models.

    python benchmarks/explain_time.py [MODEL ...]

Of a model: the time of an explanation over that of scoring as many pictures as the method needs, both in one run and by turns:
occlusion over the same 82 pictures, ready made (what covering places costs); Grad-CAM and attention over one picture. The median
of the rounds, and the fastest and slowest.
"""

# ruff: noqa: E402  (kernels are chosen before NumPy and torch are loaded)
from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from memorability.core import kernels, layout

kernels.start()

import torch

from memorability.core.errors import MemorabilityError
from memorability.data import scenes
from memorability.explain import Method, method, scores_of
from memorability.explain.occlusion import PATCH, STRIDE, grid
from memorability.media.parts import covered
from memorability.predict.predictor import Predictor

STREAM, PIXELS, ROUNDS = 51, 96, 5  # a stream that no data set is drawn from
HOWS: tuple[Method, ...] = ("occlusion", "gradcam", "attention")


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(predictor: Predictor, how: Method) -> list[float]:
    """Of each round: the explanation's time over the scoring's."""
    [scene] = scenes.draw(1, stream=STREAM, seed=0)
    picture, _ = scenes.render(scene, size=PIXELS)
    looked_at = [picture]
    if how == "occlusion":
        cells, wide = grid(PATCH, STRIDE)
        looked_at += covered(picture, cells=cells, wide=wide, fill="blur")
    explain = method(how)
    explain(predictor, picture)  # what is made once, such as modules imported
    scores_of(predictor, looked_at)
    found = list[float]()
    for _ in range(ROUNDS):
        asked = seconds(lambda: explain(predictor, picture))
        found.append(asked / seconds(lambda: scores_of(predictor, looked_at)))
    return found


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("ridge", "memnet", "resmem", "amnet"):
        predictor = Predictor(layout.MODELS / name, device="cpu")
        for how in HOWS:
            try:
                found = ratios(predictor, how)
            except MemorabilityError as error:
                print(f"{name:8} {how:10} none: {' '.join(str(error).split())[:90]}", flush=True)
                continue
            middle = statistics.median(found)
            print(f"{name:8} {how:10} {middle:.2f} [{min(found):.2f}, {max(found):.2f}]", flush=True)


if __name__ == "__main__":
    main()
