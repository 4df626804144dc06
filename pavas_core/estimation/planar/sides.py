"""Speeds just before and after a contact of what is held, swung or half hidden, seen in several ways.

Optical flow loses what moves far between two frames, a box takes in what it meets, the end of a tool hides in its own
blur, and the scorer knows only what is usual. Each errs in another way, so what most of them agree on is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pavas_core.estimation.planar.scorer import Peak
from pavas_core.estimation.planar.tips import is_long, strike_near
from pavas_core.physics.types import Break, Track, TrackSet

_ROUGH = 0.15
"""Relative standard error of a break's speed from which on the flow is asked instead."""
_LINE_S = 0.2
_LINE_FRAMES = 3.2
BLURRED = 0.1
"""Of a frame interval: places closer to a contact show both sides of it."""
_BEND = 10.0
"""Acceleration of a swing, picture widths per second squared."""
_FLOW_BLURRED = 0.4
"""Of a frame interval: the flow of intervals whose middle is closer to a contact is of both sides."""
_FLOW_FRAMES = 3.6


def told_anew(
    one: Break, peak: Peak | None, points: np.ndarray, track: Track, tracks: TrackSet, metres_per_px: float
) -> Break:
    """The break with the median of the speeds seen; its directions stay.

    ``points`` [L, 2] are the track's centres in pixels of the first frame, ``peak`` is what the scorer hears of the
    contact. Of a long tool that strikes with its end the end is asked, the scorer, and afterwards the flow; where its
    end is lost, the break itself and the scorer; of anything compact the middle of its box, the scorer, and the break
    itself. Where that is rough, box and flow may be those of what it meets: the scorer alone is asked, or where it
    hears nothing both of them. What is not rough and not heard stays as it is.
    """
    before, after = np.array(one.pre_mps[:2]) / metres_per_px, np.array(one.post_mps[:2]) / metres_per_px
    heard = [[], []] if peak is None else [[peak.before * tracks.width], [peak.after * tracks.width]]
    flows = [_flow(track, tracks, one.time_s, sign) for sign in (-1, 1)]
    rough = one.sigma_mps > _ROUGH * max(_speed(before), _speed(after)) * metres_per_px
    compact = (rough or peak is not None) and not is_long(track, tracks, one.time_s)
    end = strike_near(track, tracks, one.time_s)
    if end is not None and end.came_faster(before):
        one = replace(one, time_s=end.time_s if end.within else one.time_s)
        before, after = end.before, end.after
        seen = [[_speed(before), *heard[0]], [_speed(after), *_speeds(flows[1]), *heard[1]]]
    elif compact and rough and peak is not None:
        seen = heard
    elif compact:
        middles = [_line(_middles(points, track), one.time_s, sign, tracks) for sign in (-1, 1)]
        measured = flows if rough else [before, after]
        seen = [[*_speeds(measured[side], middles[side]), *heard[side]] for side in (0, 1)]
    elif peak is not None:
        seen = [[_speed(before), *heard[0]], [_speed(after), *heard[1]]]
    else:
        return one
    return replace(
        one, pre_mps=_vector(before, seen[0], metres_per_px), post_mps=_vector(after, seen[1], metres_per_px)
    )


def _speed(velocity: np.ndarray) -> float:
    return float(np.hypot(*velocity))


def _speeds(*velocities: np.ndarray | None) -> list[float]:
    return [_speed(velocity) for velocity in velocities if velocity is not None]


def _vector(along: np.ndarray, speeds: Sequence[float], metres_per_px: float) -> tuple[float, float, float]:
    """Metres per second ``along`` a direction at the median of ``speeds``, or as ``along`` is where there is none."""
    factor = metres_per_px * (float(np.median(speeds)) / max(_speed(along), 1e-9) if speeds else 1.0)
    return float(along[0] * factor), float(along[1] * factor), 0.0


def _middles(points: np.ndarray, track: Track) -> np.ndarray:
    """Middles [L, 2] of the boxes in pixels of the first frame: a torn outline still has its edges."""
    return np.where(
        track.visible[:, None], (track.boxes[:, :2] + track.boxes[:, 2:]) / 2 + points - track.centroids, np.nan
    )


def _line(places: np.ndarray, time_s: float, sign: int, tracks: TrackSet) -> np.ndarray | None:
    """Velocity [2] at a contact from the places [L, 2] on one side of it, bent no more than a swing is."""
    times = tracks.times_s
    frame_s = tracks.frame_s
    away = (times - time_s) * sign
    near = (away > BLURRED * frame_s) & (away < max(_LINE_S, _LINE_FRAMES * frame_s)) & np.isfinite(places).all(axis=1)
    if near.sum() < 2:
        return None
    u = times[near] - time_s
    design = np.stack([np.ones_like(u), u, 0.5 * u * u], axis=-1)
    normal = design.T @ design
    normal[2, 2] += 1.0 / (_BEND * tracks.width) ** 2
    return np.asarray(np.linalg.solve(normal, design.T @ places[near])[1])


def _flow(track: Track, tracks: TrackSet, time_s: float, sign: int) -> np.ndarray | None:
    """Flow [2] of the fast pixels on one side of a contact, carried on to it from the two nearest whole intervals."""
    if track.flow_px_s is None:
        return None
    frame_s = tracks.frame_s
    away = ((tracks.times_s[1:] + tracks.times_s[:-1]) / 2 - time_s) * sign
    flow = track.flow_px_s.astype(float)
    known = (away > _FLOW_BLURRED * frame_s) & (away < _FLOW_FRAMES * frame_s) & np.isfinite(flow).all(axis=1)
    near = np.flatnonzero(known)[np.argsort(away[known])]
    if not len(near):
        return None
    here = flow[near[0]]
    if len(near) < 2:
        return np.asarray(here)
    gain = (here - flow[near[1]]) / (away[near[1]] - away[near[0]])
    return np.asarray(here + gain * away[near[0]])
