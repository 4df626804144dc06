"""Peak, loudness and the faults that a sound can have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.audio import Audio

SILENT_DBFS = -80.0
CLIPPED_SHARE = 1e-4
OFFSET = 0.02
BLOCK_S, BLOCK_STEP_S = 0.4, 0.1
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0


@dataclass(frozen=True)
class SoundReport:
    """Measures of one sound; -inf where it is silent."""

    peak_dbfs: float
    loudness_lufs: float
    """Integrated loudness, ITU-R BS.1770-4."""
    offset: float
    """Mean of the samples: 0 in any sound that was recorded."""
    clipped_share: float
    """Of the samples, at or above full scale."""

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, a sentence each."""
        found = []
        if self.peak_dbfs < SILENT_DBFS:
            found.append("is silent: try another seed or prompt, or a higher cfg_strength.")
        if abs(self.offset) > OFFSET:
            found.append(f"has an offset of {self.offset:.2f}: try another seed, or precision fp32.")
        if self.clipped_share > CLIPPED_SHARE:
            found.append(f"clips in {self.clipped_share:.2%} of its samples: lower output_gain_db.")
        return tuple(found)

    def __str__(self) -> str:
        return f"peak {self.peak_dbfs:.1f} dBFS, loudness {self.loudness_lufs:.1f} LUFS"


def measure(audio: Audio) -> SoundReport:
    """Peak, loudness and faults of a sound. An empty one is silent."""
    wave = audio.waveform
    if not wave.size:
        return SoundReport(-np.inf, -np.inf, 0.0, 0.0)
    peak = float(np.abs(wave).max())
    with np.errstate(divide="ignore"):
        peak_dbfs = float(20 * np.log10(peak))
    return SoundReport(
        peak_dbfs, loudness_lufs(audio), float(wave.mean(dtype=np.float64)), float((np.abs(wave) >= 1.0).mean())
    )


def loudness_lufs(audio: Audio) -> float:
    """Integrated loudness (ITU-R BS.1770-4: K-weighting, blocks of 0.4 s, two gates); -inf if all is gated out.

    A sound shorter than a block is one block.
    """
    from scipy.signal import sosfilt

    weighted = sosfilt(_k_weighting(audio.sample_rate), audio.waveform.astype(np.float64), axis=-1)
    total = weighted.shape[-1]
    length, step = (round(seconds * audio.sample_rate) for seconds in (BLOCK_S, BLOCK_STEP_S))
    starts = range(0, max(1, total - length + 1), step)
    power = np.array([(weighted[:, start : start + length] ** 2).mean(axis=-1).sum() for start in starts])
    loud = power > _power(ABSOLUTE_GATE_LUFS)
    if loud.any():
        loud &= power > _power(_lufs(power[loud].mean()) + RELATIVE_GATE_LU)
    return _lufs(power[loud].mean()) if loud.any() else -np.inf


def _lufs(power: float) -> float:
    return float(-0.691 + 10 * np.log10(power))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _k_weighting(sample_rate: int) -> np.ndarray:
    """The recommendation's two filters at any rate, as second-order sections.

    Its 48 kHz coefficients are a bilinear high shelf and high pass with the analogue constants below.
    """
    k = np.tan(np.pi * 1681.9744509555319 / sample_rate)
    q, high = 0.7071752369554193, 10 ** (3.99984385397 / 20)
    band = high**0.4996667741545416
    norm = 1 + k / q + k * k
    shelf = [
        (high + band * k / q + k * k) / norm,
        2 * (k * k - high) / norm,
        (high - band * k / q + k * k) / norm,
        1.0,
        2 * (k * k - 1) / norm,
        (1 - k / q + k * k) / norm,
    ]
    k = np.tan(np.pi * 38.13547087613982 / sample_rate)
    q = 0.5003270373253953
    norm = 1 + k / q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm]
    return np.array([shelf, high_pass])
