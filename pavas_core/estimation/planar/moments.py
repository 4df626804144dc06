"""Moments at which something held, worn or alive may strike, and what is measured of each.

What flies freely shows a contact by its path. A tool, a hand or an animal turns and stops all the time, mostly without
one, and no single measure tells which; so everything known of such a moment is put together here, and ``likelihood``
weighs it: a logistic regression (``moments.json``) fitted on real and simulated clips, as
docs/weight-free-estimators.md says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pavas_core.estimation import regression
from pavas_core.estimation.planar.scorer import Peak
from pavas_core.estimation.planar.signals import Mark
from pavas_core.physics.types import Track, TrackSet

WEIGHTS = Path(__file__).with_name("moments.json")
MEASURES = (
    "change", "downward", "across", "rest", "heard", "stopped", "first", "confirmed", "fast", "side", "rate", "camera",
)  # fmt: skip
"""How much the velocity changes beside the track's strong changes, and its downward part that is lost; how far the way
leads across; speed a little later; the scorer's logit; share of the fast pixels that stop, and what they lose beside
the losses around; that share times the fits' confidence. Of the whole track the logarithms of its highest speed and of
its size, moments a second, and the camera's speed."""
_SIDE_S = 0.075
_SIDE_FRAMES = 1.05
"""Velocities are averaged over this long on either side of a moment."""
_LEAST_CHANGE = 0.25
"""Of a track's strong changes of velocity: lesser ones are no moments."""
_LEAST_WIDTHS_S = 0.03
_APART_S = 0.1
_APART_FRAMES = 1.2
_SAME_S = 0.05
_SAME_FRAMES = 0.8
_LEAST_HEARD = 0.15
_LEAST_FIT = 0.25
_SWING_S = 0.1
_BEFORE_S = 0.2
_REST_S = 0.1, 0.35
_STOP_S = 0.06
_STOP_FRAMES = 1.2
_AROUND_S = 0.25
_STRONG = 0.95
"""Quantile of a track's changes of velocity that the others are measured by."""
_LEAST_KNOWN = 5
_STOPPED = 0.5
_FIRST = 0.5


@dataclass(frozen=True)
class Moments:
    """N moments of one track in order of time."""

    times_s: np.ndarray
    """float64 [N]."""
    before: np.ndarray
    """float64 [N, 2] velocity of the track's fast pixels on either side, picture widths per second."""
    after: np.ndarray
    measures: np.ndarray
    """float64 [N, len(MEASURES)]."""

    def near(self, times_s: np.ndarray, apart_s: float) -> Moments | None:
        """Those that are less than so far from one of some times; None where there is none."""
        apart = np.abs(self.times_s[:, None] - times_s).min(axis=1, initial=np.inf)
        these = apart < apart_s
        if not these.any():
            return None
        return Moments(self.times_s[these], self.before[these], self.after[these], self.measures[these])


