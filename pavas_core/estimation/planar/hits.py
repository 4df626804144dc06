"""Breaks of velocity from two sources: what the fits have found, and where the scorer says that a track was hit.

The scorer knows contacts that no fit can show: of outlines that melt into what they meet, in a few blurred frames. Fits
know the speeds. Arms and bodies that reach out of the picture move as no simulated scene does: there the fits decide,
and the scorer adds what flow too has seen stop at once. What only the scorer hears of things that move in their place,
as people and animals do, is believed if flow has seen something stop. And a free flight that ends at once counts for
something, whatever the scorer hears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pavas_core.estimation.planar.arrests import confirmed, denied
from pavas_core.estimation.planar.scorer import Peak, find_peaks
from pavas_core.estimation.planar.signals import Mark
from pavas_core.physics.types import Break, Track, TrackSet, Velocity

_SAME_S = 0.045
_SAME_FRAMES = 1.2
"""A break this near to a peak is what the peak heard."""
_UNHEARD = 0.02
"""Confidence in a break of the fits that the scorer does not hear."""
_REACHES_OUT = 0.85
"""Share of frames in which the border cuts an outline or its joints change it, from which on it is an arm or a body."""
_CLEAR_FLIGHT = 0.8
"""Confidence of a break in free flight that the scorer cannot silence."""
_FITS_SHARE = 0.5
"""Of the confidence in such a break; the rest is the scorer's."""
_ALONE = 0.6
"""How far the scorer is believed where nothing flies and no fit shows a break."""
_WORTH_A_BREAK = 0.3
"""What only the scorer hears and is less sure of than this is no break: nothing confirms it."""
_IN_PLACE = 0.5
"""Of a box's diagonal: what flies or rolls goes further than its own size, and need not stop where it bounces."""
_APART_S = 0.1
_APART_FRAMES = 1.5
_AGREED = 0.6
"""Confidence in what the scorer hears faintly and flow sees stop."""
_SIDE_S = 0.13
_SIDE_FRAMES = 3.5
_MOST_SAMPLES = 4
_BLURRED = 0.1
"""Of a frame interval: samples closer to a contact show both sides of it."""
_SIGMA = 0.2
"""Of the speed told by a few samples on one side, relative."""
_TIME_SIGMA_S = 0.015


def judged(
    tracks: TrackSet,
    points: Sequence[np.ndarray],
    reliable: Sequence[bool],
    velocities: Sequence[Velocity],
    time_scale: float,
) -> list[Velocity]:
    """The velocities with each break as sure as the scorer is, and with the breaks that only it has found.

    ``points`` [L, 2] are each track's centres in pixels of the first frame; ``reliable`` says whose centre moves as the
    object does.
    """
    if not tracks.tracks:
        return []
    peaks = find_peaks(tracks, points, [marks_of(v, tracks.width, time_scale) for v in velocities])
    out = []
    for track, velocity, own, path, trusted in zip(tracks.tracks, velocities, peaks, points, reliable, strict=True):
        if not trusted and _reaches_out(track):
            breaks = [*velocity.breaks, *_agreed(velocity, own, path, track, tracks, time_scale)]
        else:
            breaks = _heard(velocity, own, path, track, tracks, time_scale, trusted)
        out.append(replace(velocity, breaks=tuple(sorted(breaks, key=lambda b: b.time_s))))
    return out


def _reaches_out(track: Track) -> bool:
    return not track.visible.any() or float(track.truncated[track.visible].mean()) >= _REACHES_OUT


def _stays(track: Track, points: np.ndarray) -> bool:
    """Whether the centre ``points`` [L, 2] moves less than the thing is large: its parts move, not the thing itself."""
    seen = track.visible & np.isfinite(points).all(axis=1)
    if not seen.any():
        return False
    low, high = np.quantile(points[seen], (0.05, 0.95), axis=0)
    sides = track.boxes[seen, 2:] - track.boxes[seen, :2]
    return bool(np.hypot(*(high - low)) < _IN_PLACE * np.median(np.hypot(sides[:, 0], sides[:, 1])))


def marks_of(velocity: Velocity, width: int, time_scale: float) -> list[Mark]:
    """The breaks of a velocity in picture widths per second of the clip."""
    assert velocity.metres_per_px is not None
    widths = velocity.metres_per_px * width / time_scale
    return [
        Mark(b.time_s, b.confidence, np.array(b.pre_mps[:2]) / widths, np.array(b.post_mps[:2]) / widths)
        for b in velocity.breaks
    ]


def _near_s(tracks: TrackSet) -> float:
    return max(_SAME_S, _SAME_FRAMES * float(np.median(np.diff(tracks.times_s))))


