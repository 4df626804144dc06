"""What rings on after an impact, as the codec's spectrum of it.

A small network draws what it makes towards the mean of what it thinks possible, and of a line that stands 60 dB over
room tone that mean is too soft. How loudly the modes of known things ring and how fast they fade is textbook knowledge
(:func:`pavas_core.synthesis.voices.expected_ringing`), so no band of a sound shall be softer than that.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pavas_core.models.nano_codec import CodecConfig, NanoCodec, analysis_window, mel_of_spectrum
from pavas_core.models.nano_facts import expected

if TYPE_CHECKING:
    from pavas_core.physics.types import Scene
    from pavas_core.synthesis.modes import Modes

STRUCK_NEPERS = math.log(2) / 2
"""A mode is as loud as where it was struck lets it: sqrt(2) cos(u) on average over its logarithm is so much below 1."""
LIFTS = 4
"""Of a lone line the codec's few components hold a part only; the rest is lifted again, so often."""
_PITCHES = 4096
"""Steps of the table of steady tones, from 0 to the highest frequency."""
_THINNED = 16
"""A tone that begins or fades within a window is added up over every so many samples."""


def ringing(scene: Scene, tokens: int, config: CodecConfig | None = None) -> Tensor | None:
    """Logarithm of the mel magnitudes (1, tokens, bands * frames) of all that is expected to ring, as
    :meth:`NanoCodec.mel` gives them of a sound; None where nothing is known to."""
    config = config or CodecConfig()
    bodies = {body.object.id: body for body in scene.bodies}
    known = [(found[0], one.time_s) for one in scene.impacts if (found := expected(one, bodies)) is not None]
    if not known:
        return None
    power = np.zeros((tokens * config.frames_per_token, config.bands))
    for modes, time_s in known:
        _add(power, modes, time_s, config)
    log = np.log(np.maximum(power, config.floor**2)) / 2
    return torch.from_numpy(log.astype(np.float32)).view(1, tokens, -1)


def at_least(latent: Tensor, least: Tensor, codec: NanoCodec) -> Tensor:
    """``latent`` (takes, L, C) with every band at least as loud as ``least`` (1, L, bands * frames), as far as the
    codec can say it."""
    basis, mean, least = (one.to(latent) for one in (codec.basis, codec.mean, least))
    for _ in range(LIFTS):
        latent = latent + (least - latent @ basis - mean).clamp(min=0) @ basis.T
    return latent


def _add(power: np.ndarray, modes: Modes, time_s: float, config: CodecConfig) -> None:
    """Add the squared mel magnitudes of modes that ring from ``time_s`` on to ``power`` (frames, bands)."""
    from pavas_core.synthesis.engine import FULL_SCALE_PA

    amplitude = np.abs(modes.pressure_pa) * math.exp(-STRUCK_NEPERS) / FULL_SCALE_PA
    inside = (modes.frequency_hz < config.sample_rate / 2) & (amplitude * config.n_fft > config.floor)
    frequency, decay, amplitude = modes.frequency_hz[inside], modes.decay_per_s[inside], amplitude[inside]
    if not amplitude.size:
        return
    lasts_s = float((np.log(amplitude * config.n_fft / config.floor) / decay).max()) + config.n_fft / config.sample_rate
    frame_s = config.hop / config.sample_rate
    first = max(0, math.ceil((time_s - config.n_fft / 2 / config.sample_rate) / frame_s))
    last = min(len(power), math.ceil((time_s + lasts_s) / frame_s))
    if last <= first:
        return
    since = np.arange(first, last) * frame_s - time_s
    pitch = np.minimum(frequency * (2 * _PITCHES / config.sample_rate), _PITCHES - 1).astype(int)
    power[first:last] += (_heard(since, decay, config) * amplitude) ** 2 @ _tones(config)[pitch] ** 2


def _heard(since_s: np.ndarray, decay_per_s: np.ndarray, config: CodecConfig) -> np.ndarray:
    """Share [frames, modes] of tones that begin at 0 and fade, in windows around ``since_s``, of steady tones."""
    every = np.arange(_THINNED // 2, config.n_fft, _THINNED)
    window = analysis_window(config).double().numpy()[every]
    offsets_s = (every - config.n_fft / 2) / config.sample_rate
    whole = window @ np.exp(-np.outer(offsets_s, decay_per_s)) / window.sum()
    share = whole * np.exp(-np.outer(np.maximum(since_s, 0.0), decay_per_s))
    for index in np.flatnonzero(since_s < offsets_s[-1]):  # where the tone begins within the window
        age_s = since_s[index] + offsets_s
        begun = window * (age_s > 0)
        share[index] = begun @ np.exp(-np.outer(np.maximum(age_s, 0.0), decay_per_s)) / window.sum()
    return share


@lru_cache(maxsize=1)
def _tones(config: CodecConfig) -> np.ndarray:
    """Mel magnitudes float32 [_PITCHES, bands] of a steady tone of amplitude 1 at each pitch."""
    rows = []
    moments = np.arange(config.n_fft) / config.sample_rate
    window = analysis_window(config).numpy()
    for pitches in np.split((np.arange(_PITCHES) + 0.5) * (config.sample_rate / 2 / _PITCHES), 16):
        tones = window * np.exp(2j * math.pi * np.outer(pitches, moments))
        spectrum = np.abs(np.fft.fft(tones, axis=1))[:, : config.n_fft // 2 + 1] / 2
        rows.append(mel_of_spectrum(torch.from_numpy(spectrum.T.astype(np.float32)), config).T.numpy())
    return np.concatenate(rows)
