"""Blows of held and swung things: their own pixels stop or turn back at once.

The centre of an arm with a tool says little: the outline changes, parts leave the picture. The flow of its fastest
pixels does not suffer from that. A blow shows as flow that keeps its speed up to one frame interval and has lost most
of it, along its own direction, right after; a swing through the air is slowed over several intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.planar.breaks import LEAST_SWING

_MOST_KEPT = 0.15
_MOST_REBOUND = 0.85
_MOST_AROUND = 0.5
_UPWARD = -0.2
"""Tools are swung down, across or forward; lifting one ends abruptly too, without a contact."""
_RUN_UP = 0.3
_FINE_S = 0.05
"""Frames closer than this show a swing in more than one interval; between wider ones a tool is swung, or lifted again,
within one, and neither its run-up nor its rest can be asked for."""
_RESUMED = 0.4
_REPEATED = 0.03
"""No flow at all, and then motion that goes on, is a repeated picture, not a contact."""
_WOUND_UP = 1.6
"""What turns back faster than it came was winding up for a throw."""
_RELATIVE = 0.3
_APART_S = 0.1


@dataclass(frozen=True)
class Blow:
    """Flow that ended at once."""

    time_s: float
    sigma_s: float
    interval: int
    """Index of the frame interval that holds the contact."""
    before: np.ndarray
    """float64 [2] pixels per second."""
    after: np.ndarray
    confidence: float

    @property
    def lost(self) -> float:
        """Speed lost along the way, pixels per second."""
        speed = float(np.hypot(*self.before))
        return speed - float(self.after @ self.before) / speed


def find_blows(times_s: np.ndarray, flow_px_s: np.ndarray, width: int) -> list[Blow]:
    """Blows in the flow [L-1, 2] (pixels per second, camera motion removed, NaN where unknown) of one object."""
    speed = np.hypot(*flow_px_s.T)
    frame_s = float(np.median(np.diff(times_s)))
    every = (_blow_in(times_s, flow_px_s, speed, i, width) for i in range(1, len(flow_px_s) - 1))
    found = [blow for blow in every if blow is not None]
    if not found:
        return []
    strong = float(np.quantile([blow.lost for blow in found], 0.9))
    kept: list[Blow] = []
    for blow in sorted(found, key=lambda b: -b.lost):
        apart = max(_APART_S, 1.5 * frame_s)
        if blow.lost >= _RELATIVE * strong and all(abs(blow.time_s - k.time_s) > apart for k in kept):
            kept.append(blow)
    return sorted(kept, key=lambda b: b.time_s)


def _blow_in(times_s: np.ndarray, flow: np.ndarray, speed: np.ndarray, i: int, width: int) -> Blow | None:
    """The blow inside interval ``i``, if the intervals around it show one."""
    s = speed[i - 1]
    if not (s > LEAST_SWING * width and np.isfinite(speed[i]) and np.isfinite(speed[i + 1])):
        return None
    along = flow[i - 1] / s
    if along[1] < _UPWARD:
        return None
    here, then = float(flow[i] @ along), float(flow[i + 1] @ along)
    if then > _MOST_KEPT * s or -then > _MOST_REBOUND * s or here > 1.3 * s:
        return None
    lost = s - then
    frame_s = float(times_s[i + 1] - times_s[i])
    fine = frame_s < _FINE_S
    past = [float(v @ along) for v in flow[max(0, i - 3) : i - 1] if np.isfinite(v).all()]
    later = [float(v @ along) for v in flow[i + 2 : i + (4 if fine else 3)] if np.isfinite(v).all()]
    if fine and past and max(past) < _RUN_UP * s:
        return None
    # A steady slowing down loses as much in the two intervals around these two as in these.
    around = (max(0.0, past[-1] - s) if past else 0.0) + (max(0.0, then - later[0]) if later else 0.0)
    if fine and around > _MOST_AROUND * lost:
        return None
    if later and -min(later) > _WOUND_UP * s:
        return None
    if later and speed[i + 1] < _REPEATED * s and later[0] > _RESUMED * s:
        return None
    share = float(np.clip((here - then) / lost, 0.0, 1.0))
    sharp = float(np.clip((lost / s - 0.5) / 0.5, 0.0, 1.0))
    strong = float(np.clip(s / (2.0 * LEAST_SWING * width), 0.0, 1.0))
    return Blow(
        time_s=float(times_s[i] + share * frame_s),
        sigma_s=0.4 * frame_s,
        interval=i,
        before=flow[i - 1].astype(float),
        after=flow[i + 1].astype(float),
        confidence=0.4 + 0.3 * sharp + 0.3 * strong,
    )
