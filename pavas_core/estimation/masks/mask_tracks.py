"""Tracks from masks, whoever made them: SAM 2, SAM 3, or a person with a brush."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.estimation.result_cache import key_of
from pavas_core.estimation.tracking import camera
from pavas_core.physics.masks import fitted_size, pack_masks, unpack_mask
from pavas_core.physics.types import MASK_LONG_SIDE, ObjectSet, PackedMasks, Track, TrackSet
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip, Frame

MAX_RATE = 60.0
SAME_THING = 0.7
"""Two objects whose masks share this much of their union, where both are seen, are one."""
_STILL_PX = 0.25


class TrackMaker:
    """Collects one object's masks, frame by frame, as a track.

    Pixels are addressed by their centres, the first is (0, 0); boxes are edges, so they span 0 to width.
    """

    def __init__(self, object_id: str, width: int, height: int):
        self.object_id, self._width, self._height = object_id, width, height
        self._size = fitted_size(height, width)
        self._runs: dict[int, np.ndarray] = {}
        self._shapes: dict[int, tuple[tuple[float, ...], tuple[float, float], float, bool]] = {}

    def add(self, index: int, mask: np.ndarray) -> None:
        """Note the mask of frame ``index``, bool [h, w] of any size in the clip's proportions; the latest counts."""
        height, width = mask.shape
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        self._runs.pop(index, None)
        self._shapes.pop(index, None)
        if rows.size == 0:
            return
        sx, sy = self._width / width, self._height / height
        y, x = np.nonzero(mask)
        box = (columns[0] * sx, rows[0] * sy, (columns[-1] + 1) * sx, (rows[-1] + 1) * sy)
        centroid = ((x.mean() + 0.5) * sx - 0.5, (y.mean() + 0.5) * sy - 0.5)
        border = bool(rows[0] == 0 or columns[0] == 0 or rows[-1] == height - 1 or columns[-1] == width - 1)
        self._shapes[index] = box, centroid, float(y.size * sx * sy), border
        self._runs[index] = pack_masks(_resized(mask, *self._size)[None]).runs[0]

    def has(self, index: int) -> bool:
        """Whether the object was seen in frame ``index``."""
        return index in self._runs

    def track(self, count: int) -> Track:
        """The track over ``count`` frames."""
        visible, truncated = np.zeros(count, bool), np.zeros(count, bool)
        boxes = np.full((count, 4), np.nan, np.float32)
        centroids = np.full((count, 2), np.nan, np.float32)
        area = np.full(count, np.nan, np.float32)
        for index, (box, centroid, size, border) in self._shapes.items():
            visible[index], truncated[index] = True, border
            boxes[index], centroids[index], area[index] = box, centroid, size
        empty = np.zeros(0, np.uint32)
        masks = PackedMasks(*self._size, tuple(self._runs.get(index, empty) for index in range(count)))
        confidence = float(np.clip(visible.sum() / 12.0, 0.0, 1.0))
        return Track(self.object_id, visible, boxes, centroids, area, truncated, None, masks, confidence)


class CameraPoses:
    """How the camera moved, from pictures given one by one."""

    def __init__(self, width: int, height: int):
        self._tracker = camera.CameraTracker()
        self._width, self._height = width, height
        self._poses: list[np.ndarray] = []

    def add(self, image: np.ndarray) -> None:
        """The next picture, uint8 [H, W, 3], at most 512 pixels wide and high are looked at."""
        import cv2

        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, MASK_LONG_SIDE / max(gray.shape))
        if scale < 1.0:
            size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        height, width = gray.shape
        pose = self._tracker.step(gray)
        factors = np.array([self._width / width, self._height / height])
        linear = pose[:, :2] * factors[:, None] / factors[None, :]
        shift = pose[:, 2] * factors + linear @ [0.5, 0.5] - 0.5
        self._poses.append(np.hstack([linear, shift[:, None]]))

    def result(self) -> np.ndarray | None:
        """float64 [L, 2, 3] maps to the first picture's pixels; None where the camera stood still."""
        corners = np.array([[0, 0], [self._width, self._height]], float)
        moved = max(float(np.abs(camera.apply(pose, corners) - corners).max()) for pose in self._poses)
        still = _STILL_PX * max(self._width, self._height) / MASK_LONG_SIDE
        return None if moved < max(_STILL_PX, still) else np.array(self._poses)


