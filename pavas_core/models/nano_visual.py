"""What pavas-nano sees: how tracked things move and look, and a coarse picture of all motion.

Three views of one clip, all engineered: frame-aligned motion (sync tokens) with differences over up to 0.29 s both
ways, so that a change of course is seen as it happens; coarse pictures (clip tokens); motion and look of every object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pavas_core.physics.types import Track, TrackSet

SYNC_HZ = 31.25
FRAME_HZ = SYNC_HZ / 2
REACHES = (1, 2, 4, 9)
"""Sync steps over which velocity is compared before and after."""
GRID = (6, 8)
"""Rows and columns of the coarse pictures."""
CROP = 6
SHRUNK = (72, 128)
"""Rows and columns of the pictures that are looked at."""

MOTION_DIM = 8 + 3 * len(REACHES)
SYNC_DIM = 2 * MOTION_DIM + len(REACHES) + 4
CLIP_DIM = 2 * GRID[0] * GRID[1]
OBJECT_DIM = MOTION_DIM + CROP * CROP + 3 + 3


@dataclass(frozen=True)
class Sight:
    """Everything seen of one clip; S sync steps, T frames, N objects in the tracks' order."""

    sync: np.ndarray
    """float32 [S, SYNC_DIM]."""
    clip: np.ndarray
    """float32 [T, CLIP_DIM]."""
    objects: np.ndarray
    """float32 [N, T, OBJECT_DIM]."""
    present: np.ndarray
    """bool [N, T]."""
    frame_times_s: np.ndarray
    """float64 [T]."""


def sync_steps(duration_s: float) -> int:
    """Sync steps of a clip: whole segments of 8, spread evenly over it at about SYNC_HZ."""
    return max(8, round(duration_s * SYNC_HZ / 8) * 8)


@dataclass(frozen=True)
class Pictures:
    """The coarse look of a clip, measured frame by frame."""

    times_s: np.ndarray
    """float64 [F]."""
    grey: np.ndarray
    """float32 [F, GRID] mean brightness, 0..1."""
    change: np.ndarray
    """float32 [F, GRID] mean absolute difference to the frame before, per second."""
    crops: np.ndarray
    """float32 [N, F, CROP * CROP + 3] the picture inside every object's box and its mean colour; 0 where unseen."""


