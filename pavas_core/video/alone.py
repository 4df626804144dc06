"""A clip in which one tracked object is left and everything else stands still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.physics.masks import unpack_mask
from pavas_core.runtime import Runtime
from pavas_core.video.clip import Clip, clip_from_frames, iter_frames

if TYPE_CHECKING:
    from pavas_core.physics.types import Track, TrackSet

RATE_HZ = 25.0
LONG_SIDE = 512
"""What encoders look at is no finer, in time or in pixels."""
PLATE_PICTURES = 21
MARGIN = 0.02
"""A mask is widened by this part of the picture's long side, for shadows, blur and masks that are a little small."""


def objects_alone(
    clip: Clip, tracks: TrackSet, cuts_s: Sequence[float] = (), *, runtime: Runtime
) -> Iterator[tuple[str, Clip]]:
    """(object id, clip) for every track: its object moves over the median picture of its shot, nothing else does.

    Pictures are at most LONG_SIDE pixels long and RATE_HZ a second; two clips of that size are in memory at a time.
    """
    pictures: list[np.ndarray] = []
    times_s: list[float] = []
    for frame in iter_frames(clip, rate=RATE_HZ, long_side=min(LONG_SIDE, max(clip.width, clip.height))):
        runtime.step("reading pictures", len(pictures), round(clip.duration_s * RATE_HZ))
        pictures.append(frame.image)
        times_s.append(frame.time_s)
    seen = np.stack(pictures)
    shot = np.searchsorted(np.asarray(cuts_s, dtype=float), np.asarray(times_s), side="right")
    still = {int(one): _median(seen[shot == one]) for one in np.unique(shot)}
    for track in tracks.tracks:
        alone = np.empty_like(seen)
        for index, time_s in enumerate(times_s):
            runtime.check_cancelled()
            kept = _kept(track, tracks, time_s, seen.shape[1:3])
            alone[index] = np.where(kept[..., None], seen[index], still[int(shot[index])])
        yield track.object_id, replace(clip_from_frames(alone, RATE_HZ), duration_s=clip.duration_s)


def _median(pictures: np.ndarray) -> np.ndarray:
    chosen = np.linspace(0, len(pictures) - 1, min(PLATE_PICTURES, len(pictures))).round().astype(int)
    return np.median(pictures[chosen], axis=0).astype(np.uint8)


def _kept(track: Track, tracks: TrackSet, time_s: float, size: tuple[int, ...]) -> np.ndarray:
    """bool [H, W]: the object with a margin, by its mask, or by its box where it has none."""
    import cv2

    height, width = size
    index = int(np.argmin(np.abs(tracks.times_s - time_s)))
    if track.masks is not None:
        small = unpack_mask(track.masks, index).astype(np.uint8)
        cover = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    else:
        cover = np.zeros((height, width), np.uint8)
        if track.visible[index]:
            x0, y0, x1, y1 = (track.boxes[index] * (width / tracks.width)).round().astype(int)
            cover[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = 1
    reach = max(1, round(MARGIN * max(size)))
    return cv2.dilate(cover, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
