"""Which breaks of velocity belong to one contact, and which are none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pavas_core.physics.types import Break, Track, TrackSet, Velocity

LEAST_CONFIDENCE = 0.5
"""Of a break that stands on its own."""
LEAST_SHARED_CONFIDENCE = 0.3
"""Of two breaks at one time and place that push apart: each confirms the other."""
LEAST_NORMAL_MPS = 0.2
"""Slower approach than this is resting, not hitting."""
LEAST_WIDTHS_S = 0.08
"""The same in picture widths per second, where metres are a guess."""
SEPARATE_S = 0.06
"""Breaks of one object closer than this are one contact."""
LIKE_SIZE = 3.0
"""Of two bodies of more unlike size the small one meets a part of the large one, whose motion is not the whole's."""
DRIVING = 0.3
"""Share of a body's gain of speed that whatever kicked it must have moved with."""
FLOWN = 0.3
"""Share of a held body's change of velocity that a flying one's must have, to be asked first of a contact of both."""
_UPWARD = 0.7
"""Of a change of velocity: what lands is pushed up, whatever else it does."""
_PAIR_FRAMES = 2.0
"""Breaks of two bodies this near in time may be of one contact: an arm's or a leg's is seen a frame early or late."""
REACH = 0.35
"""How far apart two boxes may be and still touch, as a fraction of the smaller body's side."""


@dataclass(frozen=True)
class Event:
    """One break of one object that is a contact."""

    object_id: str
    at: Break
    partner: Event | None = None
    """The other body's break, where two tracked bodies met; without a change of velocity where none was measured."""


def find_events(tracks: TrackSet, velocities: dict[str, Velocity], time_scale: float) -> list[Event]:
    """Contacts in order of time: strong enough, once each, two bodies' breaks at one time and place as one."""
    by_id = {track.object_id: track for track in tracks.tracks}
    frame_s = tracks.frame_s
    single = []
    for object_id, velocity in velocities.items():
        strong = [b for b in velocity.breaks if _is_contact(b, velocity, tracks.width, time_scale)]
        single += [Event(object_id, b) for b in _apart(strong, max(SEPARATE_S, 1.2 * frame_s))]
    single = _without_jerks(single, by_id, tracks, velocities, frame_s)
    return sorted(_paired(single, by_id, tracks, velocities, frame_s), key=lambda e: e.at.time_s)


def approach_mps(at: Break) -> tuple[np.ndarray, float, float]:
    """Unit normal [3] along which the body was pushed, and its approach and separation speed along it.

    A body that was pushed from behind did not approach: what pushed it did, so the whole change counts as separation.
    """
    change = np.subtract(at.post_mps, at.pre_mps)
    length = float(np.linalg.norm(change))
    normal = change / length if length > 0 else np.array([0.0, -1.0, 0.0])
    normal = _levelled(normal)
    before = max(0.0, -float(np.dot(at.pre_mps, normal)))
    after = float(np.dot(change, normal)) - before
    return normal, before, max(0.0, after)


def _levelled(normal: np.ndarray) -> np.ndarray:
    """Floors are level and walls upright: a normal within 18 degrees of an axis lies along it; the rest is friction."""
    for axis in (np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])):
        along = float(normal @ axis)
        if abs(along) > 0.95:
            return axis * np.sign(along)
    return normal


def _is_contact(at: Break, velocity: Velocity, width: int, time_scale: float) -> bool:
    _, before, after = approach_mps(at)
    if at.confidence < LEAST_SHARED_CONFIDENCE:
        return False
    if velocity.metres_per_px is not None and velocity.scale_source == "assumed":
        least = LEAST_WIDTHS_S * width * velocity.metres_per_px / time_scale
    else:
        least = LEAST_NORMAL_MPS
    return max(before, after) >= least


def _apart(breaks: list[Break], separate_s: float) -> list[Break]:
    """The strongest of breaks that crowd together."""
    kept: list[Break] = []
    for one in sorted(breaks, key=lambda b: -b.confidence * float(np.linalg.norm(np.subtract(b.post_mps, b.pre_mps)))):
        if all(abs(one.time_s - other.time_s) > separate_s for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda b: b.time_s)


