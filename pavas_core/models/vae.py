"""The published 1-D mel VAE (magnitude-preserving, after Karras et al., "Analyzing and Improving the Training Dynamics
of Diffusion Models", CVPR 2024), written from its formulas.

Mel (B, M, T) in log units <-> latent (B, C, T // 2). Tensor names are those of the published files, which store raw
weights; :func:`fold_weight_norm` makes them effective, exactly once, when a file is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-4
CLAMP = 256.0
RESIDUAL_WEIGHT = 0.3


@dataclass(frozen=True)
class VaeConfig:
    """Shape of one VAE."""

    mel_bins: int
    latent_dim: int
    width: int


VAE_VARIANTS = {"16k": VaeConfig(80, 20, 384), "44k": VaeConfig(128, 40, 512)}


def unit_norm(x: Tensor) -> Tensor:
    """Scale every position's channel vector to unit root mean square: x / (eps + rms)."""
    rms = x.float().pow(2).mean(dim=1, keepdim=True).sqrt().to(x.dtype)
    return x / (EPS + rms)


def activate(x: Tensor) -> Tensor:
    """SiLU scaled to keep unit variance."""
    return F.silu(x) / 0.596


def blend(x: Tensor, update: Tensor) -> Tensor:
    """Magnitude-preserving residual: 0.7 x + 0.3 update, renormalised."""
    keep = 1.0 - RESIDUAL_WEIGHT
    return (keep * x + RESIDUAL_WEIGHT * update) / math.sqrt(keep**2 + RESIDUAL_WEIGHT**2)


def fold_weight_norm(weight: Tensor) -> Tensor:
    """Effective convolution weight of a stored one: unit norm per output channel, then 1 / sqrt(fan in).

    Not idempotent: apply to the weights of a published file once.
    """
    w = weight.float()
    fan_in = w[0].numel()
    norm = w.flatten(1).norm(dim=1).view(-1, *[1] * (w.ndim - 1))
    return (w / (EPS + norm / math.sqrt(fan_in)) / math.sqrt(fan_in)).to(weight.dtype)


def fold_state_dict(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published VAE state dict with every convolution weight made effective."""
    return {name: fold_weight_norm(value) if name.endswith(".weight") else value for name, value in state.items()}


class _Build:
    """How this VAE's convolutions are made: no bias, same-length padding."""

    def __init__(self, operations: Any, factory: dict[str, Any]) -> None:
        self.operations, self.factory = operations, factory

    def conv(self, channels_in: int, channels_out: int, kernel: int) -> Any:
        return self.operations.Conv1d(
            channels_in, channels_out, kernel, padding=kernel // 2, bias=False, **self.factory
        )


class ResBlock(nn.Module):
    """Two convolutions around the (normalised) input: (B, C_in, T) -> (B, C_out, T)."""

    def __init__(self, build: _Build, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = build.conv(channels_in, channels_out, 3)
        self.conv2 = build.conv(channels_out, channels_out, 3)
        self.nin_shortcut = build.conv(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, x: Tensor) -> Tensor:
        x = unit_norm(x)
        update = self.conv2(activate(self.conv1(activate(x))))
        return blend(x if self.nin_shortcut is None else self.nin_shortcut(x), update)


class Attention(nn.Module):
    """Single-head self-attention over time with unit-norm queries, keys and values."""

    def __init__(self, build: _Build, channels: int) -> None:
        super().__init__()
        self.qkv = build.conv(channels, 3 * channels, 1)
        self.proj_out = build.conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (unit_norm(part).transpose(1, 2) for part in self.qkv(x).unflatten(1, (-1, 3)).unbind(2))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        return blend(x, self.proj_out(attended))


class Middle(nn.Module):
    """Residual, attention, residual at the lowest rate."""

    def __init__(self, build: _Build, channels: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(build, channels, channels)
        self.attn_1 = Attention(build, channels)
        self.block_2 = ResBlock(build, channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x))).clamp(-CLAMP, CLAMP)


class Downsample(nn.Module):
    """Halve the rate between two pointwise convolutions; an odd last frame is dropped."""

    def __init__(self, build: _Build, channels: int) -> None:
        super().__init__()
        self.conv1 = build.conv(channels, channels, 1)
        self.conv2 = build.conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.avg_pool1d(self.conv1(x), 2))


