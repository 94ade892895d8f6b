"""What becomes of unusual and of bad files and rows, from a folder with a table to a split of it."""

import hashlib
import io
import os
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

from memorability.core.errors import DataError
from memorability.core.files import read_bytes
from memorability.data import packing, splits, tables
from memorability.data.acquire import acquire
from memorability.data.datasets import table
from memorability.data.settings import Split
from memorability.features.inputs import Pictures, Pixels
from memorability.media.pictures import prepared

GOOD = [f"good {i}.png" for i in range(8)]
# 48 x 36, a red part at the top left.
BASE = np.stack(np.broadcast_arrays(np.arange(36)[:, None] * 5, np.arange(48)[None] * 4, 120), axis=-1)
BASE[:12, :16] = (250, 20, 20)
PICTURE = Image.fromarray(BASE.astype(np.uint8))


def noise(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (36, 48, 3), dtype=np.uint8))


def encoded(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def half_hidden(mode):
    """The picture, transparent on its right half."""
    picture = PICTURE.convert(mode)
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (24, 0, 48, 36))
    picture.putalpha(alpha)
    return picture


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PICTURE, exif=exif)


def bomb(width=50_000, height=50_000):
    """A PNG file of few bytes whose header claims very many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


class Folder:
    """A folder of good pictures with a table of scores, to which unusual things are added."""

    def __init__(self, root):
        self.root, self.lines = root, []
        (root / "own").mkdir()
        for i, name in enumerate(GOOD):
            self.add(name, encoded(noise(i)), f"0.{i}5")

    def add(self, name, content=None, score="0.5"):
        if content is not None:
            (self.root / "own" / name).write_bytes(content)
        self.lines.append((name, score))

    def write(self, *, delimiter=",", encoding="utf-8"):
        lines = [("file", "score"), *self.lines]
        text = "".join(delimiter.join(line) + "\n" for line in lines)
        (self.root / "own" / "scores.csv").write_bytes(text.encode(encoding))

    def acquire(self, **settings):
        """The raw index, as read from its file."""
        if not (self.root / "own" / "scores.csv").exists():
            self.write()
        sources = {"table": table.Params(root=self.root / "own", **settings)}
        out, work, store = (self.root / name for name in ("raw", "work", "store"))
        acquire("images", sources, out, work=work, store=store, seed=0, threads=2)
        return tables.read(out / "index.csv")

    def pictures(self, rows):
        """The pictures as models and features read them."""
        return Pictures(rows, self.root / "raw")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def split(index, on_bad_item):
    settings = {"input": "x", "method": "random", "val": 0.2, "test": 0.2, "folds": 5, "fold": 0, "seed": 0}
    return splits.split(index, Split(**settings, near_duplicate_bits=0, on_bad_item=on_bad_item))


def assert_used(index, names):
    """Every row is used, none is left out."""
    found, _, report = split(index, "fail")
    assert list(found["id"]) == [f"table/{name}" for name in names]
    assert report["left_out"] == 0


def assert_bad(index, reasons):
    """One error names all that are bad with their reasons; left out, they are named and the good ones remain.

    Args:
        reasons: name of each bad row -> what is said of it.
    """
    with pytest.raises(DataError) as caught:
        split(index, "fail")
    message = str(caught.value)
    assert message.startswith(f"{len(reasons)} problems in {len(index)} rows:\n")
    found, ids, report = split(index, "skip")
    for name, reason in reasons.items():
        assert f"  table/{name}: " in message
        (said,) = [line for line in report["left_out_because"] if line.startswith(f"table/{name}: ")]
        assert reason in said
        assert said in message
    assert report["left_out"] == len(report["left_out_because"]) == len(reasons)
    bad = {f"table/{name}" for name in reasons}
    assert list(found["id"]) == list(ids["id"]) == [name for name in index["id"] if name not in bad]
    assert sum(report["rows"].values()) == len(found)
    assert found[["score", "phash", "sha256", "shard", "offset", "size"]].notna().all(axis=None)


# Unusual pictures that are used


def as_it_is(pixels):
    return pixels


def grey(pixels):
    return np.asarray(PICTURE.convert("L"))[:, :, None].repeat(3, axis=2)


def right_half_white(pixels):
    return np.where(np.arange(48)[:, None] < 24, pixels, 255)


def red_part_white(pixels):
    return np.where((pixels == (250, 20, 20)).all(axis=-1, keepdims=True), 255, pixels)


def upright(pixels):
    return np.rot90(pixels, -1)  # orientation 6: the camera was turned, its picture has to be turned back


def deep():
    return Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 256 + 77)


def palette(**options):
    few = Image.fromarray((BASE // 64 * 64).astype(np.uint8))
    few.paste((250, 20, 20), (0, 0, 16, 12))
    return encoded(few.quantize(64), **options)


def palette_pixels(pixels):
    return np.asarray(Image.open(io.BytesIO(palette())).convert("RGB"))


def animation(**options):
    frames = [PICTURE.quantize(256, dither=0), noise(99).quantize(256), noise(98).quantize(256)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], **options)


UNUSUAL = {
    "cmyk.jpg": (lambda: encoded(PICTURE.convert("CMYK"), "JPEG", quality=100), as_it_is, 6),
    "grey.jpg": (lambda: encoded(PICTURE.convert("L"), "JPEG", quality=100), grey, 3),
    "16 bits.png": (lambda: encoded(deep()), grey, 0),
    "palette.png": (palette, palette_pixels, 0),
    "palette and transparent.png": (
        lambda: palette(transparency=Image.open(io.BytesIO(palette())).getpixel((0, 0))),
        lambda pixels: red_part_white(palette_pixels(pixels)),
        0,
    ),
    "rgba.png": (lambda: encoded(half_hidden("RGBA")), right_half_white, 0),
    "grey and alpha.png": (lambda: encoded(half_hidden("LA")), lambda p: right_half_white(grey(p)), 0),
    "rgba.webp": (lambda: encoded(half_hidden("RGBA"), "WEBP", lossless=True), right_half_white, 0),
    "rotated.png": (lambda: turned(6), upright, 0),
    "mirrored.png": (lambda: turned(2), lambda pixels: pixels[:, ::-1], 0),
    "animated.gif": (animation, as_it_is, 12),
    "a png named.jpg": (lambda: encoded(PICTURE), as_it_is, 0),
    "no ending": (lambda: encoded(PICTURE, "BMP"), as_it_is, 0),
    "ünïcödé 猫.png": (lambda: encoded(PICTURE), as_it_is, 0),
    "1 x 1.png": (lambda: encoded(Image.new("RGB", (1, 1), (1, 2, 3))), lambda p: np.array([[[1, 2, 3]]]), 0),
}


def test_unusual_pictures_are_used_as_a_person_would_hope(folder):
    for name, (content, _, _) in UNUSUAL.items():
        folder.add(name, content())
    index = folder.acquire()
    assert_used(index, [*GOOD, *UNUSUAL])
    read = folder.pictures(index)
    for i, (name, (_, change, tolerance)) in enumerate(UNUSUAL.items(), start=len(GOOD)):
        found = np.asarray(read.picture(i)).astype(int)
        expected = change(BASE).astype(int)
        assert found.shape == expected.shape, name
        assert (index["height"][i], index["width"][i]) == expected.shape[:2], (
            name
        )  # upright, of the first frame
        assert np.abs(found - expected).mean() <= tolerance, name
    pixels = Pixels(read, fit="shorter_side", resize=20, crop=16)
    assert all(pixels[i].shape == (3, 16, 16) for i in range(len(index)))


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (20_000, 600)])
def test_a_very_long_picture_is_used_within_moderate_memory(folder, monkeypatch, size):
    def watched(picture, size, *options):
        sizes.append(size[0] * size[1])
        return resize(picture, size, *options)

    long = Image.new("RGB", size, (10, 200, 30))
    long.paste((200, 10, 30), (0, 0, size[0] // 3, size[1] // 3))  # at an end, far from the middle
    folder.add("long.png", encoded(long))
    index = folder.acquire()
    assert_used(index, [*GOOD, "long.png"])
    assert (index["width"][8], index["height"][8]) == size
    sizes, resize = [], Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", watched)
    found = prepared(folder.pictures(index).picture(8), fit="shorter_side", resize=256, crop=224)
    assert found.shape == (3, 224, 224)
    assert (found == np.array([10, 200, 30])[:, None, None]).all()
    assert max(sizes) <= 2_000_000  # the whole picture would have 1,300 million pixels, or 2 million


# Bad files


def cut(content):
    return content[: len(content) // 2]


def few_of_16_bits():
    """12 bits in a file of 16."""
    values = np.asarray(PICTURE.convert("L")).astype(np.uint16) * 16
    return Image.fromarray(values)


def with_a_hole(content, size=512):
    """As a bad disk leaves it: a block of zeros in the middle."""
    start = len(content) // 2
    return content[:start] + bytes(size) + content[start + size :]


BAD = {
    "truncated.jpg": (
        cut(encoded(noise(20), "JPEG")),
        "damaged (Corrupt JPEG data: premature end of data segment)",
    ),
    "truncated.png": (cut(encoded(noise(21))), "cannot be decoded as a picture"),
    "text.jpg": (b"<!DOCTYPE html> 404", "not a picture in any format"),
    "empty.jpg": (b"", "an empty file (0 bytes)"),
    "bomb.png": (bomb(), "50,000 x 50,000 pixels; valid: up to 50,000,000"),
    "too large.png": (bomb(13_300, 13_300), "13,300 x 13,300 pixels; valid: up to 50,000,000"),
    "few of 16 bits.png": (encoded(few_of_16_bits()), "16 bits a channel, of whose 65,536 values none above"),
    "lost blocks.jpg": (with_a_hole(encoded(noise(22).resize((192, 144)), "JPEG")), "damaged ("),
    "float.tif": (encoded(Image.new("F", (4, 4)), "TIFF"), "floating-point pixels"),
    "missing.jpg": (None, "cannot be read (No such file or directory)"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_or_left_out(folder, name):
    folder.add(name, BAD[name][0])
    assert_bad(folder.acquire(), {name: BAD[name][1]})


def test_a_folder_in_the_place_of_a_file(folder):
    (folder.root / "own" / "album.jpg").mkdir()
    folder.add("album.jpg")
    assert_bad(folder.acquire(), {"album.jpg": "cannot be read (Is a directory)"})


def refusing(name):
    """Reads files as ever, but for one that may not be read."""

    def read(path, **options):
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return read_bytes(path, **options)

    return read


def test_a_file_without_permission_to_read(folder, monkeypatch):
    monkeypatch.setattr(packing, "read_bytes", refusing("locked.png"))
    folder.add("locked.png", encoded(noise(30)))
    assert_bad(folder.acquire(), {"locked.png": "cannot be read (Permission denied)"})


@pytest.mark.parametrize("kind", ["pipe", "endless device", "socket's folder"])
def test_what_only_looks_like_a_file_neither_hangs_nor_fills_the_memory(folder, kind):
    path = folder.root / "own" / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    folder.add("a.png")
    reason = (
        "cannot be read (Is a directory)"
        if kind == "socket's folder"
        else "not a file, but a pipe or a device"
    )
    assert_bad(folder.acquire(), {"a.png": reason})


def test_a_sparse_file_of_200_gigabytes_is_not_read(folder):
    with (folder.root / "own" / "a.png").open("wb") as stream:
        stream.truncate(200 * 10**9)
    folder.add("a.png")
    assert_bad(folder.acquire(), {"a.png": "a file of 200,000,000,000 bytes; valid: up to 536,870,912"})


def test_the_bomb_is_a_small_file_of_very_many_pixels():
    with Image.open(io.BytesIO(bomb())) as picture:
        assert picture.size == (50_000, 50_000)
    assert len(bomb()) < 200


def test_pictures_of_12_bits_are_used_once_their_bits_are_named(folder):
    grey = np.asarray(PICTURE.convert("L"))
    twelve = encoded(Image.fromarray(grey.astype(np.uint16) * 16))
    folder.add("12 bits.png", twelve)
    assert_bad(folder.acquire(), {"12 bits.png": "16 bits a channel"})
    index = folder.acquire(bits=12)
    assert_used(index, [*GOOD, "12 bits.png"])
    found = np.asarray(folder.pictures(index).picture(len(GOOD)))
    np.testing.assert_array_equal(found, grey[..., None].repeat(3, axis=2))
    first = index.iloc[0]  # of 8 bits, so its bytes are what they were
    assert first["sha256"] == hashlib.sha256((folder.root / "own" / GOOD[0]).read_bytes()).hexdigest()


def test_pictures_of_more_than_the_named_bits_are_offenders(folder):
    folder.add("16 bits.png", encoded(deep()))
    assert_bad(folder.acquire(bits=12), {"16 bits.png": "which are more than those of `bits: 12`"})


@pytest.mark.parametrize("name", ["../outside.png", "more/../../outside.png", "/etc/passwd", "a\0b.png"])
def test_names_that_lead_out_of_the_data_set_are_offenders(folder, name):
    (folder.root / "outside.png").write_bytes(encoded(noise(50)))
    folder.add(name)
    assert_bad(folder.acquire(), {name: "names no file below `root`; valid: a path relative to it"})


@pytest.mark.parametrize("name", ["./good 0.png", ".//./good 0.png"])
def test_one_file_by_two_names_is_one_item(folder, name):
    folder.add(name)
    with pytest.raises(DataError, match=r"table/good 0\.png: this id appears 2 times"):
        split(folder.acquire(), "fail")


def test_a_table_without_rows_is_named(folder):
    (folder.root / "own" / "scores.csv").write_text("file,score\n")
    with pytest.raises(DataError, match="data set table: no rows"):
        folder.acquire()


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_written_in_two_ways(folder, forms):
    on_disk, in_table = (unicodedata.normalize(form, "café.png") for form in forms)
    (folder.root / "own" / on_disk).write_bytes(encoded(noise(51)))
    folder.add(in_table)
    index = folder.acquire()
    assert_used(index, [*GOOD, in_table])
    np.testing.assert_array_equal(
        np.asarray(folder.pictures(index).picture(len(GOOD))), np.asarray(noise(51))
    )


# Bad rows

ROWS = {
    "nan.png": ("nan", "score 'nan' is no number"),
    "text.png": ("very high", "score 'very high' is no number"),
    "none.png": ("", "no score"),
    "negative.png": ("-0.1", "score -0.1 is outside [0, 1]"),
    "too high.png": ("1.01", "score 1.01 is outside [0, 1]"),
    "infinite.png": ("inf", "score inf is outside [0, 1]"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_score_is_named_or_left_out(folder, name):
    folder.add(name, encoded(noise(40)), ROWS[name][0])
    assert_bad(folder.acquire(), {name: ROWS[name][1]})


def test_a_row_that_names_no_file(folder):
    folder.add("", score="0.5")
    assert_bad(folder.acquire(), {"line 10 of scores.csv": "names no file"})


def test_an_id_that_appears_twice_leaves_none_of_its_rows(folder):
    folder.add("twice.png", encoded(noise(41)), "0.25")
    folder.add("twice.png", score="0.75")
    index = folder.acquire()
    with pytest.raises(
        DataError, match=r"2 problems in 10 rows:(\n  table/twice\.png: this id appears 2 times){2}"
    ):
        split(index, "fail")
    found, _, report = split(index, "skip")
    assert list(found["id"]) == [f"table/{name}" for name in GOOD]
    assert report["left_out_because"] == ["table/twice.png: this id appears 2 times"] * 2


def test_all_kinds_at_once_are_in_one_error(folder):
    for name, (content, _) in BAD.items():
        folder.add(f"file {name}", content)
    for name, (score, _) in ROWS.items():
        folder.add(f"score {name}", encoded(noise(50)), score)
    folder.add("good at the end.png", encoded(noise(51)))
    reasons = {f"file {name}": reason for name, (_, reason) in BAD.items()}
    assert_bad(folder.acquire(), reasons | {f"score {name}": reason for name, (_, reason) in ROWS.items()})


@pytest.mark.parametrize("on_bad_item", ["fail", "skip"])
def test_nothing_but_bad_rows_is_an_error(folder, on_bad_item):
    for name in GOOD:
        (folder.root / "own" / name).write_bytes(b"no picture")
    index = folder.acquire()
    with pytest.raises(DataError, match="8 rows") as caught:
        split(index, on_bad_item)
    assert all(f"table/{name}: not a picture" in str(caught.value).replace("picture: ", "") for name in GOOD)


def test_rows_with_a_problem_have_no_place_and_the_others_are_read_as_ever(folder):
    folder.lines.insert(3, ("cut.jpg", "0.5"))
    (folder.root / "own" / "cut.jpg").write_bytes(BAD["truncated.jpg"][0])
    folder.lines.insert(5, ("text score.png", "high"))
    (folder.root / "own" / "text score.png").write_bytes(encoded(noise(60)))
    index = folder.acquire()
    bad = index["problem"].notna()
    assert list(index["id"][bad]) == ["table/cut.jpg", "table/text score.png"]
    assert index[bad][["shard", "offset", "size", "sha256", "phash", "width", "height"]].isna().all(axis=None)
    read = folder.pictures(index[~bad])
    for i in range(len(GOOD)):
        np.testing.assert_array_equal(np.asarray(read.picture(i)), np.asarray(noise(i)))


# Tables as other programs write them


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_any_usual_kind_is_read_as_meant(folder, encoding, delimiter):
    folder.write(delimiter=delimiter, encoding=encoding)
    index = folder.acquire()
    assert_used(index, GOOD)
    assert list(index["score"]) == [float(f"0.{i}5") for i in range(8)]


def test_semicolons_and_decimal_commas(folder):
    folder.lines = [(name, score.replace(".", ",")) for name, score in folder.lines]
    folder.write(delimiter=";", encoding="utf-8-sig")
    index = folder.acquire()
    assert_used(index, GOOD)
    assert list(index["score"]) == [float(f"0.{i}5") for i in range(8)]


def test_scores_in_per_cent_are_recognised_and_right_with_the_scale(folder):
    folder.lines = [(name, f"{10 * i + 5}") for i, name in enumerate(GOOD)]
    with pytest.raises(DataError, match="8 problems in 8 rows") as caught:
        split(folder.acquire(), "fail")
    assert "score 75.0 is outside [0, 1]; are they per cent? Data set `table` has `scale: 100`" in str(
        caught.value
    )
    index = folder.acquire(scale=100)
    assert_used(index, GOOD)
    np.testing.assert_allclose(index["score"], [0.1 * i + 0.05 for i in range(8)])
