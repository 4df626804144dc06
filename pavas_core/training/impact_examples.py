"""Examples of hit and unhit moments: features of tracks of simulated scenes with what is true of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pavas_core.estimation.planar.hits import marks_of
from pavas_core.estimation.planar.scorer import OFFSET_S
from pavas_core.estimation.planar.signals import features, grid_times, observe
from pavas_core.estimation.planar.velocity import fitted_velocity, steady_points
from pavas_core.physics.types import Track, TrackSet
from pavas_core.simulation.score import is_asked, is_followed, owners
from pavas_core.simulation.simulate import FRAME_RATES, SimulatedClip, simulate
from pavas_core.training.imitated import altered, imitate, with_arm

IMITATED_SEED = 1000
"""Imitated scenes are of the seeds from here on."""
TRACKED_SEED = 5000
"""Scenes that are rendered and tracked are of the seeds from here on, up to ``simulate.EVALUATION_SEED``."""
IMITATED_VARIANTS = 2
TRACKED_VARIANTS = 4
ARM_VARIANTS = 2
_ARM_SHARE = 0.9
_SIZES = ((640, 360), (640, 360), (640, 480), (480, 480), (360, 640))
_TRACKED_SIZES = ((384, 216), (384, 216), (400, 224), (360, 270), (320, 240), (480, 270), (512, 288), (640, 360))
_RATE_SHARES = (0.09, 0.13, 0.2, 0.2, 0.26, 0.05, 0.07)
_HIT_S = OFFSET_S + 0.0015
"""Moments this near to a contact are hits."""
_EDGE_S = 0.048
_UNCLEAR_S = 0.06
"""Around a contact that is not asked for, nothing is said."""
_NEAR_WIDTHS = 0.08


@dataclass(frozen=True)
class Example:
    """One track: what is told of it, and the truth at T times of its grid."""

    seed: int
    tracked: bool
    """Seen through the shipped tracker."""
    features: np.ndarray
    """float16 [T, C]."""
    hit: np.ndarray
    """float32 [T] 1 within OFFSET_S of a contact."""
    weight: np.ndarray
    """float32 [T] 0 where nothing is asked."""
    offset: np.ndarray
    """float32 [T] seconds to the contact, where hit."""
    speeds: np.ndarray
    """float32 [T, 2] before and after the contact, picture widths per second; NaN where unknown."""


def imitated_examples(seed: int) -> list[Example]:
    """Examples of the scene of a seed as a tracker might have measured it."""
    rng = np.random.default_rng([seed, 91])
    width, height = _SIZES[int(rng.choice(len(_SIZES), p=(0.4, 0.25, 0.2, 0.05, 0.1)))]
    sim = simulate(
        seed,
        width=width,
        height=height,
        frame_rate=float(rng.choice(FRAME_RATES, p=_RATE_SHARES)),
        duration_s=float(rng.uniform(2.2, 5.0)),
        mask_long_side=96,
    )
    out = []
    for _ in range(IMITATED_VARIANTS):
        tracks, owner = imitate(sim, rng)
        slower = 1.0
        if rng.random() < 0.6:
            tracks, slower = altered(tracks, rng)
        out += _examples(sim, tracks, owner, slower, rng.random() < 0.5, False)
    return out


def tracked_clip(seed: int) -> SimulatedClip:
    """The scene of a seed, small and short enough to be rendered and tracked in a few seconds."""
    rng = np.random.default_rng([seed, 77])
    width, height = _TRACKED_SIZES[int(rng.integers(len(_TRACKED_SIZES)))]
    rate = float(rng.choice(FRAME_RATES, p=_RATE_SHARES))
    duration_s = float(rng.uniform(2.5, 3.6))
    return simulate(seed, width=width, height=height, frame_rate=rate, duration_s=duration_s, mask_long_side=200)


def tracks_seen(sim: SimulatedClip) -> TrackSet:
    """What detection finds in a scene that is written as H.264 and read back, without being told anything."""
    from pavas_core.estimation.tracking.motion import detect_motion
    from pavas_core.simulation.clip_files import filmed

    with filmed(sim) as clip:
        found = detect_motion(clip).tracks
    assert found is not None
    return found


def tracked_examples(sim: SimulatedClip, tracks: TrackSet) -> list[Example]:
    """Examples of what the shipped tracker has found in a rendered clip: as it is, altered, and with arms on tools."""
    assert sim.scene.tracks is not None
    rng = np.random.default_rng([sim.seed, 5])
    owner: Mapping[str, str | None] = owners(sim.scene.tracks, tracks)
    out = _examples(sim, tracks, owner, 1.0, True, True)
    for _ in range(TRACKED_VARIANTS - 1):
        other, slower = altered(tracks, rng)
        out += _examples(sim, other, owner, slower, rng.random() < 0.5, True)
    held = {body.object.id for body in sim.scene.bodies if not body.velocity.free}
    if held & set(owner.values()):
        for _ in range(ARM_VARIANTS):
            armed = [
                with_arm(t, tracks, rng) if owner[t.object_id] in held and rng.random() < _ARM_SHARE else t
                for t in tracks.tracks
            ]
            other, slower = altered(replace(tracks, tracks=tuple(armed)), rng)
            out += _examples(sim, other, owner, slower, rng.random() < 0.5, True)
    return out


def _examples(
    sim: SimulatedClip,
    tracks: TrackSet,
    owner: Mapping[str, str | None],
    slower: float,
    scaled: bool,
    tracked: bool,
) -> list[Example]:
    """One example a track; ``scaled`` tells the fits how large a pixel is."""
    fitted = fitted_velocity(
        tracks,
        metres_per_px=sim.metres_per_px if scaled else None,
        time_scale=1.0 / slower if scaled else 1.0,
    )
    points = steady_points(tracks)
    seen = [
        observe(t, tracks, p, marks_of(v, tracks.width, fitted.time_scale))
        for t, p, v in zip(tracks.tracks, points, fitted.velocities, strict=True)
    ]
    grid = grid_times(tracks)
    out = []
    for index, track in enumerate(tracks.tracks):
        x, one = features(seen, index, tracks, grid), seen[index]
        if x is None or one is None:
            continue
        hit, weight, offset, speeds = _labels(sim, owner[track.object_id.split("#")[0]], tracks, track, grid, slower)
        weight = weight * ((grid >= one.times_s[0] - 0.1) & (grid <= one.times_s[-1] + 0.1))
        out.append(Example(sim.seed, tracked, x.astype(np.float16), hit, weight, offset, speeds))
    return out


def _labels(
    sim: SimulatedClip, owner: str | None, tracks: TrackSet, track: Track, grid: np.ndarray, slower: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hit, weight, offset and speeds of an example."""
    impacts = sim.scene.impacts
    hit, weight, offset = (np.full(len(grid), value, np.float32) for value in (0.0, 1.0, 0.0))
    speeds = np.full((len(grid), 2), np.nan, np.float32)
    frame_s = tracks.frame_s
    seen_s = tracks.times_s[track.visible]
    widths = sim.metres_per_px * tracks.width * slower
    asked = []
    for impact, partner, visible in zip(impacts, sim.partners, sim.visible, strict=True):
        time_s = impact.time_s * slower
        near = float(np.abs(seen_s - time_s).min()) if len(seen_s) else np.inf
        around = np.abs(grid - time_s) < _UNCLEAR_S
        if owner is None:
            if near < 0.1 and _lies_on(impact.position, track, tracks, time_s):
                weight[around] = 0.0
        elif owner in (impact.object_id, impact.partner):
            if not (visible and is_asked(impact, impacts)) or near >= max(0.08, 1.6 * frame_s):
                weight[around] = 0.0
            elif owner == impact.object_id:
                asked.append((time_s, impact.pre_speed_mps, impact.post_speed_mps, is_followed(impact, impacts)))
            else:
                pair = (np.nan, np.nan) if partner is None else (partner.pre_speed_mps, partner.post_speed_mps)
                asked.append((time_s, *pair, is_followed(impact, impacts)))
    for time_s, before, after, followed in asked:
        away = np.abs(grid - time_s)
        on = away <= _HIT_S
        hit[on], weight[on], offset[on] = 1.0, 1.0, (time_s - grid)[on]
        edge = (away > _HIT_S) & (away < _EDGE_S) & (hit == 0)
        weight[edge] = np.minimum(weight[edge], 0.2)
        speeds[on] = before / widths, np.nan if followed else after / widths
    return hit, weight, offset, speeds


def _lies_on(position: tuple[float, float], track: Track, tracks: TrackSet, time_s: float) -> bool:
    """Whether a place (shares of the picture) lies on a track or beside it at its nearest visible frame."""
    seen = np.flatnonzero(track.visible)
    box = track.boxes[seen[np.argmin(np.abs(tracks.times_s[seen] - time_s))]]
    room = _NEAR_WIDTHS * tracks.width
    x, y = position[0] * tracks.width, position[1] * tracks.height
    return bool(box[0] - room < x < box[2] + room and box[1] - room < y < box[3] + room)
