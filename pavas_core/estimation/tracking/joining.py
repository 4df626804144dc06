"""Trails of one thing put together over gaps, and trails cut where they went over to another thing."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, together
from pavas_core.estimation.tracking.linking import Observation

_JOIN_S = 0.8
_JOIN_COST = 1.2
_CUT_SPAN = 4


def merge_twins(bodies: list[Body]) -> list[Body]:
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
    ratio = abs(math.log(a.side / b.side))
    if ratio > 0.5:
        return 9.0
    tint = float(np.abs(a.colour - b.colour).mean())
    if tint > 40.0:
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
    """Part a trail where it went over from one thing to another of different size and colour: from foot to ball."""
    seen, span = body.observations, _CUT_SPAN
    if len(seen) < 2 * span:
        return [body]
    windows = np.lib.stride_tricks.sliding_window_view
    areas = np.median(windows(np.log([o.area for o in seen]), span), axis=1)
    tints = np.median(windows(np.array([o.colour for o in seen]), span, axis=0), axis=2)
    whole = np.asarray(~windows(np.array([o.border for o in seen]), span).any(axis=1))
    size = np.abs(areas[span:] - areas[:-span]) / 2
    tint = np.abs(tints[span:] - tints[:-span]).mean(axis=1)
    change = np.maximum(size / 0.6, np.minimum(size / 0.35, tint / 40.0)) * (whole[span:] & whole[:-span])
    at = int(change.argmax())
    if change[at] <= 1.0:
        return [body]
    # Medians of even windows change as much a step early or late: take the middle.
    level = np.flatnonzero(change[at : at + span] < change[at] - 1e-9)
    at += ((int(level[0]) if level.size else min(span, len(change) - at)) - 1) // 2
    return [*cut(Body(seen[: at + span])), *cut(Body(seen[at + span :]))]


def _end_speed(observations: list[Observation]) -> np.ndarray:
    """Least-squares velocity of a few sightings, pixels per frame."""
    t = np.array([o.frame for o in observations], float)
    p = np.array([o.world for o in observations])
    t = t - t.mean()
    return (t @ (p - p.mean(0))) / max(float(t @ t), 1e-9) if len(t) > 1 else np.zeros(2)
