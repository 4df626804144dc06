"""Physics for sound that heard none: every impact in a recording made as loud as its edited energy asks.

For networks without an adapter, and for any sound in time with the picture. The energy of a sound at a moment is taken
to be the sum of what the impacts before it still ring with, above a floor; each share gets its own gain, so that a loud
impact's decay is not carried off by a quiet one's change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.audio import Audio
from pavas_core.physics.types import Impact, Scene

HOP_S = 0.002
SEARCH_S = 0.08
"""How far from an impact its onset is looked for: networks are this early or late."""
LEAD_S = 0.004
"""A gain is in force so long before the onset."""
PEAK_S = 0.04
SHORTEST_T60_S, LONGEST_T60_S = 0.05, 3.0
FLOOR_SHARE = 0.2
"""The quietest fifth of a sound is its floor."""
SILENCED_DB = -60.0
MOST_DB = 40.0
PRESENT = 2.0
"""Energy above the floor, as a multiple of it, from which an onset is there."""


@dataclass(frozen=True)
class ImpactGain:
    """What was done for one impact."""

    impact_id: str
    onset_s: float
    """Where it was heard."""
    gain_db: float
    """SILENCED_DB for one that was deleted."""
    heard: bool
    """False if the sound has nothing there to scale."""


@dataclass(frozen=True)
class RescaledSound:
    """The sound with its impacts at their new levels, and how each was treated."""

    audio: Audio
    gains: tuple[ImpactGain, ...]
    missing: tuple[str, ...]
    """Impacts of the edited scene that the original lacks: there is nothing to scale for them."""


def rescale_impacts(audio: Audio, before: Scene, after: Scene) -> RescaledSound:
    """``audio``, made for the physics ``before``, with every impact's level changed as ``after`` changes its energy.

    Sound energy follows the kinetic energy lost (paper section 4.1), so the gain is 10 log10 of the ratio of losses;
    an impact that ``after`` lacks is silenced. Impacts are matched by id; one moved in time is scaled where it was.
    """
    edited = {impact.id: impact for impact in after.impacts}
    known = {impact.id for impact in before.impacts}
    missing = tuple(impact.id for impact in after.impacts if impact.id not in known)
    hop = max(1, round(HOP_S * audio.sample_rate))
    energy = _envelope(audio.waveform, hop)
    if not energy.any() or not before.impacts:
        unheard = (ImpactGain(one.id, one.time_s, _gain_db(one, edited.get(one.id)), False) for one in before.impacts)
        return RescaledSound(audio, tuple(unheard), missing)
    rate_hz = audio.sample_rate / hop
    floor = max(float(np.quantile(energy, FLOOR_SHARE)), 1e-12 * float(energy.max()))
    impacts = sorted(before.impacts, key=lambda one: one.time_s)
    onsets = [_onset(energy, one.time_s, rate_hz) for one in impacts]
    ringing = floor * np.ones_like(energy)  # what sounds at all, and what of it the edits leave
    wanted = ringing.copy()
    gains = []
    for impact, onset in zip(impacts, onsets, strict=True):
        decibels = _gain_db(impact, edited.get(impact.id))
        following = min((other for other in onsets if other > onset), default=len(energy))
        peak, decay = _decay(energy, onset, following, rate_hz, floor)
        heard = peak > PRESENT * floor
        gains.append(ImpactGain(impact.id, onset / rate_hz, decibels, heard))
        if heard:
            start = max(0, onset - round(LEAD_S * rate_hz))
            share = peak * np.exp(-decay * np.maximum(0, np.arange(len(energy) - start) - (onset - start)))
            ringing[start:] += share
            wanted[start:] += share * 10 ** (decibels / 10)
    amplitude = np.sqrt(wanted / ringing)
    centres = (np.arange(len(energy)) + 0.5) * hop
    curve = np.interp(np.arange(audio.waveform.shape[1]), centres, amplitude)
    return RescaledSound(Audio((audio.waveform * curve).astype(np.float32), audio.sample_rate), tuple(gains), missing)


def _gain_db(before: Impact, after: Impact | None) -> float:
    if after is None or after.energy_loss_j <= 0:
        return SILENCED_DB
    if before.energy_loss_j <= 0:
        return 0.0
    return float(np.clip(10 * np.log10(after.energy_loss_j / before.energy_loss_j), SILENCED_DB, MOST_DB))


def _envelope(waveform: np.ndarray, hop: int) -> np.ndarray:
    """Mean energy of every hop, float64, all channels together."""
    power = (waveform.astype(np.float64) ** 2).mean(axis=0)
    return np.pad(power, (0, -len(power) % hop)).reshape(-1, hop).mean(axis=1)


def _onset(energy: np.ndarray, time_s: float, rate_hz: float) -> int:
    """The hop near a time where energy rises most; the time itself where nothing rises."""
    centre = min(len(energy) - 1, max(0, round(time_s * rate_hz)))
    reach = max(1, round(SEARCH_S * rate_hz))
    first, last = max(0, centre - reach), min(len(energy), centre + reach + 1)
    smooth = np.convolve(np.pad(energy, (2, 2), mode="edge"), np.ones(5) / 5, mode="valid")
    before = np.concatenate([np.full(3, smooth[0]), smooth[:-3]])
    rise = (smooth - before)[first:last]
    nearness = 1.0 - 0.5 * np.abs(np.arange(first, last) - centre) / reach
    best = int(np.argmax(rise * nearness))
    return first + best if rise[best] > 0 else centre


def _decay(energy: np.ndarray, onset: int, following: int, rate_hz: float, floor: float) -> tuple[float, float]:
    """An impact's peak energy above what rang before it, and its decay in nepers of energy a hop."""
    window = max(2, round(PEAK_S * rate_hz))
    begin = max(0, onset - 3)
    ahead = energy[max(0, begin - window) : begin]
    background = float(np.median(ahead)) if len(ahead) else floor
    segment = energy[onset:following]
    peak_at = int(np.argmax(segment[:window])) if len(segment) else 0
    peak = max(0.0, float(segment[peak_at]) - background) if len(segment) else 0.0
    tail = segment[peak_at:] - floor
    audible = tail > max(floor, 1e-4 * peak)
    length = int(np.argmin(audible)) if not audible.all() else len(audible)
    shortest, longest = (6 * np.log(10) / (t60 * rate_hz) for t60 in (LONGEST_T60_S, SHORTEST_T60_S))
    if length < 4:
        return peak, longest
    slope = np.polyfit(np.arange(length), np.log(tail[:length]), 1)[0]
    return peak, float(np.clip(-slope, shortest, longest))
