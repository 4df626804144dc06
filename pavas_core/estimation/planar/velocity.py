"""Metric velocity of tracked objects in the picture plane, and the moments at which it jumps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.estimation.planar import scale as scales
from pavas_core.estimation.planar.blows import Blow, find_blows
from pavas_core.estimation.planar.breaks import CutPath, cut_at_kinks, hit_confidence, make_paths
from pavas_core.estimation.planar.centres import whole_centres
from pavas_core.estimation.planar.fits import Kink
from pavas_core.estimation.planar.hits import judged, moments_of
from pavas_core.estimation.planar.moments import Moments
from pavas_core.estimation.planar.scale import GIVEN_SIGMA, Flight, Scale
from pavas_core.estimation.planar.tips import end_path, strike_in
from pavas_core.physics.names import find_objects
from pavas_core.physics.types import (
    MAX_SPEED_MPS,
    Break,
    ObjectSet,
    Track,
    TrackSet,
    Velocity,
    VelocitySet,
)
from pavas_core.physics.validate import check_factor, check_length_m
from pavas_core.runtime import Runtime

_SMOOTH_S = 0.1
_FLOW_SIGMA = 0.25
"""Of the flow of an object's fast pixels, relative."""
_STEADY = 0.25
_RIGID_AREA = 0.06
_SAME_S = 0.1
"""A kink and a blow this close are one contact."""
_SURE = 0.5
"""Confidence of a kink that needs no blow to confirm it."""
_FOLLOWS = 0.5
"""Of the speed of a blow: how much of it the centre shares before, and may differ by afterwards."""
_RIGID = 0.05
"""Of the speed of a blow: flow that differs less from the centre's motion says nothing more than the centre does."""
_SAME_AREA = 3.0
_SAME_LENGTH = 1.5
_BEYOND_FLOW = 0.05
"""Picture widths from one frame to the next beyond which optical flow loses the end of a tool."""
_CARRIED = 0.35
"""Of the speed of a tool's end: a rod that swings about its other end carries its centre along at half of it."""
_BEYOND_NOISE = 8.0
"""Of the centre from one frame to the next, standard errors of a place."""
_DOWNWARD = 0.3
_ALONG = 0.2
"""What the flow must share of the centre's speed before a blow that only the centre shows."""
_KNOWN_SIZE_SIGMA = 0.05
_POOLED_SIGMA = 0.25
"""Added where an object takes the scale of another one: they may be at different depths."""


@dataclass(frozen=True)
class _Motion:
    """What is known of one track before it has a scale, in pixels of the first frame and seconds of the clip."""

    track: Track
    points: np.ndarray
    flow: np.ndarray | None
    side_px: float
    reliable: bool
    """The centre of the outline moves as the object does."""
    rigid: bool
    """The outline keeps its area: nothing but the object itself is in it."""
    cuts: tuple[CutPath, ...]
    flights: tuple[Flight, ...]


def planar_velocity(
    tracks: TrackSet,
    objects: ObjectSet | None = None,
    *,
    metres_per_px: float | None = None,
    scale_sigma: float = GIVEN_SIGMA,
    known_size_m: dict[str, float] | None = None,
    time_scale: float = 1.0,
    sensitivity: float = 1.0,
    runtime: Runtime | None = None,
) -> VelocitySet:
    """Speed of every track at the middles of the frame intervals, in metres per second of the world, with its breaks.

    Metres come from ``metres_per_px``, whose relative standard error is ``scale_sigma``; or else from ``known_size_m``
    (diameter in metres by object id, name or alias; names need ``objects``); or else from gravity in free flights, an
    object's own or those of others; or else a typical scene is assumed. ``notes`` says which for each object.
    ``time_scale`` is seconds of the world per second of the clip (0.25 = four times slowed). ``sensitivity`` multiplies
    the odds that a moment is a contact: 1 is as sure as the estimators are. Motion along the line of sight is not seen.

    Raises PhysicsError for impossible scales, sizes and sensitivities, and for sizes of unknown objects.
    """
    check_factor(sensitivity, "sensitivity")
    given = None if metres_per_px is None else _given(metres_per_px, scale_sigma)
    fitted, motions = _measure(tracks, objects, given, known_size_m or {}, time_scale, runtime or Runtime())
    told = _told(motions)
    return replace(fitted, velocities=tuple(judged(tracks, *told, fitted.velocities, time_scale, sensitivity)))


