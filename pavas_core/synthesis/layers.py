"""Layers of sound as one: exact impacts over a network's texture, each at its own gain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pavas_core.audio import Audio, linear_gain
from pavas_core.errors import PavasError
from pavas_core.video.soundtrack import match_channels, resample


def mix_layers(layers: Sequence[tuple[Audio, float]]) -> Audio:
    """Sum of sounds, each with a gain in dB, all starting together; the longest, finest and widest decides.

    Nothing is normalised. Raises PavasError for no layer at all.
    """
    if not layers:
        raise PavasError("There is no layer to mix: connect at least one sound.")
    rate = max(audio.sample_rate for audio, _ in layers)
    channels = max(audio.waveform.shape[0] for audio, _ in layers)
    fitted = [(match_channels(resample(audio, rate), channels).waveform, gain_db) for audio, gain_db in layers]
    mix = np.zeros((channels, max(wave.shape[1] for wave, _ in fitted)), dtype=np.float32)
    for wave, gain_db in fitted:
        mix[:, : wave.shape[1]] += wave * np.float32(linear_gain(gain_db))
    return Audio(mix, rate)
