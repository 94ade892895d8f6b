"""The diffusion model: what it learns from, what samples, and that a map depends on its picture alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from map_networks import batch, build, changed, predicted, stepped, values
from torch import nn
from torch.nn import functional as F
from worlds import made

from memorability.core.errors import ParamsError
from memorability.evaluation.maps import measure
from memorability.families import palette
from memorability.families.blocks import diffusion

SMALL = {"width": 8, "multipliers": [1, 1]}


@pytest.fixture(scope="module")
def trained():
    """A network after a few steps, whose two sets of weights are not the same."""
    settings = made("palette")
    net = build(settings)
    stepped(settings, net, batch(), 3)
    return net


# What it learns from


class Oracle(nn.Module):
    """In place of the network: keeps what it is given, and says there is no noise."""

    def __init__(self, settings, channels=3):
        super().__init__()
        self.alpha_bar = build(settings, channels=channels).alpha_bar
        self.channels, self.scale = channels, settings.input_scale
        self.seen = []
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, picture, noisy, t, *, ema=False):
        self.seen.append((picture, noisy, t))
        return noisy * 0 + self.weight

    def follow(self, decay):
        pass


def learnt_from(settings, data):
    """Pictures, noisy maps, timesteps of one step, and its loss."""
    net = Oracle(settings)
    by = {"net": torch.optim.SGD([net.weight], lr=0.0)}
    torch.manual_seed(0)
    loss = palette.step(settings, net, data, by, torch.Tensor.backward)["loss"]
    return *net.seen[0], loss


@pytest.mark.parametrize(("late", "share"), [(0.0, 0.1), (0.5, 0.55), (0.9, 0.91)])
def test_a_share_of_the_timesteps_is_of_the_last_tenth(late, share):
    torch.manual_seed(0)
    t = palette.drawn_timesteps(made("palette", late=late, timesteps=1000), 20_000, torch.device("cpu"))
    assert (t.min(), t.max()) == (0, 999)
    assert float((t >= 900).float().mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("noise", ["linear", "cosine", "sigmoid"])
def test_noisy_maps_have_their_published_mean_and_spread(noise, scale):
    bounds = {"betas_within": (0.001, 0.6)} if noise == "linear" else {}
    settings, data = made("palette", noise=noise, timesteps=20, input_scale=scale, **bounds), batch(64)
    picture, noisy, t, loss = learnt_from(settings, data)
    assert torch.equal(picture, data["x"] * 2 - 1)
    assert len(t.unique()) > 12
    assert 0 <= t.min() <= t.max() < 20
    left = np.cumprod(1 - palette.betas(settings))
    wanted = data["y"] * 2 - 1
    added = torch.empty_like(noisy)
    for row, step in enumerate(t.tolist()):
        added[row] = (noisy[row] - np.sqrt(left[step]) * scale * wanted[row]) / np.sqrt(1 - left[step])
    assert added.mean(dim=(1, 2, 3)).abs().max() < 5 / np.sqrt(3 * 32 * 32)
    assert (added.std(dim=(1, 2, 3)) - 1).abs().max() < 5 / np.sqrt(2 * 3 * 32 * 32)
    assert torch.corrcoef(torch.stack([added.flatten(), wanted.flatten()]))[0, 1].abs() < 0.02
    assert loss == pytest.approx(float((added**2).mean()), rel=1e-3)  # of a network that says there is none


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_the_network_sees_picture_and_map_side_by_side(scale, channels):
    settings = made("palette", input_scale=scale)
    net, seen = build(settings, channels=channels), []
    net.unet.register_forward_pre_hook(lambda module, given: seen.append(given))
    picture, noisy = torch.rand(2, 3, 32, 32), 0.3 * torch.randn(2, channels, 32, 32)
    t = torch.tensor([3, 7])
    found = net(picture, noisy, t)
    assert found.shape == noisy.shape
    (inside, when) = seen[0]
    assert torch.equal(inside[:, :3], picture)
    assert torch.equal(when, t)
    if scale == 1:
        assert torch.equal(inside[:, 3:], noisy)
    else:  # Chen (2023): brought to a variance of 1
        assert torch.allclose(inside[:, 3:].std(dim=(1, 2, 3)), torch.ones(2))
        assert torch.allclose(inside[:, 3:], noisy / noisy.std(dim=(1, 2, 3), keepdim=True))


def test_the_step_learns_the_noise_by_squared_error():
    settings, data = made("palette", noise="linear", betas_within=(0.001, 0.6)), batch()
    net, seen = build(settings), []
    before = copy.deepcopy(net)
    net.register_forward_hook(lambda module, given, output: seen.append((*given, output.detach())))
    (losses,) = stepped(settings, net, data, 1)
    picture, noisy, t, said = seen[0]
    left = net.alpha_bar[t].view(-1, 1, 1, 1)
    noise = (noisy - left.sqrt() * (data["y"] * 2 - 1)) / (1 - left).sqrt()
    assert losses["loss"] == pytest.approx(float(F.mse_loss(said, noise)), rel=1e-3)
    with torch.no_grad():
        assert torch.equal(before(picture, noisy, t), said)


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_learning_v_is_the_error_of_v(scale):
    """v = sqrt(a) noise - sqrt(1 - a) map (Salimans and Ho 2022), of the map as it is scaled."""
    own = {"noise": "sigmoid", "precondition": True, "input_scale": scale}
    settings, data = made("palette", learns="v", **own), batch()
    net, seen = build(settings), []
    twin = build(settings)
    net.unet.register_forward_hook(lambda module, given, output: seen.append(output.sample.detach().float()))
    net.register_forward_hook(lambda module, given, output: seen.append(given))
    (losses,) = stepped(settings, net, data, 1)
    said, (_, noisy, t) = seen
    left = net.alpha_bar[t].view(-1, 1, 1, 1).double()
    wanted = scale * (data["y"].double() * 2 - 1)
    noise = (noisy - left.sqrt() * wanted) / (1 - left).sqrt()
    v = left.sqrt() * noise - (1 - left).sqrt() * wanted
    assert losses["loss"] == pytest.approx(float((said - v).square().mean()), rel=1e-3)
    (of_noise,) = stepped(made("palette", **own), twin, data, 1)
    assert of_noise["loss"] < losses["loss"]


@pytest.mark.parametrize("noise", ["linear", "cosine", "sigmoid", "simple_linear"])
def test_the_noise_of_training_is_that_of_sampling(noise):
    settings = made("palette", noise=noise, timesteps=1000)
    net = build(settings)
    scheduler = DDIMScheduler(num_train_timesteps=1000, trained_betas=palette.betas(settings))
    assert torch.allclose(net.alpha_bar, scheduler.alphas_cumprod, atol=1e-6)
    expected = diffusion.betas(noise, steps=1000)
    assert np.array_equal(palette.betas(settings), expected)


@pytest.mark.parametrize("noise", ["linear", "cosine", "sigmoid"])
def test_betas_may_be_bounded(noise):
    found = palette.betas(made("palette", noise=noise, betas_within=(0.05, 0.6)))
    assert np.array_equal(found, diffusion.betas(noise, steps=20, within=(0.05, 0.6)))
    assert (found.min(), found.max()) == (pytest.approx(0.05), pytest.approx(0.6))


@pytest.mark.parametrize("changes", [{"timesteps": 200}, {"timesteps": 1000, "betas_within": (0.0, 0.001)}])
def test_noise_that_leaves_much_of_the_map_is_refused(changes):
    with pytest.raises(ParamsError, match="sampling starts from noise alone"):
        made("palette", noise="linear", **changes)


# The running mean


def test_the_running_mean_is_of_the_weights_after_every_step():
    settings, data = made("palette", ema=0.6), batch()
    net = build(settings)
    assert all(torch.equal(a, b) for a, b in zip(net.ema.parameters(), net.unet.parameters(), strict=True))
    mean = [p.detach().double() for p in net.ema.parameters()]
    by = palette.optimisers(settings, net)
    for number in range(1, 13):
        torch.manual_seed(number)
        palette.step(settings, net, data, by, torch.Tensor.backward)
        decay = min((1 + number) / (10 + number), 0.6)
        mean = [
            decay * m + (1 - decay) * p.detach() for m, p in zip(mean, net.unet.parameters(), strict=True)
        ]
    assert net.updates == 12
    for found, expected in zip(net.ema.parameters(), mean, strict=True):
        assert torch.allclose(found, expected.float(), atol=1e-6)
        assert not found.requires_grad


def test_what_samples_is_the_running_mean(trained):
    settings, data = made("palette"), batch()
    whole = predicted(settings, trained, data)
    net = copy.deepcopy(trained)
    with torch.no_grad():
        for parameter in net.unet.parameters():
            parameter += 1
    assert torch.equal(predicted(settings, net, data), whole)
    with torch.no_grad():
        for parameter in net.ema.parameters():
            parameter += 0.01
    assert not torch.equal(predicted(settings, net, data), whole)


def test_the_optimiser_has_the_trained_weights_alone(trained):
    (group,) = palette.optimisers(made("palette"), trained)["net"].param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in trained.unet.parameters()}


def test_the_running_mean_goes_on_from_a_saved_state():
    settings, data = made("palette"), batch()
    whole = build(settings)
    stepped(settings, whole, data, 2)
    taken_up = build(settings)
    taken_up.load_state_dict(whole.state_dict())
    assert taken_up.updates == 2
    for net in (whole, taken_up):
        stepped(settings, net, data, 2)
    assert not changed(values(whole), taken_up)


# Sampling


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_sampling_takes_so_many_steps_from_pure_noise(trained, sampler, steps):
    settings, seen = made("palette", sampler=sampler, steps=steps), []
    hook = trained.ema.register_forward_pre_hook(lambda module, given: seen.append(given))
    found = predicted(settings, trained, batch(2))
    hook.remove()
    assert found.shape == (2, 3, 32, 32)
    assert found.min() >= 0
    assert found.max() <= 1
    times = [int(t[0]) for _, t in seen]
    assert len(times) == steps
    assert times[0] == 19
    assert times == sorted(set(times), reverse=True)
    sources = diffusion.own_noise(batch(2)["x"] * 2 - 1, seed=0, sample=0)
    assert torch.equal(seen[0][0][:, 3:], diffusion.drawn(sources, (3, 32, 32), torch.device("cpu")))


class OfSpread(nn.Module):
    """The best network there is where maps are normal with mean 0 and the given spread, whatever the picture."""

    channels = 1

    def __init__(self, settings, spread):
        super().__init__()
        self.left = torch.from_numpy(np.cumprod(1 - palette.betas(settings))).float()
        self.variance = (spread * settings.input_scale) ** 2

    def forward(self, picture, noisy, t, *, ema):
        left = self.left[t].view(-1, 1, 1, 1)
        return (1 - left).sqrt() * noisy / (left * self.variance + 1 - left)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("steps", [50, 60, 75, 100])
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_any_number_of_steps_that_is_accepted_ends_with_the_spread_of_the_maps(sampler, steps, scale):
    try:
        settings = made(
            "palette", timesteps=100, steps=steps, sampler=sampler, noise="sigmoid", input_scale=scale
        )
    except ParamsError:  # then nothing is promised
        return
    found = palette.sample(settings, OfSpread(settings, 0.3), batch(8, channels=1)["x"] * 2 - 1, number=0)
    assert found.std().item() == pytest.approx(0.3, rel=0.2)
    assert abs(found.mean().item()) < 0.02


def test_samplers_differ_but_both_give_the_same_map_again(trained):
    found = {}
    for sampler in ("ddim", "ddpm"):
        settings = made("palette", sampler=sampler)
        found[sampler] = predicted(settings, trained, batch())
        torch.manual_seed(99)
        assert torch.equal(predicted(settings, trained, batch()), found[sampler])
    assert not torch.allclose(found["ddim"], found["ddpm"], atol=0.01)


def rounding(net):
    """What other kernels, for another number of pictures, may change of a map.

    The first step divides a difference of float32 numbers by the root of what is left of the map there.
    """
    return 32 * torch.finfo(torch.float32).eps / float(net.alpha_bar[-1].sqrt())


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_map_depends_on_its_picture_alone(trained, sampler):
    settings, data = made("palette", sampler=sampler, samples=2), batch(6)
    whole = predicted(settings, trained, data)
    x = data["x"]
    alone = torch.cat([predicted(settings, trained, {"x": x[i : i + 1]}) for i in range(6)])
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    moved = predicted(settings, trained, {"x": x[order]})
    twice = predicted(settings, trained, {"x": x[[2, 2]].contiguous(memory_format=torch.channels_last)})
    atol = rounding(trained)
    assert torch.allclose(alone, whole, atol=atol)
    assert torch.allclose(moved, whole[order], atol=atol)
    assert torch.allclose(twice, whole[[2, 2]], atol=atol)
    assert (whole - whole.roll(1, 0)).abs().max() > 0.1


def test_another_seed_gives_another_map(trained):
    one, other = (predicted(made("palette", sample_seed=seed), trained, batch()) for seed in (0, 1))
    assert (one - other).abs().mean() > 0.01


def test_several_samples_are_averaged(trained):
    picture = batch()["x"] * 2 - 1
    with torch.inference_mode():
        parts = [palette.sample(made("palette"), trained, picture, number=i) for i in range(3)]
    assert not torch.equal(parts[0], parts[1])
    expected = torch.stack([((part + 1) / 2).clamp(0, 1) for part in parts]).mean(0)
    assert torch.allclose(predicted(made("palette", samples=3), trained, batch()), expected, atol=1e-6)


def test_composites_become_maps_before_they_are_averaged(trained):
    settings, picture = made("palette", target="composite", samples=2), batch()["x"] * 2 - 1
    with torch.inference_mode():
        parts = [palette.sample(settings, trained, picture, number=i) for i in range(2)]
    expected = torch.stack([((2 * part - picture + 1) / 2).clamp(0, 1) for part in parts]).mean(0)
    assert torch.allclose(predicted(settings, trained, batch()), expected, atol=1e-6)


def test_it_overfits_a_handful_of_blocky_maps():
    own = {"timesteps": 50, "steps": 25, "lr": 0.003, "ema": 0.97, "samples": 2, "sampler": "ddpm"}
    settings, data = made("palette", **own), batch(channels=1)
    net = build(settings, channels=1)
    losses = [line["loss"] for line in stepped(settings, net, data, 75)]
    assert np.mean(losses[-20:]) < 0.15 * losses[0]
    truth, mean = data["y"].numpy(), data["y"].mean(0, keepdim=True).expand(4, -1, -1, -1).numpy()
    found = measure(truth, predicted(settings, net, data).numpy())
    of_mean = measure(truth, mean)
    assert found["l1"] < 0.85 * of_mean["l1"]
    assert found["cc"] > 0.9 > of_mean["cc"]


# Settings


def test_attention_is_where_it_is_asked_for():
    for attention in ([], [1], [0, 1]):
        unet = build(made("palette", attention=attention, **SMALL)).unet
        found = [hasattr(block, "attentions") for block in unet.down_blocks]
        assert found == [stage in attention for stage in range(2)]
        assert [hasattr(block, "attentions") for block in unet.up_blocks] == found[::-1]


def test_widths_and_blocks_are_settings():
    unet = build(made("palette", width=16, multipliers=[1, 2, 3], blocks=2)).unet
    assert [block.resnets[-1].out_channels for block in unet.down_blocks] == [16, 32, 48]
    assert [len(block.resnets) for block in unet.down_blocks] == [2, 2, 2]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"betas_within": (0.5, 0.1)}, r"betas_within must rise, received \(0\.5, 0\.1\)"),
        ({"betas_within": (0.5, 1)}, r"models\.m\.betas_within"),
        (
            {"noise": "linear", "tau": 2.0},
            "noise: linear has no start, end or tau; received None, None and 2",
        ),
        ({"noise": "simple_linear", "start": 0.1}, "noise: simple_linear has no start, end or tau"),
        ({"noise": "sigmoid", "start": 3, "end": 1}, "start must be under end; received 3 and 1"),
        ({"noise": "cosine", "start": -1}, "cosine has its start and end within 0 to 1; received -1 and 1"),
        ({"tau": 0}, r"models\.m\.tau"),
        ({"learns": "v"}, "learns: v needs precondition: true"),
        ({"steps": 21}, r"steps must be at most timesteps \(20\), received 21"),
        ({"attention": [2]}, "attention names stages 0 to 1"),
        ({"attention": [-1]}, "attention names stages 0 to 1"),
        ({"width": 12}, r"models\.m\.width"),
        ({"multipliers": [1]}, r"models\.m\.multipliers"),
        ({"ema": 1}, r"models\.m\.ema"),
        ({"samples": 0}, r"models\.m\.samples"),
        ({"input_scale": 0}, r"models\.m\.input_scale"),
        ({"sampler": "euler"}, r"models\.m\.sampler: received 'euler'"),
        ({"noise": "quadratic"}, r"models\.m\.noise: received 'quadratic'"),
    ],
)
def test_settings_that_do_not_fit(changes, text):
    with pytest.raises(ParamsError, match=text):
        made("palette", **changes)


def test_the_rate_of_learning_has_a_schedule_of_its_own():
    settings = made("palette", noise="sigmoid", schedule="cosine", epochs=10)
    assert (settings.noise, settings.rate(0), settings.rate(5)) == ("sigmoid", 1.0, 0.5)
