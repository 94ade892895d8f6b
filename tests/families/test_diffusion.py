"""Schedules of noise against their formulas, and noise that a picture alone decides."""

from __future__ import annotations

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


@pytest.mark.parametrize("schedule", ["cosine", "sigmoid"])
def test_all_is_left_at_first_and_nothing_at_last(schedule):
    found = diffusion.alpha_bar(schedule, T)
    assert found[0] == 1
    assert found[-1] == pytest.approx(0, abs=1e-12)
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("steps", [2, 20, 1000])
@pytest.mark.parametrize("schedule", ["cosine", "sigmoid"])
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
