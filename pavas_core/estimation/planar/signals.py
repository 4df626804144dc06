"""What the scorer of impacts is told of a track: motion on a fixed grid of time, free of picture size and frame rate.

Velocities are in picture widths per second, and again in units of the track's own fastest; lengths are in sides of the
object. The grid is finer than most frame rates: between frames values are interpolated, and how far apart the frames
are is told too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pavas_core.physics.types import Track, TrackSet

GRID_HZ = 60.0
_LONGEST_GAP_S = 0.3
_SLOW = 0.05
"""Picture widths per second: the logarithm of speeds below it is about proportional to them."""
_LEAST_FAST = 0.02
_MARK_S = 0.025
_LITTLE_LOST = 1e-4
"""Picture areas times picture widths per second: the least that counts as lost where something stops."""
_AROUND_S = 0.25
_TURN_S = 0.075
_TURN_FRAMES = 1.05
_REST_S = 0.1, 0.35
_STRONG = 0.95
"""Quantile of a track's changes of velocity, and of what its stops lose, that the others are measured by."""
_LEAST_TURN = 0.03
"""Picture widths per second: a track that never changes its velocity by more than this does not turn."""
_SIDES = ("left", "top", "right", "bottom")
COLUMNS = (
    *("v.x", "v.y", "edge.left", "edge.top", "edge.right", "edge.bottom", "flow.x", "flow.y"),
    *("own.x", "own.y", "own_flow.x", "own_flow.y", "sides.x", "sides.y", "speed", "flow_speed"),
    *(f"v{step}.{axis}" for step in (-1, 0, 1) for axis in "xy"),
    *(f"flow{step}.{axis}" for step in (-1, 0, 1) for axis in "xy"),
    *("flow_known", "valid", "inside", "away_from_frame", "truncated", "gap", "since_start", "until_end", "phase"),
    *("area", "area_change", "aspect", "fill"),
    *(f"extreme.{side}" for side in _SIDES),
    *(f"border.{side}" for side in _SIDES),
    *("mark", "mark_before", "mark_after", "mark_cosine"),
    *("near", "near_size", "near_v.x", "near_v.y", "near_approach", "near_mark", "near_flow", "apart_mark", "others"),
    "camera",
    *(
        "side",
        "unsteady",
        "fill_usual",
        "frame",
        "tracks",
        "fastest",
        "fastest_flow",
        "noise",
        "calm",
        "lasts",
        "whole",
    ),
    "truncated_share",
    *("stop_known", "stop_fast", "stop_share", "stop_lost", "stop_own", "stop_first", "stop_most", "stop_down"),
    *("near_stop", "apart_stop", "turn.x", "turn.y", "turn", "rest", "busy"),
)
"""Names of the columns; those that end in ``.x`` change sign in a mirror, ``.left`` and ``.right`` change places."""


@dataclass(frozen=True)
class Mark:
    """A break of velocity that the fits have found; velocities float64 [2] in picture widths per second."""

    time_s: float
    confidence: float
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Seen:
    """One track's measurements at its N visible frames and between them, lengths in picture widths."""

    times_s: np.ndarray
    boxes: np.ndarray
    """float64 [N, 4] in the frame."""
    edges: np.ndarray
    """float64 [N, 4] the same without the camera's motion."""
    centres: np.ndarray
    area: np.ndarray
    """float64 [N] square pixels."""
    truncated: np.ndarray
    flow_times_s: np.ndarray
    flow: np.ndarray
    """float64 [M, 2]."""
    side: float
    marks: tuple[Mark, ...]
    stop_times_s: np.ndarray | None = None
    """float64 [K] frames after which something fast may have stopped; None where nobody has looked."""
    stops: np.ndarray | None = None
    """float64 [K, 3] as ``Track.stops`` there."""

    @property
    def gaps_s(self) -> np.ndarray:
        """float64 [N-1]."""
        return np.diff(self.times_s)

    @property
    def middles_s(self) -> np.ndarray:
        """float64 [N-1]."""
        return (self.times_s[1:] + self.times_s[:-1]) / 2

    def rate(self, values: np.ndarray) -> np.ndarray:
        """Change per second of values [N, ...] from one visible frame to the next."""
        return (np.diff(values, axis=0).T / self.gaps_s).T


