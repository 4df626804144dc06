"""What stands still tells how each picture's points lie in one common world.

A reconstructor's pictures differ in scale and pose by more than things move between two of them, but all of a picture's
points are off together. Points of the fixed surroundings are therefore followed from picture to picture, and every
picture is laid onto their common places by a similarity (weighted Umeyama, IEEE TPAMI 1991; places and similarities in
turn, a generalised Procrustes analysis). The reconstructor's own poses only start it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pavas_core.estimation.space.reconstruction import View

_GRID = 24
"""Points of the fixed grid along the picture's longer side."""
_MOST = 400
_WORN = 0.7
_STILL_PX = 0.35
_STEEP = 0.05
"""Relative change of depth to the next pixels; beyond it a point may lie on either side of an edge."""
_ROUNDS = 12
_FEWEST = 12
_BORDER = 4


@dataclass
class Surroundings:
    """Fixed points seen in the views so far. Feed it view after view, then :meth:`align`."""

    frames: list[np.ndarray] = field(default_factory=list)
    names: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    poses: list[np.ndarray | None] = field(default_factory=list)
    _grid: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    _last: np.ndarray | None = None
    _live: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    _live_names: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    _start: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    _moved: list[float] = field(default_factory=list)
    _next: int = 0

    def see(self, view: View, moving: np.ndarray) -> None:
        """Take the next view; ``moving`` bool [h, w] is what may not stand still, with a margin."""
        index = len(self.poses)
        self.poses.append(view.pose)
        height, width = moving.shape
        step = max(2, max(height, width) // _GRID)
        y, x = np.mgrid[step // 2 : height : step, step // 2 : width : step]
        grid = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)
        self._grid.append(_sample(view, grid, moving))
        if view.picture is None:
            return
        self._follow(view.picture, moving)
        if len(self._live) < _WORN * _MOST:
            self._seed(view.picture, moving)
        self._last = view.picture
        place, weight = _sample(view, self._live, moving)
        known = weight > 0
        self.frames.append(np.full(int(known.sum()), index))
        self.names.append(self._live_names[known])
        self.places.append(place[known])
        self.weights.append(weight[known])

    def _follow(self, picture: np.ndarray, moving: np.ndarray) -> None:
        """Live points in the next picture; those that cannot be followed there and back are dropped."""
        import cv2

        if self._last is None or not len(self._live):
            return
        options: dict[str, Any] = {"winSize": (15, 15), "maxLevel": 3}
        follow: Any = cv2.calcOpticalFlowPyrLK
        there, found, _ = follow(self._last, picture, self._live, None, **options)
        back, again, _ = follow(picture, self._last, there, None, **options)
        height, width = picture.shape
        inside = (there >= _BORDER).all(axis=1) & (there < [width - _BORDER, height - _BORDER]).all(axis=1)
        keep = inside & (found.ravel() > 0) & (again.ravel() > 0)
        keep &= np.linalg.norm(back - self._live, axis=1) < 0.4
        column, row = np.clip(there[keep].round().astype(int), 0, [width - 1, height - 1]).T
        keep[keep] = ~moving[row, column]
        self._live, self._live_names = there[keep], self._live_names[keep]
        self._start = self._start[keep]
        if len(self._live):
            self._moved.append(float(np.median(np.linalg.norm(self._live - self._start, axis=1))))

    def _seed(self, picture: np.ndarray, moving: np.ndarray) -> None:
        """New points where there is texture, away from those there are."""
        import cv2

        free = np.where(moving, 0, 255).astype(np.uint8)
        free[:_BORDER], free[-_BORDER:], free[:, :_BORDER], free[:, -_BORDER:] = 0, 0, 0, 0
        apart = max(4, max(picture.shape) // 50)
        for x, y in self._live.round().astype(int):
            cv2.circle(free, (int(x), int(y)), apart, 0, -1)
        count = _MOST - len(self._live)
        found = cv2.goodFeaturesToTrack(picture, count, 0.01, apart, mask=free)
        if found is None:
            return
        new = found.reshape(-1, 2).astype(np.float32)
        names = np.arange(self._next, self._next + len(new))
        self._next += len(new)
        self._live, self._start = np.concatenate([self._live, new]), np.concatenate([self._start, new])
        self._live_names = np.concatenate([self._live_names, names])

    @property
    def still(self) -> bool:
        """The camera stands: what is followed stays at its pixels."""
        return bool(self._moved) and max(self._moved) < _STILL_PX

    def align(self, *, still: bool) -> Alignment:
        """Lay all views onto each other; ``still`` says that the camera stands, where pictures cannot tell."""
        if self.still or (still and not self._moved):
            names = [np.arange(len(place)) for place, _ in self._grid]
            places, weights = [p for p, _ in self._grid], [w for _, w in self._grid]
            frames = [np.full(len(place), index) for index, (place, _) in enumerate(self._grid)]
            start = [np.eye(4) for _ in self.poses]
        else:
            names, places, weights, frames = self.names, self.places, self.weights, self.frames
            given = any(pose is not None for pose in self.poses)
            start = _anchored(self.poses) if given else _chained(names, places, weights, len(self.poses))
        return _procrustes(
            np.concatenate([*frames, np.zeros(0, int)]).astype(int),
            np.concatenate([*names, np.zeros(0, int)]).astype(int),
            np.concatenate([*places, np.zeros((0, 3))]).astype(float),
            np.concatenate([*weights, np.zeros(0)]).astype(float),
            start,
        )


@dataclass(frozen=True)
class Alignment:
    """Similarities from every view's camera frame to one world, which is about the first camera."""

    scales: np.ndarray
    """float64 [L]."""
    rotations: np.ndarray
    """float64 [L, 3, 3]."""
    shifts: np.ndarray
    """float64 [L, 3]."""
    held: np.ndarray
    """bool [L]: enough fixed points were seen; elsewhere the reconstructor's pose stands."""
    floor_m: float
    """How far parts of the surroundings are still off, standard deviation a picture and coordinate, at 1 m."""
    points: int
    """Fixed points a view, in the middle."""

    def apply(self, places: np.ndarray) -> np.ndarray:
        """Places [L, 3] in the cameras' frames as places in the world."""
        return self.scales[:, None] * np.einsum("lij,lj->li", self.rotations, places) + self.shifts


def _sample(view: View, pixels: np.ndarray, moving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] at pixels [N, 2], bilinear, and their weights [N]; weight 0 where there is none to trust."""
    height, width, _ = view.points.shape
    x, y = np.clip(pixels[:, 0], 0, width - 1.001), np.clip(pixels[:, 1], 0, height - 1.001)
    column, row = x.astype(int), y.astype(int)
    u, v = (x - column)[:, None], (y - row)[:, None]
    corners = [view.points[row + r, column + c].astype(float) for r, c in ((0, 0), (0, 1), (1, 0), (1, 1))]
    place = (1 - v) * ((1 - u) * corners[0] + u * corners[1]) + v * ((1 - u) * corners[2] + u * corners[3])
    depth = np.stack([corner[:, 2] for corner in corners])
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.isfinite(place).all(axis=1) & (depth > 1e-6).all(axis=0) & ~moving[row, column]
        good &= (depth.max(axis=0) - depth.min(axis=0)) < _STEEP * np.abs(depth).mean(axis=0)
        # Errors grow with distance; confidence is about the inverse of the error.
        weight = 1.0 / np.maximum(place[:, 2], 1e-3) ** 2
    if view.confidence is not None:
        sure = view.confidence[row, column].astype(float)
        weight = weight * np.clip(sure / max(float(np.median(view.confidence)), 1e-9), 0.0, 3.0) ** 2
    return np.where(good[:, None], place, 0.0), np.where(good, weight, 0.0)


def _anchored(poses: list[np.ndarray | None]) -> list[np.ndarray]:
    """Poses from the first camera; what is not given stays where it was."""
    anchored: list[np.ndarray] = []
    first: np.ndarray | None = None
    for pose in poses:
        if pose is None or not np.isfinite(pose).all():
            anchored.append(anchored[-1] if anchored else np.eye(4))
            continue
        if first is None:
            first = np.linalg.inv(pose)
        anchored.append(first @ pose)
    return anchored


def _chained(
    names: list[np.ndarray], places: list[np.ndarray], weights: list[np.ndarray], count: int
) -> list[np.ndarray]:
    """Poses from the first camera by laying every view onto the one before it; scales are left for later."""
    poses = [np.eye(4)]
    for index in range(1, count):
        step = np.eye(4)
        _, now, before = np.intersect1d(names[index], names[index - 1], return_indices=True)
        if len(now) >= _FEWEST:
            a, b = places[index][now], places[index - 1][before]
            weight = weights[index][now]
            _, step[:3, :3], step[:3, 3] = similarity(a, b, weight)
            for _ in range(3):
                off = np.linalg.norm(a @ step[:3, :3].T + step[:3, 3] - b, axis=1)
                trust = 1.0 / np.maximum(1.0, off / (1.4826 * float(np.median(off)) + 1e-9)) ** 2
                _, step[:3, :3], step[:3, 3] = similarity(a, b, weight * trust)
        poses.append(poses[-1] @ step)
    return poses


def _procrustes(
    frames: np.ndarray, names: np.ndarray, places: np.ndarray, weights: np.ndarray, start: list[np.ndarray]
) -> Alignment:
    """Common places of the points and a similarity a frame, in turn, with weights against outliers."""
    count = len(start)
    rotations, shifts = np.array([s[:3, :3] for s in start]), np.array([s[:3, 3] for s in start])
    scales, held = np.ones(count), np.zeros(count, bool)
    seen: np.ndarray = weights > 0
    frames, names, places, weights = frames[seen], names[seen], places[seen], weights[seen]
    _, names, sightings = np.unique(names, return_inverse=True, return_counts=True)
    often = sightings[names] >= 3
    frames, names, places, weights = frames[often], names[often], places[often], weights[often]
    bounds = np.searchsorted(frames, np.arange(count + 1)) if len(frames) else np.zeros(count + 1, int)
    usual = float(np.median(np.diff(bounds)))
    if usual < _FEWEST:
        return Alignment(scales, rotations, shifts, held, float("nan"), int(usual))
    trust = np.ones(len(frames))
    total = int(names.max()) + 1
    size = np.linalg.norm(places, axis=1)
    off = np.zeros_like(places)
    for turn in range(_ROUNDS):
        laid = scales[frames, None] * np.einsum("nij,nj->ni", rotations[frames], places) + shifts[frames]
        weight = weights * trust
        sums = np.bincount(names, weight, total)
        moments = np.stack([np.bincount(names, weight * laid[:, axis], total) for axis in range(3)], axis=-1)
        means: np.ndarray = moments / np.maximum(sums, 1e-12)[:, None]
        off = laid - means[names]
        relative = np.linalg.norm(off, axis=1) / np.maximum(size, 1e-6)
        if turn >= 1:
            spread = 1.4826 * float(np.median(relative)) + 1e-9
            trust = np.where(relative < 6 * spread, 1.0 / np.maximum(1.0, relative / (2 * spread)), 0.0)
        for index in range(count):
            part = slice(bounds[index], bounds[index + 1])
            use = weights[part] * trust[part]
            if (use > 0).sum() < _FEWEST:
                continue
            held[index] = True
            scales[index], rotations[index], shifts[index] = similarity(places[part], means[names[part]], use)
        # Whatever all frames share is free: the mean scale and the first camera's pose stay.
        common = float(np.exp(np.log(scales[held]).mean())) if held.any() else 1.0
        turned, moved = rotations[0].T.copy(), shifts[0].copy()
        scales, shifts = scales / common, (shifts - moved) @ turned.T / common
        rotations = turned @ rotations
    return Alignment(scales, rotations, shifts, held, _floor(frames, off, size, count), int(usual))


def similarity(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that lay points a [N, 3] onto b with least weighted squares.

    The scale is the ratio of spreads, which errors in either set do not shrink.
    """
    w = weights / weights.sum()
    middle_a, middle_b = w @ a, w @ b
    da, db = a - middle_a, b - middle_b
    u, _, vt = np.linalg.svd((w[:, None] * db).T @ da)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * flip) @ vt
    scale = float(np.sqrt((w @ (db**2).sum(axis=1)) / max(float(w @ (da**2).sum(axis=1)), 1e-18)))
    return scale, rotation, middle_b - scale * rotation @ middle_a


def _floor(frames: np.ndarray, off: np.ndarray, size: np.ndarray, count: int) -> float:
    """Standard deviation a coordinate of what groups of about ten neighbours are off together, at 1 m."""
    relative = off / np.maximum(size, 1e-6)[:, None]
    groups = []
    for index in range(count):
        part = relative[frames == index]
        if len(part) >= 20:
            clipped = np.clip(part, *np.quantile(part, [0.05, 0.95], axis=0))
            groups.append([piece.mean(axis=0) for piece in np.array_split(clipped, max(2, len(part) // 10))])
    if not groups:
        return float("nan")
    return float(np.sqrt(np.mean(np.concatenate([np.square(group) for group in groups]))))
