"""Reconstructions from what ComfyUI's own geometry nodes give, MoGe and Depth Anything 3: dictionaries of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.estimation.space.reconstruction import Reconstruction, from_point_maps, points_from_depth
from pavas_core.physics.types import TrackSet

LONG_SIDE = 512
"""Larger maps are thinned out to at most this many pixels along the longer side."""
METRIC_SIGMA, RELATIVE_SIGMA = 0.25, 0.9
"""Of metres that a model was trained for, and of a scale that means nothing; relative."""


def from_moge(geometry: Mapping[str, Any], tracks: TrackSet) -> Reconstruction:
    """MOGE_GEOMETRY: ``points`` [B, H, W, 3] a picture on its own, no poses. With normals it is the metric version 2.

    Raises PhysicsError where points are missing or the pictures are not those of the tracks.
    """
    if "points" not in geometry:
        raise PhysicsError("The MoGe geometry holds no points: connect the output of MoGe Inference.")
    chosen, thin = _which(len(geometry["points"]), tracks, "MoGe"), _thin(geometry["points"].shape)
    points = _array(geometry["points"][thin][chosen])
    if "mask" in geometry:
        points = np.where(_array(geometry["mask"][thin][chosen])[..., None] > 0.5, points, np.nan)
    return from_point_maps(
        points,
        tracks.times_s,
        (tracks.width, tracks.height),
        source="MoGe",
        scale_sigma=METRIC_SIGMA if "normal" in geometry else RELATIVE_SIGMA,
        pictures=_gray(geometry, thin, chosen),
    )


def from_da3(geometry: Mapping[str, Any], tracks: TrackSet, *, fov_x_deg: float = 0.0) -> Reconstruction:
    """DA3_GEOMETRY: ``depth`` [B, H, W]; from several views also ``intrinsics`` and ``extrinsics``, world to camera.

    ``fov_x_deg`` is the horizontal field of view, needed where the geometry brings no intrinsics. Depth Anything 3
    knows no metres, so that gravity or a known size must tell. Raises PhysicsError where depth or the view's angle is
    missing or the pictures are not those of the tracks.
    """
    if "depth" not in geometry:
        raise PhysicsError("The Depth Anything 3 geometry holds no depth: connect the output of its inference node.")
    count, _, _ = geometry["depth"].shape
    chosen, thin = _which(count, tracks, "Depth Anything 3"), _thin(geometry["depth"].shape)
    depth = _array(geometry["depth"][thin][chosen])
    focal = np.full(len(depth), 0.5 * depth.shape[2] / np.tan(np.deg2rad(fov_x_deg) / 2) if fov_x_deg > 0 else np.nan)
    if fov_x_deg <= 0 and "intrinsics" in geometry:
        inner = _array(geometry["intrinsics"][0][chosen])
        # Whatever size they are in pixels of, the principal point is in its middle.
        focal = inner[:, 0, 0] * depth.shape[2] / (2.0 * inner[:, 0, 2])
    if not np.isfinite(focal).all():
        raise PhysicsError(
            "Depth Anything 3 in mono mode does not know the camera's angle: give fov_x_degrees or use multiview mode."
        )
    poses: np.ndarray | None = None
    if "extrinsics" in geometry:
        to_camera = np.tile(np.eye(4), (len(depth), 1, 1))
        to_camera[:, :3] = _array(geometry["extrinsics"][0][chosen])[:, :3]
        poses = np.linalg.inv(to_camera) if np.isfinite(to_camera).all() else None
    sure = _array(geometry["confidence"][thin][chosen]) if "confidence" in geometry else None
    if "sky" in geometry:
        depth = np.where(_array(geometry["sky"][thin][chosen]) > 0.5, np.nan, depth)
    return from_point_maps(
        points_from_depth(depth, focal),
        tracks.times_s,
        (tracks.width, tracks.height),
        source="Depth Anything 3",
        scale_sigma=RELATIVE_SIGMA,
        confidence=sure,
        poses=poses,
        focal_px=focal,
        pictures=_gray(geometry, thin, chosen),
    )


def _which(count: int, tracks: TrackSet, source: str) -> np.ndarray:
    """The picture for each tracked one, where every picture of the clip was given."""
    wanted = len(tracks.times_s)
    if count == wanted:
        return np.arange(count)
    if count < wanted:
        raise PhysicsError(
            f"{source} shows {count} pictures where {wanted} were tracked: run it on every picture of the tracked clip."
        )
    return np.clip((tracks.times_s * count / tracks.duration_s + 1e-3).astype(int), 0, count - 1)


def _thin(shape: Any) -> tuple[slice, slice, slice]:
    """All pictures, every n-th row and column, so that the longer side has at most LONG_SIDE pixels."""
    step = -(-max(int(shape[1]), int(shape[2])) // LONG_SIDE)
    return slice(None), slice(step // 2, None, step), slice(step // 2, None, step)


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().float().cpu().numpy() if hasattr(values, "detach") else values, np.float32)


def _gray(geometry: Mapping[str, Any], thin: tuple[slice, slice, slice], chosen: np.ndarray) -> np.ndarray | None:
    """uint8 [L, h, w] from the geometry's own pictures in 0..1."""
    if "image" not in geometry:
        return None
    image = geometry["image"][thin][chosen]
    return np.clip(_array(image) @ [0.299, 0.587, 0.114] * 255 + 0.5, 0, 255).astype(np.uint8)
