"""Damage that Pillow decodes without a word, and whole files that look as if they had it."""

import io

import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.data import scenes
from memorability.media import damage, pictures


def encoded(picture, kind="JPEG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def scene(i, size=320):
    return scenes.render(scenes.sample(np.random.default_rng(i)), size=size)[0]


def with_a_hole(content, start, size):
    return content[:start] + bytes(size) + content[start + size :]


KINDS = {
    "baseline": {"quality": 90},
    "baseline, tables of its own": {"quality": 80, "optimize": True},
    "progressive": {"quality": 90, "progressive": True},
    "with restarts": {"quality": 90, "restart_marker_blocks": 8},
    "grey": {"quality": 90},
    "no subsampling": {"quality": 90, "subsampling": 0},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [512, 4096])
def test_a_hole_of_zeros_in_a_jpeg_is_refused(kind, size):
    for i in range(6):
        picture = scene(i).convert("L") if kind == "grey" else scene(i)
        content = encoded(picture, **KINDS[kind])
        hole = with_a_hole(content, len(content) // 3 + 100 * i, size)
        assert np.asarray(Image.open(io.BytesIO(hole))).shape[:2] == (320, 320)  # Pillow says nothing
        with pytest.raises(DataError, match=r"^x\.jpg: damaged \("):
            pictures.decode(hole, name="x.jpg")
        assert pictures.decode(content).size == (320, 320)


def half_white(i):
    picture = Image.new("RGB", (1200, 900), "white")
    picture.paste(scene(i), (400, 300))
    return picture


PLAIN = [Image.new("RGB", (2000, 1500), colour) for colour in ("white", "black", (128, 64, 3))]


@pytest.mark.parametrize("options", [*KINDS.values(), {"quality": 30, "progressive": True}], ids=str)
def test_zeros_of_plain_pictures_are_no_damage(options):
    for picture in (*PLAIN, *map(half_white, range(3)), Image.new("L", (900, 900), 200)):
        content = encoded(picture, **options)
        assert damage.of(content, "JPEG") is None
    white = encoded(PLAIN[0], quality=75, progressive=True)
    assert white.count(bytes(1000)) >= 1  # so long a run, and nothing is lost


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_jpegs_of_other_colours_are_whole(mode):
    assert damage.of(encoded(scene(0).convert(mode), quality=90), "JPEG") is None


def test_a_jpeg_without_its_mark_of_the_end_is_whole_and_one_that_is_cut_is_not():
    content = encoded(scene(1), quality=90)
    assert content[-2:] == b"\xff\xd9"
    assert damage.of(content[:-2], "JPEG") is None
    assert "premature end" in damage.of(content[: len(content) * 2 // 3], "JPEG")


def test_what_follows_the_end_of_a_jpeg_does_not_matter():
    for trailer in (bytes(5000), b"a second picture" * 100, encoded(scene(3))):
        assert damage.of(encoded(scene(2), quality=90) + trailer, "JPEG") is None


@pytest.mark.parametrize("i", range(4))
def test_a_hole_in_a_webp_is_refused(i):
    content = encoded(scene(i), "WEBP", quality=90)
    hole = with_a_hole(content, len(content) // 2, 256)
    assert damage.of(content, "WEBP") is None
    with pytest.raises(DataError, match=r"damaged|cannot be decoded"):
        pictures.decode(hole)


def test_plain_webps_are_whole():
    for picture in (*PLAIN, half_white(0)):
        for lossless in (False, True):
            assert damage.of(encoded(picture, "WEBP", lossless=lossless), "WEBP") is None


def test_bytes_that_were_found_whole_before_are_not_searched_again(monkeypatch):
    monkeypatch.setattr(damage, "of", lambda content, kind: "asked")
    assert pictures.decode(encoded(scene(0)), known=True).size == (320, 320)
    with pytest.raises(DataError, match="asked"):
        pictures.decode(encoded(scene(0)))