def look(frames: Iterable[np.ndarray], times_s: Sequence[float], tracks: TrackSet) -> Pictures:
    """Measure uint8 [H, W, 3] pictures at ``times_s``; boxes are taken from the tracks' nearest frames."""
    import cv2

    grey, change, before = [], [], None
    crops = np.zeros((len(tracks.tracks), len(times_s), CROP * CROP + 3), np.float32)
    rows, columns = GRID
    rate = (len(times_s) - 1) / max(1e-3, times_s[-1] - times_s[0]) if len(times_s) > 1 else 25.0
    nearest = np.abs(np.asarray(tracks.times_s)[None] - np.asarray(times_s)[:, None]).argmin(axis=1)
    for index, frame in enumerate(frames):
        small = cv2.resize(frame, SHRUNK[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
        light = small.mean(axis=2)
        grey.append(cv2.resize(light, (columns, rows), interpolation=cv2.INTER_AREA))
        moved = np.zeros_like(light) if before is None else np.abs(light - before)
        change.append(cv2.resize(moved, (columns, rows), interpolation=cv2.INTER_AREA) * rate / 25.0)
        before = light
        for number, track in enumerate(tracks.tracks):
            box = track.boxes[nearest[index]]
            if track.visible[nearest[index]] and np.isfinite(box).all():
                crops[number, index] = _crop(small, box / np.tile([tracks.width, tracks.height], 2))
    return Pictures(np.asarray(times_s, float), np.array(grey), np.array(change), crops)


def _crop(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    x0, y0 = int(np.clip(box[0] * width, 0, width - 1)), int(np.clip(box[1] * height, 0, height - 1))
    x1, y1 = (
        int(np.clip(np.ceil(box[2] * width), x0 + 1, width)),
        int(np.clip(np.ceil(box[3] * height), y0 + 1, height)),
    )
    part = cv2.resize(picture[y0:y1, x0:x1], (CROP, CROP), interpolation=cv2.INTER_AREA)
    return np.concatenate([part.mean(axis=2).ravel(), part.mean(axis=(0, 1))]).astype(np.float32)


def see(tracks: TrackSet, pictures: Pictures | None, duration_s: float) -> Sight:
    """All views of a clip. Without ``pictures`` the coarse pictures and the look of things are zero."""
    steps = sync_steps(duration_s)
    times = (np.arange(steps) + 0.5) * (duration_s / steps)
    motions = np.zeros((len(tracks.tracks), steps, MOTION_DIM), np.float32)
    for number, track in enumerate(tracks.tracks):
        motions[number] = _motion(track, tracks, times)
    frame_times = times.reshape(-1, 2).mean(axis=1)
    seen = motions.reshape(len(motions), steps // 2, 2, MOTION_DIM)
    per_frame = seen[:, :, 0].copy()
    # of the two steps of a frame the one with the sharper change speaks
    sharper = np.abs(seen[..., -1]) if len(motions) else seen[..., -1]
    later = sharper[..., 1] > sharper[..., 0]
    per_frame[later] = seen[:, :, 1][later]
    present: np.ndarray = np.any(seen[..., 0] > 0, axis=2)
    boxes = np.stack([_box_size(track, tracks, frame_times) for track in tracks.tracks]) if len(motions) else None
    crops = np.zeros((len(motions), len(frame_times), CROP * CROP + 3), np.float32)
    coarse = np.zeros((len(frame_times), CLIP_DIM), np.float32)
    glow = np.zeros((steps, 3), np.float32)
    if pictures is not None:
        nearest = np.abs(pictures.times_s[None] - frame_times[:, None]).argmin(axis=1)
        crops = pictures.crops[:, nearest] * present[..., None]
        coarse = np.concatenate(
            [
                pictures.grey[nearest].reshape(len(nearest), -1) - 0.5,
                8 * pictures.change[nearest].reshape(len(nearest), -1),
            ],
            axis=1,
        )
        energy = np.interp(times, pictures.times_s, pictures.change.mean(axis=(1, 2)))
        peak = np.interp(times, pictures.times_s, pictures.change.max(axis=(1, 2)))
        glow = np.stack([20 * energy, 20 * np.gradient(energy), 4 * peak], axis=1).astype(np.float32)
    sizes = boxes if boxes is not None else np.zeros((0, len(frame_times), 3), np.float32)
    objects = np.concatenate([per_frame, crops, sizes], axis=2)
    objects[~present] = 0.0
    return Sight(_pooled(motions, glow), coarse.astype(np.float32), objects.astype(np.float32), present, frame_times)


def _pooled(motions: np.ndarray, glow: np.ndarray) -> np.ndarray:
    """The two objects of the sharpest change at every step, and sums over all: [S, SYNC_DIM]."""
    steps = len(glow)
    out = np.zeros((steps, SYNC_DIM), np.float32)
    if len(motions):
        jumps = motions[..., -len(REACHES) :]
        # things that move alike are told apart by place, so that their order in the tracks does not matter
        order = np.lexsort((motions[..., 2], motions[..., 1], -np.round(jumps[..., 1], 3)), axis=0)
        for place in range(min(2, len(motions))):
            out[:, place * MOTION_DIM : (place + 1) * MOTION_DIM] = motions[order[place], np.arange(steps)]
        out[:, 2 * MOTION_DIM : 2 * MOTION_DIM + len(REACHES)] = jumps.sum(axis=0)
        out[:, -4] = motions[..., 0].sum(axis=0) / 2
    out[:, -3:] = glow
    return out


def _compressed(x: np.ndarray, unit: float) -> np.ndarray:
    """sign(x) log(1 + |x| / unit): what is tiny and what is huge both fit."""
    return np.sign(x) * np.log1p(np.abs(x) / unit)


def _stabilised(track: Track, tracks: TrackSet) -> np.ndarray:
    """Centroids [L, 2] with the camera's motion taken away, in picture widths."""
    points = track.centroids.astype(float)
    if tracks.camera is not None:
        points = np.einsum("lij,lj->li", tracks.camera[:, :, :2], points) + tracks.camera[:, :, 2]
    return points / tracks.width


def _motion(track: Track, tracks: TrackSet, times: np.ndarray) -> np.ndarray:
    """float32 [S, MOTION_DIM] of one object: seen, place, size, velocity, rate, growth; per reach the jump."""
    steps = len(times)
    out = np.zeros((steps, MOTION_DIM), np.float32)
    known = np.flatnonzero(track.visible & np.isfinite(track.centroids).all(axis=1))
    if known.size < 2:
        return out
    frame_times = np.asarray(tracks.times_s)
    spacing = float(np.median(np.diff(frame_times)))
    at = frame_times[known]
    points = _stabilised(track, tracks)[known]
    nearest = np.abs(at[None] - times[:, None]).min(axis=1)
    seen = nearest <= max(1.5 * spacing, 0.06)
    place = np.stack([np.interp(times, at, points[:, axis]) for axis in (0, 1)], axis=1)
    size = np.interp(times, at, 0.5 * np.log(np.maximum(track.area_px[known], 1.0) / tracks.width**2))
    out[:, 0] = 1.0
    out[:, 1:3] = place - 0.5
    out[:, 3] = size / 2 + 1
    velocity = np.gradient(place, axis=0) * SYNC_HZ
    out[:, 4:6] = _compressed(velocity, 0.1)
    out[:, 6] = np.log(spacing * 25)
    out[:, 7] = _compressed(np.gradient(size) * SYNC_HZ, 0.5)
    column = 8
    for index, reach in enumerate(REACHES):
        before = np.concatenate([np.repeat(place[:1], reach, axis=0), place[:-reach]])
        after = np.concatenate([place[reach:], np.repeat(place[-1:], reach, axis=0)])
        jump = (after - 2 * place + before) / reach * SYNC_HZ
        # before it came and after it was gone nothing is known: no jump
        span_s = reach / SYNC_HZ - 1e-6
        jump[(times - span_s < at[0]) | (times + span_s > at[-1])] = 0.0
        out[:, column : column + 2] = _compressed(jump, 0.1)
        out[:, MOTION_DIM - len(REACHES) + index] = _compressed(np.linalg.norm(jump, axis=1), 0.1)
        column += 2
    out[~seen] = 0.0
    return out


def _box_size(track: Track, tracks: TrackSet, times: np.ndarray) -> np.ndarray:
    """float32 [T, 3]: width, height of the box in picture widths, and whether it touches the border."""
    nearest = np.abs(np.asarray(tracks.times_s)[None] - times[:, None]).argmin(axis=1)
    boxes = np.nan_to_num(track.boxes[nearest]) / tracks.width
    extent = np.stack([boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]], axis=1)
    return np.concatenate([5 * extent, track.truncated[nearest][:, None]], axis=1).astype(np.float32)
