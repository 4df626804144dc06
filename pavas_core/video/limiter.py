"""A look-ahead peak limiter: the only place where loudness is ever held down, and it says by how much."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.audio import Audio

LOOK_AHEAD_S = 0.005


def limit(audio: Audio, ceiling_db: float = -1.0) -> tuple[Audio, float]:
    """Hold the peaks of ``audio`` under ``ceiling_db`` dBFS and return (audio, largest gain reduction in dB, >= 0).

    Sound under the ceiling is returned as it is, bit for bit. Otherwise the gain each sample needs is held over a
    5 ms neighbourhood and smoothed by a window of the same length: every weight in the average then comes from a gain
    no larger than the sample's own need, so no peak passes the ceiling, and all channels share one gain.
    """
    from scipy.ndimage import convolve1d, minimum_filter1d

    ceiling = 10.0 ** (ceiling_db / 20.0)
    peaks = np.max(np.abs(audio.waveform), axis=0, initial=0.0)
    highest = float(np.max(peaks, initial=0.0))
    if highest <= ceiling:
        return audio, 0.0
    reach = max(1, round(LOOK_AHEAD_S * audio.sample_rate))
    needed = (ceiling / np.maximum(peaks, ceiling)).astype(np.float32)
    window = np.hanning(2 * reach + 3)[1:-1]
    held = minimum_filter1d(needed, 2 * reach + 1, mode="nearest")
    gain = convolve1d(held, (window / window.sum()).astype(np.float32), mode="nearest")
    # the smoothing's own rounding must not lift a peak by a last bit
    gain = np.minimum(gain, needed)
    return Audio((audio.waveform * gain).astype(np.float32), audio.sample_rate), -20.0 * math.log10(float(gain.min()))
