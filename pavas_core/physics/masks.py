"""Run-length packed masks: hundreds of binary pictures in a few kilobytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.types import MASK_LONG_SIDE, PackedMasks


def pack_masks(masks: np.ndarray) -> PackedMasks:
    """Pack bool [L, H, W]; if it must shrink, a cell is set where it is at least half covered.

    What is too small to cover half a cell keeps the cell it covers most, so nothing visible packs to nothing.
    Raises PhysicsError if the array is not three-dimensional or empty in height or width.
    """
    masks = np.asarray(masks, dtype=bool)
    if masks.ndim != 3 or 0 in masks.shape[1:]:
        raise PhysicsError(f"Masks must have the shape [frames, height, width], not {list(masks.shape)}.")
    height, width = fitted_size(*masks.shape[1:])
    if (height, width) == masks.shape[1:]:
        return PackedMasks(height, width, tuple(_runs(mask) for mask in masks))
    return PackedMasks(height, width, tuple(_runs(_shrink(mask, height, width)) for mask in masks))


def fitted_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) scaled down so that the long side is at most MASK_LONG_SIDE."""
    scale = min(1.0, MASK_LONG_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def unpack_mask(packed: PackedMasks, index: int) -> np.ndarray:
    """bool [height, width] of frame ``index``."""
    runs = packed.runs[index]
    values = np.arange(len(runs)) % 2 == 1
    flat = np.repeat(values, runs)
    if flat.size == 0:
        flat = np.zeros(packed.height * packed.width, dtype=bool)
    return flat.reshape(packed.height, packed.width)


def unpack_masks(packed: PackedMasks) -> Iterator[np.ndarray]:
    """Every frame's mask, bool [height, width], one at a time."""
    for index in range(len(packed.runs)):
        yield unpack_mask(packed, index)


def _runs(mask: np.ndarray) -> np.ndarray:
    """Alternating lengths of zeros and ones, zeros first, uint32; empty for an empty mask."""
    flat = mask.ravel()
    if not flat.any():
        return np.zeros(0, dtype=np.uint32)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate(([0], edges, [flat.size])))
    if flat[0]:
        lengths = np.concatenate(([0], lengths))
    return lengths.astype(np.uint32)


def _shrink(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    covered = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    shrunk = covered >= 0.5
    if not shrunk.any() and covered.any():
        shrunk.flat[np.argmax(covered)] = True
    return shrunk
