"""Which trails are moving objects: joined over gaps, gathered into bodies, freed of shadows and waving things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from pavas_core.estimation.linking import Observation, Trail

_JOIN_S = 0.8
_REST_S = 3.0
_JOIN_COST = 1.2
_ROUND = 0.82
_PROMINENCE = 0.17
_ROUND_PROMINENCE = 0.3
_SHADOW = 0.85
_RUN_STEPS = 3
_MOST_TRAILS = 120
_OWN_WAY = 0.45
_CUT_SPAN = 4
_SHOT_AREA = 60.0


@dataclass
class Body:
    """Observations of one thing in order of time, with what they have in common."""

    observations: list[Observation]

    def __post_init__(self) -> None:
        seen = self.observations
        self.frames = np.array([o.frame for o in seen])
        self.points = np.array([o.world for o in seen], float)
        areas = np.array([o.area for o in seen])
        self.area = float(np.median(areas))
        self.side = float(np.sqrt(self.area))
        """Square root of the typical area, pixels."""
        self.colour = np.median([o.colour for o in seen], axis=0)
        low, high = np.percentile(self.points, [5, 95], axis=0)
        self.extent = float(np.hypot(*(high - low)))
        """Diagonal of the box that holds the middle nine tenths of the path, pixels."""
        own = [o for o in seen if not (o.by_template or o.held)] or seen
        self.attached = float(np.mean([o.parent >= 0 for o in own]))
        self.carried = self.attached > 0.5 and _mismatch(own) < _OWN_WAY
        """It moves with the larger thing around it, as a mark or a limb does, and not on its own."""
        self.shadow = float(np.median([o.shadow for o in own]))
        clear = [o for o in seen if not (o.border or o.by_template or o.held)] or seen
        clear_areas = np.array([o.area for o in clear])
        steady = float(np.median(np.abs(np.log(clear_areas / np.median(clear_areas))))) < 0.4
        self.round = (
            steady
            and float(np.median([o.roundness for o in clear])) > _ROUND
            and float(np.percentile([o.aspect for o in clear], 25)) < 1.7
        )
        """Round and compact, at least where it is slow enough not to be drawn out by motion blur."""

    @property
    def first(self) -> Observation:
        return self.observations[0]

    @property
    def last(self) -> Observation:
        return self.observations[-1]

    def weight(self) -> float:
        """How much of the clip's motion this carries."""
        return float(self.extent * np.sqrt(len(self.observations) * self.side))

    def presence(self) -> float:
        """How much of the picture moves with this, and how far; a few times its own size is far enough."""
        return float(min(self.extent, 4.0 * self.side) * self.side)


def _mismatch(observations: list[Observation]) -> float:
    """Typical difference between a thing's motion and that of what is around it, relative to its own."""
    pairs = [(o.flow, o.around) for o in observations if o.flow is not None and o.around is not None]
    moving = [(np.array(a), np.array(b)) for a, b in pairs if np.hypot(*a) > 1.0]
    if len(moving) < 3:
        return 0.0
    return float(np.median([np.hypot(*(a - b)) / np.hypot(*a) for a, b in moving]))


def select(trails: list[Trail], frame_rate: float, most: int) -> list[Body]:
    """At most ``most`` bodies that really move, ordered by first appearance."""
    bodies = [Body(t.observations) for t in trails if len(t.observations) >= 3]
    bodies = sorted(bodies, key=Body.weight)[-_MOST_TRAILS:]
    bodies = _merge_twins([part for b in bodies for part in _cut(b)])
    bodies = _join(bodies, frame_rate)
    bodies = _merge_twins(bodies)
    free = [b for b in bodies if _is_free(b, frame_rate)]
    held = [b for b in bodies if not any(b is f for f in free) and _stirs(b)]
    held = [b for b in held if not any(_is_mark(b, f) for f in free)]
    groups = _gather(held, frame_rate)
    limbs = [f for f in free if any(_is_limb(f, g, frame_rate) for g in groups)]
    if limbs:
        free = [f for f in free if not any(f is limb for limb in limbs)]
        groups = _gather(groups + limbs, frame_rate)
    free = _without_doubles(free)
    groups = [g for g in _without_covered(groups, free) if _moves(g, frame_rate)]
    for group in groups:
        group.round = False
    moving = _prominent(_without_shadows(free + groups))
    moving.sort(key=lambda b: -b.weight())
    return sorted(moving[:most], key=lambda b: b.first.frame)