def driven_moments(tracks: TrackSet) -> dict[str, Moments]:
    """Moments at which what is held or alive may strike, by track; every one of them is weighed (``hits.judged``)."""
    fitted, motions = _measure(tracks, None, None, {}, 1.0, Runtime())
    return moments_of(tracks, *_told(motions), fitted.velocities, 1.0)


def _told(motions: list[_Motion]) -> tuple[list[np.ndarray], list[bool], list[bool]]:
    """Centres, whose centre moves as the object does, and whose outline stays the same."""
    return [m.points for m in motions], [m.reliable for m in motions], [m.rigid for m in motions]


def fitted_velocity(
    tracks: TrackSet, *, metres_per_px: float | None = None, time_scale: float = 1.0, runtime: Runtime | None = None
) -> VelocitySet:
    """What ``planar_velocity`` says before the scorer has judged the breaks: those of the fits, as sure as they are."""
    given = None if metres_per_px is None else _given(metres_per_px, GIVEN_SIGMA)
    return _measure(tracks, None, given, {}, time_scale, runtime or Runtime())[0]


def _given(metres_per_px: float, sigma: float) -> Scale:
    check_length_m(metres_per_px, "metres_per_px")
    return Scale(metres_per_px, "metres_per_pixel", sigma, "given metres per pixel")


def _measure(
    tracks: TrackSet,
    objects: ObjectSet | None,
    given: Scale | None,
    known_size_m: dict[str, float],
    time_scale: float,
    runtime: Runtime,
) -> tuple[VelocitySet, list[_Motion]]:
    check_factor(time_scale, "time_scale")
    sizes = known_sizes_by_id(known_size_m, tracks, objects)
    count = len(tracks.tracks)
    motions = []
    for i, track in enumerate(tracks.tracks):
        runtime.step("Measuring velocity", i, 2 * count)
        motions.append(_first_look(track, tracks, time_scale))
    if given is not None:
        expected = scales.gravity_at(given.metres_per_px, time_scale)
        motions = [replace(m, flights=scales.falling_at(m.flights, expected, given.sigma)) for m in motions]
    usual = scales.gravity_at((given or scales.typical(tracks.width)).metres_per_px, time_scale)
    scene_gravity = scales.agree([f for m in motions for f in m.flights], usual)
    velocities, notes = [], []
    for i, motion in enumerate(motions):
        runtime.step("Measuring velocity", count + i, 2 * count)
        own = scales.agree(motion.flights, usual)
        scale = given or _scale(motion, sizes, own, scene_gravity, tracks.width, time_scale)
        if motion.reliable and (own is not None or scale.source in ("metres_per_pixel", "known_size")):
            gravity = own[0] if own is not None else scales.gravity_at(scale.metres_per_px, time_scale)
            motion = _look_again(motion, tracks, gravity, scale.sigma, time_scale)
            if own is not None and scale.source == "gravity":
                own = scales.agree(motion.flights, gravity) or own
                scale = _scale(motion, sizes, own, scene_gravity, tracks.width, time_scale)
        velocities.append(_velocity(motion, tracks, scale, time_scale))
        notes.append(f"{motion.track.object_id}: scale from {scale.reason}, {100 * scale.sigma:.0f} % standard error.")
    runtime.step("Measuring velocity", 2 * count, 2 * count)
    return VelocitySet(tuple(velocities), time_scale, tuple(notes)), motions


def steady_points(tracks: TrackSet) -> list[np.ndarray]:
    """Centres [L, 2] of every track in pixels of the first frame, those at the border mended."""
    return [_steady_points(track, tracks)[0] for track in tracks.tracks]


def _steady_points(track: Track, tracks: TrackSet) -> tuple[np.ndarray, np.ndarray]:
    centres, mended = whole_centres(track, tracks.width, tracks.height)
    return stabilised(tracks, centres), mended


