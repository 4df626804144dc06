"""Where the path of one object's centre kinks: contacts of bodies whose centre can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pavas_core.estimation.planar.fits import Acceleration, Kink, Piece, cut_path, fit_kink, path_noise

LONGEST_GAP_S = 0.25
"""A contact may be hidden this long; beyond it the two ends say too little of what happened between them."""
LEAST_SAVED = 16.0
_WINDOW_S = 0.22
_FLIGHT_WINDOW_S = 0.7
_FLIGHT_SAMPLES = 4
_LEAST_JUMP = 0.03
_SIGMAS = 4.0
_SAME_FRAMES = 2.0
"""Kinks closer than this are one contact."""
_SET_OFF = 0.25
"""Speed at which a body at rest leaves when it is hit, picture widths per second; a hidden hand starts it slower."""
LEAST_SWING = 0.5
"""Speed of a blow that counts by itself, picture widths per second."""
_LARGEST_ACCELERATION = 60.0
"""Of any motion that is no contact, picture widths per second squared."""
_CALM = 1.0
"""Of a motion that nothing drives, picture widths per second squared."""


@dataclass(frozen=True)
class Path:
    """Trusted places of one object without a long gap, in pixels of the first frame."""

    frames: np.ndarray
    """int [N] indices of the analysed frames."""
    times_s: np.ndarray
    points: np.ndarray
    """float64 [N, 2]."""
    sigma: np.ndarray
    """float64 [N] standard error of the points a coordinate, pixels."""
    side_px: float
    """Square root of the object's usual area."""


@dataclass(frozen=True)
class CutPath:
    """A path with its kinks: between two of them it is smooth."""

    path: Path
    pieces: tuple[Piece, ...]
    kinks: tuple[Kink, ...]
    splits: tuple[int, ...]
    """Sample at which the part after each kink begins."""

    def parts(self) -> list[tuple[int, int]]:
        """First and last sample of every part between kinks."""
        starts = [0, *self.splits]
        ends = [split - 1 for split in self.splits] + [len(self.path.times_s) - 1]
        return list(zip(starts, ends, strict=True))


def make_paths(
    times_s: np.ndarray, points: np.ndarray, trusted: np.ndarray, side_px: float, width: int, frame_s: float
) -> list[Path]:
    """Paths of at least three trusted places each; ``points`` [L, 2] are in pixels of the first frame."""
    frames = np.flatnonzero(trusted)
    if len(frames) < 3:
        return []
    ends = np.flatnonzero(np.diff(times_s[frames]) > max(LONGEST_GAP_S, 3.5 * frame_s)) + 1
    groups = [group for group in np.split(frames, ends) if len(group) >= 3]
    noises = [path_noise(points[group]) for group in groups if len(group) >= 8]
    # Outlines are found on pictures of 512 pixels or less, to a fraction of a pixel of those.
    least = 0.25 * max(1.0, width / 512) + 0.01 * side_px
    noise = float(np.clip(np.median(noises) if noises else least, least, 6.0 * least))
    return [
        Path(group, times_s[group], points[group].astype(float), np.full(len(group), noise), side_px)
        for group in groups
    ]


def general_motion(width: int) -> Acceleration:
    """Any motion of hands and machines."""
    return Acceleration((0.0, 0.0), _LARGEST_ACCELERATION * width)


def free_flight(gravity_px_s2: float) -> Acceleration:
    """Free fall along the picture's vertical, with room for air, tilt and perspective."""
    return Acceleration((0.0, gravity_px_s2), 0.12 * gravity_px_s2)


def calm_motion(width: int, side_px: float, gravity_px_s2: float | None) -> Acceleration:
    """Rest, rolling, sliding: what nothing drives.

    What is known to fly, and goes up or down faster than a fall over its own size makes it, flies.
    """
    upright = np.inf if gravity_px_s2 is None else float(np.sqrt(2.0 * gravity_px_s2 * side_px))
    return Acceleration((0.0, 0.0), _CALM * width, upright)


def cut_at_kinks(path: Path, width: int, frame_s: float, gravity_px_s2: float | None) -> CutPath:
    """Find the kinks of a path; ``gravity_px_s2`` helps where the object is known to fly."""
    general = general_motion(width)
    flight = None if gravity_px_s2 is None else free_flight(gravity_px_s2)
    calm = calm_motion(width, path.side_px, gravity_px_s2)
    pieces = cut_path(path.times_s, path.points, path.sigma, general, [calm] if flight is None else [flight, calm])
    if len(pieces) < 2:
        return CutPath(path, tuple(pieces), (), ())
    cuts = [(i, i + 1) for i in range(len(pieces) - 1)]  # pieces before and after

    def judge(position: int, cut: tuple[int, int]) -> tuple[Kink, int, float]:
        start = pieces[cuts[position - 1][1]].first if position > 0 else 0
        beyond = position + (1 if cut == cuts[position] else 2)
        stop = pieces[cuts[beyond][0]].last if beyond < len(cuts) else len(path.times_s) - 1
        return _judge(path, pieces[cut[0]], pieces[cut[1]], start, stop, general, flight, width, frame_s)

    judged = [judge(i, cut) for i, cut in enumerate(cuts)]
    while cuts:
        weakest = min(range(len(cuts)), key=lambda i: judged[i][2])
        if judged[weakest][2] >= 1.0:
            break
        del cuts[weakest], judged[weakest]
        for i in (weakest - 1, weakest):
            if 0 <= i < len(cuts):
                judged[i] = judge(i, cuts[i])
    for i in reversed(range(len(cuts) - 1)):
        # What lies between two kinks this close is blurred over both sides of one contact.
        if judged[i + 1][0].time_s - judged[i][0].time_s < _SAME_FRAMES * frame_s:
            both = cuts[i][0], cuts[i + 1][1]
            merged = judge(i, both)
            if merged[2] >= 1.0:
                cuts[i : i + 2], judged[i : i + 2] = [both], [merged]
    return CutPath(path, tuple(pieces), tuple(j[0] for j in judged), tuple(j[1] for j in judged))


