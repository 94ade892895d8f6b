"""The demo's clips: drawn scenes in which things move, remembered after minutes and after days.

Written in MediaEval's layout (webm, a table of scores, titles) and read back by its adapter. A clip's
latent memorability is that of its scene (`datasets.demo`) with a part for motion; what is left of it
after days leans on what the clip shows, and has an unexplained part of its own. Participants then
answer, few to each clip, and after days far fewer: only their answers are written, as hit rates.

The generator is frozen: models are compared on it, it is never adapted to them.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pandas as pd
from pydantic import Field

from memorability.core import runtime
from memorability.core.files import write_text
from memorability.core.parallel import map_in_processes
from memorability.core.progress import bar
from memorability.data import scenes
from memorability.data.datasets import mediaeval
from memorability.data.datasets.common import Source
from memorability.data.datasets.demo import latent

SCENE_STREAM, MOTION_STREAM, ANSWER_STREAM, TITLE_STREAM = 5, 6, 7, 8  # the pictures' are others
SECONDS, RATE = 8, 4  # of a clip, and its frames a second
LIVELY = {"person": 1.0, "face": 0.7, "cat": 1.0, "bird": 1.2, "fish": 1.2, "car": 1.3, "boat": 0.8}
STILL = 0.15  # what is not alive and has no engine hardly moves

WORDS = {
    "person": ("person", "man", "woman"),
    "face": ("face", "portrait of a woman", "portrait of a man", "close up"),
    "cat": ("cat", "pet"),
    "bird": ("bird",),
    "fish": ("fish",),
    "car": ("car", "vehicle"),
    "boat": ("boat", "sailing boat"),
    "chair": ("chair", "furniture"),
    "lamp": ("lamp", "furniture"),
    "house": ("house", "building"),
    "tree": ("tree", "tree in the wind"),
    "flower": ("flower", "flower in bloom"),
}
WHERE = {
    "meadow": ("in a meadow", "on grass"),
    "sea": ("at sea", "on the water"),
    "mountains": ("in the mountains", "before mountains"),
    "street": ("in the street", "in town"),
    "room": ("in a room", "indoors"),
    "hall": ("in a hall", "indoors"),
}


class Params(Source):
    """How many clips of which side (pixels, even), and how many people answer to each on average."""

    clips: int = Field(ge=20, le=99_999)
    pixels: int = Field(ge=32, le=1024, multiple_of=2)
    short_term_responses: int = Field(38, ge=4)
    long_term_responses: int = Field(13, ge=4)


@dataclass(frozen=True)
class Motion:
    """How a thing moves: to and fro across `reach` (in sides of the picture) at `rate` (turns a second)."""

    reach: float
    rate: float
    phase: float


def read(params: Params, *, work: Path, seed: int) -> pd.DataFrame:
    """Generates the set below `work` and reads it with MediaEval's adapter."""
    generate(work, params, seed=seed)
    return mediaeval.read_layout(work)


