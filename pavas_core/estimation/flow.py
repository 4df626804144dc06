"""Dense optical flow of stabilised frames, and the robust motion of one object's pixels."""

from __future__ import annotations

import numpy as np

_MIN_PIXELS = 6
_FAST_SHARE = 0.65


class FlowField:
    """Flow from one stabilised frame to the next at half the analysis resolution."""

    def __init__(self) -> None:
        import cv2

        self._solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._solver.setFinestScale(1)
        self._gray: np.ndarray | None = None
        self.field: np.ndarray | None = None
        """float32 [H/2, W/2, 2], in half-size pixels, from the previous frame; None before two frames."""

    def step(self, image: np.ndarray) -> None:
        """Take the next uint8 [H, W, 3] frame of the same canvas."""
        import cv2

        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        gray = np.asarray(cv2.resize(gray, (gray.shape[1] // 2, gray.shape[0] // 2), interpolation=cv2.INTER_AREA))
        self.field = (
            None if self._gray is None else self._solver.calc(self._gray, gray, np.zeros((*gray.shape, 2), np.float32))
        )
        self._gray = gray

    def restart(self) -> None:
        """Forget the previous frame (the canvas changes)."""
        self._gray, self.field = None, None

    def inside(self, x0: int, y0: int, mask: np.ndarray) -> tuple[float, float] | None:
        """Motion in analysis pixels per frame of the region ``mask`` [h, w] whose crop starts at x0, y0.

        A rigid body answers with its median. In a turning or articulated one (a swung hammer) the fast end is what
        strikes, so pixels within two thirds of the upper decile of speed decide.
        """
        if self.field is None:
            return None
        rows = slice((y0 + 1) // 2, (y0 + mask.shape[0] + 1) // 2)
        cols = slice((x0 + 1) // 2, (x0 + mask.shape[1] + 1) // 2)
        field = self.field[rows, cols]
        small = mask[(y0 + 1) // 2 * 2 - y0 :: 2, (x0 + 1) // 2 * 2 - x0 :: 2]
        h, w = min(field.shape[0], small.shape[0]), min(field.shape[1], small.shape[1])
        vectors = field[:h, :w][small[:h, :w]]
        if len(vectors) < _MIN_PIXELS:
            return None
        speed = (vectors * vectors).sum(axis=1)
        rank = int(0.9 * (len(speed) - 1))
        top = float(np.partition(speed, rank)[rank])
        if top > 0.09:
            vectors = vectors[speed >= _FAST_SHARE**2 * top]
        middle = len(vectors) // 2
        motion = 2.0 * np.partition(vectors, middle, axis=0)[middle]
        return float(motion[0]), float(motion[1])
