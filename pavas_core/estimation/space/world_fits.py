"""Velocity from places in space by least squares, over as long a time as one acceleration explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.estimation.space.world_paths import WorldPath

_WINDOWS_S = (0.06, 0.09, 0.13, 0.19, 0.27, 0.39, 0.55, 0.8)
_AGREE = 14.0
"""Squared standard errors by which a longer window's velocity may differ from a shorter one's."""
_HAND_MPS2 = 40.0
"""Of motion that is no free flight: standard deviation of the acceleration, a coordinate."""
FLIGHT_SIGMA = 0.1
"""Of gravity in a free flight (air, spin, errors of the reconstruction), relative."""


@dataclass(frozen=True)
class Motion:
    """Velocity and acceleration at one moment, with covariances [3, 3]."""

    velocity: np.ndarray
    covariance: np.ndarray
    acceleration: np.ndarray
    acceleration_sigma: float
    window_s: float


def motion_at(
    path: WorldPath, first: int, last: int, at_s: float, gravity: np.ndarray | None, *, end: bool = False
) -> Motion | None:
    """Motion at ``at_s`` from samples ``first`` to ``last`` (included); None where fewer than two are near.

    Windows grow while the velocity they give agrees with every shorter one's (the rule of intersecting confidence
    intervals; Katkovnik 1999, for each window). ``gravity`` [3] is the acceleration where the object flies; any other
    motion has an unknown one. ``end`` says that ``at_s`` is a contact: the picture nearest to it is blurred over both
    of its sides and counts less.
    """
    index = np.arange(first, last + 1)
    offset = path.times_s[index] - at_s
    best: Motion | None = None
    shorter: list[Motion] = []
    used = 0
    for window in _WINDOWS_S:
        near = np.abs(offset) <= window
        if near.sum() <= max(used, 1 if gravity is not None else 2):
            continue
        used = int(near.sum())
        found = _fit(path, index[near], offset[near], gravity, window, end)
        for before in shorter:
            apart = found.velocity - before.velocity
            if float(apart @ np.linalg.solve(before.covariance, apart)) > _AGREE:
                return best
        shorter.append(found)
        best = found
    if best is None and len(index) >= 2:
        near = np.sort(np.argsort(np.abs(offset), kind="stable")[:3])
        best = _fit(path, index[near], offset[near], gravity, float(np.abs(offset[near]).max()), end)
    return best


def _fit(
    path: WorldPath, index: np.ndarray, offset: np.ndarray, gravity: np.ndarray | None, window_s: float, end: bool
) -> Motion:
    """Weighted least squares in axes along and across the line of sight, with what is known of the acceleration."""
    ray = path.rays[index].mean(axis=0)
    axes = _axes(ray)
    local = path.places[index] @ axes.T
    sigma = np.array([path.across_m, path.across_m, path.along_m])
    design = np.stack([np.ones_like(offset), offset, 0.5 * offset**2], axis=-1)
    weight = np.ones(len(offset))
    if end and len(offset) > 2:
        weight[np.argmin(np.abs(offset))] = 0.3
    normal = np.einsum("n,ni,nj->ij", weight, design, design)
    right = design.T @ (weight[:, None] * local)
    expected, spread = np.zeros(3), _HAND_MPS2
    if gravity is not None:
        expected, spread = axes @ gravity, FLIGHT_SIGMA * float(np.linalg.norm(gravity))
    velocity, variance, acceleration = np.zeros(3), np.zeros(3), np.zeros(3)
    sure = 0.0
    for axis in range(3):
        stiff = (sigma[axis] / spread) ** 2
        n, r = normal.copy(), right[:, axis].copy()
        n[2, 2] += stiff
        r[2] += stiff * expected[axis]
        n[np.diag_indices(3)] += 1e-12
        inverse = np.linalg.inv(n)
        value = inverse @ r
        velocity[axis], acceleration[axis] = value[1], value[2]
        variance[axis] = sigma[axis] ** 2 * inverse[1, 1]
        sure = max(sure, float(sigma[axis] * np.sqrt(inverse[2, 2])))
    covariance = axes.T @ np.diag(variance) @ axes
    return Motion(axes.T @ velocity, covariance, axes.T @ acceleration, sure, window_s)


def _axes(ray: np.ndarray) -> np.ndarray:
    """Rows: two axes across a line of sight, and the line itself."""
    along = ray / max(float(np.linalg.norm(ray)), 1e-12)
    aside = np.cross(np.eye(3)[int(np.argmin(np.abs(along)))], along)
    aside /= np.linalg.norm(aside)
    return np.stack([aside, np.cross(along, aside), along])


def fall(path: WorldPath, first: int, last: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Acceleration [3] of a whole part and its covariance [3, 3], where constant acceleration explains it."""
    index = np.arange(first, last + 1)
    if len(index) < 6:
        return None
    offset = path.times_s[index] - path.times_s[index].mean()
    axes = _axes(path.rays[index].mean(axis=0))
    local = path.places[index] @ axes.T
    design = np.stack([np.ones_like(offset), offset, 0.5 * offset**2], axis=-1)
    inverse = np.linalg.inv(design.T @ design)
    values = inverse @ design.T @ local
    sigma = np.array([path.across_m, path.across_m, path.along_m])
    misfit = np.sqrt(((local - design @ values) ** 2).sum(axis=0) / max(1, len(index) - 3)) / sigma
    if (misfit > 3.0).any():
        return None
    variance = inverse[2, 2] * (sigma * np.maximum(misfit, 1.0)) ** 2
    return axes.T @ values[2], axes.T @ np.diag(variance) @ axes
