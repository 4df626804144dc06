"""What moves in one piece by the dense flow, whether or not it differs from the background.

A leg that rests for most of a clip is part of the background, so only its edges are found when it moves; the flow shows
all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.foreground import box_of

_CELL = 4
"""Analysis pixels a cell: the flow is known no finer."""
_LEVELS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""Pixels of the flow field a frame: at one of these what moves stands out from what hardly does."""
_NOISE = 3.0
"""A level must be so many times the motion of the picture's middle pixel."""
_LARGEST = 0.25
"""Of the picture: when more than this moves at once it is the camera, not a thing."""
_LEAST_CELLS = 6
_LEAST_CHANGED = 4
_MOST = 3
_CLOSING = 5


@dataclass(frozen=True)
class Part:
    """Cells of four by four pixels that hang together and move, in one frame."""

    frame: int
    level: float
    """Analysis pixels per frame that each of them moves at least."""
    corner: tuple[int, int]
    """Column and row of the mask's corner in the canvas, cells."""
    shape: tuple[int, int]
    bits: np.ndarray
    """Those of the cells that have changed, eight a byte."""
    to_frame: np.ndarray
    """float [2, 3]: canvas pixels to those of the frame."""

    def in_frame(self) -> tuple[int, int, np.ndarray]:
        """Corner column and row, and mask (bool [h, w]), in analysis pixels of the frame."""
        import cv2

        height, width = self.shape
        mask = _filled(np.unpackbits(self.bits, count=height * width).reshape(height, width))
        corner = np.array(self.corner, float)
        ends = corner + np.array([[0, 0], [width, 0], [0, height], [width, height]])
        places = camera.apply(self.to_frame, _CELL * ends)
        x0, y0 = (int(v) for v in np.floor(places.min(axis=0)))
        x1, y1 = (int(v) for v in np.ceil(places.max(axis=0)))
        # Pixel centres sit at +0.5 in continuous coordinates and at 0 in OpenCV's.
        first = camera.apply(self.to_frame, _CELL * (corner + 0.5)) - 0.5 - [x0, y0]
        warp = np.hstack([_CELL * self.to_frame[:, :2], first[:, None]])
        return x0, y0, cv2.warpAffine(mask, warp, (x1 - x0, y1 - y0), flags=cv2.INTER_NEAREST) > 0


def moving_parts(frame: int, field: np.ndarray | None, change: np.ndarray | None, to_frame: np.ndarray) -> list[Part]:
    """What moves in a frame, once for each level of speed at which it hangs together.

    ``field`` (float32 [H/2, W/2, 2]) is the flow from the frame before to this one, ``change`` (uint8 [H, W]) non-zero
    where the two differ by more than noise. The flow spills over what moves; its outline is that of the change.
    """
    import cv2

    if field is None or change is None:
        return []
    field = np.ascontiguousarray(field[::2, ::2])
    squared = cv2.transform(cv2.multiply(field, field), np.ones((1, 2)))
    noise = _NOISE * float(np.sqrt(np.median(squared[::2, ::2])))
    levels = [level for level in _LEVELS if level > noise]
    if not levels:
        return []
    changed = cv2.resize(change, (field.shape[1], field.shape[0]), interpolation=cv2.INTER_AREA)
    changed = (changed > 0).view(np.uint8)
    return [
        Part(frame, 2.0 * level, corner, mask.shape, np.packbits(mask), to_frame)
        for level in levels
        for corner, mask in _faster(level, field, squared, changed)
    ]


def _faster(
    level: float, field: np.ndarray, squared: np.ndarray, changed: np.ndarray
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Corner and mask (uint8 [h, w]) of what has changed in the largest regions that move faster than a level."""
    import cv2

    moving = (squared > level**2).view(np.uint8)
    first, upper, last, lower = box_of(moving)
    if (last - first) * (lower - upper) < _LEAST_CELLS:
        return
    _, labels, stats, _ = cv2.connectedComponentsWithStats(moving[upper:lower, first:last], connectivity=4)
    for label in 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:_MOST]:
        x, y, w, h, area = (int(v) for v in stats[label])
        if area < _LEAST_CELLS:
            return
        if area > _LARGEST * moving.size:
            continue
        own = (labels[y : y + h, x : x + w] == label).view(np.uint8)
        x, y = x + first, y + upper
        # The flow stands at the pixels of the frame before: what moves is a step further now.
        u, v, *_ = cv2.mean(field[y : y + h, x : x + w], own)
        dx, dy = round(u / 2), round(v / 2)
        left, top = max(0, x + dx), max(0, y + dy)
        right, bottom = min(changed.shape[1], x + w + dx), min(changed.shape[0], y + h + dy)
        if right <= left or bottom <= top:
            continue
        here = own[top - y - dy : bottom - y - dy, left - x - dx : right - x - dx]
        seen = here & changed[top:bottom, left:right]
        if cv2.countNonZero(seen) >= _LEAST_CHANGED:
            bx, by, bw, bh = cv2.boundingRect(seen)
            yield (left + bx, top + by), seen[by : by + bh, bx : bx + bw]


def _filled(mask: np.ndarray) -> np.ndarray:
    """A mask (uint8 [h, w]) with its gaps and holes closed."""
    import cv2

    half = _CLOSING // 2
    room = cv2.copyMakeBorder(mask, half, half, half, half, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(room, cv2.MORPH_CLOSE, np.ones((_CLOSING, _CLOSING), np.uint8))[half:-half, half:-half]
    outlines, _ = cv2.findContours(np.ascontiguousarray(closed), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED), np.uint8)
