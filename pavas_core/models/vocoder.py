"""BigVGAN, log-mel to waveform (Lee et al., "BigVGAN", ICLR 2023; the v1 16 kHz and v2 44.1 kHz generators).

State-dict names are the published ones with weight norm folded; :func:`fold_state_dict` folds either spelling of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILTER_TAPS = 12
KERNELS = (3, 7, 11)
DILATIONS = (1, 3, 5)


@dataclass(frozen=True)
class VocoderConfig:
    """Shape of one generator; ``tanh`` output (v1) or clamped (v2, which has no output bias either)."""

    mel_bins: int
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    tanh: bool
    sample_rate: int
    channels: int = 1536


VOCODER_VARIANTS = {
    "16k": VocoderConfig(80, (4, 4, 2, 2, 2, 2), (8, 8, 4, 4, 4, 4), True, 16000),
    "44k": VocoderConfig(128, (8, 4, 2, 2, 2, 2), (16, 8, 4, 4, 4, 4), False, 44100),
}


def fold_state_dict(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold weight norm: ``X.weight_g/_v`` or ``X.parametrizations.weight.original0/1`` become ``X.weight``."""
    folded: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(("weight_v", "weight.original1")):
            base = name.removesuffix("_v").replace(".parametrizations.weight.original1", ".weight")
            gain = state[name.replace("weight_v", "weight_g").replace("original1", "original0")].float()
            v = value.float()
            norm = v.flatten(1).norm(dim=1).view(-1, *[1] * (v.ndim - 1))
            folded[base] = (v * (gain / norm)).to(value.dtype)
        elif not name.endswith(("weight_g", "weight.original0")):
            folded[name] = value
    return folded


def antialias_filter() -> Tensor:
    """Kaiser-windowed sinc of 12 taps for a factor of two, unit sum, (1, 1, 12)."""
    cutoff, half_width = 0.25, 0.3
    attenuation = 2.285 * (FILTER_TAPS // 2 - 1) * np.pi * 4 * half_width + 7.95
    window = torch.kaiser_window(FILTER_TAPS, periodic=False, beta=0.1102 * (attenuation - 8.7))
    time = torch.arange(-FILTER_TAPS // 2, FILTER_TAPS // 2) + 0.5
    taps = 2 * cutoff * window * torch.sinc(2 * cutoff * time)
    return (taps / taps.sum()).view(1, 1, -1)


class SnakeBeta(nn.Module):
    """x + sin^2(e^alpha x) / e^beta per channel."""

    def __init__(self, channels: int, **factory: Any) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels, **factory))
        self.beta = nn.Parameter(torch.zeros(channels, **factory))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha.to(x).exp()[None, :, None]
        beta = self.beta.to(x).exp()[None, :, None]
        return x + torch.sin(x * alpha).pow(2) / (beta + 1e-9)


class _Filter(nn.Module):
    filter: Tensor

    def __init__(self, **factory: Any) -> None:
        super().__init__()
        self.register_buffer("filter", antialias_filter().to(**factory))


class _Downsample(nn.Module):
    def __init__(self, **factory: Any) -> None:
        super().__init__()
        self.lowpass = _Filter(**factory)


class AntialiasedSnake(nn.Module):
    """Twice the rate, SnakeBeta, back: (B, C, T) -> (B, C, T) without folding harmonics."""

    def __init__(self, channels: int, **factory: Any) -> None:
        super().__init__()
        self.act = SnakeBeta(channels, **factory)
        self.upsample = _Filter(**factory)
        self.downsample = _Downsample(**factory)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        taps = self.upsample.filter.to(x).expand(channels, -1, -1)
        x = F.pad(x, (5, 5), mode="replicate")
        x = 2 * F.conv_transpose1d(x, taps, stride=2, groups=channels)[..., 15:-15]
        x = F.pad(self.act(x), (5, 6), mode="replicate")
        taps = self.downsample.lowpass.filter.to(x).expand(channels, -1, -1)
        return F.conv1d(x, taps, stride=2, groups=channels)


class AmpBlock(nn.Module):
    """Three dilated residual pairs, each convolution after an anti-aliased Snake."""

    def __init__(self, channels: int, kernel: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()

        def conv(dilation: int) -> Any:
            padding = (kernel - 1) * dilation // 2
            return operations.Conv1d(channels, channels, kernel, dilation=dilation, padding=padding, **factory)

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in DILATIONS)
        self.convs2 = nn.ModuleList(conv(1) for _ in DILATIONS)
        self.activations = nn.ModuleList(AntialiasedSnake(channels, **factory) for _ in range(2 * len(DILATIONS)))

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.convs1, self.convs2, self.activations[::2], self.activations[1::2], strict=True)
        for conv1, conv2, before, between in pairs:
            x = x + conv2(between(conv1(before(x))))
        return x


class BigVgan(nn.Module):
    """Log-mel (B, M, T) -> waveform (B, 1, T * product of rates) in -1..1."""

    def __init__(self, config: VocoderConfig, *, operations: Any = nn, dtype: Any = None, device: Any = None) -> None:
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        self.config = config
        channels = config.channels
        self.conv_pre = operations.Conv1d(config.mel_bins, channels, 7, padding=3, **factory)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(config.rates, config.kernels, strict=True):
            up = operations.ConvTranspose1d(
                channels, channels // 2, kernel, stride=rate, padding=(kernel - rate) // 2, **factory
            )
            self.ups.append(nn.ModuleList([up]))
            channels //= 2
            self.resblocks.extend(AmpBlock(channels, size, operations, factory) for size in KERNELS)
        self.activation_post = AntialiasedSnake(channels, **factory)
        self.conv_post = operations.Conv1d(channels, 1, 7, padding=3, bias=config.tanh, **factory)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = cast(nn.ModuleList, up)[0](x)
            first = stage * len(KERNELS)
            blocks = [self.resblocks[first + i](x) for i in range(len(KERNELS))]
            x = torch.stack(blocks).sum(dim=0) / len(KERNELS)
        x = self.conv_post(self.activation_post(x))
        return x.tanh() if self.config.tanh else x.clamp(-1.0, 1.0)