def known_sizes_by_id(sizes: dict[str, float], tracks: TrackSet, objects: ObjectSet | None) -> dict[str, float]:
    """Known diameters by object id."""
    ids = {t.object_id for t in tracks.tracks}
    found: dict[str, float] = {}
    for name, size in sizes.items():
        check_length_m(size, f"The known size of {name}")
        if name in ids:
            found[name] = size
        elif objects is not None:
            found |= {one.id: size for one in find_objects(name, objects.objects)[0] if one.id not in sizes}
        else:
            raise PhysicsError(f"There is no track {name!r} to have a known size: there are {', '.join(sorted(ids))}.")
    return found


def stabilised(tracks: TrackSet, points: np.ndarray) -> np.ndarray:
    """Points [L, 2] of each frame's pixels as points of the first frame's pixels."""
    if tracks.camera is None:
        return points.astype(float)
    return np.einsum("nij,nj->ni", tracks.camera[:, :, :2], points.astype(float)) + tracks.camera[:, :, 2]


def _first_look(track: Track, tracks: TrackSet, time_scale: float) -> _Motion:
    """Paths, kinks and flights of one track without knowing gravity."""
    points, mended = _steady_points(track, tracks)
    seen = track.visible & np.isfinite(points).all(axis=1)
    area = np.where(seen, track.area_px, np.nan)
    usual = float(np.nanmedian(area)) if seen.any() else 0.0
    side = float(np.sqrt(usual))
    ratio = np.abs(np.log(np.maximum(area, 1e-3) / _running_median(area, 11)))
    whole = seen & ~track.truncated & ~(ratio > 0.6)
    reliable = bool(whole.sum() >= 5 and whole.sum() >= 0.5 * seen.sum() and np.nanmedian(ratio[seen]) < _STEADY)
    own = area[seen & ~track.truncated]
    rigid = len(own) > 0 and float(np.median(np.abs(own / np.median(own) - 1.0))) < _RIGID_AREA
    cuts: tuple[CutPath, ...] = ()
    flights: tuple[Flight, ...] = ()
    if reliable:
        frame_s = tracks.frame_s
        paths = make_paths(tracks.times_s, points, whole | mended, side, tracks.width, frame_s)
        cuts = tuple(cut_at_kinks(p, tracks.width, frame_s, None) for p in paths)
        flights = tuple(f for c in cuts for f in scales.find_flights(c, tracks.width, time_scale))
    flow = None if track.flow_px_s is None else track.flow_px_s.astype(float)
    return _Motion(track, points, flow, side, reliable, rigid, cuts, flights)


def _look_again(motion: _Motion, tracks: TrackSet, gravity_px_s2: float, sigma: float, time_scale: float) -> _Motion:
    """Kinks and flights of a body that is known to fly at times, and how fast it falls."""
    cuts = tuple(cut_at_kinks(c.path, tracks.width, tracks.frame_s, gravity_px_s2) for c in motion.cuts)
    flights = tuple(f for c in cuts for f in scales.find_flights(c, tracks.width, time_scale))
    return replace(motion, cuts=cuts, flights=scales.falling_at(flights, gravity_px_s2, sigma))


def _running_median(values: np.ndarray, span: int) -> np.ndarray:
    half = span // 2
    padded = np.pad(values.astype(float), half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, span)
    out = np.full(len(values), np.nan)
    known = np.isfinite(windows).any(axis=1)
    out[known] = np.nanmedian(windows[known], axis=1)
    return out


def _scale(
    motion: _Motion,
    sizes: dict[str, float],
    own: tuple[float, float, int] | None,
    scene: tuple[float, float, int] | None,
    width: int,
    time_scale: float,
) -> Scale:
    """Where the metres of one object come from."""
    size = sizes.get(motion.track.object_id)
    if size is not None and motion.side_px > 0:
        return Scale(
            size / _diameter_px(motion.side_px), "known_size", _KNOWN_SIZE_SIGMA, f"its known size of {size:g} m"
        )
    if own is not None:
        return scales.from_gravity(*own, time_scale)
    if scene is not None:
        value, sigma, count = scene
        other = scales.from_gravity(value, float(np.hypot(sigma, _POOLED_SIGMA)), count, time_scale)
        return Scale(other.metres_per_px, other.source, other.sigma, f"{other.reason} of another object")
    return scales.typical(width)


