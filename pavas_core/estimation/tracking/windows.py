"""A clip as windows of frames that share one canvas: the camera's motion removed, the background behind them.

Every frame is decoded once. What a window needs of the clip does not depend on what is linked in it, so windows can be
made ahead of their use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.estimation.ahead import ahead
from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.foreground import (
    Background,
    Canvas,
    Detection,
    find_regions,
    frame_change,
    long_background,
    short_background,
)
from pavas_core.physics.types import MASK_LONG_SIDE

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip, Frame

MAX_RATE = 60.0
_WINDOW_FRAMES = 240
_BEFORE_FRAMES = 120
_AFTER_S = 0.5
_WINDOW_SHIFT = 0.25
STILL_PX = 0.25
"""A camera that moves the picture by less than this stands still."""

Check = Callable[[], None]
"""Raises where the work is no longer wanted."""


@dataclass(frozen=True)
class Window:
    """Frames to be linked, laid over each other together with neighbours that help to see the background."""

    canvas: Canvas
    background: Background
    new: range
    """Which of the canvas's pictures are to be linked; the others are their neighbours."""
    first: int
    """Number of the canvas's first picture in the clip."""
    to_world: np.ndarray
    """float [2, 3]: canvas pixels to those of the shot's first frame."""
    to_frame: list[np.ndarray]
    """float [2, 3] each: canvas pixels to those of every picture's own frame."""
    ends_shot: bool

    def described(self) -> Iterator[tuple[list[Detection], np.ndarray | None]]:
        """The regions of every new picture, and where it differs from the one before (None for the very first)."""
        recent = None
        for i in self.new:
            if recent is None or i % 2 == 0:
                recent = short_background(self.canvas, i)
            regions = find_regions(self.canvas, i, self.background, recent)
            yield regions, frame_change(self.canvas, i, self.background) if i > 0 else None


@dataclass(frozen=True)
class _Shown:
    image: np.ndarray
    pose: np.ndarray