@dataclass(frozen=True)
class _Motion:
    """Known velocities of a track's fast pixels [M, 2], picture widths per second, at M interval middles."""

    times_s: np.ndarray
    velocity: np.ndarray
    frame_s: float

    @property
    def speed(self) -> np.ndarray:
        return np.asarray(np.hypot(*self.velocity.T))

    def mean(self, first_s: float, last_s: float) -> np.ndarray | None:
        """Mean velocity [2] between two times; None where nothing is known."""
        inside = (self.times_s >= first_s - 1e-9) & (self.times_s <= last_s + 1e-9)
        return np.asarray(self.velocity[inside].mean(axis=0)) if inside.any() else None

    def around(self, time_s: float, span_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean velocities on either side of a time, nought where nothing is known."""
        gap, reach = 0.25 * self.frame_s, span_s + 0.5 * self.frame_s
        before, after = self.mean(time_s - reach, time_s - gap), self.mean(time_s + gap, time_s + reach)
        return (np.zeros(2) if before is None else before), (np.zeros(2) if after is None else after)


def find_moments(track: Track, tracks: TrackSet, peaks: Sequence[Peak], marks: Sequence[Mark]) -> Moments | None:
    """Moments at which a track's flow changes at once, or which the scorer (``peaks``) or the fits (``marks``) name.

    None where there is none, or where too little is known of the flow or of what it sees stop.
    """
    motion = _motion(track, tracks)
    if motion is None or track.stops is None:
        return None
    fast = max(float(np.quantile(motion.speed, 0.9)), 0.05)
    change = _changes(motion, tracks.times_s)
    strong = max(float(np.quantile(change[change > 0], _STRONG)) if (change > 0).any() else 0.0, 1e-3)
    times = _times(change, strong, motion.frame_s, tracks.times_s, peaks, marks)
    if not len(times):
        return None
    near_s = max(_SAME_S, _SAME_FRAMES * motion.frame_s) + 0.02
    seen_s = tracks.times_s[track.visible]
    whole = [
        np.log(fast),
        np.log(float(np.sqrt(np.nanmedian(track.area_px))) / tracks.width + 0.01),
        len(times) / max(0.3, float(seen_s[-1] - seen_s[0])),
        _camera_speed(tracks),
    ]
    rows = []
    for time_s in times:
        heard = _heard([p.probability for p in peaks if abs(p.time_s - time_s) < near_s])
        fit = max((m.confidence for m in marks if abs(m.time_s - time_s) < near_s), default=0.0)
        stopped, first = _stop(track.stops, tracks.times_s, time_s, motion.frame_s)
        swing = _swing(motion, time_s, fast, strong)
        rows.append([*swing, heard, stopped, first, fit * stopped, *whole])
    sides = [motion.around(time_s, _SIDE_S) for time_s in times]
    return Moments(times, np.array([b for b, _ in sides]), np.array([a for _, a in sides]), np.array(rows))


def likelihood(measures: np.ndarray) -> np.ndarray:
    """Probability, [N], that moments with these measures [N, M] are blows."""
    return regression.likelihood(measures, MEASURES, WEIGHTS)


def seen_to_stop(measures: np.ndarray) -> np.ndarray:
    """bool [N]: at least half of what was fast stops, and the stop is no mere echo of a larger one around."""
    of = dict(zip(MEASURES, measures.T, strict=True))
    return np.asarray((of["stopped"] >= _STOPPED) & (of["first"] >= _FIRST))


def _motion(track: Track, tracks: TrackSet) -> _Motion | None:
    if track.flow_px_s is None:
        return None
    times = tracks.times_s
    velocity = track.flow_px_s.astype(float) / tracks.width
    known = np.isfinite(velocity).all(axis=1) & track.visible[1:] & track.visible[:-1]
    if known.sum() < _LEAST_KNOWN:
        return None
    middles = (times[1:] + times[:-1]) / 2
    return _Motion(middles[known], velocity[known], float(np.median(np.diff(times))))


def _changes(motion: _Motion, times_s: np.ndarray) -> np.ndarray:
    """How much the velocity changes at every frame, [L]; nought where either side is unknown."""
    reach = max(_SIDE_S, _SIDE_FRAMES * motion.frame_s)
    out = np.zeros(len(times_s))
    for frame in range(1, len(times_s) - 1):
        time_s = float(times_s[frame])
        before, after = motion.mean(time_s - reach, time_s), motion.mean(time_s, time_s + reach)
        if before is not None and after is not None:
            out[frame] = float(np.hypot(*(before - after)))
    return out


def _times(
    change: np.ndarray,
    strong: float,
    frame_s: float,
    times_s: np.ndarray,
    peaks: Sequence[Peak],
    marks: Sequence[Mark],
) -> np.ndarray:
    apart_s, near_s = max(_APART_S, _APART_FRAMES * frame_s), max(_SAME_S, _SAME_FRAMES * frame_s)
    found: list[float] = []
    left = change.copy()
    while left.max() >= max(_LEAST_CHANGE * strong, _LEAST_WIDTHS_S):
        time_s = float(times_s[int(np.argmax(left))])
        found.append(time_s)
        left[np.abs(times_s - time_s) <= apart_s] = 0.0
    named = [p.time_s for p in peaks if p.probability > _LEAST_HEARD]
    named += [m.time_s for m in marks if m.confidence >= _LEAST_FIT]
    for time_s in named:
        if all(abs(time_s - other) > near_s for other in found):
            found.append(time_s)
    return np.array(sorted(found))


def _swing(motion: _Motion, time_s: float, fast: float, strong: float) -> list[float]:
    """From ``change`` to ``rest``: how the motion comes in and how it goes on."""
    times, speed = motion.times_s, motion.speed
    coming = np.flatnonzero((times > time_s - _BEFORE_S - motion.frame_s) & (times <= time_s + 0.1 * motion.frame_s))
    across = 0.0
    if len(coming):
        at = int(coming[np.argmax(speed[coming])])
        across = abs(float(motion.velocity[at, 0])) / max(float(speed[at]), 1e-6)
    before, after = motion.around(time_s, _SWING_S)
    lost = before - after
    later = (times > time_s + _REST_S[0]) & (times < time_s + _REST_S[1])
    rest = float(speed[later].mean()) / fast if later.any() else 0.0
    return [float(np.hypot(*lost)) / strong, float(lost[1]) / strong, across, rest]


def _heard(probabilities: Sequence[float]) -> float:
    p = float(np.clip(max(probabilities, default=0.03), 0.01, 0.97))
    return float(np.log(p / (1.0 - p)))


def _stop(stops: np.ndarray, times_s: np.ndarray, time_s: float, frame_s: float) -> tuple[float, float]:
    """``stopped`` and ``first`` of the largest loss near a moment; noughts where nothing was fast."""
    lost = stops[:, 1]
    known = np.isfinite(lost)
    near = known & (np.abs(times_s - time_s) <= max(_STOP_S, _STOP_FRAMES * frame_s))
    if not near.any():
        return 0.0, 0.0
    at = int(np.argmax(np.where(near, lost, -np.inf)))
    around = known & (np.abs(times_s - times_s[at]) < _AROUND_S)
    return float(stops[at, 0]), float(lost[at] / lost[around].max())


def _camera_speed(tracks: TrackSet) -> float:
    """Median speed of the camera, picture widths per second."""
    if tracks.camera is None:
        return 0.0
    steps = np.hypot(*np.diff(tracks.camera[:, :, 2], axis=0).T) / np.diff(tracks.times_s)
    return float(np.median(steps)) / tracks.width
