"""The order by wins is the topological order of the condensation, as SciPy finds it from all results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.stats import rankdata

from memorability.families.blocks.tournament import ranking

QUICK = settings(max_examples=80, deadline=None)


@st.composite
def tournaments(draw, draws=False):
    """Who beat whom, float [N, N]: by strength, with upsets, so that there are cycles of every size."""
    n, seed, upsets = draw(st.integers(1, 24)), draw(st.integers(0, 9999)), draw(st.floats(0, 0.5))
    rng = np.random.default_rng(seed)
    won = np.triu(rng.random((n, n)) > upsets, 1).astype(float)
    if draws:
        won[np.triu(rng.random((n, n)) < 0.1, 1)] = 0.5
    won += np.tril(1 - won.T, -1)
    order = rng.permutation(n)
    return won[order][:, order]


def condensed(won):
    """The number of each one's strong component, counted from the last of the topological order: int [N]."""
    count, label = connected_components(won > 0, directed=True, connection="strong")
    beats = np.zeros((count, count), bool)
    beats[label[np.nonzero(won)[0]], label[np.nonzero(won)[1]]] = True
    np.fill_diagonal(beats, False)
    # Of a tournament each component beats all later ones: how many it beats is its place.
    place = beats.sum(1)
    assert sorted(place) == list(range(count))
    return place[label]


@QUICK
@given(tournaments())
def test_the_order_is_that_of_the_condensation_and_wins_decide_inside_a_cycle(won):
    wins = won.sum(1)
    keys = list(zip(condensed(won), wins, strict=True))
    before = [sum(other < key for other in keys) for key in keys]
    assert np.array_equal(rankdata(ranking(wins), "min") - 1, before)


@QUICK
@given(st.booleans().flatmap(lambda draws: tournaments(draws=draws)))
def test_an_earlier_component_stands_before_a_later_one(won):
    place, order = condensed(won), ranking(won.sum(1))
    for one in range(len(won)):
        assert (order[place < place[one]] < order[one]).all()


@QUICK
@given(tournaments(draws=True))
def test_places_are_from_0_to_1_and_equals_share_them(won):
    wins = won.sum(1)
    found = ranking(wins)
    assert found.shape == wins.shape
    assert ((found >= 0) & (found <= 1)).all()
    assert np.isclose(found.mean(), 0.5)
    assert np.array_equal(found[:, None] < found, wins[:, None] < wins)


def test_without_cycles_the_places_are_even():
    assert ranking(np.array([3.0, 0.0, 2.0, 1.0])).tolist() == pytest.approx([1, 0, 2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("wins", "places"), [([1, 1, 1], [0.5] * 3), ([0.5, 0.5, 2], [0.25, 0.25, 1]), ([0], [0.5]), ([], [])]
)
def test_equals_and_few(wins, places):
    assert ranking(np.array(wins, float)).tolist() == places
