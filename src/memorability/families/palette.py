"""Palette: a map drawn out of noise by a diffusion model that sees the picture.

Saharia et al., Palette: Image-to-Image Diffusion Models (2022), as in Khan, Predicting Memorable Regions of
Images (2023): picture and noisy map side by side go into a U-Net (diffusers' UNet2DModel), which predicts
the noise by squared error. What samples is a running mean (EMA) of the weights. Each map is sampled from
noise of its own, which its picture and `sample_seed` decide, so that the same picture has the same map.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from memorability.families.blocks import diffusion, map_batches
from memorability.features.backbones import Network
from memorability.training.optim import Backward, descend, optimiser
from memorability.training.settings import MapModel, Share

READS = "whole_pictures"
GROUPS = 8  # of the network's group normalisation
MOST_LEFT = 0.02  # alpha-bar at the last timestep, from where sampling starts


class Params(MapModel):
    """Network, noise and sampling.

    `width` times `multipliers` are the widths of its stages, each half the side of the one before; `blocks`
    are the residual blocks of each; `attention`: the stages that have it (from 0, the finest) beside the middle, which always does.
    `precondition`: the noise is found as sqrt(1 - a) x + sqrt(a) F with the network's F (Salimans and Ho,
    Progressive Distillation, 2022, where F is v), so that where nearly all is noise, a small error in
    it is no large one in the map; it is trained and sampled from as noise all the same.
    `learns`: whose squared error is made small. That of the `noise`, as published, is (1 - a) / a times smaller where
    nearly all is noise than the error of the map that follows from it, and there alone the picture is needed; that of
    `v`, which is the noise's over a, counts all timesteps alike. It needs `precondition`.
    `late`: the share of training's timesteps that are drawn from the last tenth; 0, as published, draws all alike. A smooth map can be
    read out of noise while little of it is left, and a short training looks at the picture as soon as it has to.
    `timesteps`, `noise` (its schedule), `start`, `end` and `tau` (of cosine and sigmoid), `betas_within`,
    `input_scale` (with any schedule: the compound strategy): see `memorability.families.blocks.diffusion`.
    `steps` are those of sampling; `samples`: how many maps are averaged; `val_pictures`: how many of
    validation are sampled after each epoch (all at the end).
    """

    width: int = Field(64, ge=GROUPS, multiple_of=GROUPS)
    multipliers: tuple[int, ...] = Field((1, 2, 4, 8), min_length=2, max_length=5)
    blocks: int = Field(2, ge=1)
    attention: tuple[int, ...] = (3,)
    dropout: float = Field(0.0, ge=0, lt=1)
    precondition: bool = False
    learns: Literal["noise", "v"] = "noise"
    late: Share = 0.0
    timesteps: int = Field(1000, ge=2)
    noise: diffusion.Schedule = "linear"
    start: float | None = None
    end: float | None = None
    tau: float = Field(1.0, ge=0.01, le=100)
    betas_within: tuple[Share, Share] | None = None
    input_scale: float = Field(1.0, gt=0, le=1)
    ema: float = Field(0.999, ge=0, lt=1)
    sampler: Literal["ddim", "ddpm"] = "ddim"
    steps: int = Field(50, ge=1)
    samples: int = Field(1, ge=1)
    sample_seed: int = Field(0, ge=0)
    val_pictures: int | None = Field(32, ge=2)

    @property
    def side(self) -> int:
        return self.pixels

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        diffusion.check_ends(self.noise, start=self.start, end=self.end, tau=self.tau)
        if self.learns == "v" and not self.precondition:
            raise ValueError("learns: v needs precondition: true, in which the network gives v")
        if self.betas_within is not None and self.betas_within[0] > self.betas_within[1]:
            raise ValueError(f"betas_within must rise, received {self.betas_within}")
        left = float((1 - betas(self)).prod())
        if left > MOST_LEFT:
            raise ValueError(
                f"after {self.timesteps} timesteps {left:.3f} of the map's variance is left, but sampling starts from "
                f"noise alone; at most {MOST_LEFT}: more timesteps, or betas_within with a higher end"
            )
        if self.steps > self.timesteps:
            raise ValueError(f"steps must be at most timesteps ({self.timesteps}), received {self.steps}")
        if self.sampler == "ddim" and self.timesteps % self.steps:
            raise ValueError(
                f"ddim's steps must divide timesteps ({self.timesteps}), received {self.steps}; or sampler: ddpm"
            )
        if any(not 0 <= stage < len(self.multipliers) for stage in self.attention):
            raise ValueError(
                f"attention names stages 0 to {len(self.multipliers) - 1}, received {self.attention}"
            )
        if self.pixels % 2 ** (len(self.multipliers) - 1):
            raise ValueError(f"pixels {self.pixels} cannot be halved {len(self.multipliers) - 1} times")
        return self


class Palette(nn.Module):
    """The network that is trained, the running mean (EMA) that samples, and the noise of each timestep.

    Args:
        channels: of the maps.
        pixels: their side.
        widths: of the stages, each half the side of the one before.
        attention: whether each stage has it.
        blocks: residual blocks of each stage.
        alpha_bar: how much of the map is left at each timestep, float [timesteps].
        input_scale, precondition: see `Params`.
    """

    def __init__(
        self,
        *,
        channels: int,
        pixels: int,
        widths: Sequence[int],
        attention: Sequence[bool],
        blocks: int,
        dropout: float,
        alpha_bar: Tensor,
        input_scale: float,
        precondition: bool,
    ) -> None:
        from diffusers import UNet2DModel  # with an HTTP client, which whoever reads params need not load

        super().__init__()
        kinds = ["Attn" if attends else "" for attends in attention]
        self.unet: nn.Module = UNet2DModel(
            sample_size=pixels,
            in_channels=3 + channels,
            out_channels=channels,
            block_out_channels=tuple(widths),
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
            layers_per_block=blocks,
            norm_num_groups=GROUPS,
            dropout=dropout,
            # As in the network that Palette's is made from (Dhariwal and Nichol, Diffusion Models Beat GANs, 2021): so a timestep
            # can turn what is seen of the picture up and down.
            resnet_time_scale_shift="scale_shift",
        )
        self.ema: nn.Module = copy.deepcopy(self.unet).requires_grad_(False)
        self.channels, self.scale, self.precondition = channels, input_scale, precondition
        self.updates: Tensor
        self.alpha_bar: Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)

    def forward(self, picture: Tensor, noisy: Tensor, t: Tensor, *, ema: bool = False) -> Tensor:
        """The noise in maps [B, C, S, S] at timesteps `t`, int [B], beside pictures [B, 3, S, S]."""
        net, seen = self.ema if ema else self.unet, noisy
        if self.scale != 1:  # Chen (2023), algorithm 1: scaled inputs have too little variance
            seen = noisy / noisy.std(dim=(1, 2, 3), keepdim=True)
        found: Tensor = net(torch.cat([picture, seen], dim=1), t).sample.float()
        if not self.precondition:
            return found
        left = self.alpha_bar[t].view(-1, 1, 1, 1)
        return (1 - left).sqrt() * noisy + left.sqrt() * found

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Moves the running mean towards the trained weights; at first faster, since it starts at random ones."""
        self.updates += 1
        kept = torch.clamp((1 + self.updates) / (10 + self.updates), max=decay)
        for mean, now in zip(self.ema.parameters(), self.unet.parameters(), strict=True):
            mean.lerp_(now, (1 - kept).to(mean.dtype))


