"""Geometry of a clip, from whatever reconstructor: metric points of every picture, and where the camera was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.models.cut3r_picture import Placement


@dataclass(frozen=True)
class View:
    """One picture's geometry. Pixels are those of the reconstructor's own pictures, [h, w]."""

    time_s: float
    points: np.ndarray
    """float32 [h, w, 3] metres in the camera's frame: x right, y down, z forward; not finite where unknown."""
    confidence: np.ndarray | None = None
    """float32 [h, w] >= 0, larger is surer; the expected error is about its inverse."""
    pose: np.ndarray | None = None
    """float64 [4, 4] camera to world; None where the reconstructor does not say."""
    focal_px: float | None = None
    picture: np.ndarray | None = None
    """uint8 [h, w] grey; lets fixed things be followed while the camera moves."""


@dataclass(frozen=True)
class Reconstruction:
    """The views of a clip in order of time, made as they are asked for, and so to be walked through once."""

    views: Iterable[View]
    times_s: np.ndarray
    """float64 [L] times of the views."""
    placement: Placement
    """Where the views' pixels lie in the clip's pictures."""
    source: str
    """For people: ``CUT3R``, ``MoGe``."""
    scale_sigma: float
    """Relative standard error of the metres, before anything is known of the clip."""


def from_point_maps(
    points: np.ndarray,
    times_s: Sequence[float] | np.ndarray,
    size: tuple[int, int],
    *,
    source: str,
    scale_sigma: float,
    confidence: np.ndarray | None = None,
    poses: np.ndarray | None = None,
    focal_px: np.ndarray | None = None,
    pictures: np.ndarray | None = None,
) -> Reconstruction:
    """A reconstruction already in memory: ``points`` [L, h, w, 3] of whole pictures whose clip has ``size``
    (width, height). Raises PhysicsError where the numbers of views, times and the rest differ."""
    count = len(times_s)
    given = {"point maps": points, "confidence maps": confidence, "poses": poses, "pictures": pictures}
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise PhysicsError(
                f"{source} gives {len(values)} {name} for {count} pictures: reconstruct the same clip that was tracked."
            )
    height, width = points.shape[1:3]
    placement = Placement(size, (width, height), 0, 0, width, height)
    views = [
        View(
            float(times_s[i]),
            np.asarray(points[i], np.float32),
            None if confidence is None else confidence[i],
            None if poses is None else np.asarray(poses[i], float),
            None if focal_px is None else float(focal_px[i]),
            None if pictures is None else pictures[i],
        )
        for i in range(count)
    ]
    return Reconstruction(views, np.asarray(times_s, float), placement, source, scale_sigma)


def points_from_depth(depth: np.ndarray, focal_px: float | np.ndarray) -> np.ndarray:
    """Points [L, h, w, 3] from depth along the axis [L, h, w] of a pinhole camera centred in the picture."""
    _, height, width = depth.shape
    x, y = np.meshgrid(np.arange(width) - width // 2, np.arange(height) - height // 2)
    focal = np.broadcast_to(np.asarray(focal_px, float), len(depth))[:, None, None]
    return np.stack([x * depth / focal, y * depth / focal, depth], axis=-1).astype(np.float32)


def focal_of(points: np.ndarray) -> float:
    """Focal length in pixels by the median over pixels of what each says; NaN where none says anything."""
    height, width, _ = points.shape
    x, y, z = np.moveaxis(points[::4, ::4].astype(float), -1, 0)
    u, v = np.meshgrid(np.arange(width)[::4] - width // 2, np.arange(height)[::4] - height // 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        says = np.concatenate([(u * z / x)[np.abs(u) > width / 8], (v * z / y)[np.abs(v) > height / 8]])
    says = says[np.isfinite(says) & (says > 0)]
    return float(np.median(says)) if len(says) else float("nan")