def _prominent(bodies: list[Body]) -> list[Body]:
    """Those that matter beside the most prominent: a small round thing that goes far does."""
    most = max((b.presence() for b in bodies), default=0.0)
    furthest = max((b.weight() for b in bodies), default=0.0)
    return [
        b
        for b in bodies
        if b.presence() >= _PROMINENCE * most
        or (b.round and b.presence() >= 0.3 * _PROMINENCE * most and b.weight() >= _ROUND_PROMINENCE * furthest)
    ]


def _is_free(body: Body, frame_rate: float) -> bool:
    """A compact body with a path of its own, even in front of a larger one."""
    far = 2.5 if body.attached > 0.5 else 1.0
    return body.round and not body.carried and body.extent > far * body.side and _moves(body, frame_rate)


def _is_mark(body: Body, whole: Body) -> bool:
    """Something small that is seen almost only within a round body: its pattern, its highlight, its edge."""
    if body.area > 0.4 * whole.area:
        return False
    _, ia, ib = np.intersect1d(body.frames, whole.frames, return_indices=True)
    if len(ia) < 0.5 * len(body.frames):
        return False
    boxes = _boxes(whole)[ib]
    inside = ((body.points[ia] >= boxes[:, :2] - 2) & (body.points[ia] <= boxes[:, 2:] + 2)).all(axis=1)
    return float(inside.sum()) > 0.7 * len(body.frames)


def _without_covered(groups: list[Body], free: list[Body]) -> list[Body]:
    """Take from the groups what is but a free body seen again (with its shadow, say)."""
    out = []
    for group in groups:
        taken: set[int] = set()
        for body in free:
            _, ia, ib = np.intersect1d(group.frames, body.frames, return_indices=True)
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
            _, ia, ib = np.intersect1d(body.frames, other.frames, return_indices=True)
            apart = np.hypot(*(body.points[ia] - other.points[ib]).T)
            if (apart < 0.6 * max(body.side, other.side)).sum() > 0.4 * len(body.frames):
                break
        else:
            kept.append(body)
    return kept


