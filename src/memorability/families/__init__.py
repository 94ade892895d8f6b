"""Model families: one file each, and the file's name is what `family:` says.

Every family has `Params`, its settings, and `READS`, what x is:

    "nothing"                        an empty array [N, 0]
    "pictures", "frames"             pixels: [3, h, w] of a picture, [T, 3, h, w] of a clip
    "whole_pictures"                 pixels [3, P, P] of the whole picture brought to a square; P is `settings.side`
    "features"                       of the input artifact
    "places"                         features of each place of whole pictures, [D, h, w], of the input artifact
    "titles"                         a text a clip
    "predictions"                    of other models (`settings.members`), [N, M]
    "frame_scores"                   of the frames by the image model in `backbone`, [N, T], NaN after the last

A closed-form family has
    fit(settings, x, y)              -> state: dict of arrays
    predict(settings, state, x)      -> scores, float [N]
where x of features is a matrix [N, D], for clips the mean over their frames; and may have
    FIT_ON                           the split it is fitted on, if it is not "train"
    BY_FRAME, by_frame(settings, state, x)     what it says of each frame, as below

A gradient family has
    SELECTION                        the validation measure that picks the best epoch (higher is better)
    measure(truth, prediction)       -> dict of validation measures, SELECTION among them
    build(settings, shape=, backbone=)  -> nn.Module; `shape` is of one input, `backbone` a
                                     `backbones.Network` or None
    optimisers(settings, net)        -> dict of name -> torch optimiser
    step(settings, net, batch, optimisers, backward) -> dict of losses; it makes its own updates
    predict(settings, net, batch)    -> scores, float [B]
where x of features is a sequence [T, D] (of a picture: T = 1); and may have
    constant(net, batch)             what a frozen part makes of x, [B, ...]: computed once for each
                                     input and given to step and predict as batch["constant"]
                                     (not where settings have `frozen: false`)
    ONLY_CONSTANT = True             nothing but that constant is then looked at: x is not loaded
    together(settings, net, outputs) -> scores [N] from the outputs of predict [N, ...] of all that is
                                     judged together, for methods that compare inputs with each other
    RANKS = True                     its scores are ranks: calibrated on validation before L1 and MSE; then it has
    against(settings, net, outputs, others) -> the places [N] of some among others, for files that come alone
    BY_FRAME, by_frame(settings, net, batch)   the name of what it says of each frame, and the values [B, T]

A batch is a dict: "x" float (pixels in [0, 1]), "y" float [B] (in training), "length" int [B] (frames that
are there; the others are zero and must not count) and "constant".

Families of maps (track `maps`) have the same functions: y and predictions are maps in [0, 1], [N, C, S, S] with S
`settings.size`, and `build` also takes `channels`, C. `settings.select`, where there is one, is used in place of
SELECTION; `settings.val_pictures` bounds how many of validation are predicted after each epoch. Their steps may also give "l1" (of the maps, on [0, 1]) and "wins" (`adversaries.wins`) among the losses.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from memorability.core.errors import ParamsError


def names() -> list[str]:
    """Every family there is."""
    return sorted(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem != "__init__")


def load(name: str) -> Any:
    """The module `memorability.families.NAME`.

    Raises:
        ParamsError: there is no such family.
    """
    if name not in names():
        raise ParamsError(f"family {name!r} is not known; valid: {', '.join(names())}")
    return importlib.import_module(f"memorability.families.{name}")
