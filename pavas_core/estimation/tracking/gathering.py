"""Limbs, fragments and repeated strokes united into bodies."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, gap_between, together
from pavas_core.estimation.tracking.linking import Observation
from pavas_core.estimation.tracking.moving import furthest_run

_REST_S = 3.0
_MUCH_SMALLER = 0.4
"""Of the area of another fragment: what is smaller may be a part of it."""
_SIZEABLE = 0.15
"""Of the largest fragment: lesser ones are not asked whether they go apart, as a hand and a foot may."""
_TOLD_S = 1.0
_TRAVELS = 1.5
"""Of its side: how far what goes apart from another runs in one direction; what flutters does not."""
_USUAL_S = 0.25
_LOOKED_AT = 12


def gather(fragments: list[Body], frame_rate: float) -> list[Body]:
    """Unite limbs, fragments and repeated strokes into bodies.

    Two fragments belong together when they are near each other while both are seen and move alike, or when one begins
    where the other has ended, or when one is much the smaller; those that are near for longest come first. But nothing
    makes one body of two that go apart.
    """
    groups = [{i} for i in range(len(fragments))]
    largest = max((f.area for f in fragments), default=0.0)
    sizeable = [i for i, f in enumerate(fragments) if f.area >= _SIZEABLE * largest]
    apart = {
        frozenset((i, j)) for i, j in combinations(sizeable, 2) if _go_apart(fragments[i], fragments[j], frame_rate)
    }

    def unite(i: int, j: int) -> None:
        mine, theirs = groups[i], groups[j]
        if mine is theirs or any(frozenset((m, t)) in apart for m in mine for t in theirs):
            return
        mine |= theirs
        for t in theirs:
            groups[t] = mine

    pairs = list(combinations(range(len(fragments)), 2))
    for i, j in pairs:
        if groups[i] is not groups[j] and _belong(fragments[i], fragments[j], frame_rate):
            unite(i, j)
    near = [(_near_frames(fragments[i], fragments[j]), i, j) for i, j in pairs if groups[i] is not groups[j]]
    for frames, i, j in sorted(near, reverse=True):
        if frames > 0:
            unite(i, j)
    whole = [group for i, group in enumerate(groups) if i == min(group)]
    return _absorb([as_one([fragments[i] for i in sorted(group)]) for group in whole], frame_rate)


def _absorb(groups: list[Body], frame_rate: float) -> list[Body]:
    """Give small groups to a much larger one that surrounds them."""
    kept: list[Body] = []
    for group in sorted(groups, key=lambda g: -g.area * len(g.frames)):
        for i, other in enumerate(kept):
            if group.area < 0.3 * other.area and _surrounds(other, group, frame_rate):
                kept[i] = as_one([other, group])
                break
        else:
            kept.append(group)
    return kept


def _surrounds(outer: Body, inner: Body, frame_rate: float) -> bool:
    """Whether the usual place of one body, wherever it is at that time, holds most of the path of another."""
    some = np.unique(np.linspace(0, len(inner.frames) - 1, _LOOKED_AT).round().astype(int))
    inside = []
    for frame, point in zip(inner.frames[some], inner.points[some], strict=True):
        near = np.abs(outer.frames - frame) <= _USUAL_S * frame_rate
        if near.any():
            boxes = outer.world_boxes[near]
            low, high = np.percentile(boxes[:, :2], 20, axis=0), np.percentile(boxes[:, 2:], 80, axis=0)
            inside.append(bool(((point >= low) & (point <= high)).all()))
    return sum(inside) > 0.6 * len(some)


def _go_apart(a: Body, b: Body, frame_rate: float) -> bool:
    """Whether the way from one fragment to another changes as that between limbs of one body does not.

    By more than both are long, to and fro, or for good by more than the sides of squares of their areas.
    """
    ia, ib = together(a, b)
    if len(ia) < _TOLD_S * frame_rate or all(furthest_run(one) < _TRAVELS * one.side for one in (a, b)):
        return False
    ways = a.points[ia] - b.points[ib]
    changes = np.percentile(ways, 95, axis=0) - np.percentile(ways, 5, axis=0)
    sizes = [np.median(one.world_boxes[at, 2:] - one.world_boxes[at, :2], axis=0) for one, at in ((a, ia), (b, ib))]
    if np.hypot(*changes) > sum(float(np.hypot(*size)) for size in sizes):
        return True
    third = len(ways) // 3
    for_good = np.median(ways[-third:], axis=0) - np.median(ways[:third], axis=0)
    return bool(np.hypot(*for_good) > a.side + b.side)


def _near_frames(a: Body, b: Body) -> int:
    """In how many frames two fragments are near to each other, of which one may be a part of the other; 0 = none is."""
    ia, ib = together(a, b)
    if min(a.area, b.area) >= _MUCH_SMALLER * max(a.area, b.area) or not _meet(ia, a, b):
        return 0
    near = int(_are_near(a, b, ia, ib).sum())
    return near if near > 0.5 * len(ia) else 0


def _meet(ia: np.ndarray, a: Body, b: Body) -> bool:
    """Whether two fragments are seen together for long enough to tell, ``ia`` being the frames of both."""
    return len(ia) >= max(2, 0.25 * min(len(a.frames), len(b.frames)))


def _are_near(a: Body, b: Body, ia: np.ndarray, ib: np.ndarray) -> np.ndarray:
    """bool [N]: in which of their common frames two fragments are near to each other."""
    return gap_between(a.world_boxes[ia], b.world_boxes[ib]) < 0.25 * max(a.side, b.side) + 2.0


def _belong(a: Body, b: Body, frame_rate: float) -> bool:
    """Whether two fragments are one body, neither being a mere part of the other."""
    ia, ib = together(a, b)
    shorter = min(len(a.frames), len(b.frames))
    if _meet(ia, a, b):
        if min(a.area, b.area) < _MUCH_SMALLER * max(a.area, b.area):
            return False
        return float(_are_near(a, b, ia, ib).mean()) > 0.85 and _apart(a.flows[ia], b.flows[ib]) < 0.6
    if a.first.frame > b.first.frame:
        a, b = b, a
    pause = b.first.frame - a.last.frame
    if not -0.25 * shorter <= pause <= _REST_S * frame_rate:
        return False
    if np.abs(a.colour - b.colour).mean() > 60:
        return False
    return bool(gap_between(a.world_boxes[-1:], b.world_boxes[:1])[0] < 0.3 * min(a.side, b.side))


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """How differently two fragments flow [N, 2] in their common frames, relative to how fast they move; 0 at rest."""
    speed = np.maximum(np.hypot(a[:, 0], a[:, 1]), np.hypot(b[:, 0], b[:, 1]))
    moving = speed > 0.7
    if np.count_nonzero(moving) < 4:
        return 0.0
    apart = (a - b)[moving]
    return float(np.median(np.hypot(apart[:, 0], apart[:, 1]) / speed[moving]))


def as_one(members: list[Body]) -> Body:
    """One body of several fragments: their union in every frame."""
    if len(members) == 1:
        return members[0]
    by_frame: dict[int, list[Observation]] = {}
    for member in members:
        for o in member.observations:
            by_frame.setdefault(o.frame, []).append(o)
    return Body([_merge_observations(by_frame[f]) for f in sorted(by_frame)])


def _merge_observations(parts: list[Observation]) -> Observation:
    """The union of what was seen of one body in one frame; its flow is that of the fastest sizeable part."""
    fresh = [o for o in parts if not o.held] or parts
    largest = max(fresh, key=lambda o: o.area)
    if len(fresh) == 1:
        return replace(largest, parent=-1)
    x0, y0 = min(o.origin[0] for o in fresh), min(o.origin[1] for o in fresh)
    x1, y1 = max(o.origin[0] + o.shape[1] for o in fresh), max(o.origin[1] + o.shape[0] for o in fresh)
    union = np.zeros((y1 - y0, x1 - x0), bool)
    for o in fresh:
        top, left = o.origin[1] - y0, o.origin[0] - x0
        union[top : top + o.shape[0], left : left + o.shape[1]] |= o.mask
    whole = [o for o in fresh if o.parent < 0 or o is largest]
    weights = np.array([o.area for o in whole])
    weights = weights / weights.sum()
    moving = [o for o in fresh if o.flow is not None and o.area > 0.03 * largest.area]
    flow = (
        max(moving, key=lambda o: float(np.linalg.norm(o.flow or (0.0, 0.0))) * o.area**0.25).flow if moving else None
    )
    world = weights @ np.array([o.world for o in whole])
    centroid = weights @ np.array([o.centroid for o in whole])
    return replace(
        largest,
        world=(float(world[0]), float(world[1])),
        centroid=(float(centroid[0]), float(centroid[1])),
        box=(float(x0), float(y0), float(x1), float(y1)),
        area=float(union.sum()),
        border=any(o.border for o in whole),
        origin=(x0, y0),
        shape=union.shape,
        bits=np.packbits(union),
        flow=flow,
        parent=-1,
    )
