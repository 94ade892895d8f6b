"""Small synthetic maps, as arrays and as a raw track on disk: for tests of what judges and draws maps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from memorability.data import tables
from memorability.data.shards import ShardWriter
from memorability.evaluation import Judged, maps

SIZE = 16
SPLITS = ("train",) * 6 + ("val",) * 8 + ("test",) * 12
EPOCHS = 6
GAN = pd.DataFrame(
    {
        "epoch": range(EPOCHS),
        "lr": 0.001,
        "train_generator": np.linspace(2, 1, EPOCHS),
        "train_discriminator": np.linspace(0.5, 0.1, EPOCHS),
        "train_l1": np.linspace(0.1, 0.05, EPOCHS),
        "train_wins": [0.5, 0.99, 0.7, 0.98, 0.99, 1.0],
        "val_l1": np.linspace(0.12, 0.07, EPOCHS),
        "val_cc": np.linspace(0.1, 0.5, EPOCHS),
    }
)
DIFFUSION = GAN.drop(columns=["train_generator", "train_discriminator", "train_l1", "train_wins"]).assign(
    train_noise=np.linspace(1, 0.2, EPOCHS)
)
CLOSED_FORM = pd.DataFrame({"epoch": [0], "val_l1": [0.09], "val_cc": [0.3]})


def blocks(n: int = len(SPLITS), *, channels: int = 3, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Maps of a few rectangles that lie on each other, uint8; a third channel is empty, as in VISCHEMA's."""
    rng = np.random.default_rng(seed)
    made = np.zeros((n, channels, size, size), np.uint8)
    for row in range(n):
        for channel in range(min(channels, 2)):
            for _ in range(5):
                x, y = rng.integers(0, size - 4, 2)
                made[row, channel, y : y + 4, x : x + 6] += 20
    return made


def blurred(truth: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(truth.astype(np.float32) / 255, (0, 0, sigma, sigma))


def mean_of(truth: np.ndarray) -> np.ndarray:
    """What a model says that says the same of every picture."""
    return (truth.astype(np.float32) / 255).mean(axis=0, keepdims=True).repeat(len(truth), axis=0)


def rows(splits: tuple[str, ...] = SPLITS) -> pd.DataFrame:
    ids = [f"demo/{i}.png" for i in range(len(splits))]
    return pd.DataFrame({"id": ids, "dataset": "demo", "split": splits})


def judged(sigma: float = 1.0, *, channels: int = 3) -> Judged:
    truth = blocks(channels=channels)
    return Judged(rows(), truth, blurred(truth, sigma))


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png")
    return stream.getvalue()


def write_raw(folder: Path, truth: np.ndarray, table: pd.DataFrame) -> pd.DataFrame:
    """Pictures and maps in the layout of a raw track; returns the rows as a split table."""
    folder.mkdir(parents=True)
    members: dict[str, list[Any]] = {"pictures": [], "maps": []}
    with ShardWriter(folder, prefix="pictures") as pictures, ShardWriter(folder, prefix="maps") as drawn:
        for number, name in enumerate(table["id"]):
            picture = Image.new("RGB", (40, 30), (20 * number % 256, 80, 120))
            members["pictures"].append(pictures.add(name, png(picture))._asdict())
            values = truth[number].transpose(1, 2, 0)
            image = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
            members["maps"].append(drawn.add(name, png(image))._asdict())
    beside = pd.DataFrame({"id": table["id"], "channels": truth.shape[1]})
    tables.write(beside.join(pd.DataFrame(members["maps"])), folder / "maps.csv")
    return table.assign(map="a hash").join(pd.DataFrame(members["pictures"]))


def write_model(
    folder: Path, table: pd.DataFrame, predicted: np.ndarray, history: pd.DataFrame = CLOSED_FORM
) -> None:
    """Predictions of all rows, in an order that is not the split table's, and a history."""
    maps.write(folder, table, np.arange(len(table))[::-1], predicted[::-1], {})
    tables.write(history, folder / "history.csv")
