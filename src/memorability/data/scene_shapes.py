"""What the things of drawn scenes look like: shapes in a unit box, and their colours."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]
Shape = tuple[str, tuple[float, ...], str]  # form, flat coordinates in the thing's unit box, tone

# Width over height, and shapes painted in order. Tones: main, dark, light (of the thing's own hue)
# or the name of a fixed colour.
THINGS: dict[str, tuple[float, tuple[Shape, ...]]] = {
    "person": (
        0.42,
        (
            ("polygon", (0.22, 0.60, 0.46, 0.60, 0.44, 1.0, 0.26, 1.0), "dark"),
            ("polygon", (0.54, 0.60, 0.78, 0.60, 0.74, 1.0, 0.56, 1.0), "dark"),
            ("polygon", (0.18, 0.27, 0.82, 0.27, 0.80, 0.64, 0.20, 0.64), "main"),
            ("polygon", (0.18, 0.27, 0.30, 0.30, 0.12, 0.60, 0.00, 0.57), "light"),
            ("polygon", (0.82, 0.27, 0.70, 0.30, 0.88, 0.60, 1.00, 0.57), "light"),
            ("ellipse", (0.28, 0.0, 0.72, 0.17), "hair"),
            ("ellipse", (0.30, 0.03, 0.70, 0.26), "skin"),
        ),
    ),
    "face": (
        0.85,
        (
            ("ellipse", (0.0, 0.74, 1.0, 1.3), "main"),
            ("ellipse", (0.16, 0.0, 0.84, 0.80), "hair"),
            ("polygon", (0.40, 0.70, 0.60, 0.70, 0.62, 0.90, 0.38, 0.90), "skin"),
            ("ellipse", (0.23, 0.12, 0.77, 0.82), "skin"),
            ("ellipse", (0.33, 0.38, 0.45, 0.47), "white"),
            ("ellipse", (0.55, 0.38, 0.67, 0.47), "white"),
            ("ellipse", (0.37, 0.39, 0.43, 0.46), "black"),
            ("ellipse", (0.59, 0.39, 0.65, 0.46), "black"),
            ("polygon", (0.50, 0.46, 0.54, 0.58, 0.46, 0.58), "hair"),
            ("ellipse", (0.40, 0.63, 0.60, 0.71), "red"),
        ),
    ),
    "cat": (
        1.1,
        (
            ("ellipse", (0.72, 0.10, 0.98, 0.85), "dark"),
            ("ellipse", (0.76, 0.16, 0.90, 0.78), "main"),
            ("ellipse", (0.22, 0.40, 0.88, 1.0), "main"),
            ("polygon", (0.05, 0.02, 0.24, 0.18, 0.06, 0.34), "dark"),
            ("polygon", (0.50, 0.02, 0.31, 0.18, 0.49, 0.34), "dark"),
            ("ellipse", (0.03, 0.12, 0.52, 0.62), "light"),
            ("ellipse", (0.13, 0.28, 0.22, 0.40), "black"),
            ("ellipse", (0.33, 0.28, 0.42, 0.40), "black"),
            ("polygon", (0.24, 0.44, 0.31, 0.44, 0.275, 0.50), "red"),
        ),
    ),
    "bird": (
        1.2,
        (
            ("polygon", (0.70, 0.42, 1.0, 0.30, 1.0, 0.52), "dark"),
            ("polygon", (0.44, 0.70, 0.48, 0.70, 0.48, 1.0, 0.44, 1.0), "orange"),
            ("polygon", (0.54, 0.70, 0.58, 0.70, 0.58, 1.0, 0.54, 1.0), "orange"),
            ("ellipse", (0.20, 0.24, 0.84, 0.78), "main"),
            ("ellipse", (0.42, 0.34, 0.86, 0.62), "dark"),
            ("polygon", (0.0, 0.22, 0.16, 0.12, 0.16, 0.30), "orange"),
            ("ellipse", (0.10, 0.0, 0.44, 0.42), "light"),
            ("ellipse", (0.20, 0.12, 0.27, 0.20), "black"),
        ),
    ),
    "fish": (
        1.7,
        (
            ("polygon", (0.68, 0.50, 1.0, 0.12, 0.94, 0.50, 1.0, 0.88), "dark"),
            ("polygon", (0.30, 0.25, 0.60, 0.0, 0.62, 0.30), "dark"),
            ("ellipse", (0.0, 0.14, 0.80, 0.88), "main"),
            ("polygon", (0.30, 0.18, 0.38, 0.16, 0.38, 0.86, 0.30, 0.84), "light"),
            ("polygon", (0.48, 0.17, 0.55, 0.19, 0.55, 0.84, 0.48, 0.86), "light"),
            ("ellipse", (0.11, 0.33, 0.20, 0.50), "white"),
            ("ellipse", (0.13, 0.37, 0.18, 0.46), "black"),
        ),
    ),
    "car": (
        2.0,
        (
            ("polygon", (0.20, 0.42, 0.34, 0.06, 0.72, 0.06, 0.86, 0.42), "dark"),
            ("polygon", (0.27, 0.40, 0.37, 0.14, 0.51, 0.14, 0.51, 0.40), "glass"),
            ("polygon", (0.55, 0.40, 0.55, 0.14, 0.69, 0.14, 0.79, 0.40), "glass"),
            ("polygon", (0.0, 0.46, 0.08, 0.38, 0.94, 0.38, 1.0, 0.50, 1.0, 0.80, 0.0, 0.80), "main"),
            ("ellipse", (0.12, 0.58, 0.32, 1.0), "black"),
            ("ellipse", (0.68, 0.58, 0.88, 1.0), "black"),
            ("ellipse", (0.18, 0.70, 0.26, 0.88), "grey"),
            ("ellipse", (0.74, 0.70, 0.82, 0.88), "grey"),
            ("ellipse", (0.0, 0.48, 0.06, 0.62), "yellow"),
        ),
    ),
    "boat": (
        1.1,
        (
            ("polygon", (0.47, 0.0, 0.50, 0.0, 0.50, 0.75, 0.47, 0.75), "brown"),
            ("polygon", (0.52, 0.04, 0.52, 0.66, 0.94, 0.66), "light"),
            ("polygon", (0.45, 0.12, 0.45, 0.66, 0.12, 0.66), "white"),
            ("polygon", (0.0, 0.72, 1.0, 0.72, 0.84, 1.0, 0.16, 1.0), "main"),
            ("polygon", (0.0, 0.72, 1.0, 0.72, 0.97, 0.78, 0.03, 0.78), "dark"),
        ),
    ),
    "chair": (
        0.6,
        (
            ("polygon", (0.08, 0.0, 0.24, 0.0, 0.24, 1.0, 0.08, 1.0), "dark"),
            ("polygon", (0.10, 0.04, 0.90, 0.04, 0.90, 0.44, 0.10, 0.44), "main"),
            ("polygon", (0.80, 0.0, 0.92, 0.0, 0.92, 0.62, 0.80, 0.62), "dark"),
            ("polygon", (0.04, 0.54, 0.96, 0.54, 1.0, 0.66, 0.0, 0.66), "light"),
            ("polygon", (0.84, 0.66, 0.98, 0.66, 0.98, 1.0, 0.84, 1.0), "dark"),
        ),
    ),
    "lamp": (
        0.5,
        (
            ("polygon", (0.45, 0.30, 0.55, 0.30, 0.55, 0.94, 0.45, 0.94), "grey"),
            ("ellipse", (0.20, 0.90, 0.80, 1.0), "grey"),
            ("polygon", (0.28, 0.0, 0.72, 0.0, 1.0, 0.36, 0.0, 0.36), "main"),
            ("polygon", (0.02, 0.33, 0.98, 0.33, 1.0, 0.37, 0.0, 0.37), "yellow"),
        ),
    ),
    "house": (
        1.15,
        (
            ("polygon", (0.08, 0.40, 0.92, 0.40, 0.92, 1.0, 0.08, 1.0), "light"),
            ("polygon", (0.0, 0.44, 0.50, 0.0, 1.0, 0.44), "main"),
            ("polygon", (0.42, 0.66, 0.58, 0.66, 0.58, 1.0, 0.42, 1.0), "brown"),
            ("polygon", (0.16, 0.54, 0.33, 0.54, 0.33, 0.74, 0.16, 0.74), "glass"),
            ("polygon", (0.67, 0.54, 0.84, 0.54, 0.84, 0.74, 0.67, 0.74), "glass"),
            ("polygon", (0.72, 0.06, 0.82, 0.06, 0.82, 0.28, 0.72, 0.20), "dark"),
        ),
    ),
    "tree": (
        0.75,
        (
            ("polygon", (0.42, 0.55, 0.58, 0.55, 0.62, 1.0, 0.38, 1.0), "brown"),
            ("ellipse", (0.0, 0.22, 0.60, 0.66), "leaf"),
            ("ellipse", (0.40, 0.22, 1.0, 0.66), "leaf"),
            ("ellipse", (0.18, 0.0, 0.82, 0.50), "foliage"),
        ),
    ),
    "flower": (
        0.7,
        (
            ("polygon", (0.47, 0.40, 0.53, 0.40, 0.53, 1.0, 0.47, 1.0), "leaf"),
            ("ellipse", (0.50, 0.66, 0.86, 0.80), "foliage"),
            ("ellipse", (0.33, 0.0, 0.67, 0.24), "main"),
            ("ellipse", (0.33, 0.30, 0.67, 0.54), "main"),
            ("ellipse", (0.06, 0.13, 0.48, 0.40), "light"),
            ("ellipse", (0.52, 0.13, 0.94, 0.40), "light"),
            ("ellipse", (0.36, 0.17, 0.64, 0.37), "yellow"),
        ),
    ),
}

FIXED: dict[str, Colour] = {
    "skin": (226, 178, 146),
    "hair": (74, 50, 36),
    "white": (246, 246, 242),
    "black": (24, 24, 28),
    "red": (196, 60, 58),
    "orange": (236, 148, 52),
    "yellow": (250, 214, 92),
    "grey": (150, 150, 154),
    "brown": (120, 82, 52),
    "glass": (168, 206, 224),
    "leaf": (58, 112, 52),
    "foliage": (82, 146, 70),
}


def tones(hue: float) -> dict[str, Colour]:
    """The palette of a thing with the given hue in [0, 1): its three shades and the fixed colours."""

    def shade(saturation: float, value: float) -> Colour:
        r, g, b = colorsys.hsv_to_rgb(hue, saturation, value)
        return (int(r * 255), int(g * 255), int(b * 255))

    return {"main": shade(0.75, 0.80), "dark": shade(0.80, 0.50), "light": shade(0.45, 0.93), **FIXED}
