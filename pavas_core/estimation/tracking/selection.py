"""Which trails are moving objects: joined over gaps, gathered into bodies, freed of shadows and waving things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, together
from pavas_core.estimation.tracking.falling import falls_by_itself
from pavas_core.estimation.tracking.gathering import gather
from pavas_core.estimation.tracking.joining import cut, cut_where_swapped, join, merge_twins
from pavas_core.estimation.tracking.linking import Trail
from pavas_core.estimation.tracking.moving import awake, furthest_run, moves, stirs

_PROMINENCE = 0.17
_ROUND_PROMINENCE = 0.3
_SMALL = 0.1
_SHADOW = 0.85
_LIT = 0.5
"""Share of sightings of mere light that makes a trail one of light."""
_RIDES = 0.5
"""Share of a patch's way that it may move within the body that carries it along."""
_OWN_FRAMES, _OWN_WAY = 4, 2.0
"""How many frames, and over how many of its own sides, what comes to a larger thing or leaves it is seen without."""
_COMPACT = 1.7
"""Ratio of the sides of what is one compact thing, though its outline be torn."""
_MOST_TRAILS = 120


def considered(trails: list[Trail], frame_rate: float) -> tuple[list[Body], list[Body]]:
    """The bodies that really move and matter, then the others that were looked at: fragments, groups, small ways."""
    bodies = [Body(t.observations) for t in trails if len(t.observations) >= 3]
    bodies = sorted((b for b in bodies if b.lit < _LIT), key=Body.weight)[-_MOST_TRAILS:]
    bodies = merge_twins([part for b in bodies for part in cut(b)])
    bodies = [b for b in join(cut_where_swapped(bodies), frame_rate) if len(b.frames) >= 3 and b.seen_alone]
    bodies = merge_twins(bodies)
    free = [b for b in bodies if _is_free(b, frame_rate) or _flies(b, frame_rate)]
    held = [b for b in bodies if not any(b is f for f in free) and stirs(b)]
    looked_at = free + held
    free = [b for b in free if not any(b is not f and _is_mark(b, f) for f in free)]
    held = [b for b in held if not any(_is_mark(b, f) for f in free)]
    groups = gather(held, frame_rate)
    limbs = [f for f in free if any(_is_limb(f, g, frame_rate) for g in groups)]
    if limbs:
        free = [f for f in free if not any(f is limb for limb in limbs)]
        groups = gather(groups + limbs, frame_rate)
    free = _without_doubles(free)
    groups = _without_covered(groups, free)
    looked_at += [g for g in groups if not any(g is b for b in looked_at)]
    groups = [g for g in groups if moves(g, frame_rate)]
    for group in groups:
        group.round = False
    chosen = _prominent(_without_shadows(free + groups))
    return chosen, [b for b in looked_at if not any(b is c for c in chosen)]


def _prominent(bodies: list[Body]) -> list[Body]:
    """Those that matter beside the most prominent: a small round thing that goes far does, and what came and rests."""
    most = max((b.presence() for b in bodies), default=0.0)
    furthest = max((b.weight() for b in bodies), default=0.0)
    return [
        b
        for b in bodies
        if b.presence() >= _PROMINENCE * most
        or b.presence(furthest_run(b)) >= 2.0 * _PROMINENCE * most
        or (b.round and b.presence() >= _SMALL * _PROMINENCE * most and b.weight() >= _ROUND_PROMINENCE * furthest)
    ]


def _is_free(body: Body, frame_rate: float) -> bool:
    """A compact body with a path of its own, even in front of a larger one."""
    far = 2.5 if body.attached > 0.5 else 1.0
    return body.round and not body.carried and body.extent > far * body.side and moves(body, frame_rate)


def _flies(body: Body, frame_rate: float) -> bool:
    """A compact body, however torn its outline, that gravity alone drives: no limb of what is beside it."""
    return body.aspect < _COMPACT and falls_by_itself(body, frame_rate)


def _is_mark(body: Body, whole: Body) -> bool:
    """Something small that is seen almost only within a round body: its pattern, its highlight, its edge."""
    if body.area > 0.4 * whole.area:
        return False
    ia, ib = together(body, whole)
    if len(ia) < 0.5 * len(body.frames):
        return False
    boxes = whole.world_boxes[ib]
    inside = ((body.points[ia] >= boxes[:, :2] - 2) & (body.points[ia] <= boxes[:, 2:] + 2)).all(axis=1)
    return float(inside.sum()) > 0.7 * len(body.frames)