def generate(root: Path, params: Params, *, seed: int) -> None:
    """Writes `sources/videoN.webm`, `ground-truth.csv` and `captions.txt`."""
    drawn = scenes.draw(params.clips, stream=SCENE_STREAM, seed=seed)
    motions = [
        _motions(scene, np.random.default_rng([MOTION_STREAM, seed, i])) for i, scene in enumerate(drawn)
    ]
    (root / "sources").mkdir(parents=True, exist_ok=True)
    names = [f"video{i + 1}.webm" for i in range(params.clips)]
    paths = [root / "sources" / name for name in names]
    save = partial(_save, size=params.pixels)
    done = map_in_processes(save, paths, drawn, motions, processes=runtime.cores())
    list(bar(done, of="demo clips", unit="clip", total=params.clips))
    rng = np.random.default_rng([ANSWER_STREAM, seed])
    short, long = _latents(drawn, motions, rng)
    # Logits of knowing a clip again: after days fewer do, and answers depend a little less on the clip.
    minutes = answers(1.4 + 0.9 * short, params.short_term_responses, rng)
    days = answers(0.7 + 0.8 * long, params.long_term_responses, rng)
    with (root / "ground-truth.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        head = [f"{term}_memorability,nb_{term}_annotations" for term in mediaeval.TERMS.values()]
        writer.writerow(["video", *",".join(head).split(",")])
        writer.writerows([name, *m, *d] for name, m, d in zip(names, minutes, days, strict=True))
    titles = [_title(scene, np.random.default_rng([TITLE_STREAM, seed, i])) for i, scene in enumerate(drawn)]
    lines = [f"{name}\t{title.replace(' ', '-')}" for name, title in zip(names, titles, strict=True)]
    write_text(root / "captions.txt", "\n".join(lines) + "\n")


def _motions(scene: scenes.Scene, rng: np.random.Generator) -> tuple[Motion, ...]:
    return tuple(
        Motion(
            reach=float(LIVELY.get(thing.category, STILL) * rng.uniform(0.02, 0.25)),
            rate=float(rng.uniform(0.05, 0.3)),
            phase=float(rng.uniform(0, 2 * math.pi)),
        )
        for thing in scene.things
    )


def _at(scene: scenes.Scene, motions: tuple[Motion, ...], time: float) -> scenes.Scene:
    """The scene `time` seconds after its first moment."""

    def moved(thing: scenes.Thing, motion: Motion) -> scenes.Thing:
        turn = 2 * math.pi * motion.rate
        there = motion.reach * (math.sin(turn * time + motion.phase) - math.sin(motion.phase))
        return replace(thing, x=thing.x + there)

    return replace(scene, things=tuple(map(moved, scene.things, motions)))


def _save(path: Path, scene: scenes.Scene, motions: tuple[Motion, ...], size: int) -> None:
    if path.is_file():  # written by a run that was stopped
        return
    moments = [_at(scene, motions, k / RATE) for k in range(SECONDS * RATE)]
    scratch = path.with_name(f".{path.name}")
    # bitexact: neither the time of writing nor the encoder's version get into the file.
    with av.open(str(scratch), "w", format="webm", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx", rate=RATE, options={"deadline": "realtime", "cpu-used": "4"})
        stream.width = stream.height = size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 200_000
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        for picture, _ in scenes.film(moments, size=size):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        container.mux(stream.encode())
    scratch.replace(path)  # so that what is there is whole


def _latents(
    drawn: list[scenes.Scene], motions: list[tuple[Motion, ...]], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Latent memorability after minutes and after days, mean 0 and SD 1 over the set: [N] each."""
    of_scene = latent(drawn, rng)
    motion = np.array([sum(m.reach * m.rate for m in moving) for moving in motions])
    short = _standard(of_scene + 0.35 * _standard(motion))
    shown = np.array([scene.main is not None for scene in drawn], float)
    long = _standard(0.8 * short + 0.25 * _standard(shown) + 0.45 * rng.normal(size=len(drawn)))
    return short, long


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() or 1.0)  # a small set may be of one kind


def answers(logit: np.ndarray, responses: int, rng: np.random.Generator) -> list[tuple[float, int]]:
    """Simulated recognition: hit rate and number of answers of each clip.

    A clip has `responses` answers on average, at least 2. Participant p knows it again with probability
    logistic(logit + a_p), where a_p (SD 0.6) is the person's own.
    """
    found = []
    for value in logit:
        count = max(2, int(rng.poisson(responses)))
        chance = 1 / (1 + np.exp(-(value + rng.normal(0, 0.6, count))))
        found.append((float((rng.random(count) < chance).mean()), count))
    return found


def _title(scene: scenes.Scene, rng: np.random.Generator) -> str:
    """What a stock agency would call the clip; it names what is seen, now and then with less care."""

    def one(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    main = (
        one(WORDS[scene.subcategory])
        if scene.main is not None
        else one(("landscape", "scenery", scene.place))
    )
    others = [thing.category for i, thing in enumerate(scene.things) if i != scene.main]
    beside = f" and {one(WORDS[others[0]])}" if others and rng.random() < 0.5 else ""
    light = "" if rng.random() < 0.6 else " at dusk" if scene.light < 0.9 else " in bright light"
    return f"{main}{beside} {one(WHERE[scene.place])}{light}"
