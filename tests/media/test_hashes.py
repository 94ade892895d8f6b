"""Perceptual hashes, and descriptions of what is on plain pictures."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from memorability.data import scenes
from memorability.media import hashes, pictures

PICTURE = Image.fromarray(
    np.stack(np.broadcast_arrays(np.arange(60)[:, None] * 4, np.arange(80)[None] * 3, 90), axis=-1).astype(
        np.uint8
    )
)


def encoded(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def distance(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


def scene(i, size=96):
    return scenes.render(scenes.sample(np.random.default_rng(i)), size=size)[0]


def test_perceptual_hash_is_64_bits_in_hex():
    found = hashes.perceptual_hash(PICTURE)
    assert len(found) == 16
    assert 0 <= int(found, 16) < 2**64


@pytest.mark.parametrize("i", range(6))
def test_perceptual_hash_barely_changes_with_compression_and_size(i):
    original = hashes.perceptual_hash(scene(i))
    again = pictures.decode(encoded(scene(i), "JPEG", quality=60))
    assert distance(original, hashes.perceptual_hash(again)) <= 4
    assert distance(original, hashes.perceptual_hash(scene(i).resize((64, 64)))) <= 4


def test_perceptual_hashes_of_different_scenes_are_far_apart():
    found = [hashes.perceptual_hash(scene(i)) for i in range(6)]
    assert min(distance(a, b) for a in found for b in found if a is not b) > 4


# Plain pictures


def disc(x=200, y=200, radius=60, colour=(200, 20, 30), ground=(255, 255, 255), size=400):
    found = Image.new("RGB", (size, size), ground)
    ImageDraw.Draw(found).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return found


def difference(one, other):
    found = [hashes.content_description(picture) for picture in (one, other)]
    return hashes.differences(*hashes.parsed(found), 0, np.array([1]))[0]


@pytest.mark.parametrize("i", range(6))
def test_scenes_have_no_description(i):
    assert hashes.content_description(scene(i, 256)) is None


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (17, 200, 90)])
def test_one_colour_is_empty(colour):
    assert hashes.content_description(Image.new("RGB", (300, 200), colour)) == hashes.EMPTY
    again = pictures.decode(encoded(Image.new("RGB", (300, 200), colour), "JPEG", quality=50))
    assert hashes.content_description(again) == hashes.EMPTY
    assert hashes.content_description(Image.new("RGB", (1, 1), colour)) == hashes.EMPTY


def test_a_description_says_where_the_content_is_and_its_colours():
    found = hashes.content_description(disc(x=100, y=300, radius=40))
    cells, numbers = hashes.parsed([found])
    assert cells.shape == (1, 256)
    assert numbers.shape == (1, 10)
    np.testing.assert_allclose(numbers[0][:4] / 255 * 400, [60, 260, 80, 80], atol=3)
    assert list(numbers[0][4:7]) == [255, 255, 255]
    np.testing.assert_allclose(numbers[0][7:], [200, 20, 30], atol=8)
    grid = cells[0].reshape(16, 16)
    assert grid[8, 8] == 15  # in the disc
    assert grid[0, 0] == 0  # in a corner of its box


@pytest.mark.parametrize(
    "other",
    [disc(radius=80), disc(x=230), disc(y=150), disc(colour=(30, 20, 200)), disc(ground=(200, 200, 255))],
    ids=["larger", "to the right", "higher", "blue", "another ground"],
)
def test_what_differs_to_the_eye_differs_here(other):
    assert difference(disc(), other) > 5


@pytest.mark.parametrize("size", [200, 400, 1000])
@pytest.mark.parametrize("quality", [40, 90])
def test_size_and_compression_matter_little(size, quality):
    again = pictures.decode(encoded(disc().resize((size, size)), "JPEG", quality=quality))
    assert difference(disc(), again) < 4


def test_no_descriptions_at_all():
    cells, numbers = hashes.parsed([])
    assert (cells.shape, numbers.shape) == ((0, 256), (0, 10))
