"""Groups of near-duplicates: photographs by their hashes, plain pictures by what is on them, others by their bytes."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from memorability.core.errors import DataError
from memorability.data import duplicates
from memorability.media.hashes import EMPTY, content_description, perceptual_hash


def same_groups(left, right):
    """Whether two numberings describe the same groups."""
    pairs = {(int(a), int(b)) for a, b in zip(left, right, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@st.composite
def hashes_with_neighbours(draw):
    """Hashes of which many lie a few bits from another."""
    bases = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6))
    values = list(bases)
    for _ in range(draw(st.integers(0, 20))):
        value = draw(st.sampled_from(values))
        for bit in draw(st.lists(st.integers(0, 63), max_size=9)):
            value ^= 1 << bit
        values.append(value)
    return draw(st.permutations(values))


def brute_force(values, bits):
    """Groups by comparing all pairs and spreading the smallest number until nothing changes."""
    groups = np.arange(len(values))
    close = np.array([[(a ^ b).bit_count() <= bits for b in values] for a in values])
    while True:
        spread = np.array([groups[row].min() for row in close])
        if (spread == groups).all():
            return groups
        groups = spread


@settings(deadline=None, max_examples=60)
@given(hashes_with_neighbours(), st.sampled_from([0, 1, 3, 4, 7, 10, 15]))
def test_near_duplicates_are_those_of_all_pairs(values, bits):
    found = duplicates.near_duplicates([f"{value:016x}" for value in values], bits=bits)
    assert same_groups(found, brute_force(values, bits))


@pytest.mark.parametrize("bits", [0, 1, 4, 15])
def test_near_duplicates_of_random_hashes(bits):
    rng = np.random.default_rng(bits)
    values = [int(v) for v in rng.integers(0, 2**64, 150, dtype=np.uint64)]
    values += [v ^ (1 << int(rng.integers(64))) for v in values[:40]]
    found = duplicates.near_duplicates([f"{value:016x}" for value in values], bits=bits)
    assert same_groups(found, brute_force(values, bits))


def test_near_duplicates_form_chains():
    chain = [f"{(1 << 3 * i) - 1:016x}" for i in range(6)]  # 3 bits from one to the next
    assert len(set(duplicates.near_duplicates(chain, bits=3))) == 1
    assert len(set(duplicates.near_duplicates(chain, bits=2))) == 6


def test_near_duplicate_bits_have_limits():
    for bits in (-1, 16):
        with pytest.raises(DataError, match=f"0 to 15, received {bits}"):
            duplicates.near_duplicates(["0" * 16], bits=bits)


# Rows of an index


def index(pictures, contents=None):
    """An index of the given pictures; `contents` names equal files."""
    return pd.DataFrame(
        {
            "id": [f"own/{i}.png" for i in range(len(pictures))],
            "phash": [perceptual_hash(picture) for picture in pictures],
            "content": [content_description(picture) for picture in pictures],
            "sha256": [f"{i:064x}" for i in (contents or range(len(pictures)))],
        }
    ).astype("string")


def scene(seed):
    """A picture with content everywhere."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((160, 120), Image.Resampling.BICUBIC)


def word(text, size=(800, 600), height=48):
    found = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(found), ImageFont.load_default(size=height)
    draw.text((size[0] / 2, size[1] / 2), text, fill="black", font=font, anchor="mm")
    return found


WORDS = [
    "apple",
    "bread",
    "chair",
    "dance",
    "eagle",
    "flame",
    "grape",
    "house",
    "island",
    "jungle",
    "kettle",
    "lemon",
    "mirror",
    "needle",
    "orange",
    "pencil",
    "quiet",
    "river",
    "stone",
    "table",
    "umbrella",
    "violin",
    "window",
    "yellow",
    "zebra",
    "anchor",
    "basket",
    "candle",
    "dragon",
    "engine",
    "forest",
    "garden",
    "hammer",
    "insect",
    "jacket",
    "ladder",
    "magnet",
    "napkin",
    "oyster",
    "parrot",
]
COLOURS = [(8 * i, 255 - 8 * i, 128) for i in range(30)]


