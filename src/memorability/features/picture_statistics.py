"""What can be measured of a picture without a network: the low-level properties that memorability is controlled for.

All but its size are measured on the picture brought to at most `SIDE` pixels on its longer side by averaging, so that
a file's resolution does not count. Grey levels are those that are displayed, not light: as in the SHINE toolbox
(Willenbockel et al., Controlling Low-Level Image Properties, 2010).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from memorability.features import handmade

SIDE: Final = 256  # pixels
FEWEST: Final = 4  # cycles a side that a slope is taken from
RINGS, LEAST_RINGS = 3, 4  # of frequencies, in an octave and in all
LEAST_SIDE: Final = 16  # pixels of a side under which a spectrum has too few frequencies
# Name -> what it is, in the order that tables have them.
STATISTICS: Final[dict[str, str]] = {
    "luminance": "mean grey level, 0 to 1",
    "contrast": "RMS contrast: the standard deviation of grey levels, 0 to 0.5 (Peli 1990)",
    "colourfulness": "M3 of Hasler and Suesstrunk (2003) on values from 0 to 255: 0 of grey, over 100 of gaudy ones",
    "saturation": "mean saturation of HSV, 0 to 1",
    "hue": "circular mean of the hue, weighted by saturation x value, 0 to 360 degrees; NaN of grey pictures",
    "edge_density": "share of pixels on an edge (Canny 1986)",
    "frequency_slope": "slope of log amplitude over log spatial frequency, about -1 (Field 1987); NaN of plain ones",
    "entropy": "Shannon's entropy of the 256 grey levels, 0 to 8 bits",
    "width": "pixels",
    "height": "pixels",
    "aspect": "width / height",
}


def measured(picture: Image.Image) -> dict[str, float]:
    """Each of `STATISTICS` by name; those that models read too are computed by `features.handmade`.

    Args:
        picture: upright RGB, as `media.pictures.read` gives it.
    """
    from skimage import color

    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(small, float) / 255
    seen = handmade.Seen(color.rgb2hsv(values), color.rgb2gray(values))
    turn, cosine, sine, _ = handmade.hue(seen)
    return {
        "luminance": float(seen.grey.mean()),
        "contrast": float(handmade.contrast(seen)[0]),
        "colourfulness": colourfulness(values),
        "saturation": float(handmade.saturation(seen)[0]),
        "hue": float(360 * turn) if cosine or sine else float("nan"),
        "edge_density": float(handmade.edges(seen)[0]),
        "frequency_slope": frequency_slope(seen.grey),
        "entropy": float(handmade.entropy(seen)[0]),
        "width": float(picture.width),
        "height": float(picture.height),
        "aspect": picture.width / picture.height,
    }


def colourfulness(values: np.ndarray) -> float:
    """Hasler and Suesstrunk, Measuring Colourfulness in Natural Images, 2003: their M3 (opponent colours, RGB).

    Args:
        values: RGB float [h, w, 3] in [0, 1].

    >>> colourfulness(np.full((4, 4, 3), 0.5))
    0.0
    """
    red, green, blue = np.moveaxis(255 * values, 2, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def frequency_slope(grey: np.ndarray) -> float:
    """The least-squares slope of log amplitude over log frequency, both averaged over directions.

    Of the largest central square, less its mean and within a Hann window, from 4 cycles a side (under
    which the window counts) to half of the sampling rate, each octave weighing the same. Amplitudes of
    natural scenes fall as 1 / f: about -1 (Field 1987; Torralba and Oliva 2003).

    Returns:
        NaN of a picture of one grey level, or of under `LEAST_SIDE` pixels a side.
    """
    side = min(grey.shape)
    top, left = ((length - side) // 2 for length in grey.shape)
    square = grey[top : top + side, left : left + side]
    if side < LEAST_SIDE or np.ptp(square) == 0:
        return float("nan")
    window = np.hanning(side)
    amplitude = np.abs(np.fft.fft2((square - square.mean()) * np.outer(window, window)))
    cycles = np.fft.fftfreq(side, 1 / side)
    radius = np.hypot(cycles[:, None], cycles[None])
    octaves = np.log2(side / 2 / FEWEST)
    edges = np.geomspace(FEWEST, side / 2, 1 + max(LEAST_RINGS, round(RINGS * octaves)))
    ring_of = np.digitize(radius, edges)
    rings = [ring_of == ring for ring in _filled(ring_of, edges)]
    means = [(radius[ring].mean(), amplitude[ring].mean()) for ring in rings]
    frequency, height = np.array([(f, a) for f, a in means if a > 0]).T
    if len(frequency) < 3:
        return float("nan")
    return float(np.polyfit(np.log(frequency), np.log(height), 1)[0])


def _filled(ring_of: np.ndarray, edges: np.ndarray) -> list[int]:
    """The numbers of the rings between the edges that any frequency lies in."""
    counts = np.bincount(ring_of.ravel(), minlength=len(edges) + 1)
    return [ring for ring in range(1, len(edges)) if counts[ring]]
