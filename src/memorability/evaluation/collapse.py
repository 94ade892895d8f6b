"""Signs that the training of a model of maps has collapsed, from its history and its maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

SAME = 0.2  # share of the truth's variety under which outputs count as nearly all the same
WINS = 0.98  # share of pairs from which a discriminator counts as having won
LASTING = 3  # epochs it must last


def collapse(history: pd.DataFrame, variety: float | None) -> dict[str, Any]:
    """Signs that training has collapsed, in a network of any kind or in a GAN alone.

    The thresholds are ours: outputs have lost their variety where they differ from picture to picture
    less than `SAME` times as much as the true maps (a model that answers with the mean map has 0); a
    discriminator has won once it puts the real map first in at least `WINS` of the pairs in every epoch
    to the end, over at least `LASTING` epochs, since its answers then hardly tell the generator what to
    change. The kept weights may be from before that epoch.

    Args:
        history: a line an epoch; `train_wins` of a GAN.
        variety: of the predictions on val, as `map_measures.variety` has it.

    Returns:
        variety, outputs_lost_their_variety, discriminator_wins_from_epoch (None if it does not; of a GAN
        only) and all of it as a sentence, `text`.
    """
    lost = variety is not None and variety < SAME
    signs: dict[str, Any] = {"variety": variety, "outputs_lost_their_variety": lost}
    differ = "hardly differ" if lost else "differ"
    text = f"its maps on val {differ} from picture to picture ({variety or 0:.2f} of the truth's variety)"
    if variety is None:
        text = "there are no different maps on val to compare the variety of its maps with"
    if "train_wins" in history:
        won = history["train_wins"].to_numpy(float) >= WINS
        lasting = len(won) if won.all() else int(np.argmin(won[::-1]))
        since = int(history["epoch"].iloc[-lasting]) if lasting >= LASTING else None
        signs["discriminator_wins_from_epoch"] = since
        text += "; its discriminator " + (
            "does not win" if since is None else f"has won from epoch {since} on"
        )
    return signs | {"text": f"{text}."}
