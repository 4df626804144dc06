"""Faults of a tracker put upon true tracks: jitter, drop-outs, swapped identities, things that are not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pavas_core.physics.types import Track, TrackSet

JITTER_WIDTH = (0.0002, 0.002)
"""Standard deviation of a centroid, fraction of the picture's width, from clip to clip."""
DROP_OUTS_PER_S = 0.25
SWAP_SHARE = 0.1
FALSE_SHARE = 0.12


def with_faults(tracks: TrackSet, rng: np.random.Generator) -> TrackSet:
    """``tracks`` as a tracker might have measured them. A false thing comes last and is called ``false-1``."""
    jitter = float(np.exp(rng.uniform(*np.log(JITTER_WIDTH)))) * tracks.width
    measured = [_drop_out(_jittered(track, jitter, rng), tracks, rng) for track in tracks.tracks]
    if len(measured) > 1 and rng.random() < SWAP_SHARE:
        first, second = rng.choice(len(measured), 2, replace=False)
        measured[first], measured[second] = _swapped(measured[first], measured[second], rng)
    if rng.random() < FALSE_SHARE:
        measured.append(_false_track(tracks, rng))
    return replace(tracks, tracks=tuple(measured))


def _jittered(track: Track, sigma: float, rng: np.random.Generator) -> Track:
    shape = track.centroids.shape
    shift = (rng.normal(0, sigma, shape)).astype(np.float32)
    area = track.area_px * np.exp(rng.normal(0, 0.05, shape[0])).astype(np.float32)
    return replace(track, centroids=track.centroids + shift, boxes=track.boxes + np.tile(shift, 2), area_px=area)


def _drop_out(track: Track, tracks: TrackSet, rng: np.random.Generator) -> Track:
    visible = track.visible.copy()
    for _ in range(rng.poisson(DROP_OUTS_PER_S * tracks.duration_s)):
        start = rng.uniform(0, tracks.duration_s)
        times = np.asarray(tracks.times_s)
        visible[(times >= start) & (times < start + rng.exponential(0.12))] = False
    return _hidden(track, visible)


def _hidden(track: Track, visible: np.ndarray) -> Track:
    gone = ~visible
    boxes, centroids, area = track.boxes.copy(), track.centroids.copy(), track.area_px.copy()
    boxes[gone], centroids[gone], area[gone] = np.nan, np.nan, np.nan
    return replace(track, visible=visible, boxes=boxes, centroids=centroids, area_px=area)


def _swapped(a: Track, b: Track, rng: np.random.Generator) -> tuple[Track, Track]:
    """Two tracks that exchange their things from some frame on, where they are closest if they ever meet."""
    gap = np.linalg.norm(a.centroids - b.centroids, axis=1)
    cut = int(np.nanargmin(gap)) if np.isfinite(gap).any() else int(rng.integers(len(gap)))

    def joined(head: Track, tail: Track) -> Track:
        return replace(
            head,
            visible=np.concatenate([head.visible[:cut], tail.visible[cut:]]),
            boxes=np.concatenate([head.boxes[:cut], tail.boxes[cut:]]),
            centroids=np.concatenate([head.centroids[:cut], tail.centroids[cut:]]),
            area_px=np.concatenate([head.area_px[:cut], tail.area_px[cut:]]),
            truncated=np.concatenate([head.truncated[:cut], tail.truncated[cut:]]),
        )

    return joined(a, b), joined(b, a)


def _false_track(tracks: TrackSet, rng: np.random.Generator) -> Track:
    """A shadow or a flicker: seen for a while, drifting without purpose."""
    frames = len(tracks.times_s)
    first = int(rng.integers(0, max(1, frames - 4)))
    last = int(min(frames, first + max(4, rng.exponential(0.5) * frames)))
    start = rng.uniform([0, 0], [tracks.width, tracks.height])
    drift = rng.normal(0, 0.1 * tracks.width, 2) * np.asarray(tracks.times_s)[:, None]
    noise = np.cumsum(rng.normal(0, 0.004 * tracks.width, (frames, 2)), axis=0)
    centroids = (start + drift + noise).astype(np.float32)
    half = rng.uniform(0.01, 0.08, 2) * tracks.width
    boxes = np.concatenate([centroids - half, centroids + half], axis=1).astype(np.float32)
    area = np.full(frames, 3.0 * half[0] * half[1], np.float32)
    visible = np.zeros(frames, bool)
    visible[first:last] = True
    return _hidden(Track("false-1", visible, boxes, centroids, area, np.zeros(frames, bool)), visible)