def frames_of(clip: Clip, long_side: int) -> Iterator[Frame]:
    """The analysed frames: every picture at its own time, no more than 60 a second."""
    from pavas_core.video.clip import iter_frames

    return iter_frames(clip, rate=MAX_RATE if clip.frame_rate > 1.02 * MAX_RATE else None, long_side=long_side)


def key_of_pictures(clip: Clip, runtime: Runtime) -> str:
    """One key for what the analysed frames show, when they show it, and their size."""
    pictures = []
    for frame in frames_of(clip, 256):
        runtime.check_cancelled()
        pictures.append(key_of(frame.time_s, frame.image))
    return key_of(float(clip.width), float(clip.height), *pictures)


def tracks_of_masks(
    clip: Clip, objects: ObjectSet, masks: Sequence[Sequence[np.ndarray]], *, runtime: Runtime | None = None
) -> TrackSet:
    """Tracks from finished masks: ``masks[k][i]``, bool [h, w], is object k in picture i of the clip.

    Raises PhysicsError where their numbers do not fit the objects or the clip's pictures (two more or less pass).
    """
    runtime = runtime or Runtime()
    if len(masks) != len(objects.objects):
        raise PhysicsError(
            f"There are masks of {len(masks)} objects for {len(objects.objects)} objects: give one track each."
        )
    makers = [TrackMaker(thing.id, clip.width, clip.height) for thing in objects.objects]
    poses, times = CameraPoses(clip.width, clip.height), []
    for index, frame in enumerate(frames_of(clip, MASK_LONG_SIDE)):
        runtime.step("Reading masks", min(index, clip.frame_count), clip.frame_count)
        times.append(frame.time_s)
        poses.add(frame.image)
        for maker, own in zip(makers, masks, strict=True):
            if index < len(own):
                maker.add(index, np.asarray(own[index], bool))
    longest = max((len(own) for own in masks), default=len(times))
    if abs(longest - len(times)) > 2:
        raise PhysicsError(
            f"There are {longest} masks for {len(times)} pictures: make the masks from the same pictures of this clip."
        )
    tracks = tuple(maker.track(len(times)) for maker in makers)
    return TrackSet(np.array(times), clip.width, clip.height, clip.duration_s, tracks, poses.result(), "masks")


def doubles(tracks: TrackSet) -> dict[str, str]:
    """Ids of tracks that follow the same thing as an earlier one, with that one's id."""
    found: dict[str, str] = {}
    for index, later in enumerate(tracks.tracks):
        for earlier in tracks.tracks[:index]:
            if earlier.object_id not in found and _shared(earlier, later) >= SAME_THING:
                found[later.object_id] = earlier.object_id
                break
    return found


def _shared(first: Track, second: Track) -> float:
    """Median intersection over union where both are seen; 0 unless that is most of where either is."""
    both = np.flatnonzero(first.visible & second.visible)
    if both.size < 0.5 * min(first.visible.sum(), second.visible.sum()) or both.size == 0:
        return 0.0
    assert first.masks is not None
    assert second.masks is not None
    shares = []
    for index in both[:: max(1, both.size // 24)]:
        a, b = unpack_mask(first.masks, index), unpack_mask(second.masks, index)
        shares.append((a & b).sum() / max((a | b).sum(), 1))
    return float(np.median(shares))


def _resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    if mask.shape == (height, width):
        return mask
    covered = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    small = covered >= 0.5
    if not small.any():
        small.flat[int(np.argmax(covered))] = True
    return small
