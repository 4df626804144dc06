"""Which trails are moving objects: joined over gaps, freed of shadows, fragments and things waving in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.linking import Observation, Trail

_JOIN_S = 0.8
_ROUND = 0.82


def select(trails: list[Trail], frame_rate: float, width: int, height: int, most: int) -> list[Trail]:
    """At most ``most`` trails that really move, ordered by first appearance."""
    trails = [t for t in trails if len(t.observations) >= 3]
    trails = _join(trails, frame_rate)
    moving = [t for t in trails if _moves(t, frame_rate, width, height)]
    moving = _without_parts(moving)
    moving = _without_shadows(moving)
    moving.sort(key=lambda t: -_weight(t))
    return sorted(moving[:most], key=lambda t: t.observations[0].frame)


def path(trail: Trail) -> tuple[np.ndarray, np.ndarray]:
    """Frames [N] and world centroids [N, 2]."""
    return (
        np.array([o.frame for o in trail.observations]),
        np.array([o.world for o in trail.observations], float),
    )


def side(trail: Trail) -> float:
    """Square root of the typical area, pixels."""
    return float(np.sqrt(np.median([o.area for o in trail.observations])))


def is_round(trail: Trail) -> bool:
    """Round and compact most of the time."""
    clear = [o for o in trail.observations if not o.border and not o.by_template] or trail.observations
    roundness = np.array([o.roundness for o in clear])
    aspect = np.array([o.aspect for o in clear])
    areas = np.array([o.area for o in clear])
    middle = float(np.median(areas))
    steady = float(np.median(np.abs(np.log(areas / middle)))) < 0.3
    return float(np.median(roundness)) > _ROUND and float(np.percentile(aspect, 40)) < 1.7 and steady


def extent(trail: Trail) -> float:
    """Diagonal of the box that holds the middle nine tenths of the path, pixels."""
    _, points = path(trail)
    low, high = np.percentile(points, [5, 95], axis=0)
    return float(np.hypot(*(high - low)))


def _flow_run(trail: Trail) -> float:
    """Furthest that the object's own pixels flowed in one direction without turning back, pixels."""
    run, best = np.zeros(2), 0.0
    for o in trail.observations:
        if o.flow is None:
            run = np.zeros(2)
            continue
        step = np.array(o.flow)
        if float(np.hypot(*step)) < 0.25 or float(step @ run) < 0.0:
            run = np.zeros(2)
            continue
        run = run + step
        best = max(best, float(np.hypot(*run)))
    return best


def _steadiness(trail: Trail, span: int) -> float:
    """Net over total path in windows of ``span`` frames: 1 = straight, about 1/sqrt(span) = jitter."""
    frames, points = path(trail)
    if len(points) <= span:
        total = np.hypot(*np.diff(points, axis=0).T).sum()
        return float(np.hypot(*(points[-1] - points[0])) / max(total, 1e-6))
    net = np.hypot(*(points[span:] - points[:-span]).T)
    steps = np.hypot(*np.diff(points, axis=0).T)
    total = np.convolve(steps, np.ones(span), "valid")
    return float(net.sum() / max(total.sum(), 1e-6))


def _moves(trail: Trail, frame_rate: float, width: int, height: int) -> bool:
    size, reach = side(trail), extent(trail)
    count = len(trail.observations)
    if count < max(3, round(0.1 * frame_rate)):
        return False
    straight = _steadiness(trail, max(3, round(0.12 * frame_rate)))
    if reach >= max(4.0, 0.6 * size) and straight > 0.6:
        return True
    # A large body partly out of the picture keeps its centroid; its pixels still flow.
    return size > 12 and reach >= max(4.0, 0.15 * size) and _flow_run(trail) > max(8.0, 0.35 * size) and straight > 0.5


def _weight(trail: Trail) -> float:
    """How much of the clip's motion an object carries."""
    return float(np.log1p(extent(trail)) * np.sqrt(len(trail.observations)) * np.sqrt(side(trail) + 2.0))


@dataclass(frozen=True)
class _Ends:
    """What joining needs of a trail, computed once: medians over a long trail are dear."""

    side: float
    colour: np.ndarray
    first_frame: int
    first_world: np.ndarray
    first_speed: np.ndarray
    last_frame: int
    last_world: np.ndarray
    last_speed: np.ndarray


