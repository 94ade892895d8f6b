"""Whether explanations are of what is memorable, where that is known: on drawn scenes that no model was trained on.

    python benchmarks/explain.py [SCENES [MODEL ...]]

Of scenes about a person or an animal, what the demo's people remember best: how much more of the score is lost by a patch
on that thing than by one of the same size on the background (`memorability.explain.occlusion`), with a 95 % bootstrap interval over
scenes. And of models with a network of their own: how alike explanations are once its weights are made random (Adebayo
et al., Sanity Checks for Saliency Maps, 2018), as the mean rank correlation over pictures. Needs the demo's trained models.
A model takes 2 to 6 minutes on one core.
"""

# ruff: noqa: E402  (kernels are chosen before NumPy and torch are loaded)
from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from memorability.core import kernels, layout

kernels.start()

import numpy as np
import torch
from PIL import Image
from torch import nn

from memorability.data import scenes
from memorability.evaluation.score_measures import spearman
from memorability.evaluation.statistics import interval, resamples
from memorability.explain import Method, method, occlusion
from memorability.media import parts
from memorability.predict.predictor import Predictor

MEMORABLE = (*scenes.GROUPS["people"], *scenes.GROUPS["animal"])
STREAM, PIXELS = 51, 96  # a stream that no data set is drawn from
CELLS, WIDE = 10, 2
ON, OFF = (
    0.5,
    0.05,
)  # a patch is on the thing from this share on; on the background up to that one, of any thing
FEW = 20  # pictures of the check with random weights


def drawn(count: int) -> list[tuple[scenes.Scene, Image.Image, np.ndarray]]:
    """Scenes about a memorable thing, each with its picture and, uint8 [S, S], 2 on that thing and 1 on others."""
    found = []
    for scene in scenes.draw(10 * count, stream=STREAM, seed=0):
        if scene.main is None or scene.subcategory not in MEMORABLE:
            continue
        picture, mask = scenes.render(scene, size=PIXELS)
        alone = replace(scene, things=(scene.things[scene.main],), main=0)
        main = np.asarray(scenes.render(alone, size=PIXELS)[1]) > 0
        found.append((scene, picture, np.where(main, 2, np.asarray(mask) > 0).astype(np.uint8)))
    return found[:count]


def difference(losses: np.ndarray, mask: np.ndarray) -> float:
    """What patches on the thing lose beyond those on the background; NaN where one of the two has no patch."""
    on, off = [], []
    for (row, column), loss in np.ndenumerate(losses):
        left, top, right, bottom = parts.box(row, column, cells=CELLS, wide=WIDE, width=PIXELS, height=PIXELS)
        under = mask[top:bottom, left:right]
        if (under == 2).mean() >= ON:
            on.append(loss)
        elif (under > 0).mean() <= OFF:
            off.append(loss)
    return float(np.mean(on) - np.mean(off)) if on and off else float("nan")


def on_the_thing(predictor: Predictor, found: list[Any], fill: parts.Fill) -> str:
    values = np.array([
        difference(occlusion.changes(predictor, picture, cells=CELLS, wide=WIDE, fill=fill)[1], mask)
        for _, picture, mask in found
    ])  # fmt: skip
    values = values[np.isfinite(values)]
    samples = resamples(len(values), repeats=2000, seed=0).means(values[:, None])[:, 0]
    low, high = interval(samples, n=len(values)) or (float("nan"), float("nan"))
    more = float((values > 0).mean())
    return f"{len(values)} scenes  {values.mean():+.4f}  [{low:+.4f}, {high:+.4f}]  the thing counts for more in {more:.0%}"


@contextmanager
def random_weights(net: nn.Module) -> Iterator[None]:
    """The network with the weights that it would be built with, within the block."""
    state = {name: value.clone() for name, value in net.state_dict().items()}
    torch.manual_seed(0)
    for part in net.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    yield
    net.load_state_dict(state)


def alike(predictor: Predictor, net: nn.Module, found: list[Any], how: Method) -> float:
    """Mean rank correlation of explanations with trained and with random weights, where either says something."""
    few, rhos = [picture for _, picture, _ in found[:FEW]], []
    before = [method(how)(predictor, picture).values for picture in few]
    with random_weights(net):
        after = [method(how)(predictor, picture).values for picture in few]
    for a, b in zip(before, after, strict=True):
        said = (a != 0) | (b != 0)
        rhos.append(spearman(a[said], b[said]) if said.any() else None)
    known = [rho for rho in rhos if rho is not None]
    return float(np.mean(known)) if known else float("nan")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    torch.set_num_threads(1)
    found = drawn(count)
    for name in sys.argv[2:] or ("ridge", "memnet", "resmem", "amnet"):
        predictor = Predictor(layout.MODELS / name, device="cpu")
        fills: tuple[parts.Fill, ...] = ("blur", "mean")
        for fill in fills:
            print(f"{name:14} {fill:5} {on_the_thing(predictor, found, fill)}", flush=True)
        if (network := predictor.model.network) is None:
            continue
        with random_weights(network.net):
            print(f"{name:14} random weights, blur: {on_the_thing(predictor, found, 'blur')}", flush=True)
        hows: tuple[Method, ...] = ("occlusion", "gradcam")
        for how in hows:
            rho = alike(predictor, network.net, found, how)
            print(f"{name:14} {how} with trained and with random weights: mean rho {rho:.3f}", flush=True)


if __name__ == "__main__":
    main()
