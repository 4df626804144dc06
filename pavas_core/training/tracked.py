"""Scenes as the shipped tracker sees them: rendered, compressed as a camera would, decoded and tracked.

Its drop-outs, swapped identities and false things are real ones. A track that follows a thing bears its name, so that
the true numbers go with it; all others are called ``false-1`` and on, and nothing is known of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pavas_core.models.nano_visual import SHRUNK, Pictures, look
from pavas_core.physics.types import Track, TrackSet
from pavas_core.simulation.simulate import SimulatedClip

NEAR_WIDTHS = 0.06
"""A track follows the thing that it is this close to, in picture widths, by the median over the frames it is seen."""


def see_through_tracker(sim: SimulatedClip) -> tuple[TrackSet, Pictures]:
    """Write ``sim`` as H.264, read it back, and track it without being told anything."""
    from pavas_core.estimation.tracking.motion import detect_motion, track_motion
    from pavas_core.simulation.clip_files import filmed
    from pavas_core.video.clip import iter_frames

    with filmed(sim) as clip:
        tracks = track_motion(clip, detect_motion(clip))
        frames = list(iter_frames(clip, long_side=max(SHRUNK)))
    assert sim.scene.tracks is not None
    tracks = named_by_truth(tracks, sim.scene.tracks)
    return tracks, look([frame.image for frame in frames], [frame.time_s for frame in frames], tracks)


def named_by_truth(found: TrackSet, true: TrackSet) -> TrackSet:
    """``found`` with the name of the true thing that each track follows; one track a thing, the longest seen first."""
    names: dict[int, str] = {}
    free = {track.object_id: track for track in true.tracks}
    times = np.asarray(true.times_s)
    at = np.abs(times[None] - np.asarray(found.times_s)[:, None]).argmin(axis=1)
    for index in sorted(range(len(found.tracks)), key=lambda one: -int(found.tracks[one].visible.sum())):
        gaps = {name: _gap(found.tracks[index], found, track, true, at) for name, track in free.items()}
        name = min(gaps, key=lambda one: gaps[one], default=None)
        if name is not None and gaps[name] <= NEAR_WIDTHS:
            names[index] = name
            free.pop(name)
    false = iter(range(1, len(found.tracks) + 1))
    named = [
        replace(track, object_id=names[index] if index in names else f"false-{next(false)}")
        for index, track in enumerate(found.tracks)
    ]
    return replace(found, tracks=tuple(named))


def _gap(one: Track, found: TrackSet, other: Track, true: TrackSet, at: np.ndarray) -> float:
    """Median distance in picture widths while both are seen; infinite where they never are."""
    both = one.visible & other.visible[at]
    if not both.any():
        return float("inf")
    away = one.centroids[both] / found.width - other.centroids[at][both] / true.width
    return float(np.median(np.linalg.norm(away, axis=1)))
