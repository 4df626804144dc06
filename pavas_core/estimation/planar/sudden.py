"""Whether a contact stands out from the way on which it lies: a swing turns as much at any moment as at this one."""

from __future__ import annotations

import numpy as np

from pavas_core.physics.types import Track, TrackSet

_SPAN = 3
"""Frame intervals over which the velocity is seen to change."""
_AT_FRAMES, _BESIDE_FRAMES = 1.01, 1.9
_AROUND_S, _AROUND_FRAMES = 0.35, 6.0
_LEAST = 4
"""Changes around it by which it can be told."""
_STANDS_OUT = 1.3


def is_sudden(points: np.ndarray, track: Track, tracks: TrackSet, time_s: float) -> bool:
    """Whether the velocity of a centre (``points`` [L, 2], pixels of the first frame) changes more here than around.

    True where too little of it is seen to tell.
    """
    times, frame_s = tracks.times_s, tracks.frame_s
    if len(times) <= _SPAN:
        return True
    velocity = np.diff(np.where(track.visible[:, None], points, np.nan), axis=0) / np.diff(times)[:, None]
    change = np.hypot(*(velocity[_SPAN - 1 :] - velocity[: 1 - _SPAN]).T)
    apart = np.abs((times[_SPAN:] + times[:-_SPAN]) / 2 - time_s)
    known = np.isfinite(change)
    here = change[known & (apart <= _AT_FRAMES * frame_s)]
    beside = apart > _BESIDE_FRAMES * frame_s
    around = change[known & beside & (apart < max(_AROUND_S, _AROUND_FRAMES * frame_s))]
    if not len(here) or len(around) < _LEAST:
        return True
    return float(here.max()) >= _STANDS_OUT * float(np.median(around))