@pytest.mark.parametrize("bits", [None, 0, 4, 15])
def test_plain_colours_are_different_pictures(bits):
    rows = index([Image.new("RGB", (100, 80), colour) for colour in COLOURS])
    assert rows["phash"].nunique() == 1
    assert (rows["content"] == EMPTY).all()
    assert list(duplicates.groups(rows, bits=bits)) == list(range(30))


@pytest.mark.parametrize("bits", [0, 4])
@pytest.mark.parametrize(("size", "height"), [((400, 300), 48), ((1024, 768), 48), ((1920, 1080), 24)])
def test_printed_words_are_different_pictures(bits, size, height):
    rows = index([word(text, size, height) for text in WORDS])
    assert rows["phash"].nunique() < len(WORDS)
    assert list(duplicates.groups(rows, bits=bits)) == list(range(40))


def test_shapes_of_another_size_colour_or_place_are_different_pictures():
    def disc(x=200, radius=60, colour=(200, 20, 30)):
        found = Image.new("RGB", (400, 400), "white")
        ImageDraw.Draw(found).ellipse((x - radius, 200 - radius, x + radius, 200 + radius), fill=colour)
        return found

    changed = [disc(), disc(radius=90), disc(colour=(30, 20, 200)), disc(x=260)]
    assert list(duplicates.groups(index(changed), bits=4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("bits", [None, 0, 4])
def test_equal_files_belong_together_whatever_they_show(bits):
    plain = [Image.new("RGB", (50, 50), colour) for colour in COLOURS[:4]]
    found = duplicates.groups(index([*plain, scene(0), scene(1)], contents=[0, 1, 0, 3, 4, 4]), bits=bits)
    assert list(found) == [0, 1, 0, 2, 3, 3]


def test_rows_without_a_hash_of_their_files_are_alone():
    rows = index([scene(i) for i in range(3)]).assign(sha256=pd.NA)
    assert list(duplicates.groups(rows, bits=None)) == [0, 1, 2]


@pytest.mark.parametrize(
    "original", [scene(0), word("umbrella"), word("lemon", height=90)], ids=["scene", "word", "large"]
)
def test_another_size_or_quality_is_a_near_duplicate(original, tmp_path):
    original.save(tmp_path / "a.jpg", quality=60)
    pictures = [
        original,
        Image.open(tmp_path / "a.jpg"),
        original.resize((1000, 750)),
        scene(7),
        word("violin"),
    ]
    assert list(duplicates.groups(index(pictures), bits=4)) == [0, 0, 0, 1, 2]


def test_null_compares_no_hashes():
    rows = index([scene(0), scene(0).resize((80, 60)), scene(1)])
    assert list(duplicates.groups(rows, bits=4)) == [0, 0, 1]
    assert list(duplicates.groups(rows, bits=None)) == [0, 1, 2]


def test_content_alone_decides_for_plain_pictures_and_hashes_for_others():
    rows = index([word("apple"), word("zebra"), scene(0), scene(1)]).assign(phash="0" * 16)
    assert list(duplicates.groups(rows, bits=4)) == [0, 1, 2, 2]
    assert list(duplicates.groups(rows.drop(columns="content"), bits=4)) == [0, 0, 0, 0]


def test_all_pairs_of_plain_pictures_are_compared(tmp_path):
    pictures = [word(text, height=90) for text in WORDS[:6]]
    pictures[3].save(tmp_path / "a.jpg", quality=60)
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 97):
        rows = index([*(pictures[i] for i in order), Image.open(tmp_path / "a.jpg")])
        place = order.index(3)
        assert list(duplicates.groups(rows, bits=4)) == [0, 1, 2, 3, 4, 5, place]
