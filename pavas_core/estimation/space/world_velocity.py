"""Metric velocity of tracked objects in space, from a reconstruction (paper equation 3, made robust).

The paper differences the mean world points of an object's mask between frames. A picture's points are all off together
by about a percent and a fraction of a degree, which alone makes metres per second at 30 pictures a second; so views
are laid onto each other by what stands still, the object's centre is found from the robust depth of its core, and
velocities are fitted over as long a time as one acceleration explains, never across a contact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.estimation.planar.velocity import known_sizes_by_id, planar_velocity
from pavas_core.estimation.space.reconstruction import Reconstruction, focal_of
from pavas_core.estimation.space.world_background import Alignment, Surroundings
from pavas_core.estimation.space.world_fits import Motion, fall, motion_at
from pavas_core.estimation.space.world_paths import MARGIN_PX, Surface, WorldPath, object_masks, path_of, with_margin
from pavas_core.physics.types import (
    GRAVITY_MPS2,
    MAX_SPEED_MPS,
    Break,
    ObjectSet,
    ScaleSource,
    TrackSet,
    Velocity,
    VelocitySet,
)
from pavas_core.physics.validate import check_factor
from pavas_core.runtime import Runtime

SCALES = ("auto", "reconstruction", "gravity")
"""Where metres come from without a known size; ``auto`` = gravity where a flight says it better."""
METHODS = ("robust", "equation 3")

_SIZE_SIGMA = 0.06
_TILT_SIGMA = 0.04
_FALLS = 2.2
"""A fall may differ from gravity in the reconstruction's metres by this factor."""
_GAP_S = 0.3
_STILL_ACROSS, _STILL_ALONG = 0.006, 0.02
"""Of the distance: what moves less over the whole clip stands still."""
_SIGMAS = 3.0
_WHOLE = 1.25
"""A contact's speed in the picture plane above that of the centre by this factor is that of a tool's end."""


@dataclass(frozen=True)
class Observed:
    """All that velocities need of a reconstruction; small, whatever the clip's length."""

    surfaces: tuple[Surface, ...]
    alignment: Alignment
    focal_px: float
    shape: tuple[int, int]
    px_per_px: float
    """The reconstructor's pixels per pixel of the clip."""
    source: str
    scale_sigma: float
    still_camera: bool


@dataclass(frozen=True)
class _Scale:
    factor: float
    source: ScaleSource
    sigma: float
    reason: str


@dataclass(frozen=True)
class _Body:
    """One object between its contacts."""

    path: WorldPath
    planar: Velocity
    parts: tuple[tuple[int, int], ...]
    """First and last sample of the path between contacts; last < first where there is none."""
    still: bool


def observe(reconstruction: Reconstruction, tracks: TrackSet, *, runtime: Runtime | None = None) -> Observed:
    """Walk through the views once, keeping what is seen of each object and of the surroundings.

    Raises PhysicsError where the views are not those of the tracked pictures or hold no usable point.
    """
    runtime = runtime or Runtime()
    times = np.asarray(reconstruction.times_s, float)
    if len(times) != len(tracks.times_s) or (len(times) and np.abs(times - tracks.times_s).max() > 0.02):
        raise PhysicsError(
            f"{reconstruction.source} shows {len(times)} pictures where {len(tracks.times_s)} were tracked: "
            "reconstruct the same clip that was tracked."
        )
    surfaces = tuple(Surface(track) for track in tracks.tracks)
    surroundings, focal = Surroundings(), []
    shape = reconstruction.placement.height, reconstruction.placement.width
    for index, view in enumerate(reconstruction.views):
        runtime.step("Reconstructing", index, len(times))
        masks = object_masks(list(tracks.tracks), index, reconstruction.placement)
        for number, (surface, mask) in enumerate(zip(surfaces, masks, strict=True)):
            others = with_margin(masks[:number] + masks[number + 1 :], shape, 2)
            surface.see(view, mask, others, index, reconstruction.placement)
        surroundings.see(view, with_margin(masks, shape, MARGIN_PX))
        focal.append(view.focal_px if view.focal_px is not None else focal_of(view.points))
    usable = [value for value in focal if np.isfinite(value) and value > 0]
    if not usable:
        raise PhysicsError(f"{reconstruction.source} gives no usable point of this clip: try another clip or model.")
    still = surroundings.still or tracks.camera is None
    runtime.step("Reconstructing", len(times), len(times))
    return Observed(
        surfaces,
        surroundings.align(still=tracks.camera is None),
        float(np.median(usable)),
        shape,
        reconstruction.placement.resized[0] / reconstruction.placement.source[0],
        reconstruction.source,
        reconstruction.scale_sigma,
        still,
    )


