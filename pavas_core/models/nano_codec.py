"""pavas-nano's codec: log-mel frames, a linear map to a few channels and back, and phase by iteration.

Principal components keep loudness linear in the latent. The vocoder is the fast Griffin-Lim algorithm (Perraudin,
Balazs & Soendergaard, "A fast Griffin-Lim algorithm", WASPAA 2013). Nothing is clipped or normalised at any level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from pavas_core.models.mel import MelConfig, mel_filters
from pavas_core.runtime import Runtime

MOMENTUM = 0.99
UNMIX_STEPS = 20
"""Multiplicative updates (Lee & Seung, Nature 401 (1999)) that turn mel bands into a spectrum."""


@dataclass(frozen=True)
class CodecConfig:
    """Analysis and size of the latent."""

    sample_rate: int = 16000
    n_fft: int = 1024
    hop: int = 256
    bands: int = 80
    frames_per_token: int = 2
    channels: int = 40
    floor: float = 1e-6
    """Mel magnitude that counts as silence."""

    @property
    def token_samples(self) -> int:
        """Samples of one latent token."""
        return self.hop * self.frames_per_token

    @property
    def rate_hz(self) -> float:
        """Latent tokens a second."""
        return self.sample_rate / self.token_samples


class NanoCodec(nn.Module):
    """Waveform (B, T) to latent (B, L, C) and back; token ``i`` holds the samples from ``i * token_samples`` on."""

    def __init__(self, config: CodecConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CodecConfig()
        size = config.bands * config.frames_per_token
        self.mean = nn.Parameter(torch.zeros(size), requires_grad=False)
        self.basis = nn.Parameter(torch.zeros(config.channels, size), requires_grad=False)
        self.gain = nn.Parameter(torch.ones(()), requires_grad=False)

    def mel(self, waveform: Tensor) -> Tensor:
        """Log-mel tokens (B, L, bands * frames) of (B, T); T is padded with silence to whole tokens."""
        config = self.config
        short = -waveform.shape[-1] % config.token_samples
        padded = nn.functional.pad(waveform.float(), (0, short))
        frames = padded.shape[-1] // config.hop
        magnitude = _stft(padded, config)[..., :frames].abs()
        mel = mel_of_spectrum(magnitude, config).clamp(min=config.floor).log()
        return mel.transpose(1, 2).unflatten(1, (-1, config.frames_per_token)).flatten(2)

    def band_octaves(self) -> Tensor:
        """(bands,) log2 of every mel band's middle frequency in hertz."""
        filters = _filters(self.config)
        hertz = torch.linspace(0, self.config.sample_rate / 2, filters.shape[1]).to(filters)
        return ((filters * hertz).sum(dim=1) / filters.sum(dim=1)).log2()

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) -> latent (B, ceil(T / token_samples), channels)."""
        return (self.mel(waveform) - self.mean) @ self.basis.T

    def decode(self, latent: Tensor, *, iterations: int = 16, runtime: Runtime | None = None) -> Tensor:
        """Latent (B, L, C) -> waveform (B, L * token_samples). The same latent always gives the same sound."""
        config = self.config
        tokens = latent.float() @ self.basis + self.mean
        mel = tokens.unflatten(2, (config.frames_per_token, config.bands)).flatten(1, 2).transpose(1, 2).exp()
        magnitude = _unmixed(mel, config)
        # one more frame, so that the last token's samples lie between frames
        magnitude = torch.cat([magnitude, magnitude[..., -1:]], dim=-1)
        samples = latent.shape[1] * config.token_samples
        return self.gain * _with_phase(magnitude, samples, config, iterations, runtime or Runtime())

    @torch.no_grad()
    def fit(self, waveforms: Tensor) -> None:
        """Set mean and basis to the principal components of (B, T), and the gain so that levels come back."""
        tokens = self.mel(waveforms).flatten(0, 1)
        self.mean.copy_(tokens.mean(dim=0))
        _, vectors = torch.linalg.eigh(torch.cov((tokens - self.mean).T))
        self.basis.copy_(vectors.flip(1)[:, : self.config.channels].T)
        self.gain.fill_(1.0)
        some = waveforms[:: max(1, len(waveforms) // 64)]
        back = self.decode(self.encode(some))[:, : some.shape[1]]
        ratio = some.square().mean(dim=1) / back.square().mean(dim=1)
        self.gain.copy_(ratio.log().median().mul(0.5).exp())


def analysis_window(config: CodecConfig, device: torch.device | str = "cpu") -> Tensor:
    """(n_fft,) window of every frame."""
    return torch.hann_window(config.n_fft, device=device)


def mel_of_spectrum(magnitude: Tensor, config: CodecConfig) -> Tensor:
    """Mel magnitudes (..., bands, F) of spectra (..., bins, F)."""
    return _filters(config).to(magnitude) @ magnitude


def _stft(waveform: Tensor, config: CodecConfig) -> Tensor:
    window = analysis_window(config, waveform.device)
    # zeros beyond the ends: reflection would put a second impact there
    return torch.stft(waveform, config.n_fft, config.hop, window=window, pad_mode="constant", return_complex=True)


@lru_cache(maxsize=2)
def _filters(config: CodecConfig) -> Tensor:
    top = config.sample_rate / 2.0
    return mel_filters(MelConfig(config.sample_rate, config.n_fft, config.hop, config.bands, top, False))


@lru_cache(maxsize=2)
def _inverse_filters(config: CodecConfig) -> Tensor:
    return torch.linalg.pinv(_filters(config))


def _unmixed(mel: Tensor, config: CodecConfig) -> Tensor:
    """Non-negative spectrum (B, bins, F) whose mel bands are ``mel`` (B, bands, F)."""
    filters = _filters(config).to(mel)
    spectrum = (_inverse_filters(config).to(mel) @ mel).clamp(min=1e-9)
    spread = filters.T @ mel
    for _ in range(UNMIX_STEPS):
        spectrum = spectrum * (spread / (filters.T @ (filters @ spectrum)).clamp(min=1e-12))
    return spectrum


def _with_phase(magnitude: Tensor, samples: int, config: CodecConfig, iterations: int, runtime: Runtime) -> Tensor:
    """Waveform (B, samples) whose spectrum's magnitude is close to (B, bins, F)."""
    window = analysis_window(config, magnitude.device)

    def wave(spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, config.n_fft, config.hop, window=window, length=samples)

    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(magnitude.shape[1:], generator=generator).to(magnitude.device)
    phase = torch.polar(torch.ones_like(angle), angle).expand(magnitude.shape)
    previous = torch.zeros_like(phase)
    for index in range(iterations):
        runtime.step("phase", index, iterations)
        current = _stft(wave(magnitude * phase), config)
        ahead = current - MOMENTUM / (1 + MOMENTUM) * previous
        previous, phase = current, ahead / ahead.abs().clamp(min=1e-12)
    runtime.step("phase", iterations, iterations)
    return wave(magnitude * phase)
