"""Dense optical flow of stabilised frames, and the robust motion of one object's pixels."""

from __future__ import annotations

import numpy as np

from pavas_core.estimation.tracking.foreground import Detection

_MIN_PIXELS = 6
_GAP = 4
_FAST_SHARE = 0.65
_LEAST_SIDE = 16
"""Pixels of the flow field: OpenCV's solver writes beyond a picture that is lower, and much wider than that."""
_SAME = 0.05
"""Mean difference in grey levels below which a picture is the one before, shown again."""


class FlowField:
    """Flow from one stabilised frame to the next at half the analysis resolution."""

    def __init__(self) -> None:
        import cv2

        self._solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._solver.setFinestScale(1)
        self._gray: np.ndarray | None = None
        self.field: np.ndarray | None = None
        """float32 [H/2, W/2, 2], in half-size pixels, from the previous frame; None before two frames."""
        self._planes: tuple[np.ndarray, ...] = ()
        self.repeated = False
        """The frame is the previous one again."""

    def step(self, image: np.ndarray) -> None:
        """Take the next uint8 [H, W, 3] frame of the same canvas."""
        import cv2

        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        height, width = (max(1, side // 2) for side in gray.shape)
        gray = np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA))
        below, beside = (max(0, _LEAST_SIDE - side) for side in (height, width))
        gray = np.asarray(cv2.copyMakeBorder(gray, 0, below, 0, beside, cv2.BORDER_REPLICATE))
        self.field = None
        if self._gray is not None:
            field = self._solver.calc(self._gray, gray, np.zeros((*gray.shape, 2), np.float32))
            self.field = np.ascontiguousarray(field[:height, :width])
        self._planes = () if self.field is None else tuple(map(np.asarray, cv2.split(self.field)))
        self.repeated = self._gray is not None and float(cv2.absdiff(self._gray, gray).mean()) < _SAME
        self._gray = gray

    def inside(self, x0: int, y0: int, mask: np.ndarray) -> tuple[float, float] | None:
        """Motion in analysis pixels per frame of the region ``mask`` [h, w] whose crop starts at x0, y0.

        A rigid body answers with its median. In a turning or articulated one (a swung hammer) the fast end is what
        strikes, so pixels within two thirds of the upper decile of speed decide.
        """
        if self.field is None:
            return None
        rows = slice((y0 + 1) // 2, (y0 + mask.shape[0] + 1) // 2)
        cols = slice((x0 + 1) // 2, (x0 + mask.shape[1] + 1) // 2)
        small = mask[(y0 + 1) // 2 * 2 - y0 :: 2, (x0 + 1) // 2 * 2 - x0 :: 2]
        planes = [plane[rows, cols] for plane in self._planes]
        h, w = min(planes[0].shape[0], small.shape[0]), min(planes[0].shape[1], small.shape[1])
        # Plane by plane and by index: several times as fast as pairs by a mask.
        pixels = np.flatnonzero(small[:h, :w])
        if len(pixels) < _MIN_PIXELS:
            return None
        x, y = (plane[:h, :w].ravel().take(pixels) for plane in planes)
        speed = x * x + y * y
        rank = int(0.9 * (len(speed) - 1))
        top = float(np.partition(speed, rank)[rank])
        if top > 0.09:
            fast = np.flatnonzero(speed >= _FAST_SHARE**2 * top)
            x, y = x.take(fast), y.take(fast)
        middle = len(x) // 2
        return 2.0 * float(np.partition(x, middle)[middle]), 2.0 * float(np.partition(y, middle)[middle])

    def around(self, part: Detection, whole: Detection) -> tuple[float, float] | None:
        """Median motion, analysis pixels per frame, of what surrounds a part inside the whole it belongs to.

        A gap is left around the part, since the flow of a small thing spills over its edge.
        """
        import cv2

        if self.field is None:
            return None
        wide = _GAP + max(6, round(0.6 * np.sqrt(np.count_nonzero(part.mask))))
        padded = cv2.copyMakeBorder(part.mask.astype(np.uint8), wide, wide, wide, wide, cv2.BORDER_CONSTANT, value=0)
        near = cv2.dilate(padded, np.ones((2 * _GAP + 1, 2 * _GAP + 1), np.uint8))
        ring = cv2.dilate(padded, np.ones((2 * wide + 1, 2 * wide + 1), np.uint8)) > near
        x0, y0 = part.x0 - wide, part.y0 - wide
        left, right = max(x0, whole.x0), min(x0 + ring.shape[1], whole.x0 + whole.mask.shape[1])
        top, bottom = max(y0, whole.y0), min(y0 + ring.shape[0], whole.y0 + whole.mask.shape[0])
        shared = ring[top - y0 : bottom - y0, left - x0 : right - x0]
        shared = shared & whole.mask[top - whole.y0 : bottom - whole.y0, left - whole.x0 : right - whole.x0]
        rows, cols = np.divmod(np.flatnonzero(shared)[::4], max(1, shared.shape[1]))
        rows, cols = (rows + top) // 2, (cols + left) // 2
        height, width = self._planes[0].shape
        inside = np.flatnonzero((rows < height) & (cols < width))
        count = len(inside)
        if count < _MIN_PIXELS:
            return None
        # Twice the median, as the field has half the size: numpy's own takes longer than all the rest of this.
        low, high = (count - 1) // 2, count // 2
        at = (rows * width + cols).take(inside)
        x, y = (np.partition(plane.ravel().take(at), (low, high)) for plane in self._planes)
        return float(x[low] + x[high]), float(y[low] + y[high])
