"""Speeds at any times, linear between impacts and never across one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pavas_core.physics.types import Scene, Velocity

MAX_GAP = 1.5
"""In sampling intervals: nothing is said of a speed farther than this from a measured one."""


def impact_times_s(scene: Scene, object_id: str) -> np.ndarray:
    """Times of the impacts in which an object takes part, float64 (K,)."""
    return np.array([one.time_s for one in scene.impacts if object_id in (one.object_id, one.partner)], dtype=float)


def speed_at(velocity: Velocity, times_s: np.ndarray, impacts_s: Sequence[float] | np.ndarray = ()) -> np.ndarray:
    """Speed in m/s, float32, at every one of ``times_s``; NaN where it was not measured nearby.

    Between two impacts the nearest measurements are joined by lines, and held from the last one to an impact.
    """
    known = np.isfinite(velocity.speed_mps)
    times, speeds = velocity.times_s[known], velocity.speed_mps[known].astype(float)
    result = np.full(len(times_s), np.nan, dtype=np.float32)
    if not len(times):
        return result
    interval = float(np.median(np.diff(velocity.times_s))) if len(velocity.times_s) > 1 else np.inf
    edges = np.concatenate([[-np.inf], np.sort(np.asarray(impacts_s, dtype=float)), [np.inf]])
    for start, end in pairwise(edges):
        inside = (times >= start) & (times < end)
        wanted = np.flatnonzero((times_s >= start) & (times_s < end))
        if not inside.any() or not len(wanted):
            continue
        near = np.abs(times_s[wanted, None] - times[None, inside]).min(axis=1) <= MAX_GAP * interval
        wanted = wanted[near]
        result[wanted] = np.interp(times_s[wanted], times[inside], speeds[inside])
    return result
