"""Which files of a folder are pictures and which are clips: by their content, and by their ending where that tells nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from PIL import Image

from memorability.core.errors import DataError
from memorability.core.files import open_plain
from memorability.media import pictures, video

Kind = Literal["picture", "clip"]
HEAD: Final = 4096  # bytes that are looked at
PICTURES: Final = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\x4f\xff\x51", b"P5\n", b"P6\n"),
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
)
CLIPS: Final = (
    *(b"\x1aE\xdf\xa3", b"FLV\x01", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"\x06\x0e\x2b\x34"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
)
PICTURE_BRANDS: Final = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix")
# Containers of clips that hold sound alone, and TIFFs that hold what a camera's sensor saw and a small preview.
NEITHER: Final = (
    *(".m4a", ".m4b", ".mka", ".wma", ".oga", ".opus", ".mp3", ".wav", ".flac", ".aac"),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".pef", ".srw", ".raf"),
)


@dataclass(frozen=True)
class NotLookedAt:
    path: Path
    reason: str

    @property
    def is_unreadable(self) -> bool:
        """Whether it might have been an item: it could not be looked at."""
        return self.reason.startswith(("cannot be read", "not a file"))


@dataclass
class LeftOut:
    """How many files were not looked at, why, and the first one of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    such: dict[str, Path] = field(default_factory=dict)

    def add(self, path: Path, reason: str) -> None:
        self.counts[reason] += 1
        self.such.setdefault(reason, path)

    def said(self) -> str | None:
        """In one line; None if there are none."""
        if not self.counts:
            return None
        listed = self.counts.most_common()
        parts = [f"{count} {reason} (such as {str(self.such[reason])!r})" for reason, count in listed]
        return f"not looked at: {'; '.join(parts)}"


@dataclass
class Found:
    """What paths lead to, each list in the order of the paths and, within a folder, of the names."""

    pictures: list[Path] = field(default_factory=list)
    clips: list[Path] = field(default_factory=list)
    others: list[NotLookedAt] = field(default_factory=list)

    def left_out(self) -> str | None:
        """In one line, how many files were not looked at, why, and one of each kind; None if there are none."""
        left = LeftOut()
        for other in self.others:
            left.add(other.path, other.reason)
        return left.said()


def scan(paths: Iterable[Path]) -> Found:
    """Sorts files, and all files below folders, into pictures, clips and what is neither.

    Nothing outside the named paths is looked at: links to folders within a folder are not followed. Hidden files
    and folders in a folder (such as macOS's `._a.jpg`) are no items; a named one is. An animated GIF is a clip,
    any other animation a picture. A named file that is neither, or is not there, is among the `others`.
    """
    found = Found()
    for path in paths:
        for one in look(path):
            if isinstance(one, NotLookedAt):
                found.others.append(one)
            else:
                (found.pictures if one[1] == "picture" else found.clips).append(one[0])
    return found


def look(path: Path) -> Iterator[tuple[Path, Kind] | NotLookedAt]:
    """What `scan` sorts, one file after the other: of a folder the names of one of its folders are in memory at a time."""
    files = _below(path) if is_folder(path) else [(path, None)]
    for file, reason in files:
        yield NotLookedAt(file, reason) if reason is not None else looked_at(file)


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long; opening it says so
        return False


def kind(path: Path) -> Kind | None:
    """Whether a file is a picture or a clip: by its first bytes, else by its ending; None if it is neither.

    Raises:
        OSError: it cannot be read.
        DataError: it is no plain file, but a pipe or a device.
    """
    ending = path.suffix.lower()
    with open_plain(path) as stream:
        head = stream.read(HEAD)
    if ending in NEITHER:
        return None
    if head.startswith(b"GIF8"):
        return "clip" if _is_animated(path) else "picture"
    by_content = _by_content(head, ending)
    if by_content is not None:
        return by_content
    if ending in pictures.SUFFIXES:
        return "picture"
    return "clip" if ending in video.SUFFIXES else None


def _is_animated(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return bool(getattr(picture, "is_animated", False))
    except Exception:  # Pillow fails in many ways on a damaged file; decoding it will say why
        return False


def _by_content(head: bytes, ending: str) -> Kind | None:
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if head.startswith(PICTURES) or head[8:12] == b"WEBP" or brand in PICTURE_BRANDS:
        return "picture"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "picture" if ending in ("", ".tif", ".tiff") else None
    if head.startswith(b"OggS"):
        return "clip" if b"theora" in head or ending == ".ogv" else None
    if head.startswith(CLIPS) or head[8:12] == b"AVI " or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "clip"
    packets = (
        head[0:1],
        head[188:189],
        head[376:377],
    )  # of a transport stream, or with four bytes before each
    behind_times = (head[4:5], head[196:197], head[388:389])
    return "clip" if packets == (b"G",) * 3 or behind_times == (b"G",) * 3 else None


def looked_at(path: Path) -> tuple[Path, Kind] | NotLookedAt:
    """A file with its kind, or why it is neither."""
    try:
        of = kind(path)
    except OSError as error:
        return NotLookedAt(path, f"cannot be read ({error.strerror})")
    except DataError as error:
        return NotLookedAt(path, str(error))
    except ValueError as error:  # a null in a name
        return NotLookedAt(path, f"cannot be read ({error})")
    if of is None:
        return NotLookedAt(path, f"of ending {path.suffix.lower()!r}" if path.suffix else "without an ending")
    return path, of


def _below(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Every file below a folder that is not hidden, sorted; what cannot be opened with the reason.

    With a list and not by recursion, so that folders may be as deep as they like.
    """
    left: list[tuple[Path, str | None, bool]] = [(folder, None, True)]
    while left:
        path, reason, is_folder = left.pop()
        if not is_folder:
            yield path, reason
            continue
        try:
            with os.scandir(path) as entries:
                inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=_name)
        except OSError as error:
            yield path, f"cannot be read ({error.strerror})"
            continue
        for entry in reversed(inside):
            linked = entry.is_symlink() and Path(entry.path).is_dir()
            below = not linked and entry.is_dir(follow_symlinks=False)
            left.append((Path(entry.path), "a link to a folder" if linked else None, below))


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
