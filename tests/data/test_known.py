"""Which pictures a set holds: the same that would be grouped with one of its own, for rows and for open pictures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from memorability.data import duplicates
from memorability.data.known import BITS, Known, across
from memorability.media.hashes import EMPTY, content_description, perceptual_hash


def photograph(seed):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    return small.resize((160, 120), Image.Resampling.BICUBIC)


def drawing(left, *, side=30, ground="white"):
    picture = Image.new("RGB", (160, 120), ground)
    ImageDraw.Draw(picture).rectangle((left, 40, left + side, 40 + side // 2), fill="black")
    return picture


def rows(pictures, **columns):
    found = {
        "id": [f"{i}.png" for i in range(len(pictures))],
        "phash": [perceptual_hash(picture) for picture in pictures],
        "content": [content_description(picture) for picture in pictures],
        **columns,
    }
    return pd.DataFrame(found).astype({"phash": "string", "content": "string"})


# Photographs by their hashes


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.lists(st.integers(0, 63), max_size=7))
def test_a_hash_is_known_within_four_bits(values, flipped):
    asked = values[0]
    for bit in flipped:
        asked ^= 1 << bit
    known = Known.of(pd.DataFrame({"phash": [f"{value:016x}" for value in values]}))
    expected = any((asked ^ value).bit_count() <= BITS for value in values)
    assert known.holds(pd.DataFrame({"phash": [f"{asked:016x}"]})).tolist() == [expected]


def test_a_photograph_is_known_again_after_what_happens_to_photographs():
    known = Known.of(rows([photograph(0), photograph(1)]))
    assert len(known) == 2
    assert known.holds_picture(photograph(1))
    assert known.holds_picture(photograph(1).resize((80, 60)))
    assert not known.holds_picture(photograph(2))


def test_each_hash_is_kept_once_and_in_order():
    known = Known.of(rows([photograph(1), photograph(0), photograph(1), drawing(20), drawing(20)]))
    assert known.phashes.dtype == np.uint64
    assert known.phashes.tolist() == sorted(int(perceptual_hash(photograph(seed)), 16) for seed in (0, 1))
    assert (known.contents.dtype, known.contents.shape) == (np.uint8, (1, 266))


# Plain pictures by what is on them


def test_plain_pictures_whose_hashes_collide_are_told_apart_by_their_content():
    one, other = drawing(20), drawing(90)
    known = Known.of(rows([one]))
    assert len(known.phashes) == 0
    assert known.holds_picture(one)
    assert not known.holds_picture(other)
    hashed = Known(np.array([int(perceptual_hash(other), 16)], np.uint64), known.contents[:0])
    assert not hashed.holds_picture(other)  # the hash of a plain picture says nothing


def test_of_pictures_of_one_colour_none_is_known():
    blank = Image.new("RGB", (160, 120), "white")
    assert content_description(blank) == EMPTY
    known = Known.of(rows([blank, photograph(0), drawing(20)]))
    assert len(known) == 2
    assert not known.holds_picture(blank)
    assert not known.holds(rows([blank])).any()


def test_rows_and_pictures_agree_with_the_groups_of_a_split():
    ours = [photograph(0), photograph(1), drawing(20), drawing(90), Image.new("RGB", (160, 120), "red")]
    asked = [
        photograph(1).resize((100, 70)),
        photograph(3),
        drawing(90),
        drawing(60),
        Image.new("RGB", (9, 9)),
    ]
    known = Known.of(rows(ours))
    both = pd.concat([rows(ours), rows(asked)], ignore_index=True).assign(sha256=pd.NA)
    groups = duplicates.groups(both, bits=BITS)
    expected = np.isin(groups[len(ours) :], groups[: len(ours)]).tolist()
    assert expected == [True, False, True, False, False]
    assert known.holds(rows(asked)).tolist() == expected
    assert [known.holds_picture(picture) for picture in asked] == expected


# Tables


@pytest.mark.parametrize("columns", [{}, {"phash": [pd.NA]}, {"phash": [pd.NA], "content": [pd.NA]}])
def test_rows_without_hashes_are_never_known(columns):
    bare = pd.DataFrame({"id": ["a"], **columns})
    assert len(Known.of(bare)) == 0
    assert Known.of(rows([photograph(0)])).holds(bare).tolist() == [False]


def test_what_straddles_a_published_split():
    pictures = [photograph(0), photograph(1), photograph(0), photograph(1), photograph(2), photograph(0)]
    table = rows(pictures, split=["train", "val", "test", "test", "test", "unlabelled"])
    assert across(table) == {"2.png", "3.png", "5.png"}
    assert across(table[table["split"] == "test"]) == set()
