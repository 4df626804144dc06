"""The audio value that travels through the core."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pavas_core.errors import MediaError

MOST_GAIN_DB = 200.0


@dataclass(frozen=True)
class Audio:
    """Sound samples: ``waveform`` float32 [channels, T] nominally in -1..1, ``sample_rate`` in Hz."""

    waveform: np.ndarray
    sample_rate: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[-1] / self.sample_rate


def linear_gain(decibels: float) -> float:
    """The factor of a gain. Raises MediaError beyond MOST_GAIN_DB either way, and for what is no number."""
    if not abs(decibels) <= MOST_GAIN_DB:
        raise MediaError(
            f"A gain of {decibels:g} dB is impossible, give a number such as -6, from {-MOST_GAIN_DB:g} to "
            f"{MOST_GAIN_DB:g}."
        )
    return math.pow(10.0, decibels / 20.0)
