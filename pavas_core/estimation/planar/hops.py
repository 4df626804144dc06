"""Speeds of a body that flies from one contact to the next, from where and when both were.

The last bounces of a ball are so short that a fit on one side has two or three samples and may take a hop for rolling.
But between two contacts nothing drives a free body: gravity, the two places and the time between them tell how fast it
left the one and met the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pavas_core.estimation.planar.scale import gravity_at
from pavas_core.estimation.planar.sides import BLURRED
from pavas_core.physics.contacts import LEAST_CONFIDENCE
from pavas_core.physics.types import GRAVITY_MPS2, Break, Track, TrackSet

_LONGEST_S = 0.6
"""Longer flights have samples enough on either side, and are bent by more than gravity known to a few per cent."""
_PLACE_PX = 1.0
_CONTACT_PX = 2.0
"""Standard errors of a centre, and of where a contact was."""
_LEAST_RISE_PX = 1.5
"""What rises less may as well roll."""
_SEEN_RISE_PX, _SEEN_FRAMES = 4.0, 2.5
"""A hop that is lower or shorter is not seen: it looks like rest."""
_FITS = 25.0
"""Mean squared residual, in standard errors, up to which the places between two contacts lie on a hop: blur, and a
contact told some milliseconds early, bend it by several pixels. A straight line must fit worse."""


def hopped(
    breaks: Sequence[Break],
    points: np.ndarray,
    track: Track,
    tracks: TrackSet,
    metres_per_px: float,
    time_scale: float,
) -> list[Break]:
    """The breaks (in order of time) of a free body with the speeds of its short hops.

    ``points`` [L, 2] are its centres in pixels of the first frame.
    """
    out = list(breaks)
    contacts = [i for i, one in enumerate(out) if one.confidence >= LEAST_CONFIDENCE]
    gravity = gravity_at(metres_per_px, time_scale)
    ends: list[tuple[int, int]] = []
    for left, met in pairwise(contacts):
        found = _hop(out[left], out[met], points, track, tracks, gravity)
        if found is None:
            continue
        start, end = (velocity * (metres_per_px / time_scale) for velocity in found)
        out[left] = replace(out[left], post_mps=(float(start[0]), float(start[1]), 0.0))
        out[met] = replace(out[met], pre_mps=(float(end[0]), float(end[1]), 0.0))
        ends.append((left, met))
    usual = _restitution(out, ends)
    if usual is not None:
        last = ends[-1][1]
        out[last] = _not_at_rest(out[last], usual, metres_per_px, tracks.frame_s * time_scale)
    return out


def _not_at_rest(one: Break, restitution: float, metres_per_px: float, frame_s: float) -> Break:
    """A contact after which a body seems to rest, with the speed of a hop that is too low or too short to be seen."""
    down, up = _vertical(one)
    hidden = restitution * down
    rise_px = hidden**2 / (2 * GRAVITY_MPS2) / metres_per_px
    if up >= hidden or not (rise_px < _SEEN_RISE_PX or 2 * hidden / GRAVITY_MPS2 < _SEEN_FRAMES * frame_s):
        return one
    return replace(one, post_mps=(one.post_mps[0], -hidden, 0.0))


def _restitution(breaks: Sequence[Break], hops: Sequence[tuple[int, int]]) -> float | None:
    """What a body usually keeps of its speed down, by the contacts at which its hops began; None without any."""
    kept = [up / down for down, up in (_vertical(breaks[left]) for left, _ in hops) if down > 0 and 0 < up < down]
    return float(np.median(kept)) if kept else None


def _vertical(one: Break) -> tuple[float, float]:
    """Speed down before a contact and up after it."""
    return one.pre_mps[1], -one.post_mps[1]


def _hop(
    left: Break, met: Break, points: np.ndarray, track: Track, tracks: TrackSet, gravity: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Velocities [2] after one contact and before the next, pixels per second; None where the body did not just fly."""
    lasts = met.time_s - left.time_s
    if lasts > _LONGEST_S or gravity * lasts**2 / 8 < _LEAST_RISE_PX:
        return None
    times, blurred = tracks.times_s, BLURRED * tracks.frame_s
    inside = track.visible & np.isfinite(points).all(axis=1)
    inside &= (times > left.time_s + blurred) & (times < met.time_s - blurred)
    if not inside.any():
        return None
    start, end = (_place(one, tracks) for one in (left, met))
    u = np.concatenate([times[inside] - left.time_s, [0.0, lasts]])
    fallen = np.outer(0.5 * u**2, (0.0, gravity))
    pace = float(np.hypot(*(end - start))) / lasts + gravity * lasts / 2
    ends = np.hypot(_CONTACT_PX, pace * np.array([left.sigma_s, met.sigma_s]))
    weight = 1.0 / np.concatenate([np.full(len(u) - 2, _PLACE_PX), ends])[:, None]
    design, seen = weight * np.stack([np.ones_like(u), u], axis=-1), np.array([*points[inside], start, end])
    path, off = _line(design, weight * (seen - fallen))
    _, straight = _line(design, weight * seen)
    if off > min(_FITS, straight):
        return None
    return path[1], path[1] + np.array([0.0, gravity * lasts])


def _line(design: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, float]:
    """Place and velocity [2, 2] by least squares, and the mean squared residual."""
    path = np.linalg.lstsq(design, wanted, rcond=None)[0]
    return path, float(np.square(design @ path - wanted).mean())


def _place(one: Break, tracks: TrackSet) -> np.ndarray:
    """Where a break was, in pixels of the first frame."""
    place = np.array(one.position_px)
    if tracks.camera is None:
        return place
    pose = tracks.camera[int(np.argmin(np.abs(tracks.times_s - one.time_s)))]
    return np.asarray(pose[:, :2] @ place + pose[:, 2])
