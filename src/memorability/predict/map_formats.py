"""The kinds of files that a map can be written to: a picture for the eye, or its values as they are.

The command's help reads this module, so NumPy is imported only where something is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from memorability.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

Format = Literal["png", "npy", "tiff"]
ENDINGS: Final[dict[str, Format]] = {".png": "png", ".npy": "npy", ".tif": "tiff", ".tiff": "tiff"}
OF: Final[dict[Format, str]] = {"png": ".png", "npy": ".npy", "tiff": ".tif"}
FAST: Final = 1  # of PNG's compression: maps of large photos are written five times as fast, a quarter larger


def check_ending(out: Path, given: Format | None) -> None:
    """Whether the one file `out` is of a kind, and of the `given` one if there is one.

    Raises:
        DataError: it is not; names the valid endings.
    """
    found = ENDINGS.get(out.suffix.lower())
    if found is None:
        raise DataError(
            f"-o {out}: a map is not written to a file of ending {out.suffix!r}; valid: NAME{', NAME'.join(ENDINGS)}, "
            "or a folder that exists"
        )
    if given not in (None, found):
        raise DataError(f"-o {out}: its ending is that of {found}, received --format {given}; leave one out")


def write(values: np.ndarray, path: Path, kind: Format) -> None:
    """Writes a map, float [C, h, w] in [0, 1].

    png: 8 bits, 255 where it is 1, grey or RGB. npy: float32 [C, h, w]. tiff: floats of 32 bits, a page a channel.
    """
    import numpy as np
    from PIL import Image

    from memorability.media.overlay import as_picture

    if kind == "png":
        as_picture(values).save(path, "PNG", compress_level=FAST)
    elif kind == "npy":
        with path.open("wb") as stream:
            np.save(stream, values.astype(np.float32))
    else:
        first, *others = [Image.fromarray(channel.astype(np.float32)) for channel in values]
        first.save(path, "TIFF", save_all=True, append_images=others)
