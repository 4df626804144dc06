"""Outlines completed by the dense flow: a thing of which only pieces are found is all that moves with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pavas_core.estimation.tracking.bodies import Body, box_areas, shared_areas, together
from pavas_core.estimation.tracking.gathering import as_one
from pavas_core.estimation.tracking.linking import Observation
from pavas_core.estimation.tracking.parts import Part

_WITHIN = 0.5
"""Share of an outline within a moving part, or a whole, that makes it a piece of it."""
_SLOW = 0.35
"""Of its speed: what moves with a thing is at least this fast."""
_PIECE = 0.5
"""Share of the whole's box below which an outline is but a piece of it."""
_THERE = 0.5
"""Boxes of what stands still have this intersection over union."""
_LEAST_FRAMES = 3
_TOGETHER = 0.6
"""Share of its time that a piece is seen together with its whole."""


def complete(bodies: Sequence[Body], parts: Sequence[Part]) -> list[Body]:
    """The bodies in their order, with the outlines of all that moves with them where only pieces of it are seen.

    Bodies that then turn out to be pieces of another are united with it. Round bodies are whole, and what moves
    together with one in a frame (a ball on a foot) is left out of account there.
    """
    by_frame: dict[int, list[Part]] = {}
    for part in parts:
        by_frame.setdefault(part.frame, []).append(part)
    free = [{o.frame: o for o in body.observations} for body in bodies if body.round]
    out = [body if body.round else _completed(body, by_frame, free) for body in bodies]
    wholes = [new for new, old in zip(out, bodies, strict=True) if new is not old]
    for body in sorted(out, key=lambda b: len(b.frames) * b.area):
        whole = next((w for w in wholes if w is not body and _covers(w, body)), None)
        if whole is not None:
            both = as_one([whole, body])
            wholes = [both if w is whole else w for w in wholes if w is not body]
            out = [both if b is whole else b for b in out if b is not body]
    return out


def _completed(body: Body, parts: dict[int, list[Part]], free: Sequence[dict[int, Observation]]) -> Body:
    """The body, or one with larger outlines in all of its frames."""
    whole: dict[int, Observation] = {}
    for o in body.observations:
        found = _all_that_moves(o, parts.get(o.frame, ()), [f[o.frame] for f in free if o.frame in f])
        if found is not None:
            whole[o.frame] = found
    if len(whole) < _LEAST_FRAMES:
        return body
    known = np.array(sorted(whole))
    pieces = np.array([o.box for o in body.observations if o.frame in whole])
    wholes = np.array([whole[f].box for f in known])
    if float(np.median(box_areas(pieces) / box_areas(wholes))) > _PIECE:
        return body
    seen = {o.frame: o for o in body.observations}
    out = []
    for o in body.observations:
        near = int(known[np.abs(known - o.frame).argmin()])
        out.append(whole.get(o.frame) or _at_rest(o, seen[near], whole[near]))
    return Body(out)


def _at_rest(o: Observation, piece: Observation, whole: Observation) -> Observation:
    """The observation with the outline that it has when it next moves or had when it last did, if it still is there.

    ``piece`` is what was seen of it then, ``whole`` that outline.
    """
    boxes = np.array([o.box]), np.array([_moved(piece, o).box])
    common = shared_areas(*boxes)
    if common < _THERE * (box_areas(boxes[0]) + box_areas(boxes[1]) - common):
        return o
    return _united(o, _moved(whole, o))


def _all_that_moves(o: Observation, parts: Sequence[Part], free: Sequence[Observation]) -> Observation | None:
    """The observation with the fastest moving part that holds most of it; None if there is none of its own."""
    if o.flow is None:
        return None
    speed = float(np.hypot(*o.flow))
    for part in sorted(parts, key=lambda p: -p.level):
        if part.level > _SLOW * speed:
            continue
        x0, y0, mask = part.in_frame()
        if _share(o, x0, y0, mask) >= _WITHIN:
            if any(_holds(x0, y0, mask, other.centroid) for other in free):
                return None
            height, width = mask.shape
            box = float(x0), float(y0), float(x0 + width), float(y0 + height)
            return _united(o, replace(o, origin=(x0, y0), shape=(height, width), bits=np.packbits(mask), box=box))
    return None


def _moved(o: Observation, to: Observation) -> Observation:
    """The outline of one frame in the pixels of another, where it has not moved itself."""
    shift = np.array(o.world) - np.array(o.centroid) - (np.array(to.world) - np.array(to.centroid))
    dx, dy = round(float(shift[0])), round(float(shift[1]))
    x0, y0, x1, y1 = o.box
    return replace(o, origin=(o.origin[0] + dx, o.origin[1] + dy), box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy))


def _united(o: Observation, other: Observation) -> Observation:
    """An observation with the outlines of both; where it is and how it moves stays its own."""
    union = as_one([Body([o]), Body([other])]).first
    return replace(o, box=union.box, area=union.area, origin=union.origin, shape=union.shape, bits=union.bits)


def _covers(whole: Body, body: Body) -> bool:
    """Whether a body is seen mostly within the outline of another."""
    mine, theirs = together(body, whole)
    if len(mine) < _TOGETHER * len(body.frames):
        return False
    wholes = [whole.observations[k] for k in theirs[::2]]
    shares = [
        _share(body.observations[i], w.origin[0], w.origin[1], w.mask) for i, w in zip(mine[::2], wholes, strict=True)
    ]
    return float(np.median(shares)) > _WITHIN


def _share(o: Observation, x0: int, y0: int, mask: np.ndarray) -> float:
    """Share of an observation's pixels that lie in a mask (bool [h, w]) with its corner at x0, y0."""
    (x, y), (height, width) = o.origin, o.shape
    left, top = max(x0, x), max(y0, y)
    right, bottom = min(x0 + mask.shape[1], x + width), min(y0 + mask.shape[0], y + height)
    if right <= left or bottom <= top:
        return 0.0
    own = o.mask
    common = own[top - y : bottom - y, left - x : right - x] & mask[top - y0 : bottom - y0, left - x0 : right - x0]
    return int(np.count_nonzero(common)) / max(1, int(np.count_nonzero(own)))


def _holds(x0: int, y0: int, mask: np.ndarray, point: tuple[float, float]) -> bool:
    x, y = int(point[0]) - x0, int(point[1]) - y0
    return 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[y, x])