def betas(settings: Params) -> Any:
    return diffusion.betas(
        settings.noise,
        steps=settings.timesteps,
        within=settings.betas_within,
        start=settings.start,
        end=settings.end,
        tau=settings.tau,
    )


def build(settings: Params, *, shape: tuple[int, ...], backbone: Network | None, channels: int) -> Palette:
    stages = range(len(settings.multipliers))
    return Palette(
        channels=channels,
        pixels=settings.pixels,
        widths=[settings.width * by for by in settings.multipliers],
        attention=[stage in settings.attention for stage in stages],
        blocks=settings.blocks,
        dropout=settings.dropout,
        alpha_bar=torch.from_numpy(1 - betas(settings)).cumprod(0).float(),
        input_scale=settings.input_scale,
        precondition=settings.precondition,
    )


def optimisers(settings: Params, net: Palette) -> dict[str, Optimizer]:
    return {"net": optimiser(net.unet.parameters(), **settings.optimiser_options())}


def step(
    settings: Params,
    net: Any,
    batch: dict[str, Tensor],
    optimisers: dict[str, Optimizer],
    backward: Backward,
) -> dict[str, Tensor]:
    picture, wanted = map_batches.augmented(settings, *map_batches.pairs(settings, batch))
    t = drawn_timesteps(settings, len(wanted), wanted.device)
    noise = torch.randn_like(wanted)
    left = net.alpha_bar[t].view(-1, 1, 1, 1)
    noisy = left.sqrt() * settings.input_scale * wanted + (1 - left).sqrt() * noise
    found = net(picture, noisy, t)
    if settings.learns == "v":  # what is found of it misses v by as much as the noise over sqrt(a) does
        found, noise = found / left.sqrt(), noise / left.sqrt()
    loss = F.mse_loss(found, noise)
    descend(loss, optimisers["net"], backward)
    net.follow(settings.ema)
    return {"loss": loss.detach()}


