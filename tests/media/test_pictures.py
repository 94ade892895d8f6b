import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from memorability.core.errors import DataError
from memorability.data import scenes
from memorability.media import pictures

SMOOTH = np.stack(np.broadcast_arrays(np.arange(60)[:, None] * 4, np.arange(80)[None] * 3, 90), axis=-1)
PICTURE = Image.fromarray(SMOOTH.astype(np.uint8))


def encoded(picture, kind="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels(picture):
    return np.asarray(picture).astype(int)


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def distance(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


def scene(i, size=96):
    return scenes.render(scenes.sample(np.random.default_rng(i)), size=size)[0]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_decode_exactly(kind):
    decoded = pictures.decode(encoded(PICTURE, kind))
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(pixels(decoded), pixels(PICTURE))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_decode_closely(kind):
    decoded = pictures.decode(encoded(PICTURE, kind, quality=95))
    assert np.abs(pixels(decoded) - pixels(PICTURE)).mean() < 4


def test_grey_becomes_three_equal_channels():
    decoded = pictures.decode(encoded(PICTURE.convert("L")))
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(pixels(decoded), pixels(PICTURE.convert("L"))[:, :, None].repeat(3, axis=2))


def test_cmyk_becomes_rgb():
    decoded = pictures.decode(encoded(PICTURE.convert("CMYK"), "JPEG", quality=95))
    assert decoded.mode == "RGB"
    assert np.abs(pixels(decoded) - pixels(PICTURE)).mean() < 6


def test_palette_becomes_rgb():
    palette = PICTURE.quantize(16)
    decoded = pictures.decode(encoded(palette))
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(pixels(decoded), pixels(palette.convert("RGB")))


@pytest.mark.parametrize("alpha", [0, 51, 200, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_on_white(mode, alpha):
    base = PICTURE.convert(mode)
    base.putalpha(alpha)
    decoded = pictures.decode(encoded(base))
    assert decoded.mode == "RGB"
    opaque = pixels(base.convert("RGB"))
    np.testing.assert_allclose(pixels(decoded), 255 + (opaque - 255) * alpha / 255, atol=1)


def test_one_transparent_colour_is_white():
    palette, grey = PICTURE.quantize(16), PICTURE.convert("L")
    hidden = [(PICTURE, (0, 0, 90)), (palette, 3), (grey, int(pixels(grey)[0, 0]))]
    for picture, colour in hidden:
        decoded = pixels(pictures.decode(encoded(picture, transparency=colour)))
        values = pixels(picture).reshape(60, 80, -1)
        here = (values == colour).all(axis=-1)
        assert here.any()
        assert (decoded[here] == 255).all()
        np.testing.assert_array_equal(decoded[~here], pixels(picture.convert("RGB"))[~here])


@pytest.mark.parametrize("mode", ["1", "P", "L"])
def test_first_frame_of_several(mode):
    frames = [PICTURE.convert(mode), PICTURE.convert(mode).transpose(Image.Transpose.ROTATE_180)]
    decoded = pictures.decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(pixels(decoded), pixels(frames[0].convert("RGB")))


UPRIGHT = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = pictures.decode(encoded(PICTURE, exif=exif))
    turn = UPRIGHT[orientation]
    expected = PICTURE if turn is None else PICTURE.transpose(turn)
    assert decoded.size == expected.size
    np.testing.assert_array_equal(pixels(decoded), pixels(expected))


@pytest.mark.parametrize("field", [0x00, 0x01, 0x1A, 0x3E])
def test_a_picture_with_damaged_exif_is_still_turned(field):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    content = encoded(PICTURE, "JPEG", exif=exif)
    place = content.index(b"\x01\x0f") + 1
    damaged = content[:place] + bytes([field]) + content[place + 1 :]  # a width or the like that is a text
    assert pictures.decode(damaged).size == (60, 80)


@pytest.mark.parametrize("error", [TypeError, AttributeError, struct.error, ZeroDivisionError, MemoryError])
def test_errors_of_any_kind_while_decoding_are_named(monkeypatch, error):
    def broken(picture):
        raise error("odd")

    monkeypatch.setattr(pictures, "_as_rgb", broken)
    expected = MemoryError if error is MemoryError else DataError  # that is no matter of the picture
    with pytest.raises(expected, match="odd"):
        pictures.decode(JPEG)


JPEG = encoded(noise(64, 48), "JPEG")
BROKEN = {
    "empty": b"",
    "text": b"id,score\na.jpg,0.5\n",
    "web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "jpeg cut in the header": JPEG[:20],
    "jpeg cut in the middle": JPEG[: len(JPEG) // 2],
    "png cut in the middle": encoded(noise(64, 48))[:2000],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_pictures_are_named(content):
    with pytest.raises(DataError, match=r"^demo/x\.jpg: "):
        pictures.decode(content, name="demo/x.jpg")


def test_an_empty_file_is_said_to_be_empty():
    with pytest.raises(DataError, match="an empty file"):
        pictures.decode(b"")


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_pictures_of_telephones_are_named(brand):
    content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(200)
    with pytest.raises(DataError, match=r"^a\.heic: a HEIC picture, .*save it as JPEG or PNG"):
        pictures.decode(content, name="a.heic")


def test_no_program_is_run_to_draw_a_picture():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(DataError, match="an EPS file, which is a program that draws"):
        pictures.decode(eps)


# Bounds


def claimed(width, height, kind="PNG"):
    """A small file whose header claims so many pixels."""
    if kind == "JPEG":
        content = encoded(noise(16, 16), "JPEG")
        place = content.index(b"\xff\xc0") + 5
        return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]
    content = encoded(noise(16, 16), kind)
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


@pytest.mark.parametrize("size", [(13_300, 13_300), (50_000_001, 1), (7_072, 7_072)])
def test_too_many_pixels_are_refused_before_any_is_decoded(size, monkeypatch):
    content = claimed(*size)
    monkeypatch.setattr(pictures, "_as_rgb", lambda picture: pytest.fail("decoded"))
    said = rf"^bomb: {size[0]:,} x {size[1]:,} pixels; valid: up to 50,000,000$"
    with pytest.raises(DataError, match=said):
        pictures.decode(content, name="bomb", known=True)


def test_a_jpeg_has_a_bound_too():
    with pytest.raises(DataError, match="13,300 x 13,300 pixels; valid: up to 175,000,000"):
        pictures.decode(claimed(13_300, 13_300, "JPEG"), known=True)


def test_a_large_jpeg_comes_at_half_its_size(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 60 * 80 - 1)
    decoded = pictures.decode(encoded(PICTURE, "JPEG", quality=95))
    assert decoded.size == (40, 30)
    expected = PICTURE.resize((40, 30), Image.Resampling.BOX)
    assert np.abs(pixels(decoded) - pixels(expected)).mean() < 2
    monkeypatch.setattr(pictures, "MOST_PIXELS", 60 * 80)
    assert pictures.decode(encoded(PICTURE, "JPEG")).size == (80, 60)


@pytest.mark.parametrize("size", [(10_000, 9_000), (13_300, 13_300), (20_000, 20_000)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pillow_does_not_warn_of_what_this_allows_or_refuses_itself(kind, size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"damaged|cannot be decoded|pixels; valid"):
            pictures.decode(claimed(*size, kind))


def test_files_are_read_within_bounds(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    PICTURE.save(path)
    assert pictures.read(path).size == (80, 60)
    monkeypatch.setattr(pictures, "MOST_BYTES", path.stat().st_size - 1)
    with pytest.raises(DataError, match=rf"^a: a file of {path.stat().st_size:,} bytes; valid: up to"):
        pictures.read(path, name="a")
    with pytest.raises(DataError, match=r"b\.png: cannot be read \(No such file or directory\)"):
        pictures.read(tmp_path / "b.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"zero\.png: not a file, but a pipe or a device"):
        pictures.read(tmp_path / "zero.png")


# Deep pixels


def png_of_16_bits(values):
    """A PNG of 16 bits a channel, of values [h, w, C]; Pillow writes such of grey alone."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = values.shape
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def ppm_of_16_bits(values, most=65535):
    head = f"P{6 if values.shape[2] == 3 else 5}\n{values.shape[1]} {values.shape[0]}\n{most}\n"
    return head.encode() + values.astype(">u2").tobytes()


EIGHT_BITS = SMOOTH.astype(np.uint16)  # to 237
DEEP = {
    "grey png": lambda values: encoded(Image.fromarray(values[..., 0])),
    "grey tiff": lambda values: encoded(Image.fromarray(values[..., 0]), "TIFF"),
    "grey pgm": lambda values: ppm_of_16_bits(values[..., :1]),
    "grey jpeg 2000": lambda values: encoded(Image.fromarray(values[..., 0]), "JPEG2000"),
    "rgb png": png_of_16_bits,
    "rgb ppm": ppm_of_16_bits,
    "grey and alpha png": lambda v: png_of_16_bits(np.dstack([v[..., 0], np.full(v.shape[:2], 65535)])),
    "rgb and alpha png": lambda v: png_of_16_bits(np.dstack([v, np.full(v.shape[:2], 65535)])),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_pictures_that_use_their_range_are_used(kind):
    found = pixels(pictures.decode(DEEP[kind](EIGHT_BITS * 257)))
    expected = EIGHT_BITS if "rgb" in kind else EIGHT_BITS[..., :1].repeat(3, axis=2)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("factor", [1, 16, 64], ids=["8 bits", "12 bits", "14 bits"])
def test_deep_pictures_of_fewer_bits_are_refused(kind, factor):
    with pytest.raises(
        DataError, match=r"^x: 16 bits a channel, of whose 65,536 values none above [0-9,]+ is used"
    ):
        pictures.decode(DEEP[kind](EIGHT_BITS * factor), name="x")


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_pictures_of_named_bits_are_scaled_by_them(kind, bits):
    values = np.minimum(EIGHT_BITS << (bits - 8), 2**bits - 1)
    found = pixels(pictures.decode(DEEP[kind](values), bits=bits))
    np.testing.assert_array_equal(
        found, EIGHT_BITS if "rgb" in kind else EIGHT_BITS[..., :1].repeat(3, axis=2)
    )
    dark = pixels(pictures.decode(DEEP[kind](values // 8), bits=bits))
    np.testing.assert_array_equal(dark, found // 8)


@pytest.mark.parametrize("kind", DEEP)
def test_values_beyond_the_named_bits_are_refused(kind):
    with pytest.raises(DataError, match=r"^x: values up to 4,096, which are more than those of `bits: 12`$"):
        pictures.decode(DEEP[kind](np.full((4, 4, 3), 4096, np.uint16)), name="x", bits=12)


def test_bits_are_of_deep_pictures_alone():
    np.testing.assert_array_equal(pixels(pictures.decode(encoded(PICTURE), bits=12)), pixels(PICTURE))


def test_what_is_transparent_in_a_deep_picture_is_on_white():
    values = np.dstack([EIGHT_BITS * 16, np.full((60, 80), 65535)])
    values[:, 40:, 3] = 0
    found = pixels(pictures.decode(png_of_16_bits(values), bits=12))
    np.testing.assert_array_equal(found[:, :40], EIGHT_BITS[:, :40])
    assert (found[:, 40:] == 255).all()


def test_a_deep_picture_is_turned_as_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(EIGHT_BITS[..., 0] * 16), "TIFF", exif=exif)
    for bits in (12, 16):
        found = pixels(pictures.decode(content, bits=bits))[..., 0]
        np.testing.assert_array_equal(found, np.rot90(EIGHT_BITS[..., 0], -1) >> (bits - 12))


def test_a_header_that_tells_the_range_is_believed():
    for values in (EIGHT_BITS * 16, EIGHT_BITS[..., :1] * 16):
        found = pixels(pictures.decode(ppm_of_16_bits(values, most=4095)))
        assert np.abs(found - EIGHT_BITS[..., : values.shape[2]]).max() <= 1


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_without_a_range_of_their_own_are_refused(kind):
    with pytest.raises(DataError, match=r"no fixed range; save it with 8 or 16 bits"):
        pictures.decode(encoded(Image.fromarray(SMOOTH[..., 0].astype(kind)), "TIFF"), name="map.tif")


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([encoded(noise(24, 16), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP")]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    st.integers(0, 10**6),
)
def test_damaged_bytes_decode_or_raise_a_data_error(content, changes, end):
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    with contextlib.suppress(DataError):
        assert pictures.decode(bytes(damaged[: end % len(damaged) + 1])).mode == "RGB"


# Sizes whose longer side and margins come out whole, where torchvision and this code round alike.
@pytest.mark.parametrize(
    ("size", "resize", "crop"),
    [
        ((96, 96), 64, 56),
        ((128, 128), 72, 66),
        ((200, 100), 50, 40),
        ((60, 120), 30, 30),
        ((90, 60), 60, 50),
        ((40, 20), 64, 48),
        ((64, 64), 64, 64),
        ((300, 225), 72, 60),
    ],
)
def test_shorter_side_is_that_of_torchvision(size, resize, crop):
    picture = noise(*size)
    expected = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(crop), v2.PILToTensor()])(picture)
    found = pictures.prepared(picture, fit="shorter_side", resize=resize, crop=crop)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("fit", ["squash", "shorter_side"])
def test_pixels_are_interpolated_as_asked(kind, fit):
    picture = noise(60, 60)
    found = pictures.prepared(picture, fit=fit, resize=40, crop=36, interpolation=kind)
    expected = np.asarray(picture.resize((40, 40), Image.Resampling[kind.upper()]))[2:38, 2:38]
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(("fit", "size"), [("squash", (40, 40)), ("shorter_side", (60, 40))])
def test_five_crops_are_the_corners_and_the_middle(fit, size):
    picture, (width, height) = noise(90, 60), size
    found = pictures.five_crops(picture, fit=fit, resize=40, crop=30)
    whole = np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    right, bottom = width - 30, height - 30
    assert found.shape == (5, 3, 30, 30)
    for part, (left, top) in zip(found, [(0, 0), (right, 0), (0, bottom), (right, bottom)], strict=False):
        np.testing.assert_array_equal(part, whole[:, top : top + 30, left : left + 30])
    np.testing.assert_array_equal(found[4], pictures.prepared(picture, fit=fit, resize=40, crop=30))


def test_shape_and_type_of_what_is_prepared():
    found = pictures.prepared(noise(75, 53), fit="shorter_side", resize=32, crop=27)
    assert found.shape == (3, 27, 27)
    assert found.dtype == np.uint8
    assert found.flags["C_CONTIGUOUS"]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(0, 32))
def test_the_crop_never_leaves_the_picture(width, height, resize, less):
    crop = max(8, resize - less)
    white = Image.new("RGB", (width, height), (255, 255, 255))  # outside a picture, a crop is black
    found = pictures.prepared(white, fit="shorter_side", resize=resize, crop=crop)
    assert found.shape == (3, crop, crop)
    assert (found == 255).all()


def test_the_crop_is_central():
    marked = Image.new("RGB", (90, 30))
    marked.paste((255, 0, 0), (30, 0, 60, 30))
    found = pictures.prepared(marked, fit="shorter_side", resize=30, crop=30)
    assert (found[0] > 200).mean() > 0.9


# The content at the sides of a 16:9 picture: what a crop to a square cuts off.
def wide():
    """160 x 90: red at the left end, blue at the right one, grey between them."""
    picture = Image.new("RGB", (160, 90), (128, 128, 128))
    picture.paste((255, 0, 0), (0, 0, 20, 90))
    picture.paste((0, 0, 255), (140, 0, 160, 90))
    return picture


def shares_of_red_and_blue(values):
    red, green, blue = values.astype(int)
    return ((red > 200) & (green < 60)).mean(), ((blue > 200) & (green < 60)).mean()


def test_squash_sees_the_sides_of_a_wide_picture():
    found = pictures.prepared(wide(), fit="squash", resize=64, crop=64)
    assert shares_of_red_and_blue(found) == (0.125, 0.125)  # as in the picture: 20 of 160
    cut = pictures.prepared(wide(), fit="squash", resize=64, crop=56)
    red, blue = shares_of_red_and_blue(cut)
    assert red == blue == 4 / 56  # 4 columns of 8 are cut off at each side


def test_shorter_side_does_not_see_them():
    found = pictures.prepared(wide(), fit="shorter_side", resize=64, crop=64)
    assert shares_of_red_and_blue(found) == (0, 0)
    assert (found == 128).all()


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (75, 53), (500, 375), (256, 256), (1, 1)])
@pytest.mark.parametrize(("resize", "crop"), [(256, 227), (64, 64), (72, 67)])
def test_squash_is_resmems_own_preparation(size, resize, crop):
    picture = noise(*size)
    own = v2.Compose([v2.Resize((resize, resize), antialias=True), v2.CenterCrop(crop), v2.PILToTensor()])
    found = pictures.prepared(picture, fit="squash", resize=resize, crop=crop)
    np.testing.assert_array_equal(found, own(picture).numpy())


@pytest.mark.parametrize("fit", ["squash", "shorter_side"])
def test_a_grey_map_has_one_channel(fit):
    found = pictures.prepared(noise(75, 53).convert("L"), fit=fit, resize=32, crop=30)
    assert (found.shape, found.dtype) == ((1, 30, 30), np.uint8)


@pytest.mark.parametrize("fit", ["squash", "shorter_side"])
def test_a_crop_beyond_the_picture_is_refused(fit):
    with pytest.raises(DataError, match=r"crop must be from 1 to resize \(32\), received 33"):
        pictures.prepared(noise(75, 53), fit=fit, resize=32, crop=33)


# Very long pictures


@pytest.fixture
def resized(monkeypatch):
    """The sizes of all pictures that are made by resizing."""
    sizes, resize = [], Image.Image.resize

    def watched(self, size, *options):
        sizes.append(size)
        return resize(self, size, *options)

    monkeypatch.setattr(Image.Image, "resize", watched)
    return sizes


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (20_000, 600), (600, 20_000), (3000, 100)])
def test_a_very_long_picture_takes_little_memory(resized, size):
    found = pictures.prepared(Image.new("RGB", size, (10, 20, 30)), fit="shorter_side", resize=256, crop=224)
    assert found.shape == (3, 224, 224)
    assert (found == np.array([10, 20, 30])[:, None, None]).all()
    assert max(width * height for width, height in resized) <= 16 * 256**2


@pytest.mark.parametrize("size", [(1700, 100), (100, 1700), (4000, 100), (2001, 99)])
@pytest.mark.parametrize("resize", [50, 256])
def test_of_a_very_long_picture_the_middle_is_kept_as_of_a_shorter_one(size, resize):
    rows, columns = np.mgrid[: size[1], : size[0]]
    waves = 127 + 120 * np.sin(np.stack([columns / 9, rows / 7, (columns + rows) / 11], axis=-1))
    picture = Image.fromarray(waves.astype(np.uint8))
    found = pictures.prepared(picture, fit="shorter_side", resize=resize, crop=resize - 6)
    whole = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(resize - 6), v2.PILToTensor()])
    difference = np.abs(found.astype(int) - whole(picture).numpy().astype(int))
    assert difference.mean() < 4  # at most half a pixel's shift


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = Image.fromarray((np.arange(256, dtype=np.uint16) * 256).reshape(16, 16))
    found = pixels(pictures.decode(encoded(deep)))
    assert found[..., 0].ravel().tolist() == list(range(256))


def test_floating_point_pixels_are_refused_by_name():
    with pytest.raises(DataError, match=r"map\.tif: floating-point pixels"):
        pictures.decode(encoded(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), name="map.tif")