def world_velocity(
    observed: Observed,
    tracks: TrackSet,
    objects: ObjectSet | None = None,
    *,
    scale: str = "auto",
    known_size_m: dict[str, float] | None = None,
    time_scale: float = 1.0,
    method: str = "robust",
    runtime: Runtime | None = None,
) -> VelocitySet:
    """Speed of every track at the middles of the frame intervals, with its breaks, in metres per second of the world.

    Vectors are in the axes of the first camera: x right, y down, z away. Metres are the reconstruction's, unless
    ``known_size_m`` (diameter in metres by object) or gravity in a free flight says them better (``scale``, one of
    :data:`SCALES`); all objects share one scale. ``method`` "equation 3" is the paper's to the letter. ``notes`` says
    for each object where its scale comes from and below what speed nothing is known.

    Raises PhysicsError for an unknown scale or method, for impossible sizes and time scales, and where gravity is asked
    for and nothing flies.
    """
    runtime = runtime or Runtime()
    check_factor(time_scale, "time_scale")
    for value, known, what in ((scale, SCALES, "scale"), (method, METHODS, "method")):
        if value not in known:
            raise PhysicsError(f"{value!r} is no {what}: use one of {', '.join(known)}.")
    sizes = known_sizes_by_id(known_size_m or {}, tracks, objects)
    bodies = []
    for index, surface in enumerate(observed.surfaces):
        runtime.step("Measuring velocity", index, len(observed.surfaces))
        bodies.append(_body(surface, observed, tracks, time_scale))
    gravity = _gravity(bodies)
    metres = _metres(bodies, sizes, gravity, scale, observed, time_scale)
    if method == METHODS[1]:
        velocities = [_literal(body, metres, tracks, time_scale) for body in bodies]
        floors = ["" for _ in bodies]
    else:
        found = [_velocity(body, metres, gravity, tracks, time_scale) for body in bodies]
        velocities = [velocity for velocity, _ in found]
        floors = [
            _floor(velocity, covariances, body) for (velocity, covariances), body in zip(found, bodies, strict=True)
        ]
    runtime.step("Measuring velocity", 1, 1)
    notes = [_note(body, floor, metres, observed) for body, floor in zip(bodies, floors, strict=True)]
    return VelocitySet(tuple(velocities), time_scale, tuple(notes))


def _body(surface: Surface, observed: Observed, tracks: TrackSet, time_scale: float) -> _Body:
    """Contacts as the picture plane shows them, sharper than depth can, cut the path into parts."""
    path = path_of(surface, tracks.times_s, observed.alignment, observed.focal_px, observed.shape)
    track = surface.track
    mpp = path.distance_m / observed.focal_px * observed.px_per_px
    alone = replace(tracks, tracks=(track,))
    planar = planar_velocity(
        alone,
        metres_per_px=mpp if np.isfinite(mpp) and mpp > 0 else None,
        scale_sigma=observed.scale_sigma,
        time_scale=time_scale,
    ).velocities[0]
    cuts = [contact.time_s for contact in planar.breaks]
    bounds = np.searchsorted(path.times_s, cuts)
    parts = zip([0, *bounds], [*(bounds - 1), len(path.times_s) - 1], strict=True)
    return _Body(path, planar, tuple((int(a), int(b)) for a, b in parts), _still(path, observed.alignment))


