"""The audio value that travels through the core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Audio:
    """Sound samples: ``waveform`` float32 [channels, T] nominally in -1..1, ``sample_rate`` in Hz."""

    waveform: np.ndarray
    sample_rate: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[-1] / self.sample_rate
