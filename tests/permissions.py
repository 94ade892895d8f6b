"""Folders that may not be written, for whoever runs the tests: root may write to any, unless it gives that right up."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION, OVERRIDE = 0x20080522, 0b111  # of Linux's capability calls; the rights to pass over a file's mode


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Within the block nothing can be made or changed in the folders, by this thread and what it starts."""
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    try:
        with as_anybody():
            yield
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


@contextmanager
def as_anybody() -> Iterator[None]:
    """Within the block this thread has no right to pass over the mode of a file."""
    if os.geteuid() != 0 or sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~OVERRIDE & ~(1 << 3)  # nor FOWNER, which may change modes
    assert libc.capset(header, without) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