def box_at(track: Track, times_s: np.ndarray, time_s: float) -> np.ndarray | None:
    """float [4] the box at the nearest frame within 0.15 s, None where the object is not seen."""
    seen = np.flatnonzero(track.visible)
    if not len(seen):
        return None
    nearest = int(seen[np.argmin(np.abs(times_s[seen] - time_s))])
    return track.boxes[nearest].astype(float) if abs(times_s[nearest] - time_s) < 0.15 else None


def touching(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two boxes overlap or nearly do."""
    room = REACH * min(_side(first), _side(second))
    return bool(
        first[0] - room < second[2]
        and second[0] - room < first[2]
        and first[1] - room < second[3]
        and second[1] - room < first[3]
    )


def meet(track: Track, other: Track, tracks: TrackSet, time_s: float) -> bool:
    """Whether two objects touch at a time, or within a frame of it: what is fast is beside the other in but one."""
    for near_s in (time_s - tracks.frame_s, time_s, time_s + tracks.frame_s):
        box, box2 = box_at(track, tracks.times_s, near_s), box_at(other, tracks.times_s, near_s)
        if box is not None and box2 is not None and touching(box, box2):
            return True
    return False


def _change(event: Event) -> np.ndarray:
    return np.subtract(event.at.post_mps, event.at.pre_mps)


def _without_jerks(
    events: list[Event], by_id: dict[str, Track], tracks: TrackSet, velocities: dict[str, Velocity], frame_s: float
) -> list[Event]:
    """Drop breaks that all bodies share, some of them apart from each other: the picture jerked, not they.

    But things that are let go together land together: what flies is pushed upwards then.
    """

    def like(event: Event, other: Event) -> bool:
        own = _change(event) / (velocities[event.object_id].metres_per_px or 1.0)
        theirs = _change(other) / (velocities[other.object_id].metres_per_px or 1.0)
        return bool(np.linalg.norm(own - theirs) < 0.25 * max(np.linalg.norm(own), np.linalg.norm(theirs)))

    def shakes(event: Event) -> bool:
        box = box_at(by_id[event.object_id], tracks.times_s, event.at.time_s)
        if box is None:
            return False
        near = [other for other in events if abs(other.at.time_s - event.at.time_s) <= 0.6 * frame_s]
        alike = {other.object_id for other in near if like(event, other)}
        known = by_id.keys() & velocities.keys()
        boxes = {name: box_at(by_id[name], tracks.times_s, event.at.time_s) for name in known}
        seen = {name: one for name, one in boxes.items() if one is not None}
        if _change(event)[1] < -_UPWARD * np.linalg.norm(_change(event)) and all(velocities[o].free for o in alike):
            return False
        return seen.keys() <= alike and any(not touching(box, one) for one in seen.values())

    return [event for event in events if not shakes(event)]


def _paired(
    events: list[Event], by_id: dict[str, Track], tracks: TrackSet, velocities: dict[str, Velocity], frame_s: float
) -> list[Event]:
    """Join the breaks of two bodies that met; drop one of two that are the same thing seen twice.

    Two that fly freely side by side are two things, and may land at one time. Of what is held and what it drives off,
    the motion of what flies is seen better.
    """
    left = sorted(events, key=lambda e: -e.at.confidence)
    done: list[Event] = []
    while left:
        event = left.pop(0)
        mates = [
            other
            for other in left
            if other.object_id != event.object_id
            and abs(other.at.time_s - event.at.time_s)
            <= max(_PAIR_FRAMES * frame_s, 2.0 * float(np.hypot(other.at.sigma_s, event.at.sigma_s)))
            and meet(by_id[event.object_id], by_id[other.object_id], tracks, event.at.time_s)
        ]
        opposite = [m for m in mates if float(_change(m) @ _change(event)) < 0]
        if opposite:
            mate = min(opposite, key=lambda m: abs(m.at.time_s - event.at.time_s))
            left.remove(mate)
            if _flies_off(mate, event, velocities):
                event, mate = mate, event
            done.append(Event(event.object_id, event.at, mate))
            continue
        if any(m.at.confidence >= LEAST_CONFIDENCE and _flies_off(m, event, velocities) for m in mates):
            continue
        pusher = _pusher(event, by_id, tracks, velocities, frame_s)
        if event.at.confidence >= LEAST_CONFIDENCE or (pusher is not None and _drives(event, pusher)):
            for twin in mates:
                both_fly = velocities[twin.object_id].free and velocities[event.object_id].free
                if not (both_fly and _side_by_side(event, twin, by_id, tracks)):
                    left.remove(twin)
            done.append(Event(event.object_id, event.at, pusher))
    return done


def _flies_off(event: Event, other: Event, velocities: dict[str, Velocity]) -> bool:
    """Whether a body flies off another that does not fly, so that its own change of velocity is seen better."""
    if not velocities[event.object_id].free or velocities[other.object_id].free:
        return False
    return float(np.linalg.norm(_change(event))) >= FLOWN * float(np.linalg.norm(_change(other)))


def _side_by_side(event: Event, other: Event, by_id: dict[str, Track], tracks: TrackSet) -> bool:
    """Whether two objects' centres lie further apart than half the larger one's side."""
    box, box2 = (box_at(by_id[one.object_id], tracks.times_s, event.at.time_s) for one in (event, other))
    if box is None or box2 is None:
        return False
    apart = (box[:2] + box[2:] - box2[:2] - box2[2:]) / 2
    return float(np.hypot(*apart)) > 0.5 * max(_side(box), _side(box2))


def _pusher(
    event: Event, by_id: dict[str, Track], tracks: TrackSet, velocities: dict[str, Velocity], frame_s: float
) -> Event | None:
    """The tracked body on the side that the push came from, if one of like size touches there."""
    box = box_at(by_id[event.object_id], tracks.times_s, event.at.time_s)
    change = _change(event)[:2]
    if box is None or not np.linalg.norm(change) > 0:
        return None
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    spot = centre - 0.5 * _side(box) * change / float(np.linalg.norm(change))
    for object_id, track in by_id.items():
        other = None if object_id == event.object_id else box_at(track, tracks.times_s, event.at.time_s)
        if other is None or object_id not in velocities or not touching(box, other):
            continue
        if not 1 / LIKE_SIZE < _side(other) / _side(box) < LIKE_SIZE:
            continue
        if not _inside(spot, other, REACH * _side(box)):
            continue
        speed = _before(velocities[object_id], event.at.time_s, frame_s)
        if speed is not None:
            return Event(object_id, replace(event.at, pre_mps=speed, post_mps=speed, position_px=event.at.position_px))
    return None


def _drives(event: Event, mate: Event) -> bool:
    """Whether the other body moved along the push fast enough to be its cause."""
    change = _change(event)
    along = float(np.dot(mate.at.pre_mps, change)) / float(np.linalg.norm(change))
    return along > DRIVING * float(np.linalg.norm(change))


def _before(velocity: Velocity, time_s: float, frame_s: float) -> tuple[float, float, float] | None:
    """Velocity of a body in the last whole interval before ``time_s``."""
    if velocity.vector_mps is None:
        return None
    known = np.isfinite(velocity.vector_mps).all(axis=1)
    early = np.flatnonzero(known & (velocity.times_s < time_s - 0.4 * frame_s) & (velocity.times_s > time_s - 0.15))
    if not len(early):
        return None
    x, y, z = (float(v) for v in velocity.vector_mps[early[-1]])
    return x, y, z


def _inside(spot: np.ndarray, box: np.ndarray, room: float) -> bool:
    return bool(box[0] - room < spot[0] < box[2] + room and box[1] - room < spot[1] < box[3] + room)


def _side(box: np.ndarray) -> float:
    return float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0)))
