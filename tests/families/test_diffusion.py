"""Schedules of noise against their formulas, and noise that a picture alone decides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from memorability.families.blocks import diffusion

T = np.linspace(0, 1, 101)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_what_is_left_of_a_picture():
    assert np.allclose(diffusion.alpha_bar("cosine", T), np.cos(np.pi * T / 2) ** 2)
    # Chen (2023), algorithm 1, with start -3, end 3 and temperature 1.
    start, end = logistic(-3.0), logistic(3.0)
    expected = (end - logistic(T * 6 - 3)) / (end - start)
    assert np.allclose(diffusion.alpha_bar("sigmoid", T), expected)


def published(schedule, t, *, start, end, tau):
    """Algorithm 1 of Chen (2023), written out once more."""
    if schedule == "cosine":
        first, last = (math.cos(x * math.pi / 2) ** (2 * tau) for x in (start, end))
        value = math.cos((t * (end - start) + start) * math.pi / 2) ** (2 * tau)
    else:
        first, last = (1 / (1 + math.exp(-x / tau)) for x in (start, end))
        value = 1 / (1 + math.exp(-(t * (end - start) + start) / tau))
    return (last - value) / (last - first)


CHOICES = [  # those that Chen compares, and some between them
    *(("cosine", start, end, tau) for start, end in ((0, 1), (0.2, 1), (0, 0.8)) for tau in (0.5, 1, 2, 3)),
    *(("sigmoid", start, end, tau) for start, end in ((-3, 3), (0, 3), (-1, 2)) for tau in (0.3, 0.7, 1.1)),
]


@pytest.mark.parametrize(("schedule", "start", "end", "tau"), CHOICES)
def test_ends_and_temperature_are_those_of_the_published_algorithm(schedule, start, end, tau):
    own = {"start": start, "end": end, "tau": tau}
    found = diffusion.alpha_bar(schedule, T, **own)
    assert np.allclose(found, [published(schedule, float(t), **own) for t in T], atol=1e-12)
    assert (found[0], found[-1]) == (1, 0)
    assert (np.diff(found) <= 0).all()
    betas = diffusion.betas(schedule, steps=200, **own)
    assert ((betas >= 0) & (betas <= 0.999)).all()


def test_without_ends_and_temperature_all_is_as_it_was():
    high = 1 / (1 + np.exp(-3.0))
    low = 1 / (1 + np.exp(3.0))
    was = {
        "cosine": np.cos(T * np.pi / 2) ** 2,
        "sigmoid": np.clip((high - 1 / (1 + np.exp(-(6 * T - 3)))) / (high - low), 0, 1),
    }
    for schedule, expected in was.items():
        assert np.array_equal(diffusion.alpha_bar(schedule, T)[:-1], expected[:-1])
        assert diffusion.alpha_bar(schedule, T)[-1] == pytest.approx(0, abs=1e-30)


def test_a_higher_temperature_makes_a_sigmoid_a_line_and_a_cosine_steeper():
    def bent(tau):
        return np.abs(diffusion.alpha_bar("sigmoid", T, tau=tau) - (1 - T)).max()

    assert bent(0.3) > bent(1) > bent(3) > 0
    assert bent(100) < 1e-3
    cosines = [diffusion.alpha_bar("cosine", T, tau=tau)[1:-1] for tau in (0.5, 1, 2)]
    assert (cosines[0] > cosines[1]).all()
    assert (cosines[1] > cosines[2]).all()


def test_a_later_start_of_a_sigmoid_spends_more_time_on_noise():
    assert (diffusion.alpha_bar("sigmoid", T, start=0)[1:-1] < diffusion.alpha_bar("sigmoid", T)[1:-1]).all()


def test_the_schedule_of_the_compound_strategy_is_a_line():
    assert np.array_equal(diffusion.alpha_bar("simple_linear", T), 1 - T)
    left = np.cumprod(1 - diffusion.betas("simple_linear", steps=1000))
    assert np.allclose(left[:-1], 1 - np.arange(1, 1000) / 1000)


@pytest.mark.parametrize("steps", [20, 1000])
def test_a_steep_curve_leaves_no_number_undefined(steps):
    for schedule in ("cosine", "sigmoid"):
        for tau in (0.01, 100.0):
            found = diffusion.betas(schedule, steps=steps, tau=tau)
            assert np.isfinite(found).all()
            assert np.cumprod(1 - found)[-1] > 0


@pytest.mark.parametrize("schedule", ["cosine", "sigmoid", "simple_linear"])
def test_all_is_left_at_first_and_nothing_at_last(schedule):
    found = diffusion.alpha_bar(schedule, T)
    assert found[0] == 1
    assert found[-1] == pytest.approx(0, abs=1e-12)
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("steps", [2, 20, 1000])
@pytest.mark.parametrize("schedule", ["cosine", "sigmoid", "simple_linear"])
def test_the_product_of_the_steps_follows_the_schedule(schedule, steps):
    betas = diffusion.betas(schedule, steps=steps)
    left = np.cumprod(1 - betas)
    expected = diffusion.alpha_bar(schedule, np.arange(1, steps + 1) / steps)
    assert betas.shape == (steps,)
    assert betas.dtype == np.float64
    assert np.allclose(left[:-1], expected[:-1], atol=1e-5)
    assert (
        0 < left[-1] <= 0.0011 * expected[-2]
    )  # at 0 the network would see nothing of a picture to learn from
    assert betas.max() == 0.999


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_betas_are_within_their_bounds(schedule):
    betas = diffusion.betas(schedule, steps=50, within=(0.01, 0.3))
    assert betas.min() == pytest.approx(0.01)
    assert betas.max() == pytest.approx(0.3)
    assert (np.diff(betas) >= 0).all()


def test_the_linear_schedule():
    betas = diffusion.betas("linear", steps=1000)
    assert np.allclose(betas, 1e-4 + (0.02 - 1e-4) * np.arange(1000) / 999)
    assert np.cumprod(1 - betas)[-1] == pytest.approx(4.0e-5, rel=0.02)  # as in Ho et al. (2020)


# A picture's own noise


def levels(values):
    """Pictures of one level each, as `map_batches.pictures` gives them."""
    x = torch.tensor(values, dtype=torch.uint8).float().div(255)
    return x.view(-1, 1, 1, 1).expand(-1, 3, 4, 4) * 2 - 1


def seeds(picture, *, seed=0, sample=0):
    return [source.initial_seed() for source in diffusion.own_noise(picture, seed=seed, sample=sample)]


def test_the_smallest_difference_of_a_pixel_gives_other_noise():
    assert len(set(seeds(levels(range(256))))) == 256


@pytest.mark.parametrize("off", [1e-6, -1e-6])
def test_rounding_of_a_device_gives_the_same_noise(off):
    pictures = levels(range(256))
    assert seeds(pictures + off) == seeds(pictures)


def test_noise_is_decided_by_picture_seed_and_sample_alone():
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (6, 3, 8, 8)).float().div(255) * 2 - 1
    whole = seeds(pictures)
    assert len(set(whole)) == 6
    assert seeds(pictures[2:3]) == whole[2:3]
    assert seeds(pictures.flip(0)) == whole[::-1]
    assert seeds(pictures.contiguous(memory_format=torch.channels_last)) == whole
    others = [seeds(pictures, seed=1), seeds(pictures, sample=1), seeds(pictures, seed=1, sample=1)]
    assert len({*whole, *(seed for found in others for seed in found)}) == 24
    before = torch.get_rng_state()
    diffusion.drawn(diffusion.own_noise(pictures, seed=0, sample=0), (3, 8, 8), torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_drawn_noise_is_standard_normal():
    sources = diffusion.own_noise(levels([7, 90]), seed=0, sample=0)
    found = diffusion.drawn(sources, (3, 64, 64), torch.device("cpu"))
    assert found.shape == (2, 3, 64, 64)
    assert abs(found.mean()) < 0.03
    assert abs(found.std() - 1) < 0.03
    assert abs(torch.corrcoef(found.flatten(1))[0, 1]) < 0.04
    assert not torch.equal(found, diffusion.drawn(sources, (3, 64, 64), torch.device("cpu")))  # it goes on
