"""Camera motion from the static background: a similarity per frame, robust to large moving things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_SCALES = (0.25, 0.5)
"""Sizes, against the analysis picture, at which frames are laid onto each other: first coarse, then fine."""
_GRID = (9, 12)
_PER_CELL = 20
_NOISE = 1.2
"""Grey levels by which blurred pictures differ without any motion."""
_SLIP_PX = 0.2
"""Misplacement that still counts as a fit: lens, rolling shutter, compression."""
_OUTLIER = 3.0
_STEPS = 8
_DONE_PX = 0.02
_REST_MISFIT = 0.005
"""A motion that explains the picture better by less than this is none."""
_REST_SHARE = 0.4
_SETS_OUT = 0.25
"""Share of the picture over which a camera's motion shows; what moves less of it is a body before a plain wall."""
_GOES_ON = 0.15
"""The same of a camera that moves already."""
_LITTLE_PX = 2.0
"""A camera that moves by no more than this need not show it all over the picture."""
_BEYOND_DOUBT = 3.0
"""Standard errors."""
_CLEARLY = 2.0
"""Least difference of squared misses a point, in tolerances."""
_LOST = 0.2
_WORN = 0.6
_FAR = 0.2
_MIN_POINTS = 60


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine map ``outer(inner(p))`` of two [2, 3] maps."""
    out = outer[:, :2] @ inner
    out[:, 2] += outer[:, 2]
    return out


def invert(affine: np.ndarray) -> np.ndarray:
    """The inverse of a [2, 3] affine map."""
    (a, b, x), (c, d, y) = affine.tolist()
    size = a * d - b * c
    a, b, c, d = d / size, -b / size, -c / size, a / size
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points [..., 2] by a [2, 3] affine map."""
    return points @ affine[:, :2].T + affine[:, 2]


IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class _Level:
    """Points of a key frame at one size, and what a small similarity would do to their brightness."""

    scale: float
    points: np.ndarray
    """float [N, 2], analysis pixels."""
    values: np.ndarray
    slope: np.ndarray
    """float [N, 2]: grey levels an analysis pixel, along x and y."""
    jacobian: np.ndarray
    """float [N, 5]: shift along x and y, growth, turn, gain."""
    tolerance: np.ndarray
    """float [N]: grey levels by which a pixel in its place may differ."""
    cell: np.ndarray
    """int [N]: grid cell of every point."""
    centre: np.ndarray
    reach: float