def _is_limb(body: Body, group: Body, frame_rate: float) -> bool:
    """A round patch (a hand, a knee, a face) of a larger body, rather than a ball in front of it.

    A ball crosses much of the body again and again; a patch stays with its limb.
    """
    if group.area < 3.0 * body.area:
        return False
    at = np.clip(np.searchsorted(group.frames, body.frames), 0, len(group.frames) - 1)
    early = np.maximum(at - 1, 0)
    at = np.where(np.abs(group.frames[early] - body.frames) < np.abs(group.frames[at] - body.frames), early, at)
    close = np.abs(group.frames[at] - body.frames) <= 0.2 * frame_rate
    boxes = _boxes(group)[at]
    margin = 0.1 * (boxes[:, 2:] - boxes[:, :2])
    inside = close & ((body.points >= boxes[:, :2] - margin) & (body.points <= boxes[:, 2:] + margin)).all(axis=1)
    if inside.mean() < 0.7:
        return False
    if len(body.frames) < 0.4 * frame_rate:
        return True
    span = max(4, round(0.6 * frame_rate))
    starts = range(0, max(1, len(body.points) - span // 2), max(1, span // 2))
    travel = float(np.median([np.hypot(*np.ptp(body.points[i : i + span], axis=0)) for i in starts]))
    across = float(np.median(np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)))
    return travel < max(1.2 * body.side, 0.12 * across) or body.area < 0.02 * group.area


def _flow_run(body: Body) -> float:
    """Furthest that the object's own pixels flowed in one direction without turning back, pixels."""
    run, best = np.zeros(2), 0.0
    for o in body.observations:
        step = np.zeros(2) if o.flow is None else np.array(o.flow)
        if float(np.hypot(*step)) < 0.25 or float(step @ run) < 0.0:
            run = np.zeros(2)
            continue
        run = run + step
        best = max(best, float(np.hypot(*run)))
    return best


def _stirs(body: Body) -> bool:
    """A fragment that moves at all, not a spot that shimmers or a thing at rest."""
    return _run(body) >= max(2.5, 0.15 * body.side) or _flow_run(body) > max(4.0, 0.2 * body.side)


def _run(body: Body) -> float:
    """Furthest way, pixels, over sightings whose steps keep on in one direction; jumps and jitter have none.

    Slow bodies are looked at with longer steps, which must then be as long as their noise.
    """
    fresh = np.array([not o.held for o in body.observations])
    frames, points = body.frames[fresh], body.points[fresh]
    best = 0.0
    for stride in (1, 2, 4, 8):
        at, where = frames[::stride], points[::stride]
        if len(at) < _RUN_STEPS + 1:
            break
        steps, gaps = np.diff(where, axis=0), np.diff(at)
        length = np.hypot(*steps.T)
        dot = (steps[1:] * steps[:-1]).sum(axis=1)
        short, long = np.minimum(length[1:], length[:-1]), np.maximum(length[1:], length[:-1])
        keeps = (
            (dot > 0.5 * length[1:] * length[:-1])
            & (short > 0.25 * long)
            & (np.maximum(gaps[1:], gaps[:-1]) <= 3 * stride)
        )
        start = 0
        for i in range(len(keeps) + 1):
            if i == len(keeps) or not keeps[i]:
                if i - start >= _RUN_STEPS - 1:
                    best = max(best, float(np.hypot(*(where[i + 1] - where[start]))))
                start = i + 1
    return best


def _shoots(body: Body) -> bool:
    """Three sightings in a row, each a whole body further on the same line: too fast to be seen for longer."""
    if len(body.observations) > 12 or body.area < _SHOT_AREA:
        return False
    for i in range(len(body.observations) - 2):
        a, b = body.points[i + 1] - body.points[i], body.points[i + 2] - body.points[i + 1]
        short, long = sorted((float(np.hypot(*a)), float(np.hypot(*b))))
        sizes = [o.area for o in body.observations[i : i + 3]]
        if (
            body.frames[i + 2] - body.frames[i] == 2
            and short > max(1.5 * body.side, 0.5 * long)
            and float(a @ b) > 0.95 * short * long
            and max(sizes) < 2.5 * min(sizes)
        ):
            return True
    return False


def _moves(body: Body, frame_rate: float) -> bool:
    if _shoots(body):
        return True
    count, life = len(body.observations), body.frames[-1] - body.frames[0] + 1
    if count < max(3, round(0.15 * frame_rate)) or (count < 0.5 * life and count < 0.5 * frame_rate):
        return False
    if body.area < 12 and (body.extent < 12 or count < 6):
        return False
    if body.extent >= max(4.0, 0.6 * body.side) and _run(body) >= max(4.0, 0.4 * body.side):
        return True
    # A large body partly out of the picture keeps its centroid; its pixels still flow.
    run = _flow_run(body)
    cut = float(np.mean([o.border for o in body.observations])) > 0.3
    if body.side <= 12 or run <= max(8.0, 0.3 * body.side):
        return False
    if cut:
        return body.extent >= max(3.0, 0.1 * body.side)
    return body.extent >= max(3.0, 0.3 * body.side) and _run(body) >= 0.15 * body.side


def _merge_twins(bodies: list[Body]) -> list[Body]:
    """Make one of two trails that lie on each other: the longer one, its gaps filled from the other."""
    bodies = sorted(bodies, key=lambda b: -len(b.observations))
    kept: list[Body] = []
    for body in bodies:
        for i, other in enumerate(kept):
            if _twins(other, body):
                kept[i] = _union(other, body)
                break
        else:
            kept.append(body)
    return kept


def _twins(a: Body, b: Body) -> bool:
    if abs(np.log(a.side / b.side)) > 0.45 or np.abs(a.colour - b.colour).mean() > 45:
        return False
    close = 0.5 * min(a.side, b.side) + 0.5
    common, ia, ib = np.intersect1d(a.frames, b.frames, return_indices=True)
    if len(common) >= max(2, 0.1 * len(b.frames)):
        return float((np.hypot(*(a.points[ia] - b.points[ib]).T) < close).mean()) > 0.6
    # They take turns: each is missing where the other is seen, on one path.
    low, high = max(a.frames[0], b.frames[0]), min(a.frames[-1], b.frames[-1])
    inside = (b.frames >= a.frames[0]) & (b.frames <= a.frames[-1])
    if high <= low or inside.mean() < 0.8:
        return False
    x = np.interp(b.frames[inside], a.frames, a.points[:, 0])
    y = np.interp(b.frames[inside], a.frames, a.points[:, 1])
    miss = np.hypot(b.points[inside, 0] - x, b.points[inside, 1] - y)
    return bool(np.median(miss) < 2.0 * close)


def _union(a: Body, b: Body) -> Body:
    """Both, the first preferred where both are seen."""
    seen = {o.frame: o for o in b.observations}
    for o in a.observations:
        other = seen.get(o.frame)
        if other is None or other.held or not o.held:
            seen[o.frame] = o
    return Body([seen[f] for f in sorted(seen)])


def _join(bodies: list[Body], frame_rate: float) -> list[Body]:
    """Join a trail that ends to the one that begins where it would have come out, cheapest first."""
    longest = max(3, round(_JOIN_S * frame_rate))
    pairs = []
    for i, a in enumerate(bodies):
        for j, b in enumerate(bodies):
            if i != j and 0 < b.first.frame - a.last.frame <= longest:
                cost = _join_cost(a, b, b.first.frame - a.last.frame)
                if cost < _JOIN_COST:
                    pairs.append((cost, i, j))
    after: dict[int, int] = {}
    before: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in after and j not in before:
            after[i], before[j] = j, i
    out = []
    for i in range(len(bodies)):
        if i in before:
            continue
        chain, at = list(bodies[i].observations), i
        while at in after:
            at = after[at]
            chain += bodies[at].observations
        out.append(Body(chain))
    return out


def _join_cost(a: Body, b: Body, gap: int) -> float:
    """Below ``_JOIN_COST`` where two trails are likely one body: on a smooth path, at rest, or struck."""
    ratio = abs(np.log(a.side / b.side))
    tint = float(np.abs(a.colour - b.colour).mean())
    if ratio > 0.5 or tint > 40.0:
        return 9.0
    size = min(a.side, b.side)
    speed_a, speed_b = _end_speed(a.observations[-6:]), _end_speed(b.observations[:6])
    pace = float(np.hypot(*speed_a) + np.hypot(*speed_b)) / 2
    leap = np.array(b.first.world) - np.array(a.last.world)
    # Under constant acceleration the leap is the mean of both end velocities times the gap.
    miss = float(np.hypot(*(leap - gap * (speed_a + speed_b) / 2)))
    smooth = miss / (3.0 + 0.7 * size + 0.25 * pace * gap)
    stayed = float(np.hypot(*leap)) / (2.0 + 0.6 * size) + 0.2
    struck = float(np.hypot(*leap)) / (3.0 + 0.9 * size + 1.3 * pace * gap) + 0.25
    return min(smooth, stayed, struck) + 0.5 * ratio + tint / 120.0 + 0.2 * gap / 15.0


def _cut(body: Body) -> list[Body]:
    """Part a trail where it went over from one thing to another of different size and colour: from foot to ball."""
    seen = body.observations
    worst, at = 1.0, 0
    for k in range(_CUT_SPAN, len(seen) - _CUT_SPAN + 1):
        before, after = seen[k - _CUT_SPAN : k], seen[k : k + _CUT_SPAN]
        if any(o.border for o in before + after):
            continue
        areas = [median(o.area for o in part) for part in (before, after)]
        tints = [np.median([o.colour for o in part], axis=0) for part in (before, after)]
        size, tint = abs(np.log(areas[0] / areas[1])) / 2, float(np.abs(tints[0] - tints[1]).mean())
        change = max(size / 0.6, min(size / 0.35, tint / 40.0))
        if change > worst:
            worst, at = change, k
    return [body] if at == 0 else [*_cut(Body(seen[:at])), *_cut(Body(seen[at:]))]


def _end_speed(observations: list[Observation]) -> np.ndarray:
    """Least-squares velocity of a few sightings, pixels per frame."""
    t = np.array([o.frame for o in observations], float)
    p = np.array([o.world for o in observations])
    t = t - t.mean()
    return (t @ (p - p.mean(0))) / max(float(t @ t), 1e-9) if len(t) > 1 else np.zeros(2)


def _gather(fragments: list[Body], frame_rate: float) -> list[Body]:
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
    return _absorb([_as_one(members) for members in groups.values()], frame_rate)


def _absorb(groups: list[Body], frame_rate: float) -> list[Body]:
    """Give small groups to a much larger one that surrounds them."""
    kept: list[Body] = []
    for group in sorted(groups, key=lambda g: -g.area * len(g.frames)):
        for i, other in enumerate(kept):
            if group.area < 0.3 * other.area and _surrounds(other, group, frame_rate):
                kept[i] = _as_one([other, group])
                break
        else:
            kept.append(group)
    return kept


def _surrounds(outer: Body, inner: Body, frame_rate: float) -> bool:
    """Whether the usual place of one body holds most of the path of another, near in time."""
    near = (outer.frames >= inner.frames[0] - frame_rate) & (outer.frames <= inner.frames[-1] + frame_rate)
    if not near.any():
        return False
    boxes = _boxes(outer)[near]
    low, high = np.percentile(boxes[:, :2], 20, axis=0), np.percentile(boxes[:, 2:], 80, axis=0)
    return float(((inner.points >= low) & (inner.points <= high)).all(axis=1).mean()) > 0.6


def _belong(a: Body, b: Body, frame_rate: float) -> bool:
    common, ia, ib = np.intersect1d(a.frames, b.frames, return_indices=True)
    shorter = min(len(a.frames), len(b.frames))
    boxes_a, boxes_b = _boxes(a), _boxes(b)
    if len(common) >= max(2, 0.25 * shorter):
        reach = 0.25 * max(a.side, b.side) + 2.0
        gaps = _gap(boxes_a[ia], boxes_b[ib])
        near = float((gaps < reach).mean())
        apart = _apart(a, b, ia, ib)
        if min(a.area, b.area) < 0.4 * max(a.area, b.area):
            return near > 0.5
        return near > 0.85 and apart < 0.6
    if a.first.frame > b.first.frame:
        a, b, boxes_a, boxes_b = b, a, boxes_b, boxes_a
    pause = b.first.frame - a.last.frame
    if not -0.25 * shorter <= pause <= _REST_S * frame_rate:
        return False
    if np.abs(a.colour - b.colour).mean() > 60:
        return False
    return bool(_gap(boxes_a[-1:], boxes_b[:1])[0] < 0.3 * min(a.side, b.side))


def _apart(a: Body, b: Body, ia: np.ndarray, ib: np.ndarray) -> float:
    """How differently two fragments move in their common frames, relative to how fast they move; 0 at rest."""
    pairs = [(a.observations[i].flow, b.observations[k].flow) for i, k in zip(ia, ib, strict=True)]
    steps = [(np.array(p), np.array(q)) for p, q in pairs if p is not None and q is not None]
    moving = [(p, q) for p, q in steps if max(np.hypot(*p), np.hypot(*q)) > 0.7]
    if len(moving) < 4:
        return 0.0
    return float(np.median([np.hypot(*(p - q)) / max(np.hypot(*p), np.hypot(*q)) for p, q in moving]))


def _boxes(body: Body) -> np.ndarray:
    """Boxes in world pixels [N, 4]: the camera's sway matters little between neighbours, its pan does."""
    boxes = np.array([o.box for o in body.observations])
    shift = body.points - np.array([o.centroid for o in body.observations])
    return boxes + np.tile(shift, 2)


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance between boxes [N, 4], zero where they overlap."""
    apart = np.maximum(0.0, np.maximum(a[:, :2] - b[:, 2:], b[:, :2] - a[:, 2:]))
    return np.hypot(apart[:, 0], apart[:, 1])


def _as_one(members: list[Body]) -> Body:
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


def _without_shadows(bodies: list[Body]) -> list[Body]:
    """Drop pure darkenings that are seen while something weightier moves."""
    return [b for b in bodies if not (b.shadow > _SHADOW and any(_casts(other, b) for other in bodies))]


def _casts(other: Body, shadow: Body) -> bool:
    """Whether a body may throw a shadow: it moves at its times, and more."""
    if other.shadow > 0.5 or other.weight() < shadow.weight():
        return False
    return len(np.intersect1d(shadow.frames, other.frames)) >= max(4, 0.5 * len(shadow.frames))
