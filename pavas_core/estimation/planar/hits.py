"""Breaks of velocity from two sources: what the fits have found, and where the scorer says that a track was hit.

The scorer knows contacts that no fit can show: of outlines that melt into what they meet, in a few blurred frames. Fits
know the speeds. Arms and bodies that reach out of the picture move as few simulated scenes do: there the fits decide
unless the scorer is sure.
A free flight that ends at once counts for something, whatever the scorer hears. And of all that may be held, worn or
alive, every break is weighed once more with all that is measured of its moment (``moments``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pavas_core.estimation.planar.hops import hopped
from pavas_core.estimation.planar.moments import Moments, find_moments, likelihood, seen_to_stop
from pavas_core.estimation.planar.scorer import Peak, find_peaks
from pavas_core.estimation.planar.sides import BLURRED, told_anew
from pavas_core.estimation.planar.signals import Mark
from pavas_core.estimation.planar.sudden import is_sudden
from pavas_core.estimation.planar.tips import middle_share
from pavas_core.physics.contacts import LEAST_CONFIDENCE, meet
from pavas_core.physics.types import Break, Track, TrackSet, Velocity

_SAME_S = 0.045
_SAME_FRAMES = 1.2
"""A break this near to a peak is what the peak heard."""
_AGREED_S = 0.012
"""A break of the fits further from its peak than this is a contact that the fits have seen too early or too late."""
_UNHEARD = 0.02
"""Confidence in a break of the fits that the scorer does not hear."""
_REACHES_OUT = 0.85
"""Share of frames in which the border cuts an outline or its joints change it, from which on it is an arm or a body."""
_SURE = 0.8
"""Probability from which on the scorer is believed of arms and bodies too."""
_CERTAIN = 0.99
"""Probability from which on no other measure of a moment speaks against what the scorer hears."""
_QUITE_SURE, _FITS_SURE = 0.9, 0.7
"""Probability, and confidence of a break of the fits there, from which on both together are not doubted either."""
_BESIDE_S = 0.1
"""A break of the fits in one of these, this near to what the scorer is sure of, is the same contact seen too late."""
_CLEAR_FLIGHT = 0.8
"""Confidence of a break in free flight that the scorer cannot silence."""
_FITS_SHARE = 0.5
"""Of the confidence in such a break; the rest is the scorer's."""
_ALONE = 0.6
"""How far the scorer is believed where nothing flies and no fit shows a break."""
_WORTH_A_BREAK = 0.3
"""What only the scorer hears and is less sure of than this is no break: nothing confirms it."""
_LEAST_TURN = 0.2
"""Of its speed: what flies and is hit must change its velocity by this, unless the contact is certain."""
_EXACT = 0.05
"""Standard error of a break's speed, relative, up to which the path of a rigid thing alone tells it."""
_SWING = 0.3
"""The same of what is held or hangs, where its velocity changes as much around the contact."""
_HEARD = 1.5
"""How many times as far as what is the same a peak of the scorer may be from a moment of a rigid thing."""
_NEAR_S = 0.07
_NEAR_FRAMES = 0.8
_CROWDED_S = 0.2
"""A tool that has struck rings, rebounds or is lifted; nothing but a break of its own says that it strikes again, and
where the centre says nothing, as of an arm, which must be drawn back first, not even that."""
_LIKELY = 0.5
"""Likelihood of a moment below which whatever else says that it is a blow is not believed, and from which on one at
which something is seen to stop is a blow, whatever else says."""
_UNSTOPPED = 0.75
"""The same bound where the centre says nothing and nothing is seen to stop: paws and heads turn back as abruptly."""
_STOP_ODDS = 1.5
"""The odds of a moment at which something is seen to stop are raised by this, so two of five such are enough: of real
clips over half of all blows were missed, and a quarter as many made up."""
_MOMENT_SIGMA_FRAMES = 0.4
_MOMENT_SIGMA = 0.25
"""Of the flow of a track's fast pixels, relative."""
_SIDE_S = 0.13
_SIDE_FRAMES = 3.5
_MOST_SAMPLES = 4
_SIGMA = 0.2
"""Of the speed told by a few samples on one side, relative."""
_TIME_SIGMA_S = 0.015
_LEVEL = np.array([1.0, -1.0])
"""Of a velocity, what a bounce off level ground makes of its direction."""