def _judge(
    path: Path,
    before: Piece,
    after: Piece,
    start: int,
    stop: int,
    general: Acceleration,
    flight: Acceleration | None,
    width: int,
    frame_s: float,
) -> tuple[Kink, int, float]:
    """The kink between two pieces, its split and how far it passes: at least 1 is a real one."""
    known = [p.prior is not general for p in (before, after)]
    window = [_FLIGHT_WINDOW_S if k else _WINDOW_S for k in known]
    times = path.times_s
    keep = [
        i
        for i in range(start, stop + 1)
        if not before.last < i < after.first
        and (
            times[before.last] - times[i] <= window[0]
            if i <= before.last
            else times[i] - times[after.first] <= window[1]
        )
        and (not known[0] or i >= before.first)
        and (not known[1] or i <= after.last)
    ]
    index = np.array(keep)
    split = int(np.searchsorted(index, after.first))
    sides = before.prior, after.prior
    both = sides[0] if sides[0] is sides[1] and known[0] else None
    kink = fit_kink(times[index], path.points[index], path.sigma[index], split, sides, frame_s, both)
    flown, flies = (p.prior is flight and p.count >= _FLIGHT_SAMPLES for p in (before, after))
    calm = all(k and p.count >= _FLIGHT_SAMPLES for k, p in zip(known, (before, after), strict=True))
    kink = replace(kink, flown=flown, flies=flies, calm=calm)
    limits = [
        kink.jump / max(_LEAST_JUMP * width, 1e-9),
        kink.jump / max(_SIGMAS * kink.sigma, 1e-9),
        kink.saved / LEAST_SAVED,
    ]
    if not all(known):
        limits.append(kink.jump / max(1.6 * kink.bend, 1e-9))
    # An identity switch moves the object at once; a contact hidden by blur or a merged outline moves it little.
    speed = max(np.hypot(*kink.before), np.hypot(*kink.after))
    allowed = 6.0 * float(np.median(path.sigma)) + 0.8 * path.side_px + 0.35 * speed * frame_s
    limits.append(allowed / max(kink.gap * float(np.median(path.sigma)), 1e-9))
    return kink, after.first, float(min(limits))


def hit_confidence(kink: Kink, width: int, rigid: bool) -> float:
    """0..1 how sure a kink is a contact; 0.5 and more stands on its own, 0.3 needs a second body to confirm it.

    A body in free flight is turned back by what it meets, and a ``rigid`` one that nothing drives, whose outline no
    hand changes, turns back or sets off at once only when hit. Any other may be held or driven: hands start, slow and
    turn things without a contact, so only a fast one that is stopped at once counts by itself.
    """
    fast, slow = float(np.hypot(*kink.before)), float(np.hypot(*kink.after))
    cosine = float(kink.before @ kink.after) / max(fast * slow, 1e-9)
    sharp = kink.jump / max(kink.bend, 1e-9)
    clear = kink.jump / max(kink.sigma, 1e-9)
    strength = float(np.clip(min(clear / 15.0, kink.saved / 80.0, sharp / 6.0), 0.0, 1.0))
    alone, shared = 0.5 + 0.5 * strength, 0.3 + 0.15 * strength
    if clear < 4.0:
        return 0.2
    undriven = kink.calm and rigid
    fell = kink.before[1] > 0.3 * fast and kink.after[1] < 0.3 * kink.before[1]
    if cosine > 0.85 and min(fast, slow) > 0.15 * max(fast, slow) and not (kink.flown and fell):
        return shared if undriven and sharp > 10.0 and clear > 12.0 else 0.2
    started = fast < 0.15 * slow
    if kink.flown or kink.flies:
        return shared if (started and not kink.flown) or (sharp < 4.0 and not fell) else alone
    if undriven:
        turned = cosine < -0.3 and min(fast, slow) > 0.1 * max(fast, slow)
        set_off = started and kink.jump > _SET_OFF * width and sharp > 8.0
        return alone if (turned or set_off) and sharp > 4.0 and clear > 8.0 else shared
    along = kink.before / max(fast, 1e-9)
    stopped = float(kink.after @ along) < 0.25 * fast
    swung = fast > LEAST_SWING * width and along[1] > 0.0
    if stopped and swung and sharp > 4.0 and clear > 8.0 and kink.saved > 40.0:
        return 0.5 + 0.4 * strength
    return shared
