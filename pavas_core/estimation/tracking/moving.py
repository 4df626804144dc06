"""Whether a body really goes somewhere: a run in one direction, pixels that flow, or a shot."""

from __future__ import annotations

import numpy as np

from pavas_core.estimation.tracking.bodies import Body

_RUN_STEPS = 3
_SHOT_AREA = 60.0
_SETS_OUT_PX, _SETS_OUT = 2.0, 0.15
"""Pixels, or of its side: how far from where it rests a body is that has set out."""
_LOOK_S = 0.2


def moves(body: Body, frame_rate: float) -> bool:
    if _shoots(body):
        return True
    count, life = len(body.observations), body.frames[-1] - body.frames[0] + 1
    if count < max(3, round(0.15 * frame_rate)) or (count < 0.5 * life and count < 0.5 * frame_rate):
        return False
    if body.area < 12 and (body.extent < 12 or count < 6):
        return False
    if body.extent >= max(4.0, 0.6 * body.side) and furthest_run(body) >= max(4.0, 0.4 * body.side):
        return True
    # A large body partly out of the picture keeps its centroid; its pixels still flow.
    run = _flow_run(body)
    cut = float(np.mean([o.border for o in body.observations])) > 0.3
    if body.side <= 12 or run <= max(8.0, 0.3 * body.side):
        return False
    if cut:
        return body.extent >= max(3.0, 0.1 * body.side)
    return body.extent >= max(3.0, 0.3 * body.side) and furthest_run(body) >= 0.15 * body.side


def awake(body: Body, frame_rate: float) -> Body:
    """A body from shortly before it sets out until shortly after it comes to rest: how it is while it matters."""
    room, some = max(_SETS_OUT_PX, _SETS_OUT * body.side), round(_LOOK_S * frame_rate)
    start, end = np.median(body.points[:3], axis=0), np.median(body.points[-3:], axis=0)
    away, coming = (np.flatnonzero(np.hypot(*(body.points - place).T) > room) for place in (start, end))
    if not len(away) or not len(coming):
        return body
    out = int(away[0]), int(coming[-1])
    first, last = max(0, min(out) - some), max(out) + 1 + some
    return body if first == 0 and last >= len(body.frames) else Body(body.observations[first:last])


def stirs(body: Body) -> bool:
    """A fragment that moves at all, not a spot that shimmers or a thing at rest."""
    return furthest_run(body) >= max(2.5, 0.15 * body.side) or _flow_run(body) > max(4.0, 0.2 * body.side)


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


def furthest_run(body: Body) -> float:
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
