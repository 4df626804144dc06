"""What a textbook says of an impact before it is heard: at which pitches it rings, for how long, and how long it lasts.

The modes are those of the modal engine, for what is known of the two that met.
"""

from __future__ import annotations

import math

import numpy as np

from pavas_core.models.nano_codec import CodecConfig
from pavas_core.physics.types import Body, Impact
from pavas_core.synthesis.materials import MATERIALS
from pavas_core.synthesis.voices import expected_ringing

BANDS = 32
"""Bands of equal width in mel from LOW_HZ up to the codec's highest frequency."""
LOW_HZ = 60.0
SPAN_DB = 30.0
"""Bands so far below the loudest count as silent."""
EARLY_S = 0.06
"""What rings is weighed by its energy in the first moments: about one window of the codec."""
CONTACT_S, LEVEL_DB, DECAY, SLOWEST = range(4)
"""Places of the first numbers: natural logarithm of the contact's length in seconds; mean level of what rings in its
first EARLY_S at 1 m, dB of 1 Pa; decay of what rings most and of what rings longest, 1/s."""
MODES = 4 + BANDS
"""Then how far every band lies over SPAN_DB below the loudest, 0 to 1."""


def impact_modes(impact: Impact, bodies: dict[str, Body]) -> np.ndarray:
    """Numbers [MODES] of one impact between bodies whose mass and material are known."""
    modes, contact_s = expected_ringing(impact, bodies, MATERIALS["unknown"])
    inside = (modes.frequency_hz > LOW_HZ) & (modes.frequency_hz < CodecConfig().sample_rate / 2)
    frequency, decay, power = modes.frequency_hz[inside], modes.decay_per_s[inside], modes.pressure_pa[inside] ** 2
    early = power * -np.expm1(-2 * decay * EARLY_S) / (2 * decay * EARLY_S)
    row = np.zeros(MODES)
    row[CONTACT_S], row[LEVEL_DB] = math.log(contact_s), 10 * math.log10(early.sum() + 1e-12)
    if early.sum() <= 0:
        return row
    row[DECAY], row[SLOWEST] = (np.exp(np.average(np.log(decay), weights=by)) for by in (early, power / decay))
    place = (_mel(frequency) - _mel(LOW_HZ)) / (_mel(CodecConfig().sample_rate / 2) - _mel(LOW_HZ)) * (BANDS - 1)
    low = np.floor(place).astype(int)
    over = place - low
    band = np.bincount(low, early * (1 - over), BANDS) + np.bincount(low + 1, early * over, BANDS)
    row[4:] = np.clip(1 + 10 * np.log10(band / band.max() + 1e-12) / SPAN_DB, 0.0, 1.0)
    return row


def _mel(frequency_hz: np.ndarray | float) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0)
