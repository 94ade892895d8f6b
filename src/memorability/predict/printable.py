"""Names of files as they can be printed: one line, no escape codes, whatever they are made of."""

from __future__ import annotations

import unicodedata
from pathlib import Path

SPACES = ("Zs",)  # Unicode's category of spaces, which are not `isprintable` but harmless


def printable(name: str | Path) -> str:
    r"""The name with everything escaped that a terminal would not show: line breaks, escape codes, marks that turn
    the direction of text, bytes that are no UTF-8.

    >>> printable("two\nlines \x1b[31mred")
    'two\\nlines \\x1b[31mred'
    """
    return "".join(c if c.isprintable() or _is_space(c) else _escaped(c) for c in str(name))


def _is_space(character: str) -> bool:
    return unicodedata.category(character) in SPACES


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