def judged(
    tracks: TrackSet,
    points: Sequence[np.ndarray],
    reliable: Sequence[bool],
    rigid: Sequence[bool],
    velocities: Sequence[Velocity],
    time_scale: float,
    sensitivity: float = 1.0,
) -> list[Velocity]:
    """The velocities with each break as sure as the scorer is, and with the breaks that only it has found.

    ``points`` [L, 2] are each track's centres in pixels of the first frame; ``reliable`` says whose centre moves as the
    object does, ``rigid`` whose outline stays the same. ``sensitivity`` multiplies the odds of every contact.
    """
    peaks, found = _evidence(tracks, points, reliable, rigid, velocities, time_scale)
    peaks = [[replace(p, probability=_raised(p.probability, sensitivity)) for p in own] for own in peaks]
    out = []
    undoubted = _undoubted(tracks, peaks, velocities)
    for track, velocity, own, path, trusted, stiff, moments, undoubted_s in zip(
        tracks.tracks, velocities, peaks, points, reliable, rigid, found, undoubted, strict=True
    ):
        if not trusted and _reaches_out(track):
            breaks = _surely_heard(velocity, own, path, track, tracks, time_scale)
        else:
            breaks = _heard(velocity, own, path, track, tracks, time_scale, trusted)
        if moments is not None:
            if trusted and stiff:
                undoubted_s = [one.time_s for one in breaks]
            breaks = _weighed(breaks, moments, sensitivity, undoubted_s, velocity, track, tracks, time_scale, trusted)
        breaks = sorted(breaks, key=lambda b: b.time_s)
        if trusted and velocity.free:
            breaks = hopped(breaks, path, track, tracks, velocity.metres_per_px, time_scale)
            breaks = [one for one in breaks if _turns(one, _LEAST_TURN)]
        else:
            share = middle_share(track, tracks) if breaks else 1.0
            told = [
                one
                if trusted and stiff and _is_exact(one)
                else _told_anew(one, own, path, velocity, track, tracks, time_scale)
                for one in breaks
            ]
            swung = [trusted and not _turns(b, _SWING) and not is_sudden(path, track, tracks, b.time_s) for b in told]
            breaks = [one.scaled(share) for one, swings in zip(told, swung, strict=True) if not swings]
        out.append(replace(velocity, breaks=tuple(breaks)))
    return out


def moments_of(
    tracks: TrackSet,
    points: Sequence[np.ndarray],
    reliable: Sequence[bool],
    rigid: Sequence[bool],
    velocities: Sequence[Velocity],
    time_scale: float,
) -> dict[str, Moments]:
    """The moments at which ``judged`` weighs what is held or alive, by the track's id."""
    _, found = _evidence(tracks, points, reliable, rigid, velocities, time_scale)
    return {k.object_id: moments for k, moments in zip(tracks.tracks, found, strict=True) if moments is not None}


def _evidence(
    tracks: TrackSet,
    points: Sequence[np.ndarray],
    reliable: Sequence[bool],
    rigid: Sequence[bool],
    velocities: Sequence[Velocity],
    time_scale: float,
) -> tuple[list[list[Peak]], list[Moments | None]]:
    """What the scorer hears of each track, and each track's moments.

    No moments of what is known to fly, and so is neither held nor alive; of a rigid thing whose centre is known, which
    may be a stick in a hand out of sight, those of which the scorer hears something.
    """
    if not tracks.tracks:
        return [], []
    marks = [marks_of(v, tracks.width, time_scale) for v in velocities]
    peaks = find_peaks(tracks, points, marks)
    found: list[Moments | None] = []
    for track, own, mark, velocity, trusted, stiff in zip(
        tracks.tracks, peaks, marks, velocities, reliable, rigid, strict=True
    ):
        moments = None if trusted and velocity.free else find_moments(track, tracks, own, mark)
        if moments is not None and trusted and stiff:
            heard_s = np.array([p.time_s for p in own])
            moments = moments.near(heard_s, _HEARD * _near_s(tracks))
        found.append(moments)
    return peaks, found


