"""Ridge regression on the words of a clip's title: TF-IDF, the strength chosen by group folds within train.

Salton and Buckley, Term-weighting Approaches in Automatic Text Retrieval (1988); scikit-learn's
TfidfVectorizer and Ridge. A clip without a title has the score of one without any known word.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from memorability.core.errors import TrainingError
from memorability.families.blocks.selection import chosen
from memorability.training.settings import Model

READS = "titles"


class Params(Model):
    """`alphas`: the strengths to choose from; words that fewer than `min_titles` titles have do not count.

    `words`: the longest run of words that is a term of its own.
    """

    alphas: tuple[Annotated[float, Field(gt=0)], ...] = Field((0.1, 0.3, 1.0, 3.0, 10.0), min_length=1)
    min_titles: int = Field(2, ge=1)
    words: int = Field(1, ge=1, le=3)


def fit(settings: Params, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Args: x titles [N], y float [N]. Returns: the terms (UTF-8, a line each), their idf and weight [V], bias, alpha."""
    words = TfidfVectorizer(min_df=settings.min_titles, ngram_range=(1, settings.words))
    try:
        fitted = chosen(make_pipeline(words, Ridge()), {"ridge__alpha": settings.alphas}, x, y, groups=groups)
    except ValueError as error:  # no word at all, or none that is common enough
        raise TrainingError(
            f"caption_ridge: the titles of {len(x)} training clips have no term in {settings.min_titles} of them ({error})"
        ) from error
    vectorizer, ridge = fitted.named_steps.values()
    return {
        "terms": np.frombuffer("\n".join(vectorizer.get_feature_names_out()).encode(), np.uint8),
        "idf": vectorizer.idf_,
        "weight": ridge.coef_,
        "bias": np.array(ridge.intercept_),
        "alpha": np.array(ridge.alpha),
    }


def predict(settings: Params, state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    terms = state["terms"].tobytes().decode().split("\n")
    vectorizer = TfidfVectorizer(vocabulary=terms, ngram_range=(1, settings.words))
    vectorizer.idf_ = state["idf"]
    counted: csr_matrix = vectorizer.transform(x)
    return np.asarray(counted @ state["weight"] + state["bias"])