def _still(path: WorldPath, alignment: Alignment) -> bool:
    """Nothing but noise moves it: places, averaged over a few pictures, stay where they are."""
    if len(path.places) < 4:
        return False
    span = max(3, min(9, len(path.places) // 4))
    kernel = np.ones(span) / span
    calm = np.stack([np.convolve(path.places[:, axis], kernel, "valid") for axis in range(3)], axis=-1)
    off = calm - np.median(calm, axis=0)
    ray = path.rays.mean(axis=0)
    ray /= np.linalg.norm(ray)
    along = np.abs(off @ ray)
    across = np.linalg.norm(off - (off @ ray)[:, None] * ray, axis=1)
    rest = 0.0 if not np.isfinite(alignment.floor_m) else alignment.floor_m * path.distance_m
    limit_across = max(_STILL_ACROSS * path.distance_m, _SIGMAS * np.hypot(path.across_m / np.sqrt(span), rest))
    limit_along = max(_STILL_ALONG * path.distance_m, _SIGMAS * np.hypot(path.along_m / np.sqrt(span), rest))
    return bool(np.quantile(across, 0.95) < limit_across and np.quantile(along, 0.95) < limit_along)


def _gravity(bodies: list[_Body]) -> tuple[np.ndarray, float] | None:
    """What free flights agree on: acceleration [3] in the reconstruction's metres, and its relative standard error."""
    found = [
        f
        for body in bodies
        if body.planar.free and not body.still
        for f in (fall(body.path, *p) for p in body.parts)
        if f
    ]
    values: list[tuple[np.ndarray, float]] = []
    for acceleration, covariance in found:
        size = float(np.linalg.norm(acceleration))
        sigma = float(np.sqrt(np.trace(covariance)))
        if sigma < 0.4 * size and acceleration[1] > 0.6 * size:
            values.append((acceleration, sigma))
    if not values:
        return None
    vectors, sigmas = np.array([v for v, _ in values]), np.array([s for _, s in values])
    weights = 1.0 / (sigmas**2 + (_TILT_SIGMA * np.linalg.norm(vectors, axis=1)) ** 2)
    best = vectors[int(np.argmax([_support(v, vectors, sigmas, weights) for v in vectors]))]
    near = np.linalg.norm(vectors - best, axis=1) < 0.15 * float(np.linalg.norm(best)) + 2.0 * sigmas
    weights = weights * near
    mean = weights @ vectors / weights.sum()
    size = float(np.linalg.norm(mean))
    return mean, float(np.hypot(1.0 / np.sqrt(weights.sum()) / size, _TILT_SIGMA))


def _support(value: np.ndarray, vectors: np.ndarray, sigmas: np.ndarray, weights: np.ndarray) -> float:
    near = np.linalg.norm(vectors - value, axis=1) < 0.15 * float(np.linalg.norm(value)) + 2.0 * sigmas
    return float(weights[near].sum())


def _metres(
    bodies: list[_Body],
    sizes: dict[str, float],
    gravity: tuple[np.ndarray, float] | None,
    wanted: str,
    observed: Observed,
    time_scale: float,
) -> _Scale:
    """True metres per metre of the reconstruction: known sizes, else gravity, else as it stands."""
    says = [
        np.log(sizes[body.path.track.object_id] / body.path.diameter_m)
        for body in bodies
        if body.path.track.object_id in sizes and body.path.diameter_m > 0
    ]
    if says:
        return _Scale(float(np.exp(np.median(says))), "known_size", _SIZE_SIGMA, "a known size")
    if gravity is not None and wanted != "reconstruction":
        factor = GRAVITY_MPS2 * time_scale**2 / float(np.linalg.norm(gravity[0]))
        trusted = max(factor, 1 / factor) < _FALLS or observed.scale_sigma > 0.5
        if wanted == "gravity" or (trusted and gravity[1] < observed.scale_sigma):
            return _Scale(factor, "gravity", gravity[1], "gravity in free flight")
    if wanted == "gravity":
        raise PhysicsError(
            "Nothing flies freely for long enough to fix the scale by gravity: choose scale auto or give a known size."
        )
    return _Scale(1.0, "camera", observed.scale_sigma, f"{observed.source} as it stands")


def _flies(body: _Body, part: tuple[int, int], gravity: tuple[np.ndarray, float] | None) -> np.ndarray | None:
    """Gravity where a part is free flight, None elsewhere."""
    if gravity is None or not body.planar.free or part[1] <= part[0]:
        return None
    found = fall(body.path, *part)
    size = float(np.linalg.norm(gravity[0]))
    if found is None:
        return gravity[0] if part[1] - part[0] < 6 else None
    sigma = float(np.sqrt(np.trace(found[1])))
    return gravity[0] if float(np.linalg.norm(found[0] - gravity[0])) < 0.2 * size + 2.5 * sigma else None


def _velocity(
    body: _Body, metres: _Scale, gravity: tuple[np.ndarray, float] | None, tracks: TrackSet, time_scale: float
) -> tuple[Velocity, np.ndarray]:
    """Vectors at the middles of intervals and at contacts, in metres and seconds of the world, and the vectors'
    covariances [L-1, 3, 3] without the scale's error."""
    path, planar = body.path, body.planar
    factor = metres.factor / time_scale
    middles = planar.times_s
    vector = np.full((len(middles), 3), np.nan)
    sigma, covariances = np.full(len(middles), np.nan), np.full((len(middles), 3, 3), np.nan)
    flights = [_flies(body, part, gravity) for part in body.parts]
    cuts = [-np.inf, *(contact.time_s for contact in planar.breaks), np.inf]
    frame_s = tracks.frame_s
    for number, (first, last) in enumerate(body.parts):
        if last <= first:
            continue
        times = path.times_s[first : last + 1]
        for i in np.flatnonzero((middles > cuts[number]) & (middles < cuts[number + 1])):
            near = float(np.abs(times - middles[i]).min())
            if near > (_GAP_S if times[0] < middles[i] < times[-1] else 1.5 * frame_s):
                continue
            motion = motion_at(path, first, last, float(middles[i]), flights[number])
            if motion is not None:
                vector[i] = motion.velocity * factor
                covariances[i] = motion.covariance * factor**2
                sigma[i] = _along(motion) * factor
    if planar.vector_mps is not None:
        # Where the centre cannot be seen whole, the flow of what is seen stands in.
        blank = ~np.isfinite(vector).all(axis=1) & np.isfinite(planar.vector_mps).all(axis=1)
        vector[blank] = planar.vector_mps[blank] * metres.factor
        sigma[blank] = np.nan if planar.sigma_mps is None else planar.sigma_mps[blank] * metres.factor
    # A noisy vector is longer than the true one: its length is that of what noise leaves.
    length = np.linalg.norm(vector, axis=1)
    bias = np.nan_to_num(np.trace(covariances, axis1=1, axis2=2))
    with np.errstate(invalid="ignore", divide="ignore"):
        shrink = np.sqrt(np.clip(1.0 - bias / length**2, 0.0, 1.0))
        vector = vector * np.where(length > 0, shrink, 1.0)[:, None]
    if body.still:
        vector[np.isfinite(vector).all(axis=1)] = 0.0
    vector[np.linalg.norm(vector, axis=1) > MAX_SPEED_MPS] = np.nan
    breaks = () if body.still else tuple(_breaks(body, flights, metres.factor, time_scale))
    velocity = replace(
        planar,
        speed_mps=np.linalg.norm(vector, axis=1).astype(np.float32),
        vector_mps=vector.astype(np.float32),
        sigma_mps=sigma.astype(np.float32),
        breaks=breaks,
        **_scaled(body, metres),
    )
    return velocity, covariances


def _scaled(body: _Body, metres: _Scale) -> dict:
    mpp, size = body.planar.metres_per_px, body.path.diameter_m
    return {
        "metres_per_px": None if mpp is None else mpp * metres.factor,
        "scale_source": metres.source,
        "scale_sigma": metres.sigma,
        "size_m": size * metres.factor if np.isfinite(size) and size > 0 else None,
        "free": body.planar.free and not body.still,
    }


def _along(motion: Motion) -> float:
    """Standard error of the length of a velocity."""
    speed = float(np.linalg.norm(motion.velocity))
    if speed < 1e-9:
        return float(np.sqrt(np.trace(motion.covariance)))
    unit = motion.velocity / speed
    return float(np.sqrt(unit @ motion.covariance @ unit))


def _breaks(body: _Body, flights: list[np.ndarray | None], scale: float, time_scale: float) -> list[Break]:
    """Contacts with velocities from fits on either side that never see the other."""
    found = []
    for number, contact in enumerate(body.planar.breaks):
        sides = []
        for part, side, plane in (
            (number, body.parts[number], contact.pre_mps),
            (number + 1, body.parts[number + 1], contact.post_mps),
        ):
            motion = motion_at(body.path, *side, contact.time_s, flights[part], end=True) if side[1] > side[0] else None
            sides.append(_side(motion, np.array(plane), body.planar.free, time_scale))
        (before, sigma_before), (after, sigma_after) = sides
        found.append(
            replace(
                contact,
                pre_mps=_vector(before * scale),
                post_mps=_vector(after * scale),
                sigma_mps=float(max(sigma_before, sigma_after, 0.0) * scale) or contact.sigma_mps * scale,
            )
        )
    return [one for one in found if max(np.linalg.norm(one.pre_mps), np.linalg.norm(one.post_mps)) <= MAX_SPEED_MPS]


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _side(motion: Motion | None, plane: np.ndarray, free: bool, time_scale: float) -> tuple[np.ndarray, float]:
    """Velocity on one side of a contact and its standard error, in the reconstruction's metres."""
    if motion is None:
        return plane, 0.0
    velocity = motion.velocity / time_scale
    centre, end = float(np.hypot(*velocity[:2])), float(np.hypot(*plane[:2]))
    if not free and end > _WHOLE * centre + _SIGMAS * _along(motion) / time_scale:
        return np.array([plane[0], plane[1], velocity[2]]), 0.0
    return velocity, _along(motion) / time_scale


def _literal(body: _Body, metres: _Scale, tracks: TrackSet, time_scale: float) -> Velocity:
    """Equation 3 to the letter: distance of mean world points of neighbouring frames over their time."""
    step = np.diff(body.path.literal, axis=0) / np.diff(tracks.times_s)[:, None]
    vector = step * metres.factor / time_scale
    vector[np.linalg.norm(vector, axis=1) > MAX_SPEED_MPS] = np.nan
    breaks = []
    for contact in body.planar.breaks:
        interval = int(np.clip(np.searchsorted(tracks.times_s, contact.time_s) - 1, 0, len(vector) - 1))
        before, after = vector[max(0, interval - 1)], vector[min(len(vector) - 1, interval + 1)]
        if np.isfinite(before).all() and np.isfinite(after).all():
            breaks.append(replace(contact, pre_mps=_vector(before), post_mps=_vector(after)))
    return replace(
        body.planar,
        speed_mps=np.linalg.norm(vector, axis=1).astype(np.float32),
        vector_mps=vector.astype(np.float32),
        sigma_mps=None,
        breaks=tuple(breaks),
        **_scaled(body, metres),
    )


def _floor(velocity: Velocity, covariances: np.ndarray, body: _Body) -> str:
    """The noise floor for people, with its parts across and along the line of sight."""
    known = covariances[np.isfinite(covariances).all(axis=(1, 2))]
    floor = noise_floor_mps(velocity)
    if not np.isfinite(floor) or not len(known):
        return ""
    ray = body.path.rays.mean(axis=0)
    ray /= np.linalg.norm(ray)
    along = np.einsum("nij,i,j->n", known, ray, ray)
    across = (np.trace(known, axis1=1, axis2=2) - along) / 2
    parts = [_SIGMAS * float(np.sqrt(np.median(part))) for part in (across, along)]
    return f"; noise floor {floor:.2g} m/s ({parts[0]:.2g} across, {parts[1]:.2g} along the line of sight)"


def _note(body: _Body, floor: str, metres: _Scale, observed: Observed) -> str:
    """One sentence: the scale, the noise floor, and how the views were laid onto each other."""
    name = body.path.track.object_id
    said = f"{name}: metres from {metres.reason}, {100 * metres.sigma:.0f} % standard error{floor}"
    if observed.alignment.held.mean() < 0.5:
        said += "; too little stands still in view, so the reconstruction's own poses were used"
    if body.still:
        said += "; stands still"
    return said + "."


def noise_floor_mps(velocity: Velocity) -> float:
    """Speed below which an estimate says nothing: three standard errors in the middle; NaN where none is known."""
    sigma = velocity.sigma_mps
    return float("nan") if sigma is None or not np.isfinite(sigma).any() else _SIGMAS * float(np.nanmedian(sigma))
