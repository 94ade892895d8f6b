"""Unfinished work on disk, so that a run that was stopped goes on: acquiring, training, cross-validating.

A piece of work has one folder, named after it and outside DVC (which deletes the outputs of a stage that
was stopped). The folder holds the key of all that the result depends on; under another key
(other params, data, code or torch) what it holds is stale and thrown away.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from memorability.core.errors import StateError
from memorability.core.files import digest, write_text

KEY = "key.txt"


def key(*parts: str) -> str:
    """Names all a piece of work depends on: the parts, this package's code and its numeric libraries."""
    code = sorted(Path(__file__).parents[1].rglob("*.py"))
    libraries = " ".join(
        f"{name} {version(name)}"
        for name in (
            "torch",
            "torchvision",
            "lightning-fabric",
            "diffusers",
            "numpy",
            "pillow",
            "scipy",
            "scikit-learn",
        )
    )
    return digest(*parts, libraries, *code)


@contextmanager
def unfinished(folder: Path, *parts: str) -> Iterator[Path]:
    """Yields the folder of a piece of work, empty unless it was left under the same key.

    It is removed when the block ends, and kept when the block fails or the process is killed.

    Raises:
        StateError: another process is at the same piece of work.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        held = lock.acquire(timeout=0)
    except Timeout as error:
        raise StateError(f"{folder}: another process is at this; wait for its end, or stop it") from error
    with held:
        named = key(*parts)
        if not (folder / KEY).is_file() or (folder / KEY).read_text(encoding="utf-8") != named:
            _remove(folder)
            folder.mkdir()
            write_text(folder / KEY, named)
        yield folder
        _remove(folder)


def _remove(folder: Path) -> None:
    (folder / KEY).unlink(missing_ok=True)  # first: what a kill leaves of the folder must not be taken up
    if folder.exists():
        shutil.rmtree(folder)