class Film:
    """Takes a clip's frames and makes windows of them; a window never holds frames of two shots."""

    def __init__(self, clip: Clip) -> None:
        self.times: list[float] = []
        self.poses: list[np.ndarray] = []
        self.cuts: list[int] = []
        """First frame of every shot but the first."""
        self.size = (0, 0)
        self.frame_rate = min(clip.frame_rate or 30.0, MAX_RATE)
        self._clip = clip
        self._after = max(4, round(_AFTER_S * self.frame_rate))
        self._follower = camera.CameraTracker()
        self._shown: list[_Shown] = []
        self._offset = 0  # frame number of shown[0]
        self._start = 0  # first frame that is in no window yet
        self._end = 0  # end of the window that begins there, as far as it is known

    def windows(self, check: Check) -> Iterator[Window]:
        """All windows in order, which hold every frame once as a new one."""
        from pavas_core.video.clip import iter_frames
        from pavas_core.video.cuts import with_cuts

        rate = MAX_RATE if self._clip.frame_rate > 1.02 * MAX_RATE else None
        frames = ahead(
            lambda _: with_cuts(iter_frames(self._clip, rate=rate, long_side=MASK_LONG_SIDE)), check_cancelled=check
        )
        for frame, is_first in frames:
            check()
            if is_first:
                yield from self._rest_of_shot(check)
                self.cuts.append(len(self.times))
            self._take(frame)
            if self._end - self._start < len(self.times) - self._start - self._after:
                yield self._window(check)
                drop = max(0, self._start - _BEFORE_FRAMES - self._offset)
                self._shown, self._offset = self._shown[drop:], self._offset + drop
        yield from self._rest_of_shot(check)

    def _take(self, frame: Frame) -> None:
        """The next frame of the shot."""
        self._shown.append(_prepare(frame.image, self._follower))
        self.times.append(frame.time_s)
        self.poses.append(self._shown[-1].pose)
        self.size = frame.image.shape[1], frame.image.shape[0]
        self._find_end()

    def _rest_of_shot(self, check: Check) -> Iterator[Window]:
        """Windows of what is left; the next frame has nothing to do with those before."""
        while self._start < len(self.times):
            self._find_end()
            yield self._window(check)
        self._follower = camera.CameraTracker()
        self._shown, self._offset = [], self._start

    def _find_end(self) -> None:
        known = max(self._start, self._end) - self._offset
        self._end = _window_end(self._shown, self._start - self._offset, known) + self._offset

    def _window(self, check: Check) -> Window:
        import cv2

        shown, offset = self._shown, self._offset
        start, end = self._start - offset, self._end - offset
        height, width = shown[0].image.shape[:2]
        reference = camera.invert(shown[start].pose)
        centre = np.array([width / 2, height / 2])

        def near(i: int) -> bool:
            moved = camera.apply(camera.compose(reference, shown[i].pose), centre) - centre
            return bool((np.abs(moved) / [width, height]).max() < _WINDOW_SHIFT + 0.1)

        first, last = start, end
        roaming = end - start < min(_WINDOW_FRAMES, len(shown) - start)
        while first > max(0, start - (self._after if roaming else _BEFORE_FRAMES)) and near(first - 1):
            first -= 1
        while last < min(len(shown), end + self._after) and near(last):
            last += 1
        relative = [camera.compose(reference, shown[i].pose) for i in range(first, last)]
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        places = np.array([camera.apply(r, corners) for r in relative])
        moving = bool(np.abs(places - corners).max() > STILL_PX)
        if moving:
            low = np.floor(places.min((0, 1))).astype(int)
            size = np.ceil(places.max((0, 1))).astype(int) - low
            shift = np.array([[1.0, 0.0, -low[0]], [0.0, 1.0, -low[1]]])
            to_canvas = [camera.compose(shift, r) for r in relative]
            images, valid = list[np.ndarray](), list[np.ndarray | None]()
            full = np.full((height, width), 255, np.uint8)
            canvas_size = int(size[0]), int(size[1])
            for i, affine in enumerate(to_canvas):
                check()
                warp = affine.copy()
                warp[:, 2] += affine[:, :2] @ [0.5, 0.5] - 0.5
                images.append(cv2.warpAffine(shown[first + i].image, warp, canvas_size, flags=cv2.INTER_LINEAR))
                valid.append(cv2.warpAffine(full, warp, canvas_size, flags=cv2.INTER_NEAREST))
        else:
            shift = camera.IDENTITY
            to_canvas = [camera.IDENTITY] * len(relative)
            images, valid = [shown[i].image for i in range(first, last)], [None] * (last - first)
        canvas = Canvas(images, valid, self.frame_rate, moving)
        to_world = camera.compose(shown[start].pose, camera.invert(shift))
        to_frame = [camera.invert(affine) for affine in to_canvas]
        self._start = self._end
        return Window(
            canvas, long_background(canvas, check), range(start - first, end - first), offset + first,
            to_world, to_frame, self._start == len(self.times),
        )  # fmt: skip


def _prepare(image: np.ndarray, follower: camera.CameraTracker) -> _Shown:
    import cv2

    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    return _Shown(smooth, follower.step(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)))


def _window_end(shown: list[_Shown], start: int, known: int) -> int:
    """End of the run of frames from ``start`` that can share one canvas; those before ``known`` can."""
    height, width = shown[0].image.shape[:2]
    centre = np.array([width / 2, height / 2])
    home = camera.invert(shown[start].pose)
    for i in range(known, min(len(shown), start + _WINDOW_FRAMES)):
        relative = camera.compose(home, shown[i].pose)
        shift = np.abs(camera.apply(relative, centre) - centre) / [width, height]
        if shift.max() > _WINDOW_SHIFT or not 0.85 < np.hypot(relative[0, 0], relative[1, 0]) < 1.18:
            return max(i, start + 1)
    return min(len(shown), start + _WINDOW_FRAMES)