class CameraTracker:
    """Feeds on gray frames, answers each with the map from its pixels to those of the first frame.

    Points spread evenly over a key frame are laid onto each frame by their brightness (inverse-compositional
    Lucas-Kanade with a redescending weight; Baker and Matthews 2004), so weak texture counts and moving bodies drop
    out. Registering to a key frame rather than to the neighbour means that a swaying or still camera does not drift; a
    new key frame is taken when too little of the old one is left in view.
    """

    def __init__(self) -> None:
        self._key: list[_Level] = []
        self._key_image = np.zeros((0, 0), np.float32)
        self._key_to_first = IDENTITY.copy()
        self._last = IDENTITY.copy()  # key frame -> last frame
        self._step = IDENTITY.copy()  # frame before the last -> last frame
        self._usual = 0.0  # best support since the key frame
        self._latest = 1.0
        self._travels = False

    def step(self, gray: np.ndarray) -> np.ndarray:
        """``gray`` uint8 [H, W] -> float64 [2, 3] map from this frame's pixels to the first frame's."""
        images = [_flattened(gray, scale) for scale in _SCALES]
        if not self._key:
            self._set_key(images, IDENTITY.copy(), gray.shape)
            return IDENTITY.copy()
        found, support = self._register(images)
        if found is None:
            # Nothing to hold on to (a cut, darkness): keep the pose and start again from here.
            pose = compose(self._key_to_first, invert(self._last))
            self._step = IDENTITY.copy()
            self._set_key(images, pose, gray.shape)
            return pose
        self._step, self._last, self._latest = compose(found, invert(self._last)), found, support
        self._usual = max(self._usual, support)
        pose = compose(self._key_to_first, invert(found))
        size = np.array(gray.shape[::-1])
        moved = np.abs(apply(found, size / 2) - size / 2) / size
        if support < _WORN * self._usual or moved.max() > _FAR:
            self._set_key(images, pose, gray.shape)
        return pose

    def _set_key(self, images: list[np.ndarray], pose: np.ndarray, shape: tuple[int, ...]) -> None:
        self._key = [_level(image, scale, shape) for image, scale in zip(images, _SCALES, strict=True)]
        self._key_image = images[0]
        self._key_to_first, self._last, self._usual = pose, IDENTITY.copy(), 0.0
        self._latest = 1.0

    def _register(self, images: list[np.ndarray]) -> tuple[np.ndarray | None, float]:
        """Map from the key frame to this frame, and the share of the key frame's points that follow it."""
        fine, image = self._key[-1], images[-1]
        if len(fine.points) < _MIN_POINTS:
            return self._last.copy(), 1.0
        best, support = IDENTITY, 0.0
        still = moved = _misses(fine, image, IDENTITY)
        for fitted in self._starts(images):
            fitted = _fit(fine, image, fitted)
            misses = _misses(fine, image, fitted)
            held = _support(fine, _follows(misses))
            if held > support:
                best, support, moved = fitted, held, misses
            if support > min(0.7, 0.9 * self._latest):
                break
        if support < _LOST or not 0.7 < np.hypot(best[0, 0], best[1, 0]) < 1.4:
            return None, support
        step = apply(best, fine.points) - fine.points
        rests = _misfit(still) - _misfit(moved) < _REST_MISFIT or _rests(fine, step, moved, still)
        if not rests and np.hypot(*step.T).max() > _LITTLE_PX:
            self._travels = _spread(fine, moved, still) > (_GOES_ON if self._travels else _SETS_OUT)
            rests = not self._travels
        return IDENTITY.copy() if rests else best, support

    def _starts(self, images: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Where to begin, the cheapest first: as before, moving on as before, at rest, shifted as a whole."""
        onward = compose(self._step, self._last)
        yield self._last
        yield _fit(self._key[0], images[0], onward)
        yield _fit(self._key[0], images[0], self._last)
        yield IDENTITY
        yield _fit(self._key[0], images[0], self._by_phase(images[0]))

    def _by_phase(self, image: np.ndarray) -> np.ndarray:
        """The shift by which the whole picture fits best."""
        import cv2

        window = cv2.createHanningWindow(image.shape[::-1], cv2.CV_32F)
        (dx, dy), _ = cv2.phaseCorrelate(self._key_image, image, window)
        return np.array([[1.0, 0.0, dx / _SCALES[0]], [0.0, 1.0, dy / _SCALES[0]]])


def _flattened(gray: np.ndarray, scale: float) -> np.ndarray:
    """A smaller float32 picture without noise and without slow changes of light across it."""
    import cv2

    height, width = (max(8, round(side * scale)) for side in gray.shape)
    small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    smooth = cv2.GaussianBlur(small, (0, 0), 0.8)
    return np.asarray(smooth - cv2.blur(smooth, (25, 25)))


def _level(image: np.ndarray, scale: float, shape: tuple[int, ...]) -> _Level:
    """The steepest points of every grid cell of a key frame: no single body may hold the majority."""
    height, width = image.shape
    slope = np.zeros((height, width, 2), np.float32)
    slope[:, 1:-1, 0] = (image[:, 2:] - image[:, :-2]) / 2
    slope[1:-1, :, 1] = (image[2:] - image[:-2]) / 2
    steep = (slope * slope).sum(axis=2)
    steep[:2], steep[-2:], steep[:, :2], steep[:, -2:] = 0, 0, 0, 0
    rows, cols = _GRID
    found, cells = [], []
    for r in range(rows):
        for c in range(cols):
            y0, y1, x0, x1 = r * height // rows, (r + 1) * height // rows, c * width // cols, (c + 1) * width // cols
            part = steep[y0:y1, x0:x1]
            most = min(_PER_CELL, part.size)
            at = np.sort(np.argpartition(part.ravel(), part.size - most)[part.size - most :])
            at = at[part.ravel()[at] > 0]
            y, x = np.divmod(at, max(1, x1 - x0))
            found.append(np.stack([x + x0, y + y0], axis=1))
            cells.append(np.full(len(at), r * cols + c))
    place = np.concatenate(found)
    col, row = place[:, 0], place[:, 1]
    factor = np.array([width / shape[1], height / shape[0]])
    points = (place + 0.5) / factor
    values = image[row, col].astype(float)
    gradient = slope[row, col].astype(float) * factor
    centre, reach = np.array(shape[::-1]) / 2.0, shape[1] / 2.0
    u = (points - centre) / reach
    growth = (gradient * u).sum(axis=1)
    turn = gradient[:, 1] * u[:, 0] - gradient[:, 0] * u[:, 1]
    jacobian = np.stack([gradient[:, 0], gradient[:, 1], growth, turn, values], axis=1)
    tolerance = np.hypot(_NOISE, _SLIP_PX * np.hypot(gradient[:, 0], gradient[:, 1]))
    return _Level(float(factor[0]), points, values, gradient, jacobian, tolerance, np.concatenate(cells), centre, reach)


def _sample(level: _Level, image: np.ndarray, fitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brightness of a frame where the key frame's points fall, and whether that is inside the picture."""
    import cv2

    place = (apply(fitted, level.points) * level.scale - 0.5).astype(np.float32)
    inside = np.asarray(((place >= 0) & (place <= np.array(image.shape[::-1]) - 1)).all(axis=1))
    seen = cv2.remap(image, place[:, None, 0], place[:, None, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return seen.ravel().astype(float), inside


def _fit(level: _Level, image: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Refine a map from the key frame to a frame by Gauss-Newton on the brightness of its points."""
    if len(level.points) < _MIN_POINTS:
        return start
    fitted, gain = start, 1.0
    for step in range(_STEPS):
        seen, inside = _sample(level, image, fitted)
        off = seen / gain - level.values
        unit = np.abs(off) / level.tolerance
        if inside.sum() < _MIN_POINTS:
            return start
        # Narrower with every step, so that it settles on one motion and not between two.
        spread = max(1.0, min(1.4826 * float(np.median(unit[inside])), 4.0 / 2**step))
        weight = np.clip(1.0 - (unit / (_OUTLIER * spread)) ** 2, 0.0, None) ** 2 * inside / level.tolerance**2
        weighted = level.jacobian * weight[:, None]
        normal = level.jacobian.T @ weighted + 1e-6 * np.eye(5)
        x, y, growth, turn, brighter = np.linalg.solve(normal, weighted.T @ off)
        growth, turn = growth / level.reach, turn / level.reach
        linear = np.array([[1 + growth, -turn], [turn, 1 + growth]])
        small = np.hstack([linear, (np.array([x, y]) + level.centre - linear @ level.centre)[:, None]])
        fitted = compose(fitted, invert(small))
        gain = min(2.0, max(0.5, gain * (1 + brighter)))
        if max(abs(x), abs(y), abs(growth) * level.reach, abs(turn) * level.reach) < _DONE_PX:
            break
    return fitted


_Misses = tuple[np.ndarray, np.ndarray]
"""What :func:`_misses` says of a map."""


def _misses(level: _Level, image: np.ndarray, fitted: np.ndarray) -> _Misses:
    """Differences of brightness where a map puts the key frame's points, in tolerances, and which are in view."""
    seen, inside = _sample(level, image, fitted)
    # The median, for a body that has left its place would drag a mean along.
    strong = inside & (np.abs(level.values) > 2.0 * _NOISE)
    ratio = np.median(seen[strong] / level.values[strong]) if strong.any() else 1.0
    gain = float(np.clip(ratio, 0.7, 1.4))
    return np.abs(seen - gain * level.values) / level.tolerance, inside


def _follows(misses: _Misses) -> np.ndarray:
    """Which of the key frame's points have their brightness where a map puts them."""
    unit, inside = misses
    return inside & (unit < _OUTLIER)


def _support(level: _Level, follows: np.ndarray, among: np.ndarray | None = None) -> float:
    """Mean over the grid's cells of the share of their telling points that follow a map."""
    telling = np.hypot(*level.slope.T) > 2.0 * _NOISE if among is None else among
    if telling.sum() < _MIN_POINTS:
        telling = np.ones(len(level.points), bool)
    cells = _GRID[0] * _GRID[1]
    total = np.bincount(level.cell[telling], minlength=cells)
    good = np.bincount(level.cell[telling & follows], minlength=cells)
    return float((good / np.maximum(total, 1)).sum() / max(1, (total > 0).sum()))


def _misfit(misses: _Misses) -> float:
    """How badly a map explains the points in view, 0 to 1: mean square, each bounded like an outlier's."""
    unit, inside = misses
    return float((np.minimum(1.0, unit[inside] / _OUTLIER) ** 2).mean())


def _rests(level: _Level, step: np.ndarray, moved: _Misses, still: _Misses) -> bool:
    """Whether the camera rests although something large moved by a map's ``step`` [N, 2].

    No moving camera leaves points all over the picture in place. Only those count that would look different.
    """
    telling = np.abs((level.slope * step).sum(axis=1)) > 2 * _OUTLIER * level.tolerance
    telling &= moved[1]
    if telling.sum() < _MIN_POINTS:
        return False
    stays, goes = _follows(still), _follows(moved)
    return _support(level, stays & ~goes, telling) > _REST_SHARE * _support(level, goes & ~stays, telling)


def _spread(level: _Level, moved: _Misses, still: _Misses) -> float:
    """Share of the picture that lies between the grid's cells that a map explains better than rest, beyond doubt."""
    import cv2

    # What a body comes to cover fits a map that looks elsewhere, unless there is texture to tell.
    inside = moved[1] & (np.hypot(*level.slope.T) > 0.6 * _NOISE)
    better = (np.minimum(still[0], _OUTLIER) ** 2 - np.minimum(moved[0], _OUTLIER) ** 2)[inside]
    rows, cols = _GRID
    count, total, squares = (
        np.bincount(level.cell[inside], values, minlength=rows * cols) for values in (None, better, better**2)
    )
    doubt = np.sqrt(np.maximum(squares - total**2 / np.maximum(count, 1), 0.0))
    cells = np.flatnonzero((total > _BEYOND_DOUBT * doubt) & (total > _CLEARLY * count))
    if not len(cells):
        return 0.0
    corners = np.stack([cells % cols, cells // cols], axis=1)[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    return float(cv2.contourArea(cv2.convexHull(corners.reshape(-1, 2).astype(np.float32)))) / (rows * cols)
