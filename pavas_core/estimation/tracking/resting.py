"""Where a thing comes to rest, or rested before: a background that holds it there shows it only while it moves.

What rests for most of a clip is learned as background. Until it comes, its place differs from that background; the
moment it has arrived nothing differs any more, and its trail ends in mid-air together with that of its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.bodies import Body
from pavas_core.estimation.tracking.linking import Observation, Trail

_REST_S = 1.0
"""How long a thing is said to rest, as one is that is seen to come to rest."""
_ALIKE = 0.3
"""Logarithm of the areas, and of the sides of the boxes, by which a thing and its place may differ."""
_STRAYS, _BREATHES = 0.1, 0.2
"""Of its side: how far an outline that stands may move; logarithm by which its area may change."""
_LEAST = 3
"""Sightings by which a place is known, and a thing's velocity."""
_RECENT = 6
_AT_ONCE_S = 0.2
"""Within this time a thing arrives once it, or its place, was last seen by itself."""
_ASIDE = 0.35
"""Of its side: how far off its way the place may lie."""
_FURTHER = 1.5
"""Of the way that it makes at its last pace: how far off its place may be, as it may gain speed."""
_LEFT = 0.3
"""Of its area: what may still be seen at the place of a thing that rests there."""
_QUIET = 0.7
"""Share of the time after which nothing is seen there."""


@dataclass(frozen=True)
class _Place:
    """An outline that stands still."""

    outline: Observation
    first: int
    last: int


def with_rests(
    bodies: Sequence[Body], trails: Sequence[Trail], poses: np.ndarray, shot: range, frame_rate: float
) -> list[Body]:
    """The bodies in their order, with how they rest before they are first or after they are last seen.

    ``trails`` are all those of the ``shot`` (its frames); ``poses`` [L, 2, 3] map the pixels of every frame of the clip
    to the world's.
    """
    places = [p for trail in trails for p in _places(trail.observations)]
    seen: dict[int, list[Observation]] = {}
    for trail in trails:
        for o in trail.observations:
            if not o.held:
                seen.setdefault(o.frame, []).append(o)
    out = []
    for body in bodies:
        for sense in (1, -1):
            body = _with_rest(body, places, seen, poses, shot[::sense], frame_rate)
        out.append(body)
    return out


def _places(observations: Sequence[Observation]) -> list[_Place]:
    """Where a trail stands still."""
    own = [o for o in observations if not (o.held or o.border or o.by_template)]
    marks = [0]
    for i, o in enumerate(own):
        stood = own[marks[-1]]
        strays = math.dist(o.world, stood.world) > _STRAYS * math.sqrt(stood.area) + 1.0
        if strays or abs(math.log(o.area / stood.area)) > _BREATHES:
            marks.append(i)
    runs = [own[i:j] for i, j in pairwise([*marks, len(own)])]
    return [_Place(run[len(run) // 2], run[0].frame, run[-1].frame) for run in runs if len(run) >= _LEAST]


def _with_rest(
    body: Body,
    places: Sequence[_Place],
    seen: dict[int, list[Observation]],
    poses: np.ndarray,
    shot: range,
    frame_rate: float,
) -> Body:
    """The body with its rest at the end of its way, in the sense of time that ``shot`` has."""
    way = _clear(body, shot.step)
    if way is None:
        return body
    at_once = max(_LEAST, round(_AT_ONCE_S * frame_rate))
    for place in places:
        left = place.last if shot.step > 0 else place.first
        if abs(way[-1].frame - left) > at_once or not _alike(way, place.outline):
            continue
        later = range(max(left, way[-1].frame, key=lambda f: f * shot.step) + shot.step, shot.stop, shot.step)
        rest = later[: round(_REST_S * frame_rate)]
        shown = [_shows(seen.get(frame, ()), place.outline) for frame in rest]
        came = next((i for i, showing in enumerate(shown[:at_once]) if not showing), None)
        if came is None or np.mean(shown[came:]) > 1 - _QUIET or not _leads(way, place.outline, rest[came]):
            continue
        there = [_resting(place.outline, way[-1], frame, poses[frame]) for frame in rest[came:]]
        return Body([*way, *there][:: shot.step])
    return body


def _clear(body: Body, sense: int) -> list[Observation] | None:
    """Its observations up to where it is last seen by itself; None where it rests or goes out of the picture."""
    way = body.observations[::sense]
    if len(way) <= _LEAST or way[-1].held or way[-1].border:
        return None
    # Where it merges with its place, which still differs, it seems larger.
    while len(way) > _LEAST and _is_merged(way[-1], way[:-1]):
        way = way[:-1]
    return None if len(way) <= _LEAST or way[-1].border else way


def _is_merged(o: Observation, before: Sequence[Observation]) -> bool:
    area, *sides = np.abs(_sizes([o]) - _sizes(before))
    return bool(area > _BREATHES or max(sides) > _ALIKE)


def _alike(way: Sequence[Observation], outline: Observation) -> bool:
    """Whether a place has the size and form of what comes."""
    return bool(np.abs(_sizes(way) - _sizes([outline])).max() < _ALIKE)


def _sizes(way: Sequence[Observation]) -> np.ndarray:
    """Logarithms of the area, width and height that a thing usually had of late, [3]."""
    recent = [(o.area, o.box[2] - o.box[0], o.box[3] - o.box[1]) for o in way[-_RECENT:]]
    return np.asarray(np.log(np.median(recent, axis=0)))


def _shows(observations: Sequence[Observation], outline: Observation) -> bool:
    """Whether anything much is seen at a place."""
    reach = 0.5 * math.sqrt(outline.area)
    return any(
        o.area > _LEFT * outline.area and math.dist(o.world, outline.world) < reach + 0.5 * math.sqrt(o.area)
        for o in observations
    )


def _leads(way: Sequence[Observation], outline: Observation, frame: int) -> bool:
    """Whether a way goes on to a place by this frame."""
    recent = way[-_LEAST:]
    start, place = np.array(recent[-1].world), np.array(outline.world)
    steps = abs(recent[-1].frame - recent[0].frame)
    pace = (start - np.array(recent[0].world)) / steps
    along = pace * abs(frame - recent[-1].frame)
    length = float(np.hypot(*along))
    side = math.sqrt(outline.area)
    if length < _STRAYS * side:
        return False
    share = float((place - start) @ along) / length**2
    aside = float(np.hypot(*(place - start - share * along)))
    return 0.0 <= share <= _FURTHER + 0.2 * side / length and aside < _ASIDE * side


def _resting(outline: Observation, last: Observation, frame: int, pose: np.ndarray) -> Observation:
    """What was ``last`` seen on its way, at rest with this outline in a frame."""
    x, y = camera.apply(camera.invert(pose), np.array(outline.world)).tolist()
    dx, dy = x - outline.centroid[0], y - outline.centroid[1]
    x0, y0, x1, y1 = outline.box
    return replace(
        last, frame=frame, world=outline.world, centroid=(x, y), box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy),
        area=outline.area, border=False, origin=(outline.origin[0] + round(dx), outline.origin[1] + round(dy)),
        shape=outline.shape, bits=outline.bits, flow=(0.0, 0.0), around=None, parent=-1, by_template=False, held=True,
    )  # fmt: skip