def drawn_timesteps(settings: Params, count: int, device: torch.device) -> Tensor:
    """Of training, int64 [count]: from all, but for a share `late` from the last tenth."""
    t = torch.randint(0, settings.timesteps, (count,), device=device)
    if settings.late == 0:
        return t
    first = settings.timesteps - max(1, settings.timesteps // 10)
    late = torch.randint(first, settings.timesteps, (count,), device=device)
    return torch.where(torch.rand(count, device=device) < settings.late, late, t)


def predict(settings: Params, net: Any, batch: dict[str, Tensor]) -> Tensor:
    """The mean of `samples` sampled maps of each picture: [B, C, S, S] in [0, 1]."""
    picture = map_batches.pictures(batch)
    drawn = [sample(settings, net, picture, number=i) for i in range(settings.samples)]
    return torch.stack([map_batches.as_map(settings, picture, one).clamp(0, 1) for one in drawn]).mean(0)


def sample(settings: Params, net: Any, picture: Tensor, *, number: int) -> Tensor:
    """One map, or composite, of each picture: [B, C, S, S] in [-1, 1]."""
    from diffusers import DDIMScheduler, DDPMScheduler

    kind: Any = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[settings.sampler]
    scheduler = kind(
        num_train_timesteps=settings.timesteps,
        trained_betas=betas(settings),
        clip_sample=True,
        clip_sample_range=settings.input_scale,
        timestep_spacing="trailing",  # so that few steps, too, begin at pure noise
    )
    scheduler.set_timesteps(settings.steps, device=picture.device)
    sources = diffusion.own_noise(picture, seed=settings.sample_seed, sample=number)
    x = diffusion.drawn(sources, (net.channels, *picture.shape[-2:]), picture.device)
    # DDIM with eta 0 draws nothing, but its noise must fit the map that was kept in range; DDPM draws from
    # each map's own source.
    more = {"use_clipped_model_output": True} if settings.sampler == "ddim" else {"generator": sources}
    for t in scheduler.timesteps:
        noise = net(picture, x, t.expand(len(x)), ema=True)
        x = scheduler.step(noise, t, x, **more).prev_sample
    return x / settings.input_scale
