"""Camera motion from the static background: a similarity per frame, robust to large moving things."""

from __future__ import annotations

import numpy as np

_GRID = (6, 8)
_PER_CELL = 5
_STATIC_TOLERANCE_PX = 0.35
_STATIC_SHARE = 0.45
_REST_SHARE = 0.15
_INLIER_PX = 1.0
_MIN_POINTS = 12
_REKEY_SHARE = 0.5


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine map ``outer(inner(p))`` of two [2, 3] maps."""
    out = outer[:, :2] @ inner
    out[:, 2] += outer[:, 2]
    return out


def invert(affine: np.ndarray) -> np.ndarray:
    """The inverse of a [2, 3] affine map."""
    linear = np.linalg.inv(affine[:, :2])
    return np.hstack([linear, -linear @ affine[:, 2:]])


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points [..., 2] by a [2, 3] affine map."""
    return points @ affine[:, :2].T + affine[:, 2]


IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def _features(gray: np.ndarray) -> np.ndarray:
    """Corners spread evenly over the picture, [N, 2] float32: no single body may hold the majority."""
    import cv2

    height, width = gray.shape
    strength = cv2.cornerMinEigenVal(gray, 3)
    floor = max(1e-6, 0.002 * float(np.percentile(strength, 99.5)))
    rows, cols = _GRID
    found = []
    for r in range(rows):
        for c in range(cols):
            y0, y1 = r * height // rows, (r + 1) * height // rows
            x0, x1 = c * width // cols, (c + 1) * width // cols
            cell = strength[y0:y1, x0:x1].copy()
            for _ in range(_PER_CELL):
                _, peak, _, (x, y) = cv2.minMaxLoc(cell)
                if peak < floor:
                    break
                found.append((x0 + x, y0 + y))
                cv2.circle(cell, (x, y), 6, 0.0, -1)
    return np.array(found, np.float32).reshape(-1, 2)


def _cells(points: np.ndarray, chosen: np.ndarray, shape: tuple[int, int]) -> float:
    """Support of a hypothesis: grid cells that hold chosen points, each counted by its share."""
    rows, cols = _GRID
    cell = np.minimum(points[:, 1] * rows // shape[0], rows - 1) * cols + np.minimum(
        points[:, 0] * cols // shape[1], cols - 1
    )
    cell = cell.astype(int)
    total = np.bincount(cell, minlength=rows * cols)
    good = np.bincount(cell[chosen], minlength=rows * cols)
    return float((good / np.maximum(total, 1)).sum() / max(1, (total > 0).sum()))