def _diameter_px(side_px: float) -> float:
    """Diameter of a disc whose area is ``side_px`` squared."""
    return side_px * 2.0 / float(np.sqrt(np.pi))


def _velocity(motion: _Motion, tracks: TrackSet, scale: Scale, time_scale: float) -> Velocity:
    """Vectors at interval middles and breaks, in metres and seconds of the world."""
    times = tracks.times_s
    middles = (times[:-1] + times[1:]) / 2
    px, sigma_px = _smooth_velocity(motion, times, middles)
    factor = scale.metres_per_px / time_scale
    vector = np.full((len(middles), 3), np.nan)
    vector[:, :2] = px * factor
    vector[np.isfinite(px).all(axis=1), 2] = 0.0
    sigma = sigma_px * factor
    free = scales.agree(motion.flights, scales.gravity_at(scale.metres_per_px, time_scale)) is not None
    breaks = _breaks(motion, tracks, factor, free)
    vector = _possible(vector)
    speed = np.linalg.norm(vector, axis=1)
    breaks = [b for b in breaks if max(np.hypot(*b.pre_mps[:2]), np.hypot(*b.post_mps[:2])) <= MAX_SPEED_MPS]
    return Velocity(
        object_id=motion.track.object_id,
        times_s=middles,
        speed_mps=speed.astype(np.float32),
        vector_mps=vector.astype(np.float32),
        sigma_mps=sigma.astype(np.float32),
        breaks=tuple(sorted(breaks, key=lambda b: b.time_s)),
        metres_per_px=scale.metres_per_px,
        scale_source=scale.source,
        scale_sigma=scale.sigma,
        size_m=_diameter_px(motion.side_px) * scale.metres_per_px if motion.side_px > 0 else None,
        free=free,
    )


def _breaks(motion: _Motion, tracks: TrackSet, factor: float, free: bool) -> list[Break]:
    """Kinks of the centre, and the blows of what never flies.

    Hands slow down without a contact, so few kinks of a held thing count by themselves; where its fastest part is
    stopped at once and the centre follows, it was a blow.
    """
    breaks = [_break(k, motion, tracks, factor, free) for c in motion.cuts for k in c.kinks] if motion.reliable else []
    if motion.flow is None or (motion.reliable and free):
        return breaks
    near_s = max(_SAME_S, 1.5 * tracks.frame_s)
    blows = _blows_of_centre(motion, tracks) if motion.reliable else []
    for blow in find_blows(tracks.times_s, motion.flow, tracks.width):
        if not motion.reliable or _follows(motion, tracks, blow):
            blows += [blow] if all(abs(blow.time_s - b.time_s) >= near_s for b in blows) else []
    blows += [b for b in _blows_of_end(motion, tracks) if all(abs(b.time_s - o.time_s) >= near_s for o in blows)]
    for blow in blows:
        near = [k for k in breaks if abs(k.time_s - blow.time_s) < near_s]
        if not (motion.reliable and any(k.confidence >= _SURE for k in near)):
            breaks = [k for k in breaks if k not in near] + [_break_of_blow(blow, motion, tracks, factor)]
    return breaks


def _blows_of_centre(motion: _Motion, tracks: TrackSet) -> list[Blow]:
    """Blows that the centre itself shows beyond its noise, where the outline stays the same and the flow goes along.

    Flow loses what moves far between two frames; the outline is found in each of them.
    """
    assert motion.flow is not None
    centre = np.diff(np.where(motion.track.visible[:, None], motion.points, np.nan), axis=0)
    centre /= np.diff(tracks.times_s)[:, None]
    noise = max((float(c.path.sigma.max()) for c in motion.cuts), default=np.inf) / tracks.frame_s
    found = []
    for blow in find_blows(tracks.times_s, centre, tracks.width):
        i, speed = blow.interval, float(np.hypot(*blow.before))
        if speed < _BEYOND_NOISE * noise:
            continue
        flow = float(motion.flow[i - 1] @ blow.before) / speed**2
        if _outline_tells(motion.track, blow) and not flow < _ALONG:
            found.append(blow)
    return found


