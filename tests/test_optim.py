"""Optimisers by name, and one step of descent."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memorability import params
from memorability.optim import descend, optimiser


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_kinds_and_their_numbers(name, kind):
    made = optimiser(nn.Linear(2, 1).parameters(), name=name, lr=0.3, momentum=0.7, weight_decay=0.01)
    assert type(made) is kind
    group = made.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.01)
    assert group.get("momentum", 0.7) == 0.7


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_params_name_every_kind(name):
    settings = params.Gradient(lr=0.1, epochs=1, batch_size=2, optimiser=name)
    made = optimiser(nn.Linear(2, 1).parameters(), **settings.optimiser_options())
    assert made.param_groups[0]["lr"] == 0.1


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
