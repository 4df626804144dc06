"""Trails of one thing put together over gaps, and trails cut where they went over to another thing."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, together
from pavas_core.estimation.tracking.gathering import as_one
from pavas_core.estimation.tracking.linking import Observation
from pavas_core.estimation.tracking.moving import furthest_run

_JOIN_S = 0.8
_JOIN_COST = 1.2
_SIZE = 0.5
_COLOUR = 40.0
"""Logarithm of the side, and colour, by which trails of one thing may differ."""
_CUT_SPAN = 4
_LEAST = 4
"""Sightings by which it can be told where a trail comes from or goes on."""
_AROUND = 30
"""What it was like lately tells that, whatever it once was."""
_AT_ONCE = 3
"""Frames within which a trail begins or ends where another one changes over."""
_BETTER = 0.3
"""By how much the cost of going on as another trail must be less than that of going on as itself."""
_SHADE = 0.7
"""Share of an outline that turns from a thing into a mere darkening of the background, or back."""
_TINT = 70.0
"""Change of colour, of 255, that is enough by itself."""
_WHOLE = 0.7
"""Of its usual area: with less a thing is half hidden."""
_TURN = 0.8
"""Share of their common time in which two trails must show but pieces of one thing."""
_PIECES = 1.3
"""Of the usual area: what two pieces of one thing show of it at once, at most."""


def merge_twins(bodies: list[Body]) -> list[Body]:
    """Make one of two trails that lie on each other: the longer one, its gaps filled from the other.

    Of two where one stands still, as the place does where a thing will come to rest, the one that came counts.
    """
    bodies = sorted(bodies, key=lambda b: -len(b.observations))
    kept: list[Body] = []
    for body in bodies:
        for i, other in enumerate(kept):
            if _twins(other, body):
                came = furthest_run(body) > max(2.0 * furthest_run(other), body.side)
                kept[i] = _union(body, other) if came else _union(other, body)
                break
        else:
            kept.append(body)
    return kept


def _twins(a: Body, b: Body) -> bool:
    if a.first.frame >= b.last.frame or b.first.frame >= a.last.frame or abs(math.log(a.side / b.side)) > 0.45:
        return False
    if np.abs(a.colour - b.colour).mean() > 45:
        return False
    close = 0.5 * min(a.side, b.side) + 0.5
    ia, ib = together(a, b)
    if len(ia) >= max(2, 0.1 * len(b.frames)):
        return float((np.hypot(*(a.points[ia] - b.points[ib]).T) < close).mean()) > 0.6
    # They take turns: each is missing where the other is seen, on one path.
    inside = (b.frames >= a.first.frame) & (b.frames <= a.last.frame)
    if inside.mean() < 0.8:
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


def join(bodies: list[Body], frame_rate: float) -> list[Body]:
    """Join a trail that ends to the one that begins where it would have come out, cheapest first.

    One that fits in between two is not passed over.
    A thing that passes behind a pole comes out on one side of it while it still goes in on the other.
    """
    if not bodies:
        return []
    longest = max(3, round(_JOIN_S * frame_rate))
    starts, ends = (np.array([b.frames[k] for b in bodies]) for k in (0, -1))
    sizes, colours = np.log([b.side for b in bodies]), np.array([b.colour for b in bodies])
    near = (starts[:, None] < starts) & (starts <= ends[:, None] + longest) & (np.abs(sizes[:, None] - sizes) <= _SIZE)
    costs: dict[tuple[int, int], float] = {}
    for i, j in np.argwhere(near & (np.abs(colours[:, None] - colours).mean(axis=2) <= _COLOUR)):
        a, b = bodies[i], bodies[j]
        come, gone = (a, b) if b.first.frame > a.last.frame else _whole_parts(a, b)
        gap = gone.first.frame - come.last.frame
        cost = _join_cost(come, gone) if 0 < gap <= longest else _JOIN_COST
        if cost < _JOIN_COST:
            costs[int(i), int(j)] = cost
    after: dict[int, int] = {}
    before: dict[int, int] = {}
    for i, j in sorted(costs, key=lambda pair: (costs[pair], pair)):
        between = any((i, k) in costs and (k, j) in costs for k in range(len(bodies)))
        if i not in after and j not in before and not between:
            after[i], before[j] = j, i
    out = []
    for i in range(len(bodies)):
        if i in before:
            continue
        chain, at = bodies[i], i
        while at in after:
            at = after[at]
            chain = _in_turn(chain, bodies[at])
        out.append(chain)
    return out


def _whole_parts(a: Body, b: Body) -> tuple[Body, Body]:
    """The first up to where it is last seen whole and the second from where it first is, if both are pieces between."""
    ia, ib = together(a, b)
    usual = max(a.area, b.area)
    pieces = [a.observations[i].area + b.observations[k].area <= _PIECES * usual for i, k in zip(ia, ib, strict=True)]
    if a.last.frame >= b.last.frame or sum(pieces) < _TURN * len(pieces):
        return a, b
    last = max(i for i, o in enumerate(a.observations) if o.area >= _WHOLE * a.area)
    first = min(i for i, o in enumerate(b.observations) if o.area >= _WHOLE * b.area)
    return Body(a.observations[: last + 1]), Body(b.observations[first:])


def _in_turn(a: Body, b: Body) -> Body:
    """One after the other, and both where both are seen."""
    if b.first.frame > a.last.frame:
        return Body(a.observations + b.observations)
    seen = {o.frame: o for o in a.observations}
    for o in b.observations:
        seen[o.frame] = as_one([Body([seen[o.frame]]), Body([o])]).first if o.frame in seen else o
    return Body([seen[f] for f in sorted(seen)])


def _join_cost(a: Body, b: Body) -> float:
    """Below ``_JOIN_COST`` where two trails are likely one body: on a smooth path, at rest, or struck."""
    gap = b.first.frame - a.last.frame
    ratio = abs(math.log(a.side / b.side))
    if ratio > _SIZE:
        return 9.0
    tint = float(np.abs(a.colour - b.colour).mean())
    if tint > _COLOUR:
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


def cut(body: Body) -> list[Body]:
    """Part a trail where it went over from one thing to another of different size and colour: from foot to ball.

    So does what went over from a thing to the shadow that it casts.
    """
    seen, span = body.observations, _CUT_SPAN
    if len(seen) < 2 * span:
        return [body]
    windows = np.lib.stride_tricks.sliding_window_view
    areas = np.median(windows(np.log([o.area for o in seen]), span), axis=1)
    tints = np.median(windows(np.array([o.colour for o in seen]), span, axis=0), axis=2)
    whole = np.asarray(~windows(np.array([o.border for o in seen]), span).any(axis=1))
    size = np.abs(areas[span:] - areas[:-span]) / 2
    tint = np.abs(tints[span:] - tints[:-span]).mean(axis=1)
    shades = np.median(windows(np.array([o.shadow for o in seen]), span), axis=1)
    shade = np.abs(shades[span:] - shades[:-span])
    other = np.minimum(np.maximum(size / 0.35, shade / _SHADE), tint / 40.0)
    change = np.maximum(size / 0.6, np.maximum(other, tint / _TINT)) * (whole[span:] & whole[:-span])
    at = int(change.argmax())
    if change[at] <= 1.0:
        return [body]
    # Medians of even windows change as much a step early or late: take the middle.
    level = np.flatnonzero(change[at : at + span] < change[at] - 1e-9)
    at += ((int(level[0]) if level.size else min(span, len(change) - at)) - 1) // 2
    return [*cut(Body(seen[: at + span])), *cut(Body(seen[at + span :]))]


def cut_where_swapped(bodies: list[Body]) -> list[Body]:
    """Part trails that went over to another thing where a trail begins or ends that goes on better with one half."""
    others = [b for b in bodies if len(b.frames) >= _LEAST]
    if not others:
        return bodies
    sides = np.array([b.side for b in others])
    starts, ends = (np.array([b.frames[k] for b in others]) for k in (0, -1))
    first, last = (np.array([b.points[k] for b in others]) for k in (0, -1))
    out = []
    for body in bodies:
        left, came = np.searchsorted(body.frames, starts), np.searchsorted(body.frames, ends + 1)
        begun, ended = _close(body, left - 1, starts, first, sides), _close(body, came, ends, last, sides)
        swaps = {int(left[k]) for k in begun if _goes_on(body, left[k], others[k])}
        swaps |= {int(came[k]) for k in ended if _comes(others[k], body, came[k])}
        marks = [0, *sorted(swaps), len(body.frames)]
        out += [Body(body.observations[i:j]) for i, j in pairwise(marks)] if swaps else [body]
    return out


def _close(body: Body, at: np.ndarray, frames: np.ndarray, points: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Which of the others' ends are close in time and place to the observation of the body at these places."""
    count = len(body.frames)
    place = np.clip(at, 0, count - 1)
    apart = np.hypot(*(body.points[place] - points).T)
    near = (np.abs(body.frames[place] - frames) <= _AT_ONCE) & (apart <= _AT_ONCE * sides)
    return np.flatnonzero(near & (at >= 0) & (at < count))


