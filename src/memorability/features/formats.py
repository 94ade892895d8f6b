"""The text files of descriptors that come with a data set: their numbers as vectors of one length.

Four formats (`FORMATS`) cover the given features of MediaEval 2018, one file a clip or one a frame:

    numbers   one list of `length` numbers                   C3D (101), LBP (122)
    pairs     `bin:value`, bins that are not there are 0     HMP (6,075, bins from 1), InceptionV3 (1,000),
                                                             colour histograms (256, a line for each channel)
    rows      descriptors of `length` numbers, any number    HoG, whose list has no fixed length (1), and
              of them, pooled to their mean and SD           keypoints' descriptors, such as ORB's (32)
    windows   the same, each kept                            HoG's, for a bag of them (`families.bag_ridge`)

ORB's own files in that set are pickles, which are never read here: write their descriptors as text first.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8

import numpy as np

from memorability.core.errors import DataError, ParamsError

FORMATS = ("numbers", "pairs", "rows", "windows")
_STRAY = re.compile(r"[^0-9eE+\-.,:\s\[\]]", re.ASCII)  # what is in no number, pair or list
_GAP = re.compile(r"(?:\A|,)\s*,")  # a comma with no number before it
_PAIR = re.compile(r"[-+]?[0-9]{1,18}:[^:]+")
_LARGEST = float(np.finfo(np.float32).max)


def width(*, format: str, length: int, channels: int = 1) -> int:
    """D, the length of the vectors that `parse` gives: `channels` * `length`, or twice `length` of pooled rows.

    Raises:
        ParamsError: there is no such format, or it has no such length or channels.

    >>> width(format="pairs", length=256, channels=3)
    768
    """
    if format not in FORMATS:
        raise ParamsError(f"format {format!r} is not known; valid: {', '.join(FORMATS)}")
    if length < 1:
        raise ParamsError(f"length must be at least 1, received {length}")
    if channels < 1 or (channels > 1 and format != "pairs"):
        raise ParamsError(f"channels must be at least 1, and 1 but for pairs; received {channels} ({format})")
    return 2 * length if format == "rows" else channels * length


def parse(
    content: bytes, *, format: str, length: int, name: str, channels: int = 1, first: int = 0
) -> np.ndarray:
    """The content of one file as a vector: float32 [D], D as `width` says (of `windows` as several, [R, D]).

    Args:
        content: plain text; what is in it is said below for each format.
        length: numbers of a list, bins of a channel, or numbers of a row.
        name: what an error calls the file.
        channels: lists of pairs in a file, one a line, which are joined in their order (pairs only).
        first: the number of the first bin, 0 or 1 (pairs only).

    `numbers`: exactly `length` numbers with commas, spaces or line ends between them, in brackets or not.

    >>> parse(b"[0.5, 0.25, 1e-1]", format="numbers", length=3, name="video10.txt").tolist()
    [0.5, 0.25, 0.10000000149011612]

    `pairs`: `bin:value` with spaces or commas between them, of one channel on any number of lines; a bin that is
    not there is 0.

    >>> parse(b"1:0.5 3:2", format="pairs", length=4, name="video10.txt").tolist()
    [0.0, 0.5, 0.0, 2.0]

    `rows`: descriptors of `length` numbers, one or more of them a line, in brackets or not: their mean [length], then
    their standard deviation [length] (of all rows, not of a sample); zeros where there is none, as of a frame
    without a keypoint.

    >>> parse(b"1 10\\n3 10", format="rows", length=2, name="video10-0.txt").tolist()
    [2.0, 10.0, 1.0, 0.0]

    `windows`: as `rows`, and all of them: float32 [R, length], R from 0.

    >>> parse(b"1 10 3 10", format="windows", length=2, name="video10-0.txt").tolist()
    [[1.0, 10.0], [3.0, 10.0]]

    Raises:
        DataError: the content is something else: no plain text, other numbers than `length` says, a bin
            that is out of range or there twice, a number that is not finite (as float32).
        ParamsError: see `width`.
    """
    width(format=format, length=length, channels=channels)
    try:
        text = _text(content)
        if format == "numbers":
            return _numbers(text, length)
        if format == "pairs":
            return _pairs(text, length, channels, first)
        rows = _rows(text, length)
        return rows.astype(np.float32) if format == "windows" else _pooled(rows)
    except _MalformedError as error:
        valid = {
            "numbers": f"{length} finite numbers with commas, spaces or line ends between them",
            "pairs": f"pairs bin:value, each bin once and from {first} to {first + length - 1}, finite values"
            + (f", on {channels} lines" if channels > 1 else ""),
        }
        rows_are = f"finite numbers, on each line {length} or a multiple of it"
        raise DataError(f"{name}: received {error}; valid: {valid.get(format, rows_are)}") from None


class _MalformedError(Exception):
    """Says what was received."""


def _text(content: bytes) -> str:
    content = content.removeprefix(BOM_UTF8)
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        start = max(0, error.start - 10)
        raise _MalformedError(f"bytes that are no plain text, {content[start : start + 20]!r}") from error
    for pattern in (_STRAY, _GAP):
        if found := pattern.search(text):
            start = max(0, found.start() - 10)
            raise _MalformedError(repr(text[start : start + 30]))
    return text


def _numbers(text: str, length: int) -> np.ndarray:
    values = _floats(_words(_bare(text)))
    if len(values) != length:
        raise _MalformedError(f"{len(values)} numbers")
    return values.astype(np.float32)


def _pairs(text: str, length: int, channels: int, first: int) -> np.ndarray:
    lines = [line for line in text.splitlines() if not line.isspace() and line]
    if not lines:
        raise _MalformedError("an empty file")
    if channels == 1:
        lines = [text]
    elif len(lines) != channels:
        raise _MalformedError(f"{len(lines)} lines")
    return np.concatenate([_channel(line, length, first) for line in lines])


def _channel(line: str, length: int, first: int) -> np.ndarray:
    words = _words(line)
    try:
        pairs = [word.split(":") for word in words]
        bins = np.fromiter((int(number) for number, _ in pairs), np.int64, len(pairs)) - first
    except (ValueError, OverflowError):
        raise _MalformedError(_cut(next(word for word in words if not _PAIR.fullmatch(word)))) from None
    values = _floats([value for _, value in pairs], of=words)
    outside = bins[(bins < 0) | (bins >= length)] + first
    if len(outside):
        from_one = first == 0 and set(outside) == {length}
        hint = " (if they are counted from 1, first is 1)" if from_one else ""
        raise _MalformedError(f"bin {outside[0]}{hint}")
    times = np.bincount(bins, minlength=length)
    if times.max() > 1:
        raise _MalformedError(f"bin {times.argmax() + first} {times.max()} times")
    vector = np.zeros(length, np.float32)
    vector[bins] = values
    return vector


def _rows(text: str, length: int) -> np.ndarray:
    # Brackets around the whole list, or else around every line.
    lines = (_bare(text) if text.count("[") == 1 else text).splitlines()
    values = [_floats(_words(_bare(line))) for line in lines]
    for number, row in enumerate(values, start=1):
        if len(row) % length:
            raise _MalformedError(f"{len(row)} numbers on line {number}")
    return np.concatenate([np.empty(0), *values]).reshape(-1, length)


def _pooled(rows: np.ndarray) -> np.ndarray:
    if not len(rows):
        return np.zeros(2 * rows.shape[1], np.float32)
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0)]).astype(np.float32)


def _bare(text: str) -> str:
    """Without the brackets around it."""
    text = text.strip()
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _floats(words: list[str], *, of: list[str] | None = None) -> np.ndarray:
    """float64, each finite as a float32 too; an error shows the word, or what it was part `of`."""
    try:
        values = np.fromiter(map(float, words), np.float64, len(words))
        if (np.abs(values) <= _LARGEST).all():
            return values
    except ValueError:
        pass
    wrong = next(i for i, word in enumerate(words) if not _is_number(word))
    raise _MalformedError(_cut((of or words)[wrong]))


def _is_number(word: str) -> bool:
    try:
        return abs(float(word)) <= _LARGEST
    except ValueError:
        return False


def _cut(word: str) -> str:
    return repr(word if len(word) <= 30 else word[:30] + "...")
