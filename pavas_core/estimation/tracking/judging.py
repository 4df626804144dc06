"""Which of the chosen bodies are no objects of their own: a logistic regression on what each is like, and doubles.

Its weights come with the pack, in ``objects.json``; ``python -m pavas_core train objects`` makes such a file from
simulated scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pavas_core.estimation import regression
from pavas_core.estimation.tracking.bodies import Body, box_areas, shared_areas, together
from pavas_core.estimation.tracking.falling import falls_by_itself
from pavas_core.estimation.tracking.moving import awake, furthest_run, moves
from pavas_core.estimation.tracking.selection import is_shadow

WEIGHTS = Path(__file__).with_name("objects.json")
FEATURES = (
    "seconds", "cover", "clip", "side", "span", "fill", "way_sides", "way_widths", "run_widths", "round", "border",
    "jitter", "speed", "presence", "inside", "inside_ratio", "inside_ride", "alike", "presence_share",
)  # fmt: skip
_LEAST = 0.25
"""Bodies less likely than this are dropped."""
_CLEARLY = 0.5
"""Bodies that the rules have passed over and that are less likely than this are dropped."""
_LEAST_S = 0.4
"""They must be seen for so long."""
_LONG_S = 3.0
_OWN_RIDE = 0.7
_OWN_WAY_SIDES = 4.0
"""A round body followed this long whose way is so many times its own size, and not that of what is around it, goes its
own way: no patch in the simulated clips is seen for so long, and a ball before a person is smaller than any there."""
_WITHIN = 0.7
"""Share of a box from which on it lies within another."""
_INSIDE_SHARE = 0.6
"""Share of its frames in which a body that is seen inside another lies within it."""
_ALIKE = 0.25
_DOUBLE = 0.2
_DOUBLE_SHARE = 0.5
"""Boxes of doubles have this intersection over union in this share of the shorter one's frames."""


def judged(chosen: list[Body], others: list[Body], width: int, frame_rate: float, frames: int) -> list[Body]:
    """The bodies that are likely objects of their own, the likeliest first; of doubles the likelier one.

    Of the ``others``, which the rules have passed over as pieces, as doubles or for their little way, those count that
    are clearly likely, move for long enough and have a place of their own; and of all, what falls freely, however small
    it is beside the rest. ``width`` (pixels) is the picture's in which they were seen, ``frames`` how many the clip
    has.
    """
    if not chosen:
        return []
    features = describe(chosen + others, chosen, width, frame_rate, frames)
    likely = np.where(_goes_its_own_way(features), 1.0, likelihood(features))
    likely, clearly = likely[: len(chosen)], likelihood(features[len(chosen) :])
    kept: list[Body] = []
    for i in np.argsort(-likely, kind="stable"):
        if likely[i] >= _LEAST and not any(_double(chosen[i], other, frame_rate) for other in kept):
            kept.append(chosen[i])
    likeliest = len(kept)
    for i in np.argsort(-clearly, kind="stable"):
        body = others[i]
        if clearly[i] < _CLEARLY:
            break
        if len(body.frames) < _LEAST_S * frame_rate or not moves(body, frame_rate):
            continue
        if _has_own_place(body, kept, frame_rate):
            kept.append(body)
    # A dark round thing may look like a shadow; what is not round and does is one. It goes last: what lies on it is it.
    kept = kept[:likeliest] + [b for b in kept[likeliest:] if b.round or not is_shadow(b, kept)]
    dropped = [body for body in (*chosen, *others) if body not in kept]
    for body in sorted(dropped, key=lambda b: -len(b.frames)):
        if body.round and falls_by_itself(body, frame_rate) and _has_own_place(body, kept, frame_rate):
            kept.append(body)
    return kept


def _has_own_place(body: Body, kept: list[Body], frame_rate: float) -> bool:
    return not any(_double(body, o, frame_rate) or _inside(body, o) or _inside(o, body) for o in kept)


def likelihood(features: np.ndarray) -> np.ndarray:
    """Probability, [N], that each of the bodies with these features [N, F] is an object of its own."""
    return regression.likelihood(features, FEATURES, WEIGHTS)