class CameraTracker:
    """Feeds on gray frames, answers each with the map from its pixels to those of the first frame.

    Every frame is registered to a key frame rather than to its neighbour, so a swaying or still camera does not
    drift; a new key frame is taken when too little of the old one is left in view.
    """

    def __init__(self) -> None:
        self._key: np.ndarray | None = None
        self._key_to_first = IDENTITY.copy()
        self._key_points = np.zeros((0, 2), np.float32)
        self._last = IDENTITY.copy()  # last frame -> key frame
        self._previous: np.ndarray | None = None

    def step(self, gray: np.ndarray) -> np.ndarray:
        """``gray`` uint8 [H, W] -> float64 [2, 3] map from this frame's pixels to the first frame's."""
        if self._key is None:
            self._set_key(gray, IDENTITY.copy())
            return IDENTITY.copy()
        to_key, share = self._register(gray)
        if to_key is None:
            # Nothing to hold on to (a cut, darkness): keep the pose and start again from here.
            pose = compose(self._key_to_first, self._last)
            self._set_key(gray, pose)
            return pose
        self._last = to_key
        self._previous = gray
        pose = compose(self._key_to_first, to_key)
        height, width = gray.shape
        centre = np.array([width / 2, height / 2])
        moved = np.abs(apply(to_key, centre) - centre) / [width, height]
        if share < _REKEY_SHARE or moved.max() > 0.2:
            self._set_key(gray, pose)
        return pose

    def _set_key(self, gray: np.ndarray, pose: np.ndarray) -> None:
        self._key, self._key_to_first, self._last = gray, pose, IDENTITY.copy()
        self._key_points = _features(gray)

    def _register(self, gray: np.ndarray) -> tuple[np.ndarray | None, float]:
        """Map from this frame to the key frame, and the share of key points that follow it."""
        import cv2

        points = self._key_points
        assert self._key is not None
        if len(points) < _MIN_POINTS:
            self._key_points = _features(gray) if len(points) == 0 else points
            return (self._last.copy(), 1.0) if len(points) == 0 else self._by_phase(gray)
        guess = apply(invert(self._last), points).astype(np.float32)
        found, status, _ = cv2.calcOpticalFlowPyrLK(
            self._key,
            gray,
            points.reshape(-1, 1, 2),
            guess.reshape(-1, 1, 2).copy(),
            winSize=(13, 13),
            maxLevel=2,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.02),
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )
        keep = status.ravel() > 0
        if keep.sum() < _MIN_POINTS:
            return None, 0.0
        source, target = found.reshape(-1, 2)[keep], points[keep]
        # Hypothesis one, and the commonest: the camera has not moved since the last frame (or at all).
        resting, rest_support = None, 0.0
        for still in (IDENTITY, self._last):
            error = np.linalg.norm(apply(still, source) - target, axis=1)
            inside = error < _STATIC_TOLERANCE_PX
            support = _cells(target, inside, gray.shape)
            if inside.sum() >= 4 and support > rest_support:
                drift = np.median(apply(still, source[inside]) - target[inside], axis=0)
                if np.abs(drift).max() < 0.08:
                    resting, rest_support = still, support
        if resting is not None and rest_support >= _STATIC_SHARE:
            return resting.copy(), float(keep.mean())
        cv2.setRNGSeed(1)
        fitted, inliers = cv2.estimateAffinePartial2D(
            source, target, method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX, maxIters=300, confidence=0.995
        )
        if fitted is None or inliers.sum() < _MIN_POINTS:
            return None, 0.0
        fitted = _refine(fitted, source, target)
        if resting is not None and rest_support >= _REST_SHARE:
            error = np.linalg.norm(apply(fitted, source) - target, axis=1)
            # A large textured body may outvote a plain background; but no moving camera leaves distant points in place.
            if rest_support >= 0.4 * _cells(target, error < _INLIER_PX, gray.shape):
                return resting.copy(), float(keep.mean())
        scale = float(np.hypot(fitted[0, 0], fitted[1, 0]))
        if not 0.7 < scale < 1.4:
            return None, 0.0
        return fitted, float(keep.mean()) * min(1.0, 2.0 * float(inliers.mean()))

    def _by_phase(self, gray: np.ndarray) -> tuple[np.ndarray | None, float]:
        """Translation by phase correlation, for pictures almost without corners."""
        import cv2

        assert self._key is not None
        window = cv2.createHanningWindow(gray.shape[::-1], cv2.CV_32F)
        (dx, dy), response = cv2.phaseCorrelate(self._key.astype(np.float32), gray.astype(np.float32), window)
        if response < 0.3 or np.hypot(dx, dy) < 0.5:
            return self._last.copy(), 1.0
        return np.array([[1.0, 0.0, -dx], [0.0, 1.0, -dy]]), 1.0


def _refine(fitted: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity on the inliers with a soft (Tukey) weight, three rounds."""
    for _ in range(3):
        error = np.linalg.norm(apply(fitted, source) - target, axis=1)
        scale = max(0.15, 1.4826 * float(np.median(error[error < 2.0])) if (error < 2.0).any() else 0.5)
        weight = np.clip(1.0 - (error / (4.0 * scale)) ** 2, 0.0, None) ** 2
        if (weight > 0).sum() < _MIN_POINTS:
            return fitted
        weight = weight / weight.sum()
        a, b = weight @ source, weight @ target
        p, q = source - a, target - b
        spread = float((weight * (p**2).sum(1)).sum())
        cos = float((weight * (p * q).sum(1)).sum()) / spread
        sin = float((weight * (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])).sum()) / spread
        linear = np.array([[cos, -sin], [sin, cos]])
        fitted = np.hstack([linear, (b - linear @ a)[:, None]])
    return fitted