def _undoubted(tracks: TrackSet, peaks: Sequence[Sequence[Peak]], velocities: Sequence[Velocity]) -> list[list[float]]:
    """When the scorer is all but certain of each track, or sure of it and of another that touches it then.

    Or when it is quite sure and the fits are too.
    """

    def is_undoubted(peak: Peak, track: Track, velocity: Velocity) -> bool:
        if peak.probability >= _CERTAIN:
            return True
        fits = [b.confidence for b in velocity.breaks if abs(b.time_s - peak.time_s) < _near_s(tracks)]
        if peak.probability >= _QUITE_SURE and max(fits, default=0.0) >= _FITS_SURE:
            return True
        return peak.probability >= _SURE and _is_met(track, peak.time_s, tracks, peaks)

    return [
        [p.time_s for p in mine if is_undoubted(p, track, velocity)]
        for track, mine, velocity in zip(tracks.tracks, peaks, velocities, strict=True)
    ]


def _is_met(track: Track, time_s: float, tracks: TrackSet, peaks: Sequence[Sequence[Peak]]) -> bool:
    """Whether another track that touches this one at a time is surely hit then."""
    return any(
        peak.probability >= _SURE
        and abs(peak.time_s - time_s) < _near_s(tracks)
        and other is not track
        and meet(track, other, tracks, time_s)
        for other, theirs in zip(tracks.tracks, peaks, strict=True)
        for peak in theirs
    )


def _reaches_out(track: Track) -> bool:
    return not track.visible.any() or float(track.truncated[track.visible].mean()) >= _REACHES_OUT


def marks_of(velocity: Velocity, width: int, time_scale: float) -> list[Mark]:
    """The breaks of a velocity in picture widths per second of the clip."""
    assert velocity.metres_per_px is not None
    widths = velocity.metres_per_px * width / time_scale
    return [
        Mark(b.time_s, b.confidence, np.array(b.pre_mps[:2]) / widths, np.array(b.post_mps[:2]) / widths)
        for b in velocity.breaks
    ]


def _near_s(tracks: TrackSet) -> float:
    return max(_SAME_S, _SAME_FRAMES * tracks.frame_s)


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
            out.append(_in_time(_judged(nearest, peak.probability, velocity.free and reliable), peak, tracks))
            left = [b for b in left if b not in near]
            continue
        made = _made(peak, velocity, points, track, tracks, time_scale)
        if made is not None and reliable and not velocity.free:
            made = replace(made, confidence=_ALONE * made.confidence)
        if made is not None and made.confidence >= _WORTH_A_BREAK:
            out.append(made)
    return out + [_judged(b, _UNHEARD, velocity.free and reliable) for b in left]


def _surely_heard(
    velocity: Velocity, peaks: Sequence[Peak], points: np.ndarray, track: Track, tracks: TrackSet, time_scale: float
) -> list[Break]:
    """The fits' breaks, and in place of those around a peak that the scorer is sure of the one that is there.

    Of two peaks so near to each other the surer one counts.
    """
    near_s = _near_s(tracks)
    beside_s = max(_BESIDE_S, near_s)
    out, heard = list(velocity.breaks), list[Peak]()
    for peak in sorted(peaks, key=lambda p: -p.probability):
        if peak.probability < _SURE:
            break
        if any(abs(surer.time_s - peak.time_s) < beside_s for surer in heard):
            continue
        nearest = min(out, key=lambda b: abs(b.time_s - peak.time_s), default=None)
        sure: Break | None
        if nearest is not None and abs(nearest.time_s - peak.time_s) < near_s:
            sure = _in_time(replace(nearest, confidence=max(nearest.confidence, peak.probability)), peak, tracks)
        else:
            sure = _made(peak, velocity, points, track, tracks, time_scale)
        if sure is not None:
            heard.append(peak)
            out = [b for b in out if abs(b.time_s - peak.time_s) >= beside_s] + [sure]
    return out


def _raised(probability: Any, odds: Any) -> Any:
    """Probabilities with their odds multiplied."""
    return odds * probability / (odds * probability + 1.0 - probability)


def _turns(one: Break, least: float) -> bool:
    """Whether the velocity changes at a break, by this share of it, or it is certain: what is not hit goes on."""
    change = float(np.linalg.norm(np.subtract(one.post_mps, one.pre_mps)))
    return one.confidence >= _CERTAIN or change >= least * _fastest(one)