def _heard(
    velocity: Velocity,
    peaks: Sequence[Peak],
    points: np.ndarray,
    track: Track,
    tracks: TrackSet,
    time_scale: float,
    reliable: bool,
) -> list[Break]:
    """A break a peak: the fits' where they have one, or else one made of what is measured on either side."""
    near_s = _near_s(tracks)
    left = list(velocity.breaks)
    out = []
    for peak in sorted(peaks, key=lambda p: -p.probability):
        near = [b for b in left if abs(b.time_s - peak.time_s) < near_s]
        if near:
            nearest = min(near, key=lambda b: abs(b.time_s - peak.time_s))
            out.append(_judged(nearest, peak.probability, velocity.free and reliable))
            left = [b for b in left if b not in near]
            continue
        made = _made(peak, velocity, points, track, tracks, time_scale)
        if made is not None and reliable and not velocity.free:
            made = replace(made, confidence=_ALONE * made.confidence)
        unseen = _stays(track, points) and denied(track, tracks.times_s, peak.time_s)
        if made is not None and made.confidence >= _WORTH_A_BREAK and not unseen:
            out.append(made)
    return out + [_judged(b, _UNHEARD, velocity.free and reliable) for b in left]


def _agreed(
    velocity: Velocity, peaks: Sequence[Peak], points: np.ndarray, track: Track, tracks: TrackSet, time_scale: float
) -> list[Break]:
    """Breaks that the fits have missed, of which the scorer and the flow know each by itself."""
    apart_s = max(_APART_S, _APART_FRAMES * float(np.median(np.diff(tracks.times_s))))
    out: list[Break] = []
    for peak in sorted(peaks, key=lambda p: -p.probability):
        if any(abs(b.time_s - peak.time_s) <= apart_s for b in (*velocity.breaks, *out)):
            continue
        made = _made(peak, velocity, points, track, tracks, time_scale)
        if made is not None and confirmed(track, tracks.times_s, peak.time_s):
            out.append(replace(made, confidence=max(_AGREED, peak.probability)))
    return out


def _judged(one: Break, probability: float, flies: bool) -> Break:
    """The fits' break as sure as the scorer is; the end of a clear flight at least as sure as both are on average."""
    least = 0.0
    if flies and one.confidence >= _CLEAR_FLIGHT:
        least = _FITS_SHARE * one.confidence + (1.0 - _FITS_SHARE) * probability
    return replace(one, confidence=max(probability, least))


def _made(
    peak: Peak, velocity: Velocity, points: np.ndarray, track: Track, tracks: TrackSet, time_scale: float
) -> Break | None:
    """The break at a peak that the fits have missed; None where one side shows nothing."""
    assert velocity.metres_per_px is not None
    before, after = (_side(peak.time_s, sign, points, track, tracks) for sign in (-1, 1))
    if before is None or after is None:
        return None
    factor = velocity.metres_per_px / time_scale
    # A few samples tell the direction; how fast, the scorer has learned.
    before, after = (
        side * (speed * tracks.width / max(float(np.hypot(*side)), 1e-9))
        for side, speed in ((before, peak.before), (after, peak.after))
    )
    seen = np.flatnonzero(track.visible)
    x, y = track.centroids[seen[np.argmin(np.abs(tracks.times_s[seen] - peak.time_s))]]
    return Break(
        time_s=float(np.clip(peak.time_s, 0.0, tracks.duration_s)),
        sigma_s=_TIME_SIGMA_S,
        position_px=(float(np.clip(x, 0, tracks.width)), float(np.clip(y, 0, tracks.height))),
        pre_mps=(float(before[0] * factor), float(before[1] * factor), 0.0),
        post_mps=(float(after[0] * factor), float(after[1] * factor), 0.0),
        sigma_mps=_SIGMA * float(max(np.hypot(*before), np.hypot(*after))) * factor,
        confidence=peak.probability,
    )


def _side(time_s: float, sign: int, points: np.ndarray, track: Track, tracks: TrackSet) -> np.ndarray | None:
    """Velocity [2], pixels per second, of a line through the samples next to a contact on one side of it."""
    frame_s = float(np.median(np.diff(tracks.times_s)))
    after_s = (tracks.times_s - time_s) * sign
    near = track.visible & (after_s > _BLURRED * frame_s) & (after_s < max(_SIDE_S, _SIDE_FRAMES * frame_s))
    index = np.flatnonzero(near & np.isfinite(points).all(axis=1))[::sign][:_MOST_SAMPLES]
    if len(index) < 2:
        return None
    u = tracks.times_s[index] - tracks.times_s[index].mean()
    return np.asarray((u @ points[index]) / (u @ u))
