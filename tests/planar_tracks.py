"""Tracks of bodies whose true motion is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pavas_core.physics.types import Track, TrackSet

Path = Callable[[np.ndarray], np.ndarray]


def bounces(
    *, height_m: float, restitution: float, floor_m: float, duration_s: float, drift_mps: float = 0.0
) -> tuple[Path, list[tuple[float, float, float]]]:
    """A ball dropped from ``height_m`` above a floor: its path (metres, y down) and (time, speed before, after)."""
    events = []
    pieces = [(0.0, floor_m - height_m, 0.0)]  # start, y, vy
    while pieces[-1][0] < duration_s and len(pieces) < 40:
        start, y, vy = pieces[-1]
        fall_s = (-vy + np.sqrt(vy * vy + 2 * 9.81 * (floor_m - y))) / 9.81
        before = vy + 9.81 * fall_s
        if start + fall_s < duration_s:
            events.append((start + fall_s, before, restitution * before))
        pieces.append((start + fall_s, floor_m, -restitution * before))

    def path(times_s: np.ndarray) -> np.ndarray:
        starts = np.array([p[0] for p in pieces])
        which = np.clip(np.searchsorted(starts, times_s, side="right") - 1, 0, len(pieces) - 1)
        _, y, vy = np.array(pieces)[which].T
        u = times_s - starts[which]
        return np.stack([0.3 + drift_mps * times_s, y + vy * u + 0.5 * 9.81 * u**2], axis=-1)

    return path, events


def sampled(path: Path, times_s: np.ndarray, px_per_m: float, exposure_s: float = 0.0) -> np.ndarray:
    """Centres [L, 2] in pixels, averaged over the exposure as blur does."""
    shifts = np.linspace(-0.5, 0.5, 9) * exposure_s
    return px_per_m * np.mean([path(np.maximum(times_s + s, 0.0)) for s in shifts], axis=0)


def make_track(
    object_id: str,
    points: np.ndarray,
    diameter_px: float,
    visible: np.ndarray | None = None,
    *,
    truncated: np.ndarray | None = None,
    flow: np.ndarray | None = None,
) -> Track:
    """A disc of ``diameter_px`` at ``points`` [L, 2]."""
    count = len(points)
    visible = np.ones(count, bool) if visible is None else visible
    points = np.where(visible[:, None], points, np.nan)
    half = diameter_px / 2
    return Track(
        object_id,
        visible,
        np.concatenate([points - half, points + half], axis=1).astype(np.float32),
        points.astype(np.float32),
        np.where(visible, np.pi * half**2, np.nan).astype(np.float32),
        np.zeros(count, bool) if truncated is None else truncated,
        None if flow is None else flow.astype(np.float32),
    )


def make_tracks(times_s: np.ndarray, *tracks: Track, camera: np.ndarray | None = None) -> TrackSet:
    """Tracks of a picture of 640 x 360 pixels."""
    return TrackSet(times_s, 640, 360, float(times_s[-1] + times_s[1] - times_s[0]), tracks, camera)
