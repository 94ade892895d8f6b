"""How good palette's maps are after so many steps: validation CC and L1 against steps of training.

    python benchmarks/palette.py NAME STEPS [KEY=VALUE ...]    # changes of the block models.palette of params.yaml
    python benchmarks/palette.py conditioning NAME [KEY=VALUE ...]    # whether the network of a curve looks at the picture
    python benchmarks/palette.py references                    # what the mean map has, and samples that ignore the picture
    python benchmarks/palette.py figure CSV PNG                # curves of such lines, beside the references REFERENCES

Prints, and adds to logs/palette/NAME.csv, a line for each of `MARKS` up to STEPS and for each of `SAMPLES`: CC and L1 of at
most `PICTURES` validation pictures, of the running mean's weights. The rate stays what it is at first, so that
a curve goes on where another one ended: a run that was stopped, or is asked for more steps, goes on from its last mark. It reads
the split in use, of train and validation alone: `dvc repro split@maps` before it.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from memorability import params
from memorability.core import distributed, layout
from memorability.core.files import staged
from memorability.data import tables, true_maps
from memorability.evaluation import figures
from memorability.evaluation.maps import measure
from memorability.families import palette
from memorability.features import inputs

MARKS = (36, 72, 135, 270, 540, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000, 8000, 10_000)
SAMPLES = (1, 8)  # maps that are averaged
PICTURES = 48
FOLDER = Path("logs", "palette")
REFERENCES = {
    "mean map": 0.588,
    "8 maps of other pictures": 0.524,
    "a map of another picture": 0.323,
}  # of the full demo


def pairs(settings: Any, split: str, most: int | None = None) -> tuple[torch.Tensor, np.ndarray]:
    """Pictures and maps of a split, uint8 [N, 3, P, P] and [N, C, P, P]: all, or so many from first to last."""
    raw = layout.RAW / "maps"
    rows = tables.read(layout.split_table("maps"))
    rows = rows[rows["split"] == split].reset_index(drop=True)
    if most is not None and len(rows) > most:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, most).round().astype(int)].reset_index(drop=True)
    side = settings.side
    x = inputs.Pixels(inputs.Pictures(rows, raw), fit="squash", resize=side, crop=side)
    found = torch.from_numpy(np.stack([x[i] for i in range(len(x))]))
    return found, true_maps.read(raw, list(rows["id"]), pixels=settings.pixels)


def batch_of(step: int, *, count: int, size: int) -> np.ndarray:
    """Rows of a step's batch: every epoch has an order of its own."""
    epoch, place = divmod(step, count // size)
    order = np.random.default_rng([1, epoch]).permutation(count)
    return order[place * size : (place + 1) * size]


def evaluated(settings: Any, net: Any, x: torch.Tensor, truth: np.ndarray, seen: dict[str, Any]) -> None:
    """Adds a line for each number of samples, and prints it."""
    net.eval()
    for samples in SAMPLES:
        with torch.inference_mode():
            changed = settings.model_copy(update={"samples": samples})
            found = (
                palette.predict(changed, net, {"x": x.to(net.alpha_bar.device).float() / 255}).cpu().numpy()
            )
        measured = measure(truth, found)
        line = {**seen, "samples": samples, "val_cc": measured["cc"], "val_l1": measured["l1"]}
        path = FOLDER / f"{seen['name']}.csv"
        pd.DataFrame([line]).to_csv(path, mode="a", header=not path.exists(), index=False)
        print(line, flush=True)
    net.train()


def curve(name: str, steps: int, changes: dict[str, Any]) -> None:
    asked = params.load()
    settings: Any = asked.model("palette", changes)
    device = distributed.device(threads=asked.threads)
    x, y = pairs(settings, "train")
    x, maps = x.to(device), torch.from_numpy(y).to(device)
    of_val = pairs(settings, "val", PICTURES)
    torch.manual_seed(0)
    net: Any = palette.build(settings, shape=tuple(x.shape[1:]), backbone=None, channels=y.shape[1])
    net = net.to(device, memory_format=torch.channels_last).train()
    by = palette.optimisers(settings, net)
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept, step, seconds, began = FOLDER / f"{name}.pt", 0, 0.0, time.perf_counter()
    if kept.is_file():
        state = torch.load(kept, weights_only=True, map_location=device)
        net.load_state_dict(state["net"])
        by["net"].load_state_dict(state["optimiser"])
        step, seconds = state["step"], state["seconds"]
    while step < steps:
        rows = batch_of(step, count=len(x), size=settings.batch_size)
        torch.manual_seed(step * 7919 + 13)
        batch = {"x": x[rows].float() / 255, "y": maps[rows].float() / 255}
        loss = palette.step(settings, net, batch, by, torch.Tensor.backward)["loss"]
        step += 1
        if step not in (*MARKS, steps):
            continue
        seconds += time.perf_counter() - began
        seen = {"name": name, "step": step, "seconds": round(seconds, 1), "loss": round(float(loss), 4)}
        evaluated(settings, net, *of_val, seen)
        with staged(kept) as scratch:
            state = {"net": net.state_dict(), "optimiser": by["net"].state_dict()}
            torch.save(state | {"step": step, "seconds": seconds}, scratch)
        began = time.perf_counter()


def conditioning(name: str, changes: dict[str, Any]) -> None:
    """CC of the map that the running mean finds in noise at several timesteps, beside its own picture, another one and grey.

    `left` is the share of the true map's variance that is still there (alpha-bar); at the last timestep, the first of sampling,
    nothing is, so that only the picture can say where things are.
    """
    asked = params.load()
    settings: Any = asked.model("palette", changes)
    torch.set_num_threads(asked.threads)
    x, truth = pairs(settings, "val", PICTURES)
    net: Any = palette.build(settings, shape=tuple(x.shape[1:]), backbone=None, channels=truth.shape[1])
    net.load_state_dict(torch.load(FOLDER / f"{name}.pt", weights_only=True, map_location="cpu")["net"])
    net.eval()
    picture, wanted = x.float() / 127.5 - 1, torch.from_numpy(truth).float() / 127.5 - 1
    noise = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(0))
    given = {"its own": picture, "another": picture.roll(1, 0), "grey": torch.zeros_like(picture)}
    for t in [round(share * (settings.timesteps - 1)) for share in (1, 0.8, 0.6, 0.4, 0.2)]:
        left = 0 * net.alpha_bar[t] if t == settings.timesteps - 1 else net.alpha_bar[t]
        noisy = left.sqrt() * settings.input_scale * wanted + (1 - left).sqrt() * noise
        found = {}
        with torch.inference_mode():
            for kind, shown in given.items():
                said = net(shown, noisy, torch.full((len(x),), t), ema=True)
                a = net.alpha_bar[t]
                clean = ((noisy - (1 - a).sqrt() * said) / a.sqrt() / settings.input_scale).clamp(-1, 1)
                found[kind] = measure(truth, ((clean + 1) / 2).numpy())["cc"]
        print(
            f"timestep {t:4}  left {float(left):.3f}  " + "  ".join(f"{k} {v:.3f}" for k, v in found.items())
        )