def observe(track: Track, tracks: TrackSet, points: np.ndarray, marks: Sequence[Mark]) -> Seen | None:
    """What is seen of a track with centres ``points`` [L, 2] in pixels of the first frame; None for next to nothing."""
    width = float(tracks.width)
    frames = np.flatnonzero(track.visible & np.isfinite(points).all(axis=1) & np.isfinite(track.boxes).all(axis=1))
    if len(frames) < 3:
        return None
    boxes = track.boxes[frames].astype(float)
    area = np.maximum(track.area_px[frames].astype(float), 1.0)
    times = (tracks.times_s[1:] + tracks.times_s[:-1]) / 2
    flow = np.full((len(times), 2), np.nan) if track.flow_px_s is None else track.flow_px_s.astype(float)
    known = np.isfinite(flow).all(axis=1)
    looked = None if track.stops is None else np.isfinite(track.stops).all(axis=1)
    return Seen(
        times_s=tracks.times_s[frames],
        boxes=boxes / width,
        edges=(boxes + np.tile(points[frames] - track.centroids[frames], 2)) / width,
        centres=points[frames] / width,
        area=area,
        truncated=track.truncated[frames].astype(float),
        flow_times_s=times[known],
        flow=flow[known] / width,
        side=float(np.sqrt(np.median(area))) / width,
        marks=tuple(marks),
        stop_times_s=None if looked is None else tracks.times_s[looked],
        stops=None if track.stops is None or looked is None else track.stops[looked].astype(float),
    )


def grid_times(tracks: TrackSet) -> np.ndarray:
    """float64 [T] times of the grid, seconds."""
    first, last = float(tracks.times_s[0]), float(tracks.times_s[-1])
    return first + np.arange(int((last - first) * GRID_HZ) + 2) / GRID_HZ


