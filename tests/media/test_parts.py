"""Parts of pictures: they tile it, and what is covered is covered there alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from memorability.media import parts


def noise(width=50, height=31):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("cells", [2, 3, 7])
def test_cells_tile_a_picture(cells):
    picture = noise()
    found = list(parts.cut_out(picture, cells=cells))
    assert len(found) == cells**2
    rows = [
        np.concatenate([np.asarray(part) for part in found[r * cells : (r + 1) * cells]], axis=1)
        for r in range(cells)
    ]
    np.testing.assert_array_equal(np.concatenate(rows), np.asarray(picture))


@pytest.mark.parametrize("fill", ["blur", "mean"])
@pytest.mark.parametrize("wide", [1, 2])
def test_a_part_is_covered_and_nothing_else(fill, wide):
    picture = noise()
    found = list(parts.covered(picture, cells=4, wide=wide, fill=fill))
    places = parts.boxes(picture, cells=4, wide=wide)
    assert len(found) == len(places) == (5 - wide) ** 2
    for one, (left, top, right, bottom) in zip(found, places, strict=True):
        differs = (np.asarray(one) != np.asarray(picture)).any(axis=2)
        assert differs[top:bottom, left:right].mean() > 0.9
        differs[top:bottom, left:right] = False
        assert not differs.any()


def test_a_mean_is_the_part_s_own():
    picture = noise()
    place = parts.box(1, 2, cells=4, wide=1, width=50, height=31)
    inside = np.asarray(parts.cover(picture, place, None).crop(place), float)
    expected = np.asarray(picture.crop(place), float).mean(axis=(0, 1)).round()
    assert (inside == expected).all()
