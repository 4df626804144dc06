"""Whether a thing was seen to stop at a moment: a witness of contacts that knows nothing of how its centre moves.

Momentum lost is compared with the strongest losses of the same track, so that neither size nor distance matters. The
bounds are round numbers inside the wide range over which twelve real clips of blows and nine without contact gave about
the same figures; logistic regressions, tested on clips that they had not seen, found no better (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavas_core.physics.types import Track

_NEAR_S = 0.06
_NEAR_FRAMES = 1.2
_AROUND_S = 0.25
_STRONG = 0.95
"""Quantile of a track's losses that the others are measured by."""
_LEAST_STOPPED = 0.5
_LEAST_LOSS = 0.2
_SURE_STOPPED = 0.6
_SURE_LOSS = 0.55
_SURE_DOWN = 0.3
"""Tools are swung down or across; lifting one ends abruptly too, without a contact."""
_FIRST = 0.9
"""Of the largest loss around it: lesser ones are its echo."""


@dataclass(frozen=True)
class _Arrest:
    """The strongest loss near a moment."""

    stopped: float
    loss: float
    """Relative to the track's strong ones."""
    down: float
    first: bool
    """None around it is larger."""


def denied(track: Track, times_s: np.ndarray, time_s: float) -> bool:
    """Whether flow was measured and shows that nothing of a track stopped at ``time_s``."""
    if track.stops is None:
        return False
    found = _arrest(track.stops, times_s, time_s)
    return found is None or found.stopped < _LEAST_STOPPED or found.loss < _LEAST_LOSS


def confirmed(track: Track, times_s: np.ndarray, time_s: float) -> bool:
    """Whether most of what was fast on a track stopped at ``time_s``, as abruptly as it ever does."""
    found = None if track.stops is None else _arrest(track.stops, times_s, time_s)
    if found is None or not found.first:
        return False
    return found.stopped >= _SURE_STOPPED and found.loss >= _SURE_LOSS and found.down >= _SURE_DOWN


def _arrest(stops: np.ndarray, times_s: np.ndarray, time_s: float) -> _Arrest | None:
    lost = stops[:, 1]
    known = np.isfinite(lost)
    away = np.abs(times_s - time_s)
    near = known & (away <= max(_NEAR_S, _NEAR_FRAMES * float(np.median(np.diff(times_s)))))
    if not near.any():
        return None
    at = int(np.argmax(np.where(near, lost, -np.inf)))
    around = known & (np.abs(times_s - times_s[at]) <= _AROUND_S)
    return _Arrest(
        stopped=float(stops[at, 0]),
        loss=float(lost[at]) / float(np.quantile(lost[known], _STRONG)),
        down=float(stops[at, 2]),
        first=bool(lost[at] >= _FIRST * lost[around].max()),
    )
