"""Where the centre of a body is that the picture's border cuts off."""

from __future__ import annotations

import numpy as np

from pavas_core.physics.types import Track

_LEAST_WHOLE = 5
_MOST_SPREAD = 0.12
"""Of width and height over the whole outlines, relative: beyond it the body turns, bends or is a part of another."""
_LEAST_SEEN = 0.25
"""Of the body's side: a thinner slice at the border says too little."""
_NEAR = 2.0 / 512
"""Of the picture's width: an outline this near to the border touches it."""


def whole_centres(track: Track, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres [L, 2] in pixels of the frame, and for which frames [L] the border hides a part and the centre is known.

    A body whose outline keeps its size has its centre half that size behind the edge that is still seen. Where the
    outline does not keep its size, or two opposite borders cut it off, the centroids are returned as they are.
    """
    points = track.centroids.astype(float)
    mended = np.zeros(len(points), bool)
    whole = track.visible & ~track.truncated & np.isfinite(points).all(axis=1)
    if whole.sum() < _LEAST_WHOLE:
        return points, mended
    boxes = track.boxes.astype(float)
    sizes = boxes[:, 2:] - boxes[:, :2]
    usual = np.median(sizes[whole], axis=0)
    spread = np.median(np.abs(sizes[whole] / np.maximum(usual, 1e-9) - 1.0), axis=0)
    if (spread > _MOST_SPREAD).any():
        return points, mended
    lean = np.median(points[whole] - (boxes[whole, :2] + boxes[whole, 2:]) / 2, axis=0)
    near = _NEAR * width
    for i in np.flatnonzero(track.visible & track.truncated):
        low, high = boxes[i, :2], boxes[i, 2:]
        cut = low <= near, high >= np.array([width, height]) - 1 - near
        if (cut[0] & cut[1]).any() or (high - low < _LEAST_SEEN * usual).any():
            continue
        middle = (low + high) / 2
        points[i] = np.where(cut[0], high - usual / 2, np.where(cut[1], low + usual / 2, middle)) + lean
        mended[i] = True
    return points, mended
