"""Onsets in sound: SuperFlux strength, peaks, and matching against marked times.

SuperFlux (Boeck & Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013), the detection function
the paper names for APCC. Levels are absolute: nothing is scaled per clip, so strengths of different clips compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pavas_core.audio import Audio

FRAME_RATE = 200.0
"""Frames of the detection function per second."""
FRAME_S = 2048 / 44100
BANDS_PER_OCTAVE = 24
LOWEST_HZ, HIGHEST_HZ = 27.5, 16000.0
FLOOR_DB = -80.0
"""Level, relative to a full-scale sine in one band, that counts as silence."""
MAX_FILTER_BANDS = 3
LAG_FRAMES = 2
EDGE_OF_WINDOW = 0.23
"""Share of the window by which the step of a click comes early (0.13 for faint to 0.33 for loud clicks, measured)."""


@lru_cache(maxsize=8)
def _bands(sample_rate: int, n_fft: int) -> np.ndarray:
    """Triangular filters a quarter tone apart, float32 [bands, n_fft / 2 + 1], each of unit peak."""
    top = min(HIGHEST_HZ, 0.95 * sample_rate / 2)
    count = int(np.log2(top / LOWEST_HZ) * BANDS_PER_OCTAVE) + 1
    centres = np.unique(np.round(LOWEST_HZ * 2 ** (np.arange(count) / BANDS_PER_OCTAVE) * n_fft / sample_rate))
    bins = np.arange(n_fft // 2 + 1)
    low, middle, high = centres[:-2, None], centres[1:-1, None], centres[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def onset_strength(audio: Audio) -> tuple[np.ndarray, np.ndarray]:
    """SuperFlux of a sound: times in seconds [F] and strength [F] (sum over bands of positive log-level steps).

    Channels are averaged. Times are such that a click at t
    peaks within 7 ms of t. Levels are measured above FLOOR_DB of full scale, the same for every clip.
    """
    from scipy.ndimage import maximum_filter1d

    wave = np.asarray(audio.waveform, dtype=np.float32).mean(axis=0)
    rate = audio.sample_rate
    n_fft = 2 ** round(np.log2(FRAME_S * rate))
    count = int(np.floor(wave.size / rate * FRAME_RATE)) + 1
    starts = np.round(np.arange(count) / FRAME_RATE * rate).astype(int)
    padded = np.pad(wave, n_fft // 2 + 1)
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    bands = _bands(rate, n_fft)
    floor = 10 ** (FLOOR_DB / 20)
    level = np.empty((count, bands.shape[0]), dtype=np.float32)
    for first in range(0, count, 512):
        block = starts[first : first + 512]
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[block] * window
        magnitude = np.abs(np.fft.rfft(frames, axis=1)) / window.sum() * 2
        level[first : first + 512] = np.log10(1 + magnitude @ bands.T / floor)
    widened = maximum_filter1d(level, MAX_FILTER_BANDS, axis=1)
    strength = np.zeros(count)
    strength[LAG_FRAMES:] = np.maximum(0, level[LAG_FRAMES:] - widened[:-LAG_FRAMES]).sum(axis=1)
    # On a log scale the step is largest where the window's edge, not its centre, meets a click.
    times = np.arange(count) / FRAME_RATE + EDGE_OF_WINDOW * n_fft / rate
    return times, strength


def pick_onsets(
    audio: Audio, *, delta: float = 8.0, before_s: float = 0.03, after_s: float = 0.03, gap_s: float = 0.05
) -> np.ndarray:
    """Times of onsets in seconds, sorted.

    A peak counts where it is the largest within ``before_s`` and ``after_s``, stands ``delta`` above the local
    median and follows the last onset by ``gap_s``.
    """
    from scipy.ndimage import maximum_filter1d, median_filter

    times, strength = onset_strength(audio)
    reach = int(max(before_s, after_s) * FRAME_RATE)
    peak = strength == maximum_filter1d(strength, 2 * reach + 1)
    above = strength >= median_filter(strength, size=int(0.2 * FRAME_RATE) | 1) + delta
    onsets: list[float] = []
    for time in times[peak & above]:
        if not onsets or time - onsets[-1] >= gap_s:
            onsets.append(float(time))
    return np.array(onsets)


@dataclass(frozen=True)
class Match:
    """One-to-one matching of found times with true ones."""

    pairs: tuple[tuple[int, int], ...]
    """(index of truth, index of found)."""
    truth: int
    found: int

    @property
    def precision(self) -> float:
        """Share of found times that are true; 1 where nothing was found."""
        return len(self.pairs) / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of true times that were found; 1 where there are none."""
        return len(self.pairs) / self.truth if self.truth else 1.0

    @property
    def f1(self) -> float:
        """2 hits / (truth + found); 1 where both are empty."""
        total = self.truth + self.found
        return 2 * len(self.pairs) / total if total else 1.0


def match_times(truth: np.ndarray, found: np.ndarray, tolerance_s: float) -> Match:
    """The largest one-to-one matching within ``tolerance_s``, and of those the one of least total distance."""
    from scipy.optimize import linear_sum_assignment

    truth, found = np.asarray(truth, dtype=float), np.asarray(found, dtype=float)
    if truth.size == 0 or found.size == 0:
        return Match((), truth.size, found.size)
    distance = np.abs(truth[:, None] - found[None, :])
    allowed = distance <= tolerance_s + 1e-9
    # An allowed pair always beats any sum of distances.
    cost = np.where(allowed, distance - 1e3, 0.0)
    rows, columns = linear_sum_assignment(cost)
    pairs = tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j])
    return Match(pairs, truth.size, found.size)