def _goes_its_own_way(features: np.ndarray) -> np.ndarray:
    """bool [N] for features [N, F]."""
    of = dict(zip(FEATURES, features.T, strict=True))
    long = (of["round"] > 0) & (of["seconds"] >= np.log(_LONG_S)) & (of["way_sides"] >= np.log1p(_OWN_WAY_SIDES))
    return np.asarray(long & (of["inside_ride"] >= _OWN_RIDE * of["inside"]))


def describe(bodies: Sequence[Body], chosen: Sequence[Body], width: int, frame_rate: float, frames: int) -> np.ndarray:
    """FEATURES of every body while it is awake, [N, F]: of its own, then of how it lies to the ``chosen`` ones."""
    most = max((body.presence() for body in chosen), default=1.0)
    rows = []
    for whole in bodies:
        body = awake(whole, frame_rate)
        seen = body.observations
        boxes = body.boxes
        span = np.sqrt(np.maximum(1.0, box_areas(boxes)))
        usual = float(np.median(span))
        life = body.frames[-1] - body.frames[0] + 1
        steps = np.diff(body.points, axis=0) / np.diff(body.frames)[:, None]
        pace = float(np.median(np.hypot(*steps.T)))
        shake = float(np.median(np.hypot(*np.diff(steps, axis=0).T))) if len(steps) > 1 else 0.0
        rows.append(
            [
                np.log(len(seen) / frame_rate),
                len(seen) / life,
                len(seen) / frames,
                np.log(body.side / width),
                np.log(usual / width),
                float(np.median(np.array([o.area for o in seen]) / span**2)),
                np.log1p(body.extent / usual),
                np.log(body.extent / width + 0.003),
                np.log(furthest_run(body) / width + 0.003),
                float(body.round),
                float(np.mean([o.border for o in seen])),
                min(3.0, shake / (pace + 0.3)),
                np.log1p(pace / usual * frame_rate),
                np.log(body.presence() / width**2 + 1e-5),
                *_among(body, [other for other in chosen if other is not whole]),
                np.log(body.presence() / max(most, 1e-9) + 1e-3),
            ]
        )
    return np.array(rows).reshape(len(rows), len(FEATURES))


def _among(body: Body, others: Sequence[Body]) -> tuple[float, float, float, float]:
    """Share of its time within a larger body, and times that: log size ratio and its way within over its whole way;
    share of its time in the place of one seen for longer."""
    inside = ratio = alike = 0.0
    ride = 2.0
    size = float(np.median(box_areas(body.boxes)))
    for other in others:
        mine, theirs, common = _overlaps(body, other)
        if not len(mine):
            continue
        larger = float(np.median(box_areas(other.boxes)))
        own, whole = box_areas(body.boxes[mine]), box_areas(other.boxes[theirs])
        within = common / own > _WITHIN
        share = float(within.sum()) / len(body.frames)
        if larger > 1.3 * size and share > inside:
            inside, ratio = share, float(np.log(size / larger))
            way = body.points[mine][within]
            rest = way - other.points[theirs][within]
            ride = min(2.0, (_diagonal(rest) + 0.5) / (_diagonal(way) + 0.5)) if len(way) > 1 else 1.0
        if len(other.frames) >= len(body.frames):
            alike = max(alike, float((common / (own + whole - common) >= _ALIKE).sum()) / len(body.frames))
    return inside, ratio * inside, ride * inside, alike


def _double(body: Body, other: Body, frame_rate: float) -> bool:
    """Whether two are one thing seen twice; that they rest beside each other tells nothing."""
    body, other = awake(body, frame_rate), awake(other, frame_rate)
    mine, theirs, common = _overlaps(body, other)
    union = box_areas(body.boxes[mine]) + box_areas(other.boxes[theirs]) - common
    return int((common >= _DOUBLE * union).sum()) > _DOUBLE_SHARE * min(len(body.frames), len(other.frames))


def _inside(body: Body, other: Body) -> bool:
    mine, _, common = _overlaps(body, other)
    return int((common >= _WITHIN * box_areas(body.boxes[mine])).sum()) > _INSIDE_SHARE * len(body.frames)


def _overlaps(a: Body, b: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the common frames in either body, and the area that their boxes share there."""
    mine, theirs = together(a, b)
    return mine, theirs, shared_areas(a.boxes[mine], b.boxes[theirs])


def _diagonal(points: np.ndarray) -> float:
    return float(np.hypot(*np.ptp(points, axis=0)))