def _without_covered(groups: list[Body], free: list[Body]) -> list[Body]:
    """Take from the groups what is but a free body seen again (with its shadow, say)."""
    out = []
    for group in groups:
        taken: set[int] = set()
        for body in free:
            ia, ib = together(group, body)
            for i, k in zip(ia, ib, strict=True):
                o, ball = group.observations[i], body.observations[k]
                apart = np.hypot(o.world[0] - ball.world[0], o.world[1] - ball.world[1])
                if apart < 0.7 * np.sqrt(o.area) and o.area < 2.5 * ball.area:
                    taken.add(int(o.frame))
        rest = [o for o in group.observations if o.frame not in taken]
        if len(rest) >= 3:
            out.append(Body(rest) if taken else group)
    return out


def _without_doubles(bodies: list[Body]) -> list[Body]:
    """Drop a shorter trail that spends much of its time on top of a longer one."""
    kept: list[Body] = []
    for body in sorted(bodies, key=lambda b: -len(b.frames)):
        for other in kept:
            ia, ib = together(body, other)
            apart = np.hypot(*(body.points[ia] - other.points[ib]).T)
            if (apart < 0.6 * max(body.side, other.side)).sum() > 0.4 * len(body.frames):
                break
        else:
            kept.append(body)
    return kept


def _is_limb(body: Body, group: Body, frame_rate: float) -> bool:
    """A round patch (a hand, a knee, a face) of a larger body, rather than a ball in front of it.

    A ball crosses much of the body again and again; a patch stays with its limb, or goes where the whole body goes.
    """
    if group.area < 3.0 * body.area:
        return False
    body = awake(body, frame_rate)
    at = np.clip(np.searchsorted(group.frames, body.frames), 0, len(group.frames) - 1)
    early = np.maximum(at - 1, 0)
    at = np.where(np.abs(group.frames[early] - body.frames) < np.abs(group.frames[at] - body.frames), early, at)
    close = np.abs(group.frames[at] - body.frames) <= 0.2 * frame_rate
    boxes = group.world_boxes[at]
    margin = 0.1 * (boxes[:, 2:] - boxes[:, :2])
    inside = close & ((body.points >= boxes[:, :2] - margin) & (body.points <= boxes[:, 2:] + margin)).all(axis=1)
    if inside.mean() < 0.7 or _comes_or_leaves(body, inside):
        return False
    if len(body.frames) < 0.4 * frame_rate:
        return True
    span = max(4, round(0.6 * frame_rate))
    starts = range(0, max(1, len(body.points) - span // 2), max(1, span // 2))
    travel = float(np.median([np.hypot(*np.ptp(body.points[i : i + span], axis=0)) for i in starts]))
    within = body.points - group.points[at]
    shift = float(np.median([np.hypot(*np.ptp(within[i : i + span], axis=0)) for i in starts]))
    across = float(np.median(np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)))
    if shift < _RIDES * travel:
        return True
    return travel < max(1.2 * body.side, 0.12 * across) or body.area < 0.02 * group.area


def _comes_or_leaves(body: Body, inside: np.ndarray) -> bool:
    """Whether a body comes from outside of another, or leaves it for good: it is kicked or thrown, no part of it."""
    within = np.flatnonzero(inside)
    ways = body.points[: within[0]], body.points[within[-1] + 1 :]
    return any(len(way) >= _OWN_FRAMES and np.hypot(*np.ptp(way, axis=0)) > _OWN_WAY * body.side for way in ways)


def _without_shadows(bodies: list[Body]) -> list[Body]:
    """Drop pure darkenings that are seen while something weightier moves."""
    return [b for b in bodies if not is_shadow(b, bodies)]


def is_shadow(body: Body, others: Sequence[Body]) -> bool:
    """Whether a body is a pure darkening that one of the others may throw."""
    return body.shadow > _SHADOW and any(_casts(other, body) for other in others)


def _casts(other: Body, shadow: Body) -> bool:
    """Whether a body may throw a shadow: it moves at its times, and more."""
    if other.shadow > 0.5 or other.weight() < shadow.weight():
        return False
    return len(together(shadow, other)[0]) >= max(4, 0.5 * len(shadow.frames))
