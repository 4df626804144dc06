"""Mel front ends of the published models: waveform to log-mel (torch).

Slaney-scale filters with area normalisation (Slaney, Auditory Toolbox, 1998), as librosa builds them; the unit tests
compare with librosa.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class MelConfig:
    """Analysis of one front end. ``log10``: decadic instead of natural logarithm."""

    sample_rate: int
    n_fft: int
    hop: int
    bins: int
    f_max: float
    log10: bool


MEL_VARIANTS = {
    "16k": MelConfig(16000, 1024, 256, 80, 8000.0, True),
    "44k": MelConfig(44100, 2048, 512, 128, 22050.0, False),
}


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    linear = 3.0 * hz / 200.0
    return np.where(hz < 1000.0, linear, 15.0 + np.log(np.maximum(hz, 1000.0) / 1000.0) * 27.0 / np.log(6.4))


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))


@lru_cache(maxsize=4)
def mel_filters(config: MelConfig) -> Tensor:
    """Triangular filters of equal area, float32 (bins, n_fft / 2 + 1)."""
    top = _hz_to_mel(np.array(config.f_max))
    edges = _mel_to_hz(np.linspace(0.0, float(top), config.bins + 2))
    bins_hz = np.linspace(0.0, config.sample_rate / 2.0, config.n_fft // 2 + 1)
    width = np.diff(edges)
    rising = (bins_hz - edges[:-2, None]) / width[:-1, None]
    falling = (edges[2:, None] - bins_hz) / width[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    area = 2.0 / (edges[2:] - edges[:-2])
    return torch.from_numpy((triangles * area[:, None]).astype(np.float32))


def log_mel(waveform: Tensor, config: MelConfig) -> Tensor:
    """Waveform (B, T) in -1..1 -> log-mel (B, bins, T // hop)."""
    pad = (config.n_fft - config.hop) // 2
    padded = F.pad(waveform.float().clamp(-1.0, 1.0)[:, None], (pad, pad), mode="reflect")[:, 0]
    window = torch.hann_window(config.n_fft, device=padded.device)
    spectrum = torch.stft(padded, config.n_fft, config.hop, window=window, center=False, return_complex=True)
    magnitude = (spectrum.real**2 + spectrum.imag**2 + 1e-9).sqrt()
    mel = (mel_filters(config).to(magnitude.device) @ magnitude).clamp(min=1e-5)
    return mel.log10() if config.log10 else mel.log()
