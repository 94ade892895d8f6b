"""Damage inside a picture's file that its pixels do not show: lost blocks which a lenient decoder fills up as it can.

Pillow decodes a JPEG with a hole of zeros (a bad disk, an unfinished copy) to the end without a word. A run of
zeros alone tells nothing: a plain white progressive JPEG holds 20 kB of them. The reports of a decoder do. Of
holes of 4,096 bytes in 102 baseline JPEGs, libjpeg-turbo (simplejpeg) reports 98, FFmpeg (PyAV) 75, which says
nothing of data that are left over; of the rest the Huffman table tells that there can be no such zeros. None of
1,450 whole photographs is refused.
"""

from __future__ import annotations

import re
import struct
from typing import Final

import simplejpeg  # type: ignore[import-untyped]  # has no types

HOLE: Final = bytes(64)
# What libjpeg says of data that are not what an encoder wrote. Its other warnings are of odd encoders.
CORRUPT: Final = "Corrupt JPEG data"


def of(content: bytes, kind: str | None) -> str | None:
    """What shows that a picture of the format `kind` (Pillow's name) is damaged; None if nothing does."""
    if kind in ("JPEG", "MPO"):
        return _reported(content) or hole(content)
    if kind == "WEBP":
        return _hole_of_webp(content)
    return None


def _reported(content: bytes) -> str | None:
    """What libjpeg-turbo reports of a JPEG, decoded at an eighth of its size, for which it reads all data."""
    content += b"\xff\xd9"  # the mark of the end, without which nothing need be lost
    try:
        colours = simplejpeg.decode_jpeg_header(content, strict=False)[2]
        wanted = "CMYK" if colours in ("CMYK", "YCCK") else "RGB"
        simplejpeg.decode_jpeg(content, colorspace=wanted, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return of_warning(error)
    return None


def of_warning(error: ValueError) -> str | None:
    """What a strict decoder complains of, if it shows damage."""
    return str(error) if CORRUPT in str(error) else None


def hole(content: bytes) -> str | None:
    """A run of zeros in a sequential JPEG whose table has no end of a block for a code of zeros.

    There zeros would be blocks in which every coefficient is the same, which no picture has.
    """
    first: dict[int, int] = {}  # of each AC table, what its code of zeros stands for
    sequential, place = False, 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], struct.unpack_from(">H", content, place + 2)[0]
        segment = content[place + 4 : place + 2 + length]
        if marker in (0xC0, 0xC1):
            sequential = True
        elif marker == 0xC4:
            first |= _first_symbols(segment)
        elif marker == 0xDA:
            if not sequential or len(segment) < 3 or not first.get(segment[2] & 15):
                return None
            scan = place + 2 + length
            end = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL).search(content, scan)
            at = content.find(HOLE, scan, end.start() if end else len(content))
            return f"a long run of zeros at byte {at:,}" if at >= 0 else None
        place += 2 + length
    return None


def _first_symbols(segment: bytes) -> dict[int, int]:
    """The symbol of the first code, which is all zeros, of each AC table in a segment DHT."""
    found, place = {}, 0
    while place + 17 < len(segment):
        if segment[place] >> 4 == 1:
            found[segment[place] & 15] = segment[place + 17]
        place += 17 + sum(segment[place + 1 : place + 17])
    return found


def _hole_of_webp(content: bytes) -> str | None:
    """A run of zeros in the frame of a lossy WebP, whose arithmetic coder never writes one."""
    place = 12
    while place + 8 <= len(content):
        name, size = content[place : place + 4], struct.unpack_from("<I", content, place + 4)[0]
        if name == b"VP8 ":
            frame = content[: place + 8 + size].rstrip(b"\0")  # which of a plain picture may end in zeros
            at = frame.find(HOLE, place + 8)
            return f"a long run of zeros at byte {at:,}" if at >= 0 else None
        place += 8 + size + size % 2
    return None
