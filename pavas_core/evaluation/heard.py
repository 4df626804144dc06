"""What of an impact is heard: its level, brightness, decay, and which of all impacts can be heard at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pavas_core.audio import Audio

FLOOR_MARGIN_DB = 6.0
APART_S = 0.08
AFTER_S = 0.15
"""An impact's sound is judged over this long, or to the next impact."""


def mono(audio: Audio) -> np.ndarray:
    """float64 [T] mean of all channels."""
    return np.asarray(audio.waveform, dtype=float).mean(axis=0)


def clip_level_db(audio: Audio) -> float:
    """RMS level of a whole sound, dB of full scale."""
    return float(10 * np.log10(np.square(mono(audio)).mean() + 1e-12))


def stretch(audio: Audio, start_s: float, end_s: float) -> np.ndarray:
    """Samples between two times."""
    rate = audio.sample_rate
    return mono(audio)[max(0, round(start_s * rate)) : max(0, round(end_s * rate))]


def level_db(wave: np.ndarray) -> float:
    """RMS level, dB of full scale."""
    return float(10 * np.log10(np.square(wave).mean() + 1e-12)) if wave.size else -120.0


def impact_level_db(audio: Audio, time_s: float, until_s: float | None = None) -> float:
    """Level of the 10 ms before to AFTER_S after an impact, or to ``until_s``."""
    end = time_s + AFTER_S if until_s is None else min(time_s + AFTER_S, until_s)
    return level_db(stretch(audio, time_s - 0.01, max(end, time_s + 0.03)))


def centroid_octaves(audio: Audio, start_s: float = 0.0, end_s: float = 1e9) -> float:
    """Energy-weighted mean of log2 frequency between 50 Hz and the top."""
    wave = stretch(audio, start_s, end_s) if end_s < 1e9 else mono(audio)
    if wave.size < 64:
        return 0.0
    power = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
    frequency = np.fft.rfftfreq(wave.size, 1 / audio.sample_rate)
    inside = frequency > 50
    return float((power[inside] * np.log2(frequency[inside])).sum() / max(power[inside].sum(), 1e-20))


def audible(audio: Audio, times_s: Sequence[float], floor_db: float) -> np.ndarray:
    """Times of those impacts, float64 [n], that rise 6 dB over what sounded before and over the room's ``floor_db``.

    Of impacts closer than 80 ms the first counts.
    """
    kept: list[float] = []
    for time_s in sorted(times_s):
        if kept and time_s - kept[-1] < APART_S:
            continue
        after = level_db(stretch(audio, time_s, time_s + 0.03))
        before = level_db(stretch(audio, time_s - 0.03, time_s - 0.002)) if time_s > 0.01 else floor_db
        if after >= max(before, floor_db) + FLOOR_MARGIN_DB:
            kept.append(time_s)
    return np.array(kept)


def decay_s(audio: Audio, time_s: float, until_s: float) -> float:
    """T60 in seconds from the fall of the 20 dB after an impact's peak (Schroeder's integral up to ``until_s``)."""
    wave = stretch(audio, time_s, until_s)
    if wave.size < 160:
        return float("nan")
    energy = np.cumsum(np.square(wave)[::-1])[::-1]
    curve = 10 * np.log10(energy / max(energy[0], 1e-20) + 1e-12)
    start, end = (int(np.argmax(curve <= -step)) for step in (3.0, 23.0))
    if end <= start:
        return float("nan")
    return 3.0 * (end - start) / audio.sample_rate


def spectrum_features(audio: Audio, time_s: float) -> np.ndarray:
    """float64 [32]: third-octave shape of an impact, early and late, and its level: what a material is told by."""
    rows = []
    for start, end in ((0.0, 0.06), (0.06, 0.2)):
        wave = stretch(audio, time_s + start, time_s + end)
        wave = np.pad(wave, (0, max(0, 512 - wave.size)))
        power = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) ** 2
        frequency = np.fft.rfftfreq(wave.size, 1 / audio.sample_rate)
        edges = np.geomspace(80, 0.49 * audio.sample_rate, 17)
        bands = [power[(frequency >= low) & (frequency < high)].sum() for low, high in pairwise(edges)]
        rows.append(10 * np.log10(np.array(bands) + 1e-9))
    early, late = rows
    return np.concatenate([early - early.mean(), late - early])
