"""Makes the pictures of the documents from the last run: python docs/pictures.py [NAME ...]

Without names all of them; `explain`, `visualise` and `layers` are those of docs/explain.md and take some minutes.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from memorability.data import tables
from memorability.features.inputs import Pictures

DOCS = Path(__file__).parent
COLUMNS, ROWS, SIDE, GAP, LABEL = 12, 4, 96, 4, 14


def contact_sheet(track: str = "images") -> Image.Image:
    """Pictures of the track at equal steps of rank, from forgotten to remembered, with their scores."""
    rows = tables.read(Path(f"data/splits/{track}.csv")).sort_values("score", kind="stable")
    rows = rows.iloc[np.linspace(0, len(rows) - 1, COLUMNS * ROWS).round().astype(int)]
    pictures = Pictures(rows, Path(f"data/raw/{track}"))
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, ROWS * (SIDE + LABEL + GAP) + GAP), "white")
    paint = ImageDraw.Draw(sheet)
    for i, score in enumerate(rows["score"]):
        x = GAP + (i % COLUMNS) * (SIDE + GAP)
        y = GAP + (i // COLUMNS) * (SIDE + LABEL + GAP)
        sheet.paste(pictures.picture(i).resize((SIDE, SIDE)), (x, y))
        paint.text((x + SIDE // 2 - 10, y + SIDE + 1), f"{score:.2f}", fill="black")
    return sheet


def film_strips(frames: str = "demo_videos", clips: int = 6) -> Image.Image:
    """The frames of clips at equal steps of short-term rank, a row each, with both scores."""
    table = tables.read(Path("data/splits/videos.csv")).sort_values("short_term", kind="stable")
    table = table.iloc[np.linspace(0, len(table) - 1, clips).round().astype(int)]
    folder = Path("data/frames", frames)
    listed = tables.read(folder / "frames.csv")
    width = (
        max(int(listed["id"].value_counts().max()) * (SIDE + GAP), 5 * SIDE) + GAP
    )  # frames, or the line of text
    sheet = Image.new("RGB", (width, clips * (SIDE + LABEL + GAP) + GAP), "white")
    paint = ImageDraw.Draw(sheet)
    for row, clip in enumerate(table.itertuples()):
        own = Pictures(listed[listed["id"] == clip.id], folder)
        y = GAP + row * (SIDE + LABEL + GAP)
        for t in range(len(own)):
            sheet.paste(own.picture(t).resize((SIDE, SIDE)), (GAP + t * (SIDE + GAP), y))
        text = f"short-term {clip.short_term:.2f}, long-term {clip.long_term:.2f}: {clip.title}"
        paint.text((GAP, y + SIDE + 1), text, fill="black")
    return sheet


def boards() -> None:
    """Figures of the last evaluation, copied."""
    compared = Path("plots/figures")
    shutil.copy(compared / "images/score/models.png", DOCS / "models.png")
    shutil.copy(compared / "videos/short_term/models.png", DOCS / "videos.png")
    shutil.copy(compared / "maps/map/models.png", DOCS / "maps.png")
    shutil.copy(compared / "maps/map/samples.png", DOCS / "maps-samples.png")


def explanation(name: str) -> None:
    """A picture of docs/explain.md."""
    import explanations

    make = {
        "explain": explanations.explained,
        "visualise": explanations.stages,
        "layers": explanations.nearest,
    }
    make[name](DOCS / f"{name}.jpg")


PICTURES = {
    "demo": lambda: contact_sheet().save(DOCS / "demo.jpg", quality=88),
    "clips": lambda: film_strips().save(DOCS / "clips.jpg", quality=88),
    "boards": boards,
    **{name: partial(explanation, name) for name in ("explain", "visualise", "layers")},
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()
