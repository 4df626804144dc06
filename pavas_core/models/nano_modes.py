"""What a textbook says of an impact before it is heard: how long the two touch, and what rings how loudly for how long.

The modes are those of the modal engine, for what is known of the two that met.
"""

from __future__ import annotations

import math

import numpy as np

from pavas_core.models.nano_codec import CodecConfig
from pavas_core.physics.types import Body, Impact
from pavas_core.synthesis.materials import MATERIALS
from pavas_core.synthesis.voices import expected_ringing

BANDS = 64
"""Bands of equal width in mel from LOW_HZ up to the codec's highest frequency."""
LOW_HZ = 60.0
HIGH_HZ = CodecConfig().sample_rate / 2
FLOOR_DB = -60.0
"""Level of a band below which ringing is lost in a quiet room, dB of 1 Pa at 1 m."""
NEPER_DB = 20 / math.log(10)
EARLY_S = 0.06
"""Modes of one band are weighed by their energy in the first moments: about one window of the codec."""
CONTACT_S, LEVEL_DB, BAND, RATE = 0, 1, 2, 2 + BANDS
"""Places of the natural logarithm of the contact's length in seconds, of the level of all that rings in dB of 1 Pa, of
the first band's level over FLOOR_DB in nepers, none below 0, and of the rate in 1/s at which that fades."""
MODES = 2 + 2 * BANDS


def impact_modes(impact: Impact, bodies: dict[str, Body]) -> np.ndarray:
    """Numbers [MODES] of one impact between bodies whose mass and material are known."""
    modes, contact_s = expected_ringing(impact, bodies, MATERIALS["unknown"])
    inside = (modes.frequency_hz > LOW_HZ) & (modes.frequency_hz < HIGH_HZ)
    frequency, decay, power = modes.frequency_hz[inside], modes.decay_per_s[inside], modes.pressure_pa[inside] ** 2 / 2
    early = power * -np.expm1(-2 * decay * EARLY_S) / (2 * decay * EARLY_S)
    place = (_mel(frequency) - _mel(LOW_HZ)) / (_mel(HIGH_HZ) - _mel(LOW_HZ)) * (BANDS - 1)
    low = np.floor(place).astype(int)
    over = place - low
    band, energy, fading = (
        np.bincount(low, by * (1 - over), BANDS) + np.bincount(low + 1, by * over, BANDS)
        for by in (power, early, early * np.log(decay))
    )
    level = np.maximum(0.0, (10 * np.log10(band + 1e-12) - FLOOR_DB) / NEPER_DB)
    rate = np.where(level > 0, np.exp(fading / np.maximum(energy, 1e-30)), 0.0)
    return np.concatenate([[math.log(contact_s), 10 * math.log10(power.sum() + 1e-12)], level, rate])


def _mel(frequency_hz: np.ndarray | float) -> np.ndarray:
    """O'Shaughnessy's scale, not the codec's: the weights were trained on it."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0)
