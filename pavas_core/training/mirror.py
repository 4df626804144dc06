"""Left and right exchanged in what was seen of a scene: as true a scene, and its sound is the same."""

from __future__ import annotations

import torch
from torch import Tensor

from pavas_core.models.nano_visual import CLIP_DIM, CROP, GRID, MOTION_DIM, OBJECT_DIM, REACHES, SYNC_DIM

_SIDEWAYS = (1, 4, *(8 + 2 * index for index in range(len(REACHES))))
"""Columns of a motion that point to the right: place, velocity, jumps."""
_JUMP = MOTION_DIM - len(REACHES) + 1
"""Column of a motion by which things are put in order."""


def mirrored_sync(sync: Tensor) -> Tensor:
    """Sync rows (..., SYNC_DIM). Two things that move alike stand in the order of their place, which turns round."""
    sign = torch.ones(SYNC_DIM)
    for start in (0, MOTION_DIM):
        sign[[start + column for column in _SIDEWAYS]] = -1.0
    turned = sync * sign
    first, second = turned[..., :MOTION_DIM], turned[..., MOTION_DIM : 2 * MOTION_DIM]
    alike = (first[..., _JUMP] - second[..., _JUMP]).abs() < 1e-3
    swap = (alike & (first[..., 0] > 0) & (second[..., 0] > 0))[..., None]
    rest = turned[..., 2 * MOTION_DIM :]
    return torch.cat([torch.where(swap, second, first), torch.where(swap, first, second), rest], dim=-1)


def mirrored_clip(clip: Tensor) -> Tensor:
    """Coarse pictures (..., CLIP_DIM): brightness, then change."""
    return clip.unflatten(-1, (CLIP_DIM // (GRID[0] * GRID[1]), *GRID)).flip(-1).flatten(-3)


def mirrored_objects(objects: Tensor) -> Tensor:
    """Motion, look and size of objects (..., OBJECT_DIM)."""
    sign = torch.ones(OBJECT_DIM)
    sign[list(_SIDEWAYS)] = -1.0
    turned = objects * sign
    crop = slice(MOTION_DIM, MOTION_DIM + CROP * CROP)
    turned[..., crop] = objects[..., crop].unflatten(-1, (CROP, CROP)).flip(-1).flatten(-2)
    return turned
