import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorability.training.settings import rate


def rates(epochs, **changes):
    given = {"epochs": epochs, "schedule": "constant", "warmup": 0, "step_epochs": 10} | changes
    return [rate(epoch, **given) for epoch in range(epochs)]


def test_constant():
    assert rates(4) == [1.0] * 4


def test_cosine_in_closed_form():
    expected = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert rates(4, schedule="cosine") == pytest.approx(expected)
    assert rate(4, epochs=4, schedule="cosine", warmup=0, step_epochs=1) == pytest.approx(0)


def test_step_cuts_to_a_tenth():
    assert rates(7, schedule="step", step_epochs=3) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


def test_warm_up_is_linear_and_then_the_schedule_starts():
    assert rates(6, warmup=3) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    assert rates(7, warmup=3, schedule="cosine")[3:] == rates(4, schedule="cosine")
    assert rates(7, warmup=3, schedule="step", step_epochs=2)[3:] == rates(4, schedule="step", step_epochs=2)


@given(
    st.sampled_from(["constant", "cosine", "step"]),
    st.integers(1, 60),
    st.integers(0, 60),
    st.integers(1, 20),
)
def test_rates_rise_to_one_at_most_and_then_never_rise(schedule, epochs, warmup, step_epochs):
    found = rates(epochs, schedule=schedule, warmup=warmup, step_epochs=step_epochs)
    assert all(0 < value <= 1 for value in found)
    rising, falling = found[:warmup], found[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert falling[:1] in ([], [1.0])
