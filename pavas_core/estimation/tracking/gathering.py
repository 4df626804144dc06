"""Limbs, fragments and repeated strokes united into bodies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, gap_between, together
from pavas_core.estimation.tracking.linking import Observation

_REST_S = 3.0


def gather(fragments: list[Body], frame_rate: float) -> list[Body]:
    """Unite limbs, fragments and repeated strokes into bodies.

    Two fragments belong together when they are near each other while both are seen and one is much the smaller, or
    when one begins where the other has ended.
    """
    parent = list(range(len(fragments)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, a in enumerate(fragments):
        for j in range(i + 1, len(fragments)):
            if root(i) != root(j) and _belong(a, fragments[j], frame_rate):
                parent[root(j)] = root(i)
    groups: dict[int, list[Body]] = {}
    for i, fragment in enumerate(fragments):
        groups.setdefault(root(i), []).append(fragment)
    return _absorb([as_one(members) for members in groups.values()], frame_rate)


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
    """Whether the usual place of one body holds most of the path of another, near in time."""
    near = (outer.frames >= inner.frames[0] - frame_rate) & (outer.frames <= inner.frames[-1] + frame_rate)
    if not near.any():
        return False
    boxes = outer.world_boxes[near]
    low, high = np.percentile(boxes[:, :2], 20, axis=0), np.percentile(boxes[:, 2:], 80, axis=0)
    return float(((inner.points >= low) & (inner.points <= high)).all(axis=1).mean()) > 0.6


def _belong(a: Body, b: Body, frame_rate: float) -> bool:
    ia, ib = together(a, b)
    shorter = min(len(a.frames), len(b.frames))
    if len(ia) >= max(2, 0.25 * shorter):
        reach = 0.25 * max(a.side, b.side) + 2.0
        gaps = gap_between(a.world_boxes[ia], b.world_boxes[ib])
        near = float((gaps < reach).mean())
        if min(a.area, b.area) < 0.4 * max(a.area, b.area):
            return near > 0.5
        return near > 0.85 and _apart(a.flows[ia], b.flows[ib]) < 0.6
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