def _blows_of_end(motion: _Motion, tracks: TrackSet) -> list[Blow]:
    """Blows of the far end of a long tool that moves too far from frame to frame for flow to follow."""
    place, length = end_path(motion.track, tracks)
    end = np.diff(place, axis=0)
    found = []
    for blow in find_blows(tracks.times_s, end / np.diff(tracks.times_s)[:, None], tracks.width):
        around = length[max(0, blow.interval - 1) : blow.interval + 3]
        step = end[blow.interval - 1]
        centre = motion.points[blow.interval] - motion.points[blow.interval - 1]
        far = float(np.hypot(*step)) > _BEYOND_FLOW * tracks.width
        carried = float(centre @ step) > _CARRIED * float(step @ step)
        if far and carried and around.max() < _SAME_LENGTH * around.min() and _outline_tells(motion.track, blow):
            found.append(blow)
    return found


def _outline_tells(track: Track, blow: Blow) -> bool:
    """Whether a blow seen by the outline alone is one: struck downwards, by an outline that stays about the same."""
    area = track.area_px[max(0, blow.interval - 1) : blow.interval + 3]
    return bool(area.max() < _SAME_AREA * area.min() and blow.before[1] > _DOWNWARD * float(np.hypot(*blow.before)))


def _follows(motion: _Motion, tracks: TrackSet, blow: Blow) -> bool:
    """Whether the centre came and went with the fastest part: the object as a whole struck, not a limb of it."""
    assert motion.flow is not None
    centre = np.diff(motion.points, axis=0) / np.diff(tracks.times_s)[:, None]
    speed = float(np.hypot(*blow.before))
    apart = np.hypot(*(centre - motion.flow).T)[np.hypot(*motion.flow.T) > 0.5 * speed]
    if np.nanmedian(apart) < _RIGID * speed:
        return False
    i = blow.interval
    come, went = slice(max(0, i - 2), i), slice(i + 1, i + 3)
    along = blow.before / speed
    with_it = float(_mean(centre[come]) @ along) > _FOLLOWS * float(_mean(motion.flow[come]) @ along)
    return with_it and float(np.hypot(*(_mean(centre[went]) - _mean(motion.flow[went])))) < _FOLLOWS * speed


def _mean(vectors: np.ndarray) -> np.ndarray:
    """Mean of the known ones of vectors [N, 2], NaN where there is none."""
    known = vectors[np.isfinite(vectors).all(axis=1)]
    return np.asarray(known.mean(axis=0) if len(known) else np.full(2, np.nan))


def _possible(vector: np.ndarray) -> np.ndarray:
    """Vectors no longer than MAX_SPEED_MPS; longer ones are measuring errors and unknown."""
    length = np.linalg.norm(vector, axis=1)
    vector[length > MAX_SPEED_MPS] = np.nan
    return vector


