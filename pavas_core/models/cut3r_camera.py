"""Cameras of CUT3R: poses, world points, focal length and ray maps."""

from __future__ import annotations

import torch
from torch import Tensor


def pose_matrix(pose: Tensor) -> Tensor:
    """(B, 7) translation and quaternion w, x, y, z (any norm) -> (B, 4, 4) camera-to-world."""
    w, x, y, z = pose[:, 3:].unbind(-1)
    s = 2.0 / pose[:, 3:].square().sum(-1)
    rows = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    matrix = torch.zeros(*pose.shape[:-1], 4, 4, dtype=pose.dtype, device=pose.device)
    matrix[:, :3, :3] = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    matrix[:, :3, 3] = pose[:, :3]
    matrix[:, 3, 3] = 1
    return matrix


def matrix_pose(matrix: Tensor) -> Tensor:
    """(B, 4, 4) camera-to-world -> (B, 7) translation and unit quaternion w, x, y, z with w >= 0.

    Of the four ways to read a quaternion off a rotation the one with the largest component is taken.
    """
    m = matrix[:, :3, :3]
    squares = torch.stack(
        [
            1 + m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2],
            1 + m[:, 0, 0] - m[:, 1, 1] - m[:, 2, 2],
            1 - m[:, 0, 0] + m[:, 1, 1] - m[:, 2, 2],
            1 - m[:, 0, 0] - m[:, 1, 1] + m[:, 2, 2],
        ],
        dim=-1,
    )
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 1, 0] + m[:, 0, 1], m[:, 0, 2] + m[:, 2, 0], m[:, 2, 1] + m[:, 1, 2]
    rows = [(squares[:, 0], wx, wy, wz), (wx, squares[:, 1], xy, xz)]
    rows += [(wy, xy, squares[:, 2], yz), (wz, xz, yz, squares[:, 3])]
    candidates = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
    best = candidates[torch.arange(len(m), device=m.device), squares.argmax(dim=-1)]
    quaternion = best / best.norm(dim=-1, keepdim=True)
    return torch.cat([matrix[:, :3, 3], torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)], dim=-1)


def world_points(points: Tensor, pose: Tensor) -> Tensor:
    """Points of a view (B, H, W, 3) in the world of its pose (B, 7)."""
    matrix = pose_matrix(pose)
    return torch.einsum("bij,bhwj->bhwi", matrix[:, :3, :3], points) + matrix[:, None, None, :3, 3]


def _pixels(points: Tensor) -> Tensor:
    """(H, W, 2) whole x and y of every pixel, counted from the principal point, for points (B, H, W, ...)."""
    height, width = points.shape[1:3]
    x = torch.arange(width, dtype=points.dtype, device=points.device) - width // 2
    y = torch.arange(height, dtype=points.dtype, device=points.device) - height // 2
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def focal_length(points: Tensor, *, iterations: int = 10) -> Tensor:
    """Focal length in pixels (B,) that best explains points (B, H, W, 3) of a pinhole camera centred in the picture.

    Iteratively reweighted least squares for the smallest sum of distances (Weiszfeld's method). A few points near
    z = 0 spoil it; :func:`median_focal_length` is the one for points that nobody checked.
    """
    pixel = _pixels(points).flatten(0, 1)
    ray = (points[..., :2] / points[..., 2:]).flatten(1, 2).nan_to_num(0.0, 0.0, 0.0)
    along, squared = (pixel * ray).sum(-1), ray.square().sum(-1)
    focal = along.mean(-1) / squared.mean(-1)
    for _ in range(iterations):
        weight = 1 / (pixel - focal[:, None, None] * ray).norm(dim=-1).clamp(min=1e-8)
        focal = (weight * along).mean(-1) / (weight * squared).mean(-1)
    return focal.clamp(min=0.0)


def median_focal_length(points: Tensor) -> Tensor:
    """Median over pixels and both axes of what each says of the focal length: pixels (B,), from points (B, H, W, 3)."""
    pixel = _pixels(points)
    return (pixel * points[..., 2:] / points[..., :2]).flatten(1).nanmedian(dim=-1).values


def ray_map(matrix: Tensor, focal: Tensor, height: int, width: int) -> Tensor:
    """What the ray-map encoder reads of a camera: (B, H, W, 6) its centre and a unit vector for every pixel.

    ``matrix`` (B, 4, 4) is camera to first camera, ``focal`` (B,) pixels. As in training the vector points from the
    first camera's centre to the place at depth 1 on the pixel's ray, not along the ray.
    """
    ray = _pixels(matrix.new_empty(1, height, width))[None] / focal[:, None, None, None]
    ray = torch.cat([ray, torch.ones_like(ray[..., :1])], dim=-1)
    centre = matrix[:, None, None, :3, 3].expand(-1, height, width, -1)
    place = torch.einsum("bij,bhwj->bhwi", matrix[:, :3, :3], ray) + centre
    return torch.cat([centre, place / place.norm(dim=-1, keepdim=True)], dim=-1)
