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
from pavas_core.models.nano_facts import is_expected

if TYPE_CHECKING:
    from pavas_core.physics.types import Body, Impact, Scene

STRUCK_NEPERS = math.log(2) / 2
"""A mode is as loud as where it was struck lets it: sqrt(2) cos(u) on average over its logarithm is so much below 1."""
LIFTS = 4
"""Of a lone line the codec's few components hold a part only; the rest is lifted again, so often."""
_PITCHES = 4096
"""Steps of the table of steady tones, from 0 to the highest frequency."""
_WITHIN = 64
"""Steps in which a tone that begins or fades within a window is added up."""


def ringing(scene: Scene, tokens: int, config: CodecConfig | None = None) -> Tensor | None:
    """Logarithm of the mel magnitudes (1, tokens, bands * frames) of all that is expected to ring, as
    :meth:`NanoCodec.mel` gives them of a sound; None where nothing is known to."""
    config = config or CodecConfig()
    bodies = {body.object.id: body for body in scene.bodies}
    known = [one for one in scene.impacts if is_expected(one, bodies)]
    if not known:
        return None
    power = np.zeros((tokens * config.frames_per_token, config.bands))
    for impact in known:
        _add(power, impact, bodies, config)
    log = np.log(np.maximum(power, config.floor**2)) / 2
    return torch.from_numpy(log.astype(np.float32)).view(1, tokens, -1)


def at_least(latent: Tensor, least: Tensor, codec: NanoCodec) -> Tensor:
    """``latent`` (takes, L, C) with every band at least as loud as ``least`` (1, L, bands * frames), as far as the
    codec can say it."""
    basis, mean, least = (one.to(latent) for one in (codec.basis, codec.mean, least))
    for _ in range(LIFTS):
        latent = latent + (least - latent @ basis - mean).clamp(min=0) @ basis.T
    return latent


def _add(power: np.ndarray, impact: Impact, bodies: dict[str, Body], config: CodecConfig) -> None:
    """Add the squared mel magnitudes of one impact's modes to ``power`` (frames, bands)."""
    from pavas_core.synthesis.engine import FULL_SCALE_PA
    from pavas_core.synthesis.materials import MATERIALS
    from pavas_core.synthesis.voices import expected_ringing

    modes, _ = expected_ringing(impact, bodies, MATERIALS["unknown"])
    amplitude = np.abs(modes.pressure_pa) * math.exp(-STRUCK_NEPERS) / FULL_SCALE_PA
    inside = (modes.frequency_hz < config.sample_rate / 2) & (amplitude * config.n_fft > config.floor)
    frequency, decay, amplitude = modes.frequency_hz[inside], modes.decay_per_s[inside], amplitude[inside]
    if not amplitude.size:
        return
    lasts_s = float((np.log(amplitude * config.n_fft / config.floor) / decay).max()) + config.n_fft / config.sample_rate
    frame_s = config.hop / config.sample_rate
    first = max(0, math.ceil((impact.time_s - config.n_fft / 2 / config.sample_rate) / frame_s))
    last = min(len(power), math.ceil((impact.time_s + lasts_s) / frame_s))
    if last <= first:
        return
    since = np.arange(first, last) * frame_s - impact.time_s
    pitch = np.minimum(frequency * (2 * _PITCHES / config.sample_rate), _PITCHES - 1).astype(int)
    power[first:last] += (_heard(since, decay, config) * amplitude) ** 2 @ _tones(config)[pitch] ** 2


def _heard(since_s: np.ndarray, decay_per_s: np.ndarray, config: CodecConfig) -> np.ndarray:
    """Share [frames, modes] of tones that begin at 0 and fade, in windows around ``since_s``, of steady tones."""
    places = (np.arange(_WITHIN) + 0.5) / _WITHIN - 0.5
    window = np.cos(math.pi * places) ** 2
    offsets_s = places * (config.n_fft / config.sample_rate)
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