def _is_exact(one: Break) -> bool:
    """Whether its speeds are as exact as a rigid thing's path tells them, so that no other way of seeing knows more."""
    return one.sigma_mps <= _EXACT * _fastest(one)


def _fastest(one: Break) -> float:
    """The larger of the speeds before and after."""
    return max(float(np.linalg.norm(one.pre_mps)), float(np.linalg.norm(one.post_mps)))


def _told_anew(
    one: Break,
    peaks: Sequence[Peak],
    points: np.ndarray,
    velocity: Velocity,
    track: Track,
    tracks: TrackSet,
    time_scale: float,
) -> Break:
    """A break with the speeds that most ways of seeing agree on, the scorer's of what it hears there among them."""
    assert velocity.metres_per_px is not None
    peak = min(peaks, key=lambda p: abs(p.time_s - one.time_s), default=None)
    if peak is not None and abs(peak.time_s - one.time_s) >= _near_s(tracks):
        peak = None
    return told_anew(one, peak, points, track, tracks, velocity.metres_per_px / time_scale)


def _weighed(
    breaks: Sequence[Break],
    moments: Moments,
    sensitivity: float,
    undoubted_s: Sequence[float],
    velocity: Velocity,
    track: Track,
    tracks: TrackSet,
    time_scale: float,
    reliable: bool,
) -> list[Break]:
    """The breaks that all the measures of a moment do not speak against, and those that they speak for.

    None speaks against a contact that the scorer leaves no doubt of (at ``undoubted_s``). What the fits are sure of is
    as sure as its moment, if something is seen to stop then. An arm, an animal or whatever
    else has no ``reliable`` centre strikes where it is seen to stop, or where that is all the likelier, and once at a
    time.
    """
    likely, stops = likelihood(moments.measures), seen_to_stop(moments.measures)
    likely = _raised(likely, sensitivity * np.where(stops, _STOP_ODDS, 1.0))
    near_s = max(_NEAR_S, _NEAR_FRAMES * tracks.frame_s)
    believed = []
    for one in breaks:
        near = np.abs(moments.times_s - one.time_s) < near_s
        undoubted = any(abs(one.time_s - time_s) < _near_s(tracks) for time_s in undoubted_s)
        highest = 1.0 if undoubted else float(likely[near].max(initial=0.0))
        if highest >= (_LIKELY if reliable or stops[near].any() else _UNSTOPPED):
            believed.append((highest, one))
    out = [one for _, one in believed] if reliable else _likeliest(believed)
    likely = np.where(stops & (likely >= _LIKELY), likely, 0.0)
    fits_s = np.array([b.time_s for b in velocity.breaks if b.confidence >= _FITS_SURE])
    for k, one in enumerate(out):
        if (np.abs(fits_s - one.time_s) < _near_s(tracks)).any():
            stopped = likely[np.abs(moments.times_s - one.time_s) < near_s].max(initial=0.0)
            out[k] = replace(one, confidence=max(one.confidence, float(stopped)))
    for i in np.argsort(-likely, kind="stable"):
        if likely[i] < _LIKELY:
            break
        close = [b for b in out if abs(b.time_s - moments.times_s[i]) < _CROWDED_S]
        if any(b.confidence >= LEAST_CONFIDENCE for b in close):
            continue
        out = [b for b in out if b not in close]
        out.append(_at_moment(moments, int(i), float(likely[i]), velocity, track, tracks, time_scale))
    return out


def _likeliest(believed: Sequence[tuple[float, Break]]) -> list[Break]:
    """Of the breaks that crowd together the likeliest, and before all others those that are contacts by themselves."""
    kept: list[Break] = []
    for _, one in sorted(believed, key=lambda b: (b[1].confidence < LEAST_CONFIDENCE, -b[0], -b[1].confidence)):
        if all(abs(one.time_s - other.time_s) >= _CROWDED_S for other in kept):
            kept.append(one)
    return kept


