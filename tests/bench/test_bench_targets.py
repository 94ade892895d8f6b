"""Hit rates, false-alarm rates and d' as what models of pictures learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from memorability.core.errors import DataError
from memorability.data import tables
from memorability.families import ridge
from memorability.training.settings import Model


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": list("abc"),
            "score": [0.5, 0.6, 0.7],
            "hits": pd.array([8, 10, pd.NA], dtype="Int64"),
            "responses": pd.array([10, 10, pd.NA], dtype="Int64"),
            "false_alarms": pd.array([1, 0, pd.NA], dtype="Int64"),
            "false_alarm_responses": pd.array([20, pd.NA, pd.NA], dtype="Int64"),
            "split": ["train", "test", "train"],
        }
    )


def test_rates_are_those_of_the_counts_and_rows_without_any_are_unlabelled() -> None:
    hits, alarms = (tables.for_target(table(), name) for name in ("hit_rate", "false_alarm_rate"))
    assert hits["score"].tolist()[:2] == [0.8, 1.0]
    assert alarms["score"].tolist()[:2] == [0.05, 0.0]
    assert alarms["hits"].tolist()[:2] == [1, 0]
    assert alarms["responses"].tolist()[:2] == [20, 10]
    for found in (hits, alarms):
        assert list(found["split"]) == ["train", "test", "unlabelled"]
        assert (found["false_alarms"][:2] == 0).all()


def test_d_prime_is_learned_as_the_share_that_a_forced_choice_gets_right() -> None:
    found = tables.for_target(table(), "d_prime")
    d = norm.ppf(8.5 / 11) - norm.ppf(1.5 / 21)
    assert found["score"].iloc[0] == pytest.approx(norm.cdf(d / np.sqrt(2)))
    assert found["score"].dropna().between(0, 1).all()
    assert found["responses"].isna().all()


def test_a_table_without_counts_has_no_such_target() -> None:
    with pytest.raises(DataError, match="'hit_rate': the table has score"):
        tables.for_target(table()[["id", "score", "split"]], "hit_rate")


@pytest.mark.parametrize("target", tables.COUNTED)
def test_every_family_of_scores_may_learn_them(target: str) -> None:
    block = {"family": "ridge", "track": "images", "input": "data/features/x"}
    assert ridge.Params(**block, target=target).target == target
    assert ridge.Params(**block).target == "score"
    with pytest.raises(ValueError, match="is none of track videos"):
        Model(family="mean", track="videos", target=target, input="data/raw/videos")