class Upsample(nn.Module):
    """Repeat every frame, then convolve."""

    def __init__(self, build: _Build, channels: int) -> None:
        super().__init__()
        self.conv = build.conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.repeat_interleave(2, dim=-1))


class Level(nn.Module):
    """The residual blocks of one resolution and its change of rate, if any."""

    def __init__(self, blocks: list[ResBlock], **resample: nn.Module) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        for name, module in resample.items():
            self.add_module(name, module)
        self.resample = tuple(resample)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x).clamp(-CLAMP, CLAMP)
        for name in self.resample:
            x = getattr(self, name)(x)
        return x


class Encoder(nn.Module):
    """Normalised mel (B, M, T) -> moments (B, 2 C, T // 2)."""

    def __init__(self, config: VaeConfig, build: _Build) -> None:
        super().__init__()
        w = config.width
        widths = [w, 2 * w, 4 * w]
        self.conv_in = build.conv(config.mel_bins, w, 3)
        levels, channels = [], w
        for index, width in enumerate(widths):
            blocks = [ResBlock(build, channels, width), ResBlock(build, width, width)]
            levels.append(Level(blocks, downsample=Downsample(build, width)) if index == 0 else Level(blocks))
            channels = width
        self.down = nn.ModuleList(levels)
        self.mid = Middle(build, channels)
        self.conv_out = build.conv(channels, 2 * config.latent_dim, 3)
        self.learnable_gain = nn.Parameter(torch.zeros((), **build.factory))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(activate(self.mid(x))) * (1 + self.learnable_gain.to(x))


class Decoder(nn.Module):
    """Latent (B, C, N) -> normalised mel (B, M, 2 N)."""

    def __init__(self, config: VaeConfig, build: _Build) -> None:
        super().__init__()
        w = config.width
        self.conv_in = build.conv(config.latent_dim, 4 * w, 3)
        self.mid = Middle(build, 4 * w)
        levels: list[Level] = []
        channels = 4 * w
        for index, width in ((2, 4 * w), (1, 2 * w), (0, w)):
            blocks = [ResBlock(build, channels, width), ResBlock(build, width, width), ResBlock(build, width, width)]
            levels.insert(0, Level(blocks, upsample=Upsample(build, width)) if index == 1 else Level(blocks))
            channels = width
        self.up = nn.ModuleList(levels)
        self.conv_out = build.conv(w, config.mel_bins, 3)
        self.learnable_gain = nn.Parameter(torch.zeros((), **build.factory))

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(activate(x)) * (1 + self.learnable_gain.to(x))


class MelVae(nn.Module):
    """Log-mel <-> latent. ``data_mean`` and ``data_std`` (1, M, 1) come with the weights.

    Without ``encoder`` it only decodes, with two fifths of the weights less.
    """

    data_mean: Tensor
    data_std: Tensor

    def __init__(
        self,
        config: VaeConfig,
        *,
        encoder: bool = True,
        operations: Any = nn,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        build = _Build(operations, factory)
        self.config = config
        self.register_buffer("data_mean", torch.zeros(1, config.mel_bins, 1, **factory))
        self.register_buffer("data_std", torch.ones(1, config.mel_bins, 1, **factory))
        if encoder:
            self.encoder = Encoder(config, build)
        self.decoder = Decoder(config, build)

    def encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent, each (B, C, T // 2)."""
        moments = self.encoder((mel - self.data_mean.to(mel)) / self.data_std.to(mel))
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)

    def decode(self, latent: Tensor) -> Tensor:
        """Log-mel (B, M, 2 N) of a latent (B, C, N)."""
        return self.decoder(latent) * self.data_std.to(latent) + self.data_mean.to(latent)
