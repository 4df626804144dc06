"""Speed curves written by hand instead of measured."""

from __future__ import annotations

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.names import find_objects
from pavas_core.physics.types import Break, MovingObject, ObjectSet, Velocity, VelocitySet
from pavas_core.physics.validate import check_factor, check_speed_mps, check_time_s

DEFAULT_RATE_HZ = 25.0
"""Time grid where the objects bring no tracks."""


def manual_velocity(curves: str, objects: ObjectSet, *, time_scale: float = 1.0) -> VelocitySet:
    """Velocities of the objects that ``curves`` names, one a line: ``ball = 0:0 0.5:4.9 0.5:3.1 1.1:3.1``.

    A point is ``seconds of the clip:metres per second``; between points the speed is linear, outside them it is
    unknown (NaN). The same time twice is a sudden change, an impact: the object is taken to come down at the first
    speed and to leave upwards at the second, since a curve of magnitudes has no direction. Raises PhysicsError for
    an object that is not there, a line that cannot be read, times that go back or lie outside the clip, and
    impossible speeds.
    """
    check_factor(time_scale, "time_scale")
    velocities: dict[str, Velocity] = {}
    for line in filter(None, (text.strip() for text in curves.splitlines())):
        name, separator, text = line.partition("=")
        if not separator:
            raise PhysicsError(f"The speed curve {line!r} has no =: write it like ball = 0:0 0.5:4.9.")
        moving = _find(name.strip(), objects)
        velocities[moving.id] = _velocity(moving, _points(text, moving.id, objects.duration_s), objects)
    if not velocities:
        raise PhysicsError("There is no speed curve: write one line an object, such as ball = 0:0 0.5:4.9.")
    return VelocitySet(
        tuple(velocities.values()), time_scale, tuple(f"{name}: speed given by hand." for name in velocities)
    )


def _find(name: str, objects: ObjectSet) -> MovingObject:
    found, _ = find_objects(name, objects.objects)
    if len(found) > 1:
        raise PhysicsError(f"{name!r} means several objects: use one of {', '.join(one.id for one in found)}.")
    return found[0]


def _points(text: str, object_id: str, duration_s: float) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for part in text.replace(",", " ").split():
        try:
            time_s, speed_mps = (float(number) for number in part.split(":"))
        except ValueError:
            raise PhysicsError(
                f"{part!r} in the speed curve of {object_id} is no seconds:metres-a-second pair."
            ) from None
        check_time_s(time_s, duration_s, f"a point of the speed curve of {object_id}")
        check_speed_mps(speed_mps, object_id)
        if points and (time_s < points[-1][0] or [point[0] for point in points[-2:]] == [time_s, time_s]):
            raise PhysicsError(
                f"The times of the speed curve of {object_id} must rise, a jump excepted, at {time_s:g} s."
            )
        points.append((time_s, speed_mps))
    if len(points) < 2:
        raise PhysicsError(f"The speed curve of {object_id} needs at least two points, such as 0:0 0.5:4.9.")
    return points


def _velocity(moving: MovingObject, points: list[tuple[float, float]], objects: ObjectSet) -> Velocity:
    grid_s = (
        objects.tracks.times_s
        if objects.tracks is not None
        else np.arange(0.0, objects.duration_s + 1e-9, 1.0 / DEFAULT_RATE_HZ)
    )
    middles_s = (grid_s[:-1] + grid_s[1:]) / 2
    times_s, speeds = np.array(points).T
    speed_mps = np.full(len(middles_s), np.nan, np.float32)
    jumps = np.flatnonzero(np.diff(times_s) == 0)
    for first, last in zip([0, *(jumps + 1)], [*(jumps + 1), len(points)], strict=True):
        inside = (middles_s >= times_s[first]) & (middles_s <= times_s[last - 1])
        speed_mps[inside] = np.interp(middles_s[inside], times_s[first:last], speeds[first:last])
    breaks = tuple(
        Break(
            time_s=float(times_s[index]),
            sigma_s=0.0,
            position_px=_position(moving.id, float(times_s[index]), objects),
            pre_mps=(0.0, float(speeds[index]), 0.0),
            post_mps=(0.0, -float(speeds[index + 1]), 0.0),
            sigma_mps=0.0,
            confidence=1.0,
        )
        for index in jumps
    )
    return Velocity(
        object_id=moving.id,
        times_s=middles_s,
        speed_mps=speed_mps,
        vector_mps=None,
        sigma_mps=np.zeros(len(middles_s), np.float32),
        breaks=breaks,
        metres_per_px=None,
        scale_source="manual",
        scale_sigma=0.0,
    )


def _position(object_id: str, time_s: float, objects: ObjectSet) -> tuple[float, float]:
    """Where the object is at ``time_s`` in pixels; the picture's middle where no track says."""
    tracks = objects.tracks
    track = next((one for one in tracks.tracks if one.object_id == object_id), None) if tracks is not None else None
    if tracks is None or track is None or not track.visible.any():
        return objects.width / 2, objects.height / 2
    seen = np.flatnonzero(track.visible)
    nearest = seen[np.argmin(np.abs(tracks.times_s[seen] - time_s))]
    x, y = track.centroids[nearest]
    return float(x), float(y)
