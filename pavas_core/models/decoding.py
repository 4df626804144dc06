"""Latent to waveform by a mel VAE and a vocoder, in single precision and in pieces of bounded memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pavas_core.errors import PavasError
from pavas_core.models.vae import MelVae
from pavas_core.models.vocoder import BigVgan
from pavas_core.runtime import Runtime

PIECE_FRAMES = 512
MARGIN_FRAMES = 48
"""Mel frames around a piece that the vocoder hears too: more than its receptive field, so seams are not audible."""


def decode_latent(vae: MelVae, vocoder: BigVgan, latent: Tensor, runtime: Runtime) -> Tensor:
    """Waveforms float32 (B, samples) on the CPU from unnormalised latents (B, L, C). PavasError for other latents."""
    channels = vae.config.latent_dim
    if latent.ndim != 3 or latent.shape[-1] != channels:
        raise PavasError(
            f"The latent has the shape {tuple(latent.shape)} and this model decodes (takes, length, {channels}): "
            "connect the model that made it."
        )
    with torch.inference_mode():
        with runtime.resident(vae):
            runtime.step("decoding", 0, 1)
            mel = vae.decode(latent.transpose(1, 2).to(runtime.device, torch.float32))
        with runtime.resident(vocoder):
            return _vocoded(vocoder, mel, runtime)


def _vocoded(vocoder: BigVgan, mel: Tensor, runtime: Runtime) -> Tensor:
    """Mel (B, M, T) -> waveforms (B, T * hop), piece by piece."""
    hop, frames = math.prod(vocoder.config.rates), mel.shape[-1]
    starts = range(0, frames, PIECE_FRAMES)
    pieces = []
    for index, start in enumerate(starts):
        runtime.step("decoding", index, len(starts))
        end = min(start + PIECE_FRAMES, frames)
        first, last = max(0, start - MARGIN_FRAMES), min(frames, end + MARGIN_FRAMES)
        wave = vocoder(mel[..., first:last])[:, 0]
        pieces.append(wave[:, (start - first) * hop : (end - first) * hop].cpu())
    runtime.step("decoding", len(starts), len(starts))
    return torch.cat(pieces, dim=1)