def _goes_on(body: Body, i: int, other: Body) -> bool:
    """Whether the first ``i`` observations of a body go on better as the other than as the rest of it."""
    if not _LEAST <= i < len(body.frames):
        return False
    head, tail = _around(body, i)
    return _joins_better(_join_cost(head, other), head, tail)


def _comes(other: Body, body: Body, i: int) -> bool:
    """Whether the observations of a body from ``i`` on come from the other rather than from those before."""
    if not 0 < i <= len(body.frames) - _LEAST:
        return False
    head, tail = _around(body, i)
    return _joins_better(_join_cost(other, tail), head, tail)


def _around(body: Body, i: int) -> tuple[Body, Body]:
    """What a body was lately before its observation ``i``, and soon after."""
    return Body(body.observations[max(0, i - _AROUND) : i]), Body(body.observations[i : i + _AROUND])


def _joins_better(cost: float, head: Body, tail: Body) -> bool:
    """Whether at this cost another trail is the same body, and likelier so than ``head`` and ``tail`` are."""
    return cost < _JOIN_COST and cost + _BETTER < _join_cost(head, tail)


def _end_speed(observations: list[Observation]) -> np.ndarray:
    """Least-squares velocity of a few sightings, pixels per frame."""
    t = np.array([o.frame for o in observations], float)
    p = np.array([o.world for o in observations])
    t = t - t.mean()
    return (t @ (p - p.mean(0))) / max(float(t @ t), 1e-9) if len(t) > 1 else np.zeros(2)