def features(seen: Sequence[Seen | None], index: int, tracks: TrackSet, grid: np.ndarray) -> np.ndarray | None:
    """float32 [T, len(COLUMNS)] of one of the tracks ``seen`` at the times ``grid`` [T]; None for one hardly seen."""
    me = seen[index]
    if me is None:
        return None
    frame_s = tracks.frame_s
    v, flow = me.rate(me.centres), me.flow
    fast = _fastest(v, _LEAST_FAST)
    fast_flow = _fastest(flow, _LEAST_FAST) if len(flow) else fast
    columns = [
        *_motion(me, grid, frame_s, fast, fast_flow),
        *_presence(me, grid, frame_s),
        *_shape(me, grid),
        *_places(me, grid, tracks),
        *_marked(me, grid),
        *_others(seen, index, grid, frame_s),
        _camera(tracks, grid),
        *_lasting(me, seen, tracks, grid, frame_s, fast, fast_flow),
        *_stopped(me, grid, frame_s),
        *_stopped_beside(seen, index, grid, frame_s),
        *_turned(me, grid, frame_s, fast_flow),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def mirrored(x: np.ndarray) -> np.ndarray:
    """Features [..., C] of the same motion seen in a mirror."""
    sign = np.ones(len(COLUMNS), np.float32)
    source = np.arange(len(COLUMNS))
    for i, name in enumerate(COLUMNS):
        if name.endswith(".x") or name in ("edge.left", "edge.right"):
            sign[i] = -1.0
        if name.endswith((".left", ".right")):
            stem, side = name.split(".")
            source[i] = COLUMNS.index(f"{stem}.{'right' if side == 'left' else 'left'}")
    return np.asarray(x[..., source] * sign, np.float32)


def compressed(speed: np.ndarray) -> np.ndarray:
    """Signed logarithm of speeds in picture widths per second, about -3 to 3."""
    return np.asarray(np.sign(speed) * np.log1p(np.abs(speed) / _SLOW) / 2.0)


def _fastest(v: np.ndarray, least: float) -> float:
    return max(float(np.quantile(np.hypot(*v.T), 0.9)), least)


def _at(grid: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values [N] or [N, C] interpolated to the grid; zero where there are none."""
    if len(times) == 0:
        return np.zeros((len(grid), *values.shape[1:]))
    if values.ndim == 1:
        return np.interp(grid, times, values)
    return np.stack([np.interp(grid, times, column) for column in values.T], axis=1)


def _bump(grid: np.ndarray, time_s: float) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(grid - time_s) / _MARK_S)


def _interval(me: Seen, grid: np.ndarray) -> np.ndarray:
    """int [T] the interval between visible frames that holds each time of the grid."""
    return np.clip(np.searchsorted(me.times_s, grid) - 1, 0, len(me.times_s) - 2)


def _nearest(times: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.clip(np.round(np.interp(grid, times, np.arange(len(times)))).astype(int), 0, len(times) - 1)


def _motion(me: Seen, grid: np.ndarray, frame_s: float, fast: float, fast_flow: float) -> list[np.ndarray]:
    each = me.rate(me.centres)
    v, edges = _at(grid, me.middles_s, each), _at(grid, me.middles_s, me.rate(me.edges))
    flow = _at(grid, me.flow_times_s, me.flow)
    out = [*compressed(v).T, *compressed(edges).T, *compressed(flow).T]
    out += [*np.clip(v / fast, -3, 3).T, *np.clip(flow / fast_flow, -3, 3).T, *np.clip(v * 0.1 / me.side, -4, 4).T]
    out += [compressed(np.hypot(*v.T)), compressed(np.hypot(*flow.T))]
    # What was measured, not interpolated: in the interval of each moment and in those beside it.
    at = _interval(me, grid)
    for step in (-1, 0, 1):
        out += [*np.clip(each[np.clip(at + step, 0, len(each) - 1)] / fast, -3, 3).T]
    if not len(me.flow):
        return [*out, *np.zeros((7, len(grid)))]
    near = _nearest(me.flow_times_s, grid)
    for step in (-1, 0, 1):
        out += [*np.clip(me.flow[np.clip(near + step, 0, len(me.flow) - 1)] / fast_flow, -3, 3).T]
    return [*out, (np.abs(grid - me.flow_times_s[near]) < max(0.05, 0.75 * frame_s)).astype(float)]


def _presence(me: Seen, grid: np.ndarray, frame_s: float) -> list[np.ndarray]:
    times, at = me.times_s, _interval(me, grid)
    near = _nearest(times, grid)
    inside = (grid >= times[0] - frame_s) & (grid <= times[-1] + frame_s)
    gap = me.gaps_s[at]
    return [
        (inside & (gap < max(_LONGEST_GAP_S, 3.5 * frame_s))).astype(float),
        inside.astype(float),
        np.minimum(np.abs(grid - times[near]) / max(frame_s, 0.03), 4.0),
        me.truncated[near],
        np.minimum(gap / frame_s - 1.0, 4.0) / 2.0,
        np.clip((grid - times[0]) / 0.3, 0, 1),
        np.clip((times[-1] - grid) / 0.3, 0, 1),
        np.clip((grid - times[at]) / gap, 0, 1),
    ]


def _shape(me: Seen, grid: np.ndarray) -> list[np.ndarray]:
    return [
        np.clip(_at(grid, me.times_s, np.log(me.area / np.median(me.area))), -2, 2),
        np.clip(_at(grid, me.middles_s, me.rate(np.log(me.area))) / 10.0, -2, 2),
        np.clip(_at(grid, me.times_s, _aspect(me)), -2, 2),
        _at(grid, me.times_s, _fill(me)),
    ]


def _sizes_px(me: Seen) -> np.ndarray:
    """float64 [N, 2] width and height of the boxes in units in which the area is in squares of them."""
    scale = np.sqrt(np.median(me.area)) / me.side
    return np.maximum((me.boxes[:, 2:] - me.boxes[:, :2]) * scale, 1.0)


def _aspect(me: Seen) -> np.ndarray:
    size = _sizes_px(me)
    return np.asarray(np.log(size[:, 0] / size[:, 1]))


def _fill(me: Seen) -> np.ndarray:
    return np.asarray(me.area / _sizes_px(me).prod(axis=1))


def _places(me: Seen, grid: np.ndarray, tracks: TrackSet) -> list[np.ndarray]:
    """How near each edge is to the end of its own way, and to the picture's border."""
    edges, out = _at(grid, me.times_s, me.edges), []
    for column, (quantile, sign) in enumerate([(0.03, 1), (0.03, 1), (0.97, -1), (0.97, -1)]):
        extreme = float(np.quantile(me.edges[:, column], quantile))
        out.append(np.exp(-np.maximum(0.0, sign * (edges[:, column] - extreme)) / (0.5 * me.side)))
    x0, y0, x1, y1 = _at(grid, me.times_s, me.boxes).T
    far = [x0, y0, 1.0 - x1, tracks.height / tracks.width - y1]
    return [*out, *(np.exp(-np.maximum(one, 0.0) / me.side) for one in far)]


def _marked(me: Seen, grid: np.ndarray) -> list[np.ndarray]:
    rows = np.zeros((4, len(grid)))
    for mark in me.marks:
        fast, slow = float(np.hypot(*mark.before)), float(np.hypot(*mark.after))
        cosine = float(mark.before @ mark.after) / max(fast * slow, 1e-9)
        values = mark.confidence, float(compressed(np.array(fast))), float(compressed(np.array(slow))), 1.0 + cosine
        rows = np.maximum(rows, _bump(grid, mark.time_s) * np.array(values)[:, None])
    return list(rows)


def _others(seen: Sequence[Seen | None], index: int, grid: np.ndarray, frame_s: float) -> list[np.ndarray]:
    """The nearest other track, the marks of those that do not touch, and how many there are."""
    me = seen[index]
    assert me is not None
    edges, mine = _at(grid, me.times_s, me.edges), _at(grid, me.middles_s, me.rate(me.centres))
    least, rows = np.full(len(grid), np.inf), np.zeros((7, len(grid)))
    apart, count = np.zeros(len(grid)), np.zeros(len(grid))
    for number, other in enumerate(seen):
        if number == index or other is None:
            continue
        here = (grid >= other.times_s[0] - frame_s) & (grid <= other.times_s[-1] + frame_s)
        count += here
        theirs = _at(grid, other.times_s, other.edges)
        gap = np.maximum(np.maximum(theirs[:, :2] - edges[:, 2:], edges[:, :2] - theirs[:, 2:]), 0.0)
        gap = np.where(here, np.hypot(*gap.T), np.inf)
        smaller = min(me.side, other.side)
        marks = np.zeros(len(grid))
        for mark in other.marks:
            marks = np.maximum(marks, _bump(grid, mark.time_s) * mark.confidence)
        apart = np.maximum(apart, np.where(gap > 0.5 * smaller, marks, 0.0))
        v = _at(grid, other.middles_s, other.rate(other.centres))
        flow = _at(grid, other.flow_times_s, other.flow)
        away = (theirs[:, :2] + theirs[:, 2:] - edges[:, :2] - edges[:, 2:]) / 2
        away = away / np.maximum(np.hypot(*away.T), 1e-6)[:, None]
        row = [
            np.exp(-gap / smaller),
            np.full(len(grid), np.clip(np.log(other.side / me.side), -2, 2)),
            *compressed(v - mine).T,
            compressed(((mine - v) * away).sum(axis=1)),
            marks,
            compressed(np.hypot(*flow.T)),
        ]
        nearer = gap < least
        rows[:, nearer] = np.stack(row)[:, nearer]
        least = np.minimum(least, gap)
    return [*rows, apart, np.log1p(count)]


def _camera(tracks: TrackSet, grid: np.ndarray) -> np.ndarray:
    """Speed of the picture's middle."""
    if tracks.camera is None:
        return np.zeros(len(grid))
    path = tracks.camera @ np.array([tracks.width / 2, tracks.height / 2, 1.0]) / tracks.width
    speed = np.hypot(*np.diff(path, axis=0).T) / np.diff(tracks.times_s)
    return compressed(np.interp(grid, (tracks.times_s[1:] + tracks.times_s[:-1]) / 2, speed))


def _lasting(
    me: Seen,
    seen: Sequence[Seen | None],
    tracks: TrackSet,
    grid: np.ndarray,
    frame_s: float,
    fast: float,
    fast_flow: float,
) -> list[np.ndarray]:
    """What is the same all along the track."""
    third = np.abs(np.diff(me.centres, n=3, axis=0)).ravel()
    noise = float(np.quantile(third, 0.35)) / 2.03 if len(third) else 0.01
    lasts_s = float(me.times_s[-1] - me.times_s[0])
    unsteady = float(np.median(np.abs(np.log(me.area / np.median(me.area)))))
    values = [
        np.log(me.side) / 2 + 1.5,
        3.0 * min(unsteady, 1.0),
        float(np.median(_fill(me))),
        np.log(frame_s / 0.033),
        np.log1p(sum(one is not None for one in seen)),
        float(compressed(np.array(fast))),
        float(compressed(np.array(fast_flow))),
        np.log10(max(noise / me.side, 1e-4)) / 2,
        float(np.median(np.hypot(*me.rate(me.centres).T))) / fast,
        lasts_s / max(tracks.duration_s, 1e-6),
        len(me.times_s) * frame_s / max(lasts_s, frame_s),
        float(me.truncated.mean()),
    ]
    return [np.full(len(grid), value) for value in values]


def _stopped(me: Seen, grid: np.ndarray, frame_s: float) -> list[np.ndarray]:
    """What of the fast pixels stops: all of it nought where nobody has looked, all but the first where nothing is fast.

    What is lost is told by itself, a pixel of the object, beside the losses around, and beside the track's largest.
    """
    rows = np.zeros((8, len(grid)))
    if me.stops is None or me.stop_times_s is None:
        return list(rows)
    rows[0] = 1.0
    if not len(me.stops):
        return list(rows)
    times, (share, lost, down) = me.stop_times_s, me.stops.T
    around = np.abs(times[:, None] - times) < _AROUND_S
    most = max(float(np.quantile(lost, _STRONG)), _LITTLE_LOST)
    values = np.stack(
        [
            np.ones(len(times)),
            share,
            np.log1p(lost / _LITTLE_LOST) / 4.0,
            compressed(lost / max(me.side**2, 1e-6)),
            lost / np.maximum((around * lost).max(axis=1), 1e-12),
            np.minimum(lost / most, 2.0),
            down,
        ]
    )
    # A stop belongs to its frame: nothing is known of the moments halfway to frames where nothing was fast.
    near = np.abs(times[:, None] - grid)
    at = near.argmin(axis=0)
    weight = np.maximum(0.0, 1.0 - near.min(axis=0) / max(frame_s, 1.0 / GRID_HZ))
    rows[1:] = values[:, at] * np.where(weight > 0, np.minimum(1.0, 2.0 * weight), 0.0)
    return list(rows)


def _stopped_beside(seen: Sequence[Seen | None], index: int, grid: np.ndarray, frame_s: float) -> list[np.ndarray]:
    """The largest share that stops of other tracks, of those that touch and of those that do not.

    What is little beside the largest stop of its own track counts as much less.
    """
    me = seen[index]
    assert me is not None
    edges = _at(grid, me.times_s, me.edges)
    near, apart = np.zeros(len(grid)), np.zeros(len(grid))
    for number, other in enumerate(seen):
        if number == index or other is None or other.stops is None or not len(other.stops):
            continue
        theirs = _at(grid, other.times_s, other.edges)
        gap = np.hypot(*np.maximum(np.maximum(theirs[:, :2] - edges[:, 2:], edges[:, :2] - theirs[:, 2:]), 0.0).T)
        stops = _stopped(other, grid, frame_s)
        row = stops[2] * np.minimum(stops[6], 1.0)
        touching = gap <= 0.5 * min(me.side, other.side)
        near, apart = np.maximum(near, row * touching), np.maximum(apart, row * ~touching)
    return [near, apart]


def _turned(me: Seen, grid: np.ndarray, frame_s: float, fast: float) -> list[np.ndarray]:
    """How the velocity of the fast pixels changes beside the track's strong changes, and how fast it is a little later.

    Last how many a second of such changes there are.
    """
    if len(me.flow) < 2:
        return list(np.zeros((5, len(grid))))
    reach = max(_TURN_S, _TURN_FRAMES * frame_s)
    before, was = _mean_between(me.flow_times_s, me.flow, grid - reach, grid)
    after, comes = _mean_between(me.flow_times_s, me.flow, grid, grid + reach)
    turn = (after - before) * (was & comes)[:, None]
    size = np.hypot(*turn.T)
    strong = max(float(np.quantile(size[size > 0], _STRONG)) if (size > 0).any() else 0.0, _LEAST_TURN)
    later, _ = _mean_between(me.flow_times_s, np.hypot(*me.flow.T)[:, None], grid + _REST_S[0], grid + _REST_S[1])
    peaks = (size[1:-1] > size[:-2]) & (size[1:-1] >= size[2:]) & (size[1:-1] > 0.25 * strong)
    busy = float(peaks.sum()) / max(float(me.times_s[-1] - me.times_s[0]), 0.3)
    return [
        *np.clip(turn / strong, -2, 2).T,
        np.clip(size / strong, 0, 2),
        np.clip(later[:, 0] / fast, 0, 2),
        np.full(len(grid), min(busy / 10.0, 2.0)),
    ]


def _mean_between(
    times: np.ndarray, values: np.ndarray, first_s: np.ndarray, last_s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means of values [N, C] at ``times`` [N] between two times each [T], and bool [T] where there is any."""
    low, high = np.searchsorted(times, first_s - 1e-9), np.searchsorted(times, last_s + 1e-9)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    count = np.maximum(high - low, 0)
    return (sums[np.maximum(high, low)] - sums[low]) / np.maximum(count, 1)[:, None], count > 0
