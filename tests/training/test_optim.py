"""Optimisers by name, and one step of descent."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from map_networks import build
from torch import nn
from worlds import GRADIENT, made

from memorability import families
from memorability.core.errors import ParamsError
from memorability.core.settings import checked
from memorability.training import contract
from memorability.training.optim import descend, optimiser
from memorability.training.settings import Gradient, OptimiserName

NAMES = get_args(OptimiserName)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("adagrad", torch.optim.Adagrad),
        ("adadelta", torch.optim.Adadelta),
    ],
)
def test_kinds_and_their_numbers(name, kind):
    made = optimiser(nn.Linear(2, 1).parameters(), name=name, lr=0.3, momentum=0.7, weight_decay=0.01)
    assert type(made) is kind
    group = made.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.01)
    assert group.get("momentum", 0.7) == 0.7


@pytest.mark.parametrize("name", NAMES)
def test_params_name_every_kind(name):
    settings = Gradient(lr=0.1, epochs=1, batch_size=2, optimiser=name)
    made = optimiser(nn.Linear(2, 1).parameters(), **settings.optimiser_options())
    assert made.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_descends(name):
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    by = optimiser([weight], name=name, lr=0.05, momentum=0.5, weight_decay=0.0)
    losses = []
    for _ in range(20):
        losses.append(float((weight**2).sum().detach()))
        descend((weight**2).sum(), by, torch.Tensor.backward)
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 20


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_betas_are_those_of_the_params(name):
    settings = Gradient(lr=0.1, epochs=1, batch_size=2, optimiser=name, betas=(0.5, 0.9))
    made = optimiser(nn.Linear(2, 1).parameters(), **settings.optimiser_options())
    assert made.param_groups[0]["betas"] == (0.5, 0.9)
    plain = optimiser(nn.Linear(2, 1).parameters(), name=name, lr=0.1, momentum=0, weight_decay=0)
    assert plain.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("betas", [(0.5, 1.0), (-0.1, 0.9), (0.9,), 0.9])
def test_betas_out_of_range(betas):
    with pytest.raises(ParamsError, match=r"m\.betas"):
        checked(Gradient, {"lr": 0.1, "epochs": 1, "batch_size": 2, "betas": betas}, at="m")


def gradient_families():
    """Every family that is trained by gradients, whatever its track."""
    return [name for name in families.names() if isinstance(families.load(name), contract.Gradient)]


def test_every_gradient_family_takes_every_optimiser():
    names = gradient_families()
    assert {"memnet", "conv3d", "pairwise_ranker", "unet", "palette"} <= set(names)
    for name in names:
        schema = families.load(name).Params
        field = schema.model_fields["optimiser"]
        assert get_args(field.annotation) == NAMES, name
        assert issubclass(schema, Gradient), name  # whose options name betas and momentum too


@pytest.mark.parametrize("family", GRADIENT)
@pytest.mark.parametrize("name", ["adagrad", "adadelta"])
def test_a_model_is_made_with_the_optimiser_it_names(family, name):
    settings = made(family, optimiser=name)
    by = families.load(family).optimisers(settings, build(settings))
    first = by.get("generator", by.get("net"))
    assert type(first).__name__.lower() == name


def test_frozen_parameters_are_left_out():
    net = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1))
    made = optimiser(net.parameters(), name="adam", lr=0.1, momentum=0, weight_decay=0)
    assert [p for group in made.param_groups for p in group["params"]] == list(net[1].parameters())


def test_descend_steps_along_the_new_gradient_alone():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    weight.grad = torch.tensor([100.0, 100.0])  # of an earlier loss
    by = torch.optim.SGD([weight], lr=0.5)
    descend((weight * torch.tensor([2.0, 4.0])).sum(), by, torch.Tensor.backward)
    assert weight.tolist() == [0.0, 0.0]


def test_descend_goes_through_the_given_backward():
    weight = nn.Parameter(torch.tensor(1.0))
    scaled = []

    def backward(loss):
        scaled.append(float(loss.detach()))
        (3 * loss).backward()

    descend(2 * weight, torch.optim.SGD([weight], lr=0.1), backward)
    assert scaled == [2.0]
    assert weight.item() == pytest.approx(1 - 0.1 * 6)
