"""A bag of windows: a histogram of visual words of a clip's descriptors, and ridge regression on it.

Csurka, Dance, Fan, Willamowski and Bray, Visual Categorization with Bags of Keypoints (2004): descriptors of train alone
are sorted into `words` by k-means (Lloyd 1982; scikit-learn's, on standardised numbers), and a clip is the share of its
windows that is nearest to each word. Shares are taken by their square roots (Arandjelovic and Zisserman, Three Things
Everyone Should Know to Improve Object Retrieval, 2012), and go to `ridge`. A window of zeros, which has no edge at all, counts as
none: so do the places behind the last window of a clip.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sklearn.cluster import KMeans

from memorability.core.errors import TrainingError
from memorability.families import ridge

READS = "sequences"  # [N, T, D]: T windows of D numbers, such as given features in the format `windows`
AT_ONCE = 64  # clips whose windows are compared with the words together


class Params(ridge.Params):
    """`words` of the codebook, made of at most `windows` of train; and the strengths of `ridge` to choose from."""

    words: int = Field(128, ge=2, le=4096)
    windows: int = Field(50_000, ge=2, description="of train that the words are made of, drawn by `seed`")
    seed: int = Field(0, ge=0, lt=2**32)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Of the rows of train alone: x float [N, T, D], y float [N].

    Returns:
        `words` [K, D] of standardised numbers, their `mean` and `scale` [D], and what `ridge` has.

    Raises:
        TrainingError: there are fewer different windows than words.
    """
    found = _drawn(settings, x)
    mean, scale = found.mean(axis=0), found.std(axis=0)
    scale[scale == 0] = 1
    found = (found - mean) / scale
    different = len(np.unique(found, axis=0))
    if different < settings.words:
        raise TrainingError(
            f"bag_ridge: {settings.words} words of {different} different windows of train; valid: words up to that"
        )
    codebook = KMeans(settings.words, n_init=1, random_state=settings.seed).fit(found).cluster_centers_
    state = {"words": codebook, "mean": mean, "scale": scale}
    return state | ridge.fit(settings, histograms(state, x), y, groups=groups)


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Scores [N] of windows [N, T, D]."""
    return ridge.predict(settings, state, histograms(state, x))


def histograms(state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The root of the share of each word among the windows of each clip: [N, K] of [N, T, D]; zero where there is none."""
    words, counts = state["words"], np.zeros((len(x), len(state["words"])))
    for start in range(0, len(x), AT_ONCE):
        part = np.asarray(x[start : start + AT_ONCE], np.float64)
        clip, place = np.nonzero((part != 0).any(axis=2))
        windows = (part[clip, place] - state["mean"]) / state["scale"]
        apart = (words**2).sum(axis=1) - 2 * windows @ words.T  # and what is the same for all words
        np.add.at(counts, (start + clip, apart.argmin(axis=1)), 1)
    return np.asarray(np.sqrt(counts / np.maximum(1, counts.sum(axis=1, keepdims=True))))


def _drawn(settings: Params, x: np.ndarray) -> np.ndarray:
    """At most `windows` of all windows, but one of each clip, float64 [M, D]: as many of each, so that long ones do not make the words."""
    rng, each = np.random.default_rng(settings.seed), max(1, settings.windows // len(x))
    found = list[np.ndarray]()
    for clip in x:
        there = np.flatnonzero((clip != 0).any(axis=1))
        found.append(np.asarray(clip[np.sort(rng.permutation(there)[:each])], np.float64))
    return np.concatenate(found)
