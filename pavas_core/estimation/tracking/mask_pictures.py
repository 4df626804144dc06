"""Tracks as pictures of where the objects are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.masks import unpack_mask
from pavas_core.physics.types import TrackSet


def union_masks(
    tracks: TrackSet, object_ids: Sequence[str] = (), *, long_side: int = 512, times_s: Sequence[float] | None = None
) -> np.ndarray:
    """Where any of the objects (none named: all) is: bool [N, height, width] in the picture's proportions.

    N is the analysed frames, or one mask per entry of ``times_s`` (seconds of the clip), then from the analysed
    frame nearest in time. Raises PhysicsError for an id that has no track or a track without masks.
    """
    by_id = {track.object_id: track for track in tracks.tracks}
    unknown = [name for name in object_ids if name not in by_id]
    if unknown:
        raise PhysicsError(f"There is no track of {unknown[0]!r}: there are {', '.join(by_id) or 'none'}.")
    chosen = [by_id[name] for name in object_ids] if object_ids else list(tracks.tracks)
    for track in chosen:
        if track.masks is None:
            raise PhysicsError(f"The track of {track.object_id} has no masks: track the objects again.")
    scale = long_side / max(tracks.width, tracks.height)
    height, width = max(1, round(tracks.height * scale)), max(1, round(tracks.width * scale))
    wanted = range(len(tracks.times_s)) if times_s is None else _nearest(tracks.times_s, np.asarray(times_s))
    pictures = np.zeros((len(wanted), height, width), bool)
    for picture, index in zip(pictures, wanted, strict=True):
        for track in chosen:
            packed = track.masks
            if packed is None or packed.runs[index].size == 0:
                continue
            rows = (np.arange(height) + 0.5) * packed.height // height
            columns = (np.arange(width) + 0.5) * packed.width // width
            picture |= unpack_mask(packed, index)[rows.astype(int)[:, None], columns.astype(int)]
    return pictures


def _nearest(grid_s: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Index of the ``grid_s`` entry nearest to each of ``times_s``."""
    after = np.clip(np.searchsorted(grid_s, times_s), 1, max(len(grid_s) - 1, 1))
    after = np.minimum(after, len(grid_s) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(times_s - grid_s[before] <= grid_s[after] - times_s, before, after)
