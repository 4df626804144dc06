"""Patches of fast pixels, and how much of their motion the next frame interval keeps.

What strikes something is stopped within one interval, all of it at once; what is slowed by a hand is not. Measured on
dense flow with the camera's motion removed, each pixel along its own path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.flow import FlowField
from pavas_core.estimation.tracking.foreground import box_of

_FAST = 0.12
"""Picture widths per second from which a pixel counts as fast."""
_LEAST_STEP = 1.0
"""Pixels of the flow field that a fast pixel moves at least."""
_LEAST_PIXELS = 20
_LEAST_SHARE = 4e-4
"""Of the picture: smaller patches are noise, or balls that are tracked better than flow sees them."""
_LEAST_TOP = 0.15
"""Picture widths per second that a fifth of a patch exceeds."""
_STOPPED = 0.35
"""Of its speed: a pixel that keeps less of it along its way has stopped."""
_WHOLE = 0.8
"""Of the picture: when this much moves at once it is the camera, not a thing."""
_ROOM = 0.1
"""Of a box's diagonal: flow spills over the edge of what moves."""

Flow = tuple[np.ndarray, np.ndarray]
"""A flow field [h, w, 2], pixels of it, and the same in picture widths per second."""


@dataclass(frozen=True)
class Patch:
    """Fast pixels that hang together in the interval before a frame."""

    frame: int
    """Frame between the interval in which they are fast and the one after it."""
    centre: tuple[float, float]
    """Analysis pixels of that frame."""
    share: float
    """Of the picture."""
    stopped: float
    """Share of them that have stopped in the interval after the frame."""
    lost: float
    """Speed lost along their way, summed over them: picture areas times picture widths per second."""
    down: float
    """Downward part of their mean direction, -1 to 1."""


class StopFinder:
    """Compares the flow of every two successive frame intervals of one canvas."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._frame = -1
        self._time_s = 0.0
        self._to_frame = camera.IDENTITY
        self._before: Flow | None = None

    def step(self, frame: int, time_s: float, flow: FlowField, to_frame: np.ndarray) -> list[Patch]:
        """Take the next frame, whose ``flow`` has just stepped: the patches at the frame before it.

        ``to_frame`` maps canvas pixels to those of the frame. A repeated picture says nothing and is passed over.
        """
        if flow.repeated:
            return []
        after = None
        if flow.field is not None and time_s > self._time_s:
            after = flow.field, flow.field * (2.0 / (self._width * (time_s - self._time_s)))
        found = _patches(self._frame, self._before, after, self._to_frame) if self._before and after else []
        self._frame, self._time_s, self._to_frame, self._before = frame, time_s, to_frame, after
        return found


def _patches(frame: int, before: Flow, after: Flow, to_frame: np.ndarray) -> list[Patch]:
    import cv2

    picture = before[0].shape[0] * before[0].shape[1]
    squared = cv2.transform(cv2.multiply(before[1], before[1]), np.ones((1, 2)))
    left, top, right, bottom = box_of((squared > (0.999 * _FAST) ** 2).view(np.uint8))
    if (right - left) * (bottom - top) < _LEAST_PIXELS:
        return []
    box = slice(top, bottom), slice(left, right)
    step, velocity = before[0][box], before[1][box]
    speed = np.hypot(velocity[..., 0], velocity[..., 1])
    fast = (speed > _FAST) & (np.hypot(step[..., 0], step[..., 1]) >= _LEAST_STEP)
    if fast.sum() < _LEAST_PIXELS:
        return []
    columns = np.arange(left, right, dtype=np.float32) + step[..., 0]
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] + step[..., 1]
    then = cv2.remap(after[1], columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    along = velocity[..., 0] * then[..., 0] + velocity[..., 1] * then[..., 1]
    along /= np.maximum(speed, 1e-6)
    stopped = along < _STOPPED * speed
    lost = speed - np.maximum(along, -speed)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(fast.view(np.uint8))
    found = []
    for label in range(1, count):
        area = int(stats[label, cv2.CC_STAT_AREA])
        if area < max(_LEAST_PIXELS, _LEAST_SHARE * picture):
            continue
        x, y, w, h = (int(v) for v in stats[label, :4])
        crop = slice(y, y + h), slice(x, x + w)
        own = labels[crop] == label
        if float(np.quantile(speed[crop][own], 0.8)) < _LEAST_TOP:
            continue
        way = velocity[crop][own].mean(axis=0)
        place = camera.apply(to_frame, 2.0 * (centres[label] + [left, top]) + 0.5)
        found.append(
            Patch(
                frame,
                (float(place[0]), float(place[1])),
                area / picture,
                float(stopped[crop][own].mean()),
                float(lost[crop][own].sum()) / picture,
                float(way[1] / max(float(np.hypot(*way)), 1e-9)),
            )
        )
    return found


def stops_of(boxes: np.ndarray, patches: Sequence[Patch]) -> np.ndarray:
    """What has stopped on a body after every frame: float32 [L, 3], as ``Track.stops``.

    ``boxes`` [L, 4] are the body's, analysis pixels of each frame, NaN where it is not seen. Of several patches on the
    body at one frame the one that loses most counts. Where nearly the whole picture moves, nothing stops by itself.
    """
    out = np.full((len(boxes), 3), np.nan, np.float32)
    for patch in patches:
        whole = patch.share > _WHOLE
        near = boxes[max(0, patch.frame - 1) : patch.frame + 1]
        near = near[np.isfinite(near).all(axis=1)]
        if patch.lost <= 0.0 or not len(near):
            continue
        low, high = near[:, :2].min(axis=0), near[:, 2:].max(axis=0)
        room = _ROOM * float(np.hypot(*(high - low)))
        inside = ((patch.centre >= low - room) & (patch.centre <= high + room)).all()
        if (whole or inside) and not patch.lost <= out[patch.frame, 1]:
            out[patch.frame] = 0.0 if whole else patch.stopped, patch.lost, patch.down
    return out
