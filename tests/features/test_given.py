"""Descriptors: every format, what each refuses, and stacking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorability.core.errors import DataError, ParamsError
from memorability.features.formats import FORMATS, parse, width
from memorability.features.given import stack

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
GAPS = st.sampled_from([" ", "\n", "\t", ", ", ",", " , ", "\r\n", ",\n", "  "])


def parsed(content, format, length, **options):
    content = content if isinstance(content, bytes) else content.encode()
    return parse(content, format=format, length=length, name="HMP/video10.txt", **options)


def refused(content, format, length, **options):
    with pytest.raises(DataError) as caught:
        parsed(content, format, length, **options)
    assert str(caught.value).startswith("HMP/video10.txt: received ")
    return str(caught.value).removeprefix("HMP/video10.txt: received ")


# numbers


@given(values=st.lists(SINGLE, min_size=1, max_size=30), gap=GAPS, brackets=st.booleans())
def test_numbers_come_back_exactly(values, gap, brackets):
    text = gap.join(map(repr, values))
    found = parsed(f"[{text}]" if brackets else text, "numbers", len(values))
    assert found.dtype == np.float32
    assert found.tolist() == values


@pytest.mark.parametrize(
    "text",
    ["1 2.5 -3e-2", "[1, 2.5, -3e-2]", " 1\n2.5\r\n-.03\n\n", "+1,2.5,\n-0.03,", "\ufeff[ 1 2.50 -3E-02 ]\n"],
)
def test_numbers_as_programs_write_them(text):
    np.testing.assert_array_equal(parsed(text, "numbers", 3), np.float32([1, 2.5, -0.03]))


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ("", "0 numbers"),
        (" \n", "0 numbers"),
        ("[]", "0 numbers"),
        ("1 2", "2 numbers"),
        ("1 2 3 4", "4 numbers"),
        ("1 nan 3", "'1 nan 3'"),
        ("1 inf 3", "'1 inf 3'"),
        ("1 1e39 3", "'1e39'"),
        ("1 -1e999 3", "'-1e999'"),
        ("1 2 x", "'1 2 x'"),
        ("1 2 1_0", "'1 2 1_0'"),
        ("1 2 --3", "'--3'"),
        ("1 2 e5", "'e5'"),
        ("1 2:5 3", "'2:5'"),
        ("[1 2 3", "'[1'"),
        ("[[1 2 3]]", "'[1'"),
        ("1,,2,3", "'1,,2,3'"),
        (",1,2,3", "',1,2,3'"),
        ("1 2 " + "3" * 60 + "-", f"'{'3' * 30}...'"),
        (b"1 2 3\x00", "'1 2 3\\x00'"),
        (b"\x80\x04\x95 pickled", "bytes that are no plain text, b'\\x80"),
        ("1 2 \u00bd", "bytes that are no plain text, b'1 2 "),
        ("1 2 3".encode("utf-16"), "bytes that are no plain text, b'"),
    ],
)
def test_numbers_that_are_none_or_too_many_or_few_are_refused(content, received):
    message = refused(content, "numbers", 3)
    assert message.startswith(received)
    assert message.endswith("; valid: 3 finite numbers with commas, spaces or line ends between them")


# pairs


@given(
    bins=st.lists(st.dictionaries(st.integers(0, 9), SINGLE, min_size=1), min_size=1, max_size=3),
    first=st.sampled_from([0, 1]),
    gap=st.sampled_from([" ", ", ", ",", "\t"]),
    data=st.data(),
)
def test_pairs_come_back_exactly(bins, first, gap, data):
    expected = np.zeros((len(bins), 10), np.float32)
    lines = []
    for row, channel in zip(expected, bins, strict=True):
        row[list(channel)] = list(channel.values())
        order = data.draw(st.permutations(list(channel)))
        lines.append(gap.join(f"{number + first}:{channel[number]!r}" for number in order))
    found = parsed("\n".join(lines) + " \n", "pairs", 10, channels=len(bins), first=first)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.ravel())


def test_motion_patterns_have_their_6075_bins_counted_from_1():
    values = np.random.default_rng(0).random(6075).astype(np.float32)
    text = " ".join(f"{number}:{value}" for number, value in enumerate(values, start=1))
    np.testing.assert_array_equal(parsed(text, "pairs", 6075, first=1), values)
    assert refused(text, "pairs", 6075).startswith("bin 6075 (if they are counted from 1, first is 1);")


def test_a_sparse_file_is_zero_elsewhere():
    found = parsed("3:5.000000e-01 \n999:0.25 ", "pairs", 1000)
    assert found[[3, 999]].tolist() == [0.5, 0.25]
    assert np.count_nonzero(found) == 2


def test_channels_are_joined_in_their_order():
    text = "0:7 255:1 \n\n1:8 \n254:1008 255:9\n"
    found = parsed(text, "pairs", 256, channels=3).reshape(3, 256)
    assert {(i, j): found[i, j] for i, j in np.argwhere(found).tolist()} == {
        (0, 0): 7, (0, 255): 1, (1, 1): 8, (2, 254): 1008, (2, 255): 9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ("", "an empty file"),
        (" \n\n", "an empty file"),
        ("0:1 4:2", "bin 4 (if they are counted from 1, first is 1);"),
        ("0:1 5:2", "bin 5;"),
        ("4:1 5:2", "bin 4;"),
        ("-1:1", "bin -1;"),
        ("99999999999999999999:1", "'99999999999999999999:1'"),
        ("9223372036854775807:1", "bin 9223372036854775807;"),
        ("1:1 2:1 1:3", "bin 1 2 times"),
        ("1:1\n1:1\n1:1", "bin 1 3 times"),
        ("0.5 0.25", "'0.5'"),
        ("1:2 3", "'3'"),
        ("1:2:3 3", "'1:2:3'"),
        ("1: 2", "'1:'"),
        ("1 :2", "'1'"),
        (":2", "':2'"),
        ("1.0:2", "'1.0:2'"),
        ("1e0:2", "'1e0:2'"),
        ("0:1 1:2-", "'1:2-'"),
        ("0:1 1:nan", "'0:1 1:nan'"),
        ("0:1 1:1e39", "'1:1e39'"),
        ("[0:1 1:2]", "'[0:1'"),
        ("0:1,,1:2", "'0:1,,1:2'"),
        ("0:1 b1:2", "'0:1 b1:2'"),
        (b"0:1 \xff", "bytes that are no plain text, b'0:1 \\xff'"),
    ],
)
def test_pairs_that_are_none_are_refused(content, received):
    message = refused(content, "pairs", 4)
    assert message.startswith(received)
    assert message.endswith("; valid: pairs bin:value, each bin once and from 0 to 3, finite values")


@pytest.mark.parametrize(
    ("content", "received"), [("0:1 4:1", "bin 0;"), ("5:1", "bin 5;"), ("2:1 2:1", "bin 2 2 times")]
)
def test_bins_from_1_are_named_as_they_are_written(content, received):
    message = refused(content, "pairs", 4, first=1)
    assert message.startswith(received)
    assert "from 1 to 4" in message


@pytest.mark.parametrize(
    ("content", "received"),
    [("0:1", "1 lines"), ("0:1\n0:1\n0:1\n0:1\n", "4 lines"), ("0:1\n1:1 1:2\n0:1", "bin 1 2 times")],
)
def test_another_number_of_channels_is_refused(content, received):
    message = refused(content, "pairs", 4, channels=3)
    assert message.startswith(received)
    assert message.endswith(", on 3 lines")


# rows


@given(
    rows=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=1, max_size=9),
    form=st.sampled_from(["lines", "one line", "brackets a line", "brackets around", "two lines"]),
)
def test_rows_are_pooled_to_mean_and_deviation(rows, form):
    texts = [", ".join(map(repr, row)) for row in rows]
    text = {
        "lines": "\n".join(texts),
        "one line": ", ".join(texts),
        "brackets a line": "\n".join(f"[{row}]" for row in texts),
        "brackets around": "[" + ",\n".join(texts) + "]",
        "two lines": ", ".join(texts[1:]) + "\n" + texts[0],
    }[form]
    found = parsed(text, "rows", 3)
    assert found.dtype == np.float32
    expected = np.concatenate([np.mean(rows, axis=0), np.std(rows, axis=0)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", ["", "\n \n", "[]", "[\n]"])
def test_a_file_without_a_row_gives_zeros(text):
    found = parsed(text, "rows", 32)
    assert (found.dtype, found.shape) == (np.float32, (64,))
    assert not found.any()


def test_numbers_of_any_length_are_rows_of_one():
    np.testing.assert_array_equal(parsed("0.25 0.75 0.25 0.75 ", "rows", 1), np.float32([0.5, 0.25]))


def test_very_large_rows_have_a_finite_deviation():
    assert np.isfinite(parsed("3e38\n-3e38", "rows", 1)).all()


@pytest.mark.parametrize(
    ("content", "received"),
    [
        ("1 2 3 4", "4 numbers on line 1"),
        ("1 2 3\n4 5\n6 7 8 9", "2 numbers on line 2"),
        ("1 2 3\n4 nan 6", "'1 2 3\\n4 nan 6'"),
        ("1 2 3\n4 1e40 6", "'1e40'"),
        ("1 2 x", "'1 2 x'"),
        ("0:1 1:2 2:3", "'0:1'"),
        ("[[1, 2, 3], [4, 5, 6]]", "'[1'"),
        ("[1 2 3\n[4 5 6]", "'[1'"),
        (b"\x80\x04]q\x00(K", "bytes that are no plain text, b'\\x80"),
    ],
)
def test_rows_that_are_none_are_refused(content, received):
    message = refused(content, "rows", 3)
    assert message.startswith(received)
    assert message.endswith("; valid: finite numbers, on each line 3 or a multiple of it")


# all formats


@given(content=st.binary(max_size=40), format=st.sampled_from(FORMATS))
def test_any_bytes_are_read_or_refused(content, format):
    check_any(content, format)


@given(content=st.text("0123456789:,.eE+-[] \n", max_size=30), format=st.sampled_from(FORMATS))
def test_any_text_of_the_right_letters_is_read_or_refused(content, format):
    check_any(content.encode(), format)


def check_any(content, format):
    try:
        found = parsed(content, format, 2)
    except DataError:
        return
    assert found.shape[-1:] == (width(format=format, length=2),)
    assert found.ndim == (2 if format == "windows" else 1)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"format": "numbers", "length": 101}, 101),
        ({"format": "pairs", "length": 6075}, 6075),
        ({"format": "pairs", "length": 256, "channels": 3}, 768),
        ({"format": "rows", "length": 32}, 64),
    ],
)
def test_the_width_is_known_beforehand(options, expected):
    assert width(**options) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "pickle", "length": 1}, "format 'pickle' is not known; valid: numbers, pairs, rows"),
        ({"format": "rows", "length": 0}, "length must be at least 1, received 0"),
        ({"format": "pairs", "length": 1, "channels": 0}, "channels must be at least 1"),
        ({"format": "numbers", "length": 1, "channels": 3}, r"received 3 \(numbers\)"),
    ],
)
def test_settings_that_fit_no_format_are_refused(options, message):
    for function in (width, lambda **options: parse(b"1", name="x", **options)):
        with pytest.raises(ParamsError, match=message):
            function(**options)


# windows


def test_windows_are_all_kept():
    found = parsed("[1 10]\n[3, 10, 5, 20]\n", "windows", 2)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 10], [3, 10], [5, 20]]
    assert parsed("", "windows", 2).shape == (0, 2)
    assert width(format="windows", length=36) == 36
    assert "on each line 2 or a multiple of it" in refused("1 2 3", "windows", 2)


# stack


@given(lengths=st.lists(st.integers(0, 4), max_size=5), size=st.integers(1, 4))
def test_frames_are_stacked_with_zeros_behind(lengths, size):
    rng = np.random.default_rng(0)
    vectors = [[rng.random(size).astype(np.float32) for _ in range(length)] for length in lengths]
    whole, found = stack(vectors)
    assert (whole.dtype, found.dtype) == (np.float32, np.int64)
    assert found.tolist() == lengths
    assert whole.shape == (len(lengths), max(lengths, default=0), size if any(lengths) else 0)
    for row, clip in zip(whole, vectors, strict=True):
        np.testing.assert_array_equal(row[: len(clip)].reshape(-1), np.concatenate([[], *clip]))
        assert not row[len(clip) :].any()


@pytest.mark.parametrize("other", [np.ones(3), np.ones((2, 1))])
def test_vectors_of_different_shapes_are_refused(other):
    with pytest.raises(DataError, match=r"vectors of shapes .*\(2,\).*; valid: \[D\], the same"):
        stack([[np.ones(2)], [other]])
