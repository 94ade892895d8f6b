"""Makes the pictures of the README from the last run: python docs/pictures.py"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from memorability import tables
from memorability.inputs import Pictures

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


if __name__ == "__main__":
    contact_sheet().save(DOCS / "demo.jpg", quality=88)
    shutil.copy("plots/figures/compare/images/models.png", DOCS / "models.png")