def references() -> None:
    """CC and L1 of the mean map, and of the mean of n true maps of other pictures: what a perfect sampler gives that sees none."""
    settings: Any = params.load().model("palette")
    maps, truth = pairs(settings, "train")[1], pairs(settings, "val", PICTURES)[1]
    rng = np.random.default_rng(0)
    given = {"mean map": np.repeat(maps.mean(axis=0, keepdims=True), len(truth), axis=0)}
    for count in (1, 8, 32):
        drawn = [maps[rng.choice(len(maps), count, replace=False)].mean(axis=0) for _ in range(len(truth))]
        given[f"mean of {count} maps of other pictures"] = np.stack(drawn)
    for name, values in given.items():
        measured = measure(truth, (values / 255).astype(np.float32))
        print(f"{name:32} CC {measured['cc']:.3f}  L1 {measured['l1']:.4f}")


def figure(table: Path, to: Path) -> None:
    """CC of each name with one sample (dashed) and the mean of eight (solid), by steps."""
    lines = pd.read_csv(table)
    with figures.styled():
        drawn = Figure(figsize=(8, 4.2), layout="constrained")
        axes = drawn.subplots()
        colours = itertools.cycle((figures.TRUTH, *figures.MODELS))
        for colour, (name, own) in zip(colours, lines.groupby("name", sort=False), strict=False):
            for samples, style in ((1, "--"), (8, "-")):
                one = own[own["samples"] == samples].sort_values("step")
                label = f"{name}, {'one sample' if samples == 1 else 'mean of 8'}"
                axes.plot(one["step"], one["val_cc"], "o" + style, color=colour, label=label, markersize=4)
        for name, value in REFERENCES.items():
            axes.axhline(value, color="0.6", linewidth=1)
            axes.annotate(
                name,
                (1, value),
                (-4, 2),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
        axes.minorticks_off()
        axes.set(
            title="CC of palette's maps of validation pictures, full demo",
            xlabel="steps",
            ylabel="CC",
            ylim=(0, None),
        )
        drawn.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
        drawn.savefig(to, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    if sys.argv[1:2] == ["figure"]:
        figure(Path(sys.argv[2]), Path(sys.argv[3]))
        sys.exit()
    if sys.argv[1:] == ["references"]:
        references()
        sys.exit()
    what = [one for one in sys.argv[1:] if "=" not in one]
    changed = [one.split("=", 1) for one in sys.argv[1:] if "=" in one]
    asked_for = {key: yaml.safe_load(value) for key, value in changed}
    if what[0] == "conditioning":
        conditioning(what[1], asked_for)
    else:
        curve(what[0], int(what[1]), asked_for)