def _smooth_velocity(motion: _Motion, times: np.ndarray, middles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Velocity [L-1, 2] and its standard error [L-1], pixels per second, from fits that never cross a kink."""
    px = np.full((len(middles), 2), np.nan)
    sigma = np.full(len(middles), np.nan)
    if motion.reliable:
        for cut in motion.cuts:
            for number, (first, last) in enumerate(cut.parts()):
                low = cut.kinks[number - 1].time_s if number > 0 else cut.path.times_s[first] - 1e-9
                high = cut.kinks[number].time_s if number < len(cut.kinks) else cut.path.times_s[last] + 1e-9
                inside = np.flatnonzero((middles > low) & (middles < high))
                _fill(px, sigma, inside, middles, cut, first, last)
    if motion.flow is not None:
        # Flow stands in where the centre cannot be trusted.
        blank = ~np.isfinite(px).all(axis=1) & np.isfinite(motion.flow).all(axis=1)
        px[blank] = motion.flow[blank]
        sigma[blank] = _FLOW_SIGMA * np.hypot(*motion.flow[blank].T) + 0.5 / np.diff(times)[blank]
    return px, sigma


def _fill(
    px: np.ndarray, sigma: np.ndarray, inside: np.ndarray, middles: np.ndarray, cut: CutPath, first: int, last: int
) -> None:
    """Velocity at the middles ``inside`` from the samples of one smooth part around each."""
    path = cut.path
    for i in inside:
        near = np.arange(first, last + 1)
        distance = np.abs(path.times_s[near] - middles[i])
        wanted = max(4, int((distance <= _SMOOTH_S).sum()))
        near = np.sort(near[np.argsort(distance, kind="stable")[:wanted]])
        if len(near) < 2:
            continue
        order = 2 if len(near) >= 4 else 1
        u = path.times_s[near] - middles[i]
        d = np.stack([u**k for k in range(order + 1)], axis=-1)
        inverse = np.linalg.pinv(d)
        px[i] = (inverse @ path.points[near])[1]
        sigma[i] = float(np.sqrt((inverse[1] ** 2).sum())) * float(path.sigma[near].mean()) * np.sqrt(2.0)


def _vector(px_s: np.ndarray, factor: float) -> tuple[float, float, float]:
    return float(px_s[0] * factor), float(px_s[1] * factor), 0.0


def _break(kink: Kink, motion: _Motion, tracks: TrackSet, factor: float, free: bool) -> Break:
    before, after = kink.before, kink.after
    if not free:
        interval = int(np.searchsorted(tracks.times_s, kink.time_s)) - 1
        before, after = _at_the_end(motion.track, tracks, kink.time_s, interval, before, after)
    return Break(
        time_s=float(np.clip(kink.time_s, 0.0, tracks.duration_s)),
        sigma_s=kink.sigma_s,
        position_px=_shown(kink.place, kink.time_s, tracks),
        pre_mps=_vector(before, factor),
        post_mps=_vector(after, factor),
        sigma_mps=kink.sigma * factor / float(np.sqrt(2.0)),
        confidence=hit_confidence(kink, tracks.width, motion.rigid),
    )


def _at_the_end(
    track: Track, tracks: TrackSet, time_s: float, interval: int, before: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Velocities of the end of a long tool instead of its centre's or its flow's, where the end came faster."""
    end = strike_in(track, tracks, interval, time_s)
    return (end.before, end.after) if end is not None and end.came_faster(before) else (before, after)


def _shown(place: np.ndarray, time_s: float, tracks: TrackSet) -> tuple[float, float]:
    """A place of the first frame's pixels in the picture shown at ``time_s``."""
    if tracks.camera is not None:
        pose = tracks.camera[int(np.argmin(np.abs(tracks.times_s - time_s)))]
        place = np.linalg.solve(pose[:, :2], place - pose[:, 2])
    return float(place[0]), float(place[1])


def _break_of_blow(blow: Blow, motion: _Motion, tracks: TrackSet, factor: float) -> Break:
    """The leading edge of what moved is where it struck."""
    boxes = motion.track.boxes
    seen = np.flatnonzero(motion.track.visible)
    frame = int(seen[np.argmin(np.abs(tracks.times_s[seen] - blow.time_s))])
    x0, y0, x1, y1 = (float(v) for v in boxes[frame])
    along = blow.before / float(np.hypot(*blow.before))
    place = (x0 + x1) / 2 + along[0] * (x1 - x0) / 2, (y0 + y1) / 2 + along[1] * (y1 - y0) / 2
    before, after = _at_the_end(motion.track, tracks, blow.time_s, blow.interval, blow.before, blow.after)
    return Break(
        time_s=float(np.clip(blow.time_s, 0.0, tracks.duration_s)),
        sigma_s=blow.sigma_s,
        position_px=(float(np.clip(place[0], 0, tracks.width)), float(np.clip(place[1], 0, tracks.height))),
        pre_mps=_vector(before, factor),
        post_mps=_vector(after, factor),
        sigma_mps=_FLOW_SIGMA * float(np.hypot(*before)) * factor,
        confidence=blow.confidence,
    )