def _ends(trail: Trail) -> _Ends:
    first, last = trail.observations[0], trail.last
    return _Ends(
        side(trail),
        _colour(trail),
        first.frame,
        np.array(first.world),
        _end_speed(trail.observations[:6]),
        last.frame,
        np.array(last.world),
        _end_speed(trail.observations[-6:]),
    )


def _join(trails: list[Trail], frame_rate: float) -> list[Trail]:
    """Join a trail that ends to one that begins where it would have come out, the likeliest pair first."""
    longest = max(3, round(_JOIN_S * frame_rate))
    trails = sorted(trails, key=lambda t: t.observations[0].frame)
    ends = [_ends(t) for t in trails]
    alive = set(range(len(trails)))
    costs: dict[tuple[int, int], float] = {}

    def weigh(i: int, j: int) -> None:
        costs.pop((i, j), None)
        gap = ends[j].first_frame - ends[i].last_frame
        if i != j and 0 < gap <= longest and (cost := _join_cost(ends[i], ends[j], gap)) < 1.0:
            costs[i, j] = cost

    for i in alive:
        for j in alive:
            weigh(i, j)
    while costs:
        i, j = min(costs, key=lambda pair: (costs[pair], pair))
        trails[i].observations.extend(trails[j].observations)
        trails[i].template = trails[j].template
        ends[i] = _ends(trails[i])
        alive.discard(j)
        for pair in [pair for pair in costs if j in pair]:
            del costs[pair]
        for k in alive:
            weigh(i, k)
            weigh(k, i)
    return [trails[i] for i in sorted(alive)]


def _join_cost(a: _Ends, b: _Ends, gap: int) -> float:
    """Below one where two trails are likely one body on a smooth path (constant acceleration)."""
    size = min(a.side, b.side)
    ratio = abs(np.log(a.side / b.side))
    tint = float(np.abs(a.colour - b.colour).mean())
    if ratio > 0.5 or tint > 40.0:
        return 9.0
    pace = float(np.hypot(*a.last_speed) + np.hypot(*b.first_speed)) / 2
    leap = b.first_world - a.last_world
    # Under constant acceleration the leap is the mean of both end velocities times the gap.
    miss = float(np.hypot(*(leap - gap * (a.last_speed + b.first_speed) / 2)))
    return miss / (3.0 + 0.7 * size + 0.25 * pace * gap) + 0.5 * ratio + tint / 120.0 + 0.2 * gap / 15.0


def _colour(trail: Trail) -> np.ndarray:
    return np.median([o.colour for o in trail.observations], axis=0)


def _end_speed(observations: list[Observation]) -> np.ndarray:
    """Least-squares velocity of a few sightings, pixels per frame."""
    t = np.array([o.frame for o in observations], float)
    p = np.array([o.world for o in observations])
    t = t - t.mean()
    return (t @ (p - p.mean(0))) / max(float(t @ t), 1e-9) if len(t) > 1 else np.zeros(2)


def _without_parts(trails: list[Trail]) -> list[Trail]:
    """Drop limbs and fragments: what mostly hangs on a larger trail, unless it is a body of its own."""
    kept = []
    for trail in trails:
        attached = np.mean([o.parent >= 0 for o in trail.observations])
        own = is_round(trail) and extent(trail) > 2.0 * side(trail)
        if attached > 0.5 and not own:
            continue
        kept.append(trail)
    return kept


def _without_shadows(trails: list[Trail]) -> list[Trail]:
    """Drop pure darkenings that move along with something else."""
    kept = []
    for trail in trails:
        dark = float(np.median([o.shadow for o in trail.observations]))
        if dark > 0.7 and any(_together(trail, other) for other in trails if other is not trail):
            continue
        kept.append(trail)
    return kept


def _together(shadow: Trail, other: Trail) -> bool:
    """Whether two trails share their times and their horizontal motion."""
    if float(np.median([o.shadow for o in other.observations])) > 0.5:
        return False
    fa, pa = path(shadow)
    fb, pb = path(other)
    common, ia, ib = np.intersect1d(fa, fb, return_indices=True)
    if len(common) < 0.6 * len(fa) or len(common) < 4:
        return False
    x, y = pa[ia, 0], pb[ib, 0]
    if np.ptp(y) < 2.0:
        return True
    return float(np.corrcoef(x, y)[0, 1]) > 0.8