def _at_moment(
    moments: Moments,
    index: int,
    likely: float,
    velocity: Velocity,
    track: Track,
    tracks: TrackSet,
    time_scale: float,
) -> Break:
    """The break of a moment, with the speeds of the track's fast pixels."""
    assert velocity.metres_per_px is not None
    metres = velocity.metres_per_px * tracks.width / time_scale
    before, after = moments.before[index] * metres, moments.after[index] * metres
    time_s = float(np.clip(moments.times_s[index], 0.0, tracks.duration_s))
    return Break(
        time_s=time_s,
        sigma_s=_MOMENT_SIGMA_FRAMES * tracks.frame_s,
        position_px=_place(track, tracks, time_s),
        pre_mps=(float(before[0]), float(before[1]), 0.0),
        post_mps=(float(after[0]), float(after[1]), 0.0),
        sigma_mps=_MOMENT_SIGMA * float(np.hypot(*before)),
        confidence=likely,
    )


def _place(track: Track, tracks: TrackSet, time_s: float) -> tuple[float, float]:
    """Where a track is seen nearest to a time, pixels of the frame."""
    seen = np.flatnonzero(track.visible)
    x, y = track.centroids[seen[np.argmin(np.abs(tracks.times_s[seen] - time_s))]]
    return float(np.clip(x, 0, tracks.width)), float(np.clip(y, 0, tracks.height))


def _in_time(one: Break, peak: Peak, tracks: TrackSet) -> Break:
    """The fits' break when the scorer heard it, unless both agree: then the fits are more exact."""
    if abs(one.time_s - peak.time_s) <= _AGREED_S:
        return one
    return replace(one, time_s=float(np.clip(peak.time_s, 0.0, tracks.duration_s)), sigma_s=_TIME_SIGMA_S)


def _judged(one: Break, probability: float, flies: bool) -> Break:
    """The fits' break as sure as the scorer is; the end of a clear flight at least as sure as both are on average."""
    least = 0.0
    if flies and one.confidence >= _CLEAR_FLIGHT:
        least = _FITS_SHARE * one.confidence + (1.0 - _FITS_SHARE) * probability
    return replace(one, confidence=max(probability, least))


def _made(
    peak: Peak, velocity: Velocity, points: np.ndarray, track: Track, tracks: TrackSet, time_scale: float
) -> Break | None:
    """The break at a peak that the fits have missed; None where too little is seen around it.

    What is held may be lost or come into view as it hits: then it bounces as off level ground. What flies and is lost
    may as well have left the picture.
    """
    assert velocity.metres_per_px is not None
    before, after = (_side(peak.time_s, sign, points, track, tracks) for sign in (-1, 1))
    if not velocity.free:
        if before is None and after is not None:
            before = after * _LEVEL
        elif after is None and before is not None:
            after = before * _LEVEL
    if before is None or after is None:
        return None
    factor = velocity.metres_per_px / time_scale
    # A few samples tell the direction; how fast, the scorer has learned.
    before, after = (
        side * (speed * tracks.width / max(float(np.hypot(*side)), 1e-9))
        for side, speed in ((before, peak.before), (after, peak.after))
    )
    return Break(
        time_s=float(np.clip(peak.time_s, 0.0, tracks.duration_s)),
        sigma_s=_TIME_SIGMA_S,
        position_px=_place(track, tracks, peak.time_s),
        pre_mps=(float(before[0] * factor), float(before[1] * factor), 0.0),
        post_mps=(float(after[0] * factor), float(after[1] * factor), 0.0),
        sigma_mps=_SIGMA * float(max(np.hypot(*before), np.hypot(*after))) * factor,
        confidence=peak.probability,
    )


def _side(time_s: float, sign: int, points: np.ndarray, track: Track, tracks: TrackSet) -> np.ndarray | None:
    """Velocity [2], pixels per second, of a line through the samples next to a contact on one side of it."""
    frame_s = tracks.frame_s
    after_s = (tracks.times_s - time_s) * sign
    near = track.visible & (after_s > BLURRED * frame_s) & (after_s < max(_SIDE_S, _SIDE_FRAMES * frame_s))
    index = np.flatnonzero(near & np.isfinite(points).all(axis=1))[::sign][:_MOST_SAMPLES]
    if len(index) < 2:
        return None
    u = tracks.times_s[index] - tracks.times_s[index].mean()
    return np.asarray((u @ points[index]) / (u @ u))
