"""What of an impact is heard: its level, brightness, decay, and which of all impacts can be heard at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pavas_core.audio import Audio

FLOOR_MARGIN_DB = 6.0
APART_S = 0.08
DECAY_FRAME_S = 0.01
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


def decay_s(audio: Audio, time_s: float, until_s: float, floor_db: float = -90.0) -> float:
    """T60 in seconds: a line through the levels of 10 ms frames from an impact's loudest frame on, for as long as they
    stand over ``floor_db`` and until ``until_s``; NaN where fewer than four do, or where nothing dies away.

    Only what is heard counts: an integral to the end of the stretch would take room tone for ringing, and its cut for
    damping.
    """
    frames = _frame_levels_db(stretch(audio, time_s, until_s), audio.sample_rate)
    if not frames.size:
        return float("nan")
    first = int(np.argmax(frames))
    below = np.flatnonzero(frames[first:] <= floor_db)
    heard = frames[first : first + int(below[0])] if below.size else frames[first:]
    if heard.size < 4:
        return float("nan")
    slope = float(np.polyfit(DECAY_FRAME_S * np.arange(heard.size), heard, 1)[0])
    return -60.0 / slope if slope < 0 else float("nan")


def _frame_levels_db(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """Level of every whole 10 ms."""
    size = round(DECAY_FRAME_S * sample_rate)
    frames = wave[: wave.size // size * size].reshape(-1, size)
    return 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)


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
