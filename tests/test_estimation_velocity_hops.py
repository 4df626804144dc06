"""Short hops: the last bounces of a ball, which last a few frames each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pavas_core.estimation.planar.hops import hopped
from pavas_core.estimation.planar.velocity import planar_velocity
from pavas_core.physics.types import Break, TrackSet
from tests.planar_tracks import bounces, make_track, make_tracks, sampled

PX_PER_M = 240.0
RATE = 25.0
RESTITUTION = 0.6
DRIFT_MPS = 0.3


def _ball(duration_s: float = 2.0, height_m: float = 0.6) -> tuple[TrackSet, np.ndarray, list[tuple]]:
    """Tracks and centres [L, 2] of a ball left to bounce, and when and how fast it came and went."""
    path, events = bounces(
        height_m=height_m, restitution=RESTITUTION, floor_m=1.2, duration_s=duration_s, drift_mps=DRIFT_MPS
    )
    times_s = np.arange(0, duration_s, 1 / RATE)
    points = sampled(path, times_s, PX_PER_M, exposure_s=0.4 / RATE)
    points += np.random.default_rng(4).normal(0, 0.4, points.shape)
    return make_tracks(times_s, make_track("ball-1", points, 30.0)), points, events


def _as_if_at_rest(events: list[tuple]) -> list[Break]:
    """Contacts after which a fit of two samples saw the ball roll, and before which it saw half the speed."""
    return [
        Break(
            time_s,
            0.002,
            (PX_PER_M * (0.3 + DRIFT_MPS * time_s), PX_PER_M * 1.2),
            (0.3, before / 2, 0.0),
            (0.3, 0.0, 0.0),
            0.2,
            1.0,
        )
        for time_s, before, _ in events
    ]


def _hopped(breaks: list[Break], points: np.ndarray, tracks: TrackSet) -> list[Break]:
    return hopped(breaks, points, tracks.tracks[0], tracks, 1 / PX_PER_M, 1.0)


def test_a_hop_takes_the_time_that_its_speeds_say() -> None:
    tracks, points, events = _ball()
    events = events[:4]
    found = _hopped(_as_if_at_rest(events), points, tracks)
    for one, (_, _, after), (_, before, _) in zip(found[:-1], events[:-1], events[1:], strict=True):
        assert -one.post_mps[1] == pytest.approx(after, rel=0.05)
        assert before == pytest.approx(after, rel=0.01)
    for one, (_, before, _) in zip(found[1:], events[1:], strict=True):
        assert one.pre_mps[:2] == pytest.approx((DRIFT_MPS, before), rel=0.08)
    # what came before the first contact is no hop
    assert found[0].pre_mps == _as_if_at_rest(events)[0].pre_mps


def test_a_ball_that_seems_to_rest_bounces_on_unseen() -> None:
    tracks, points, events = _ball()
    low = next(i for i, (_, before, _) in enumerate(events) if before < 0.8)
    seen = [replace(b, pre_mps=(0.3, e[1], 0.0)) for b, e in zip(_as_if_at_rest(events), events, strict=True)][
        : low + 1
    ]
    assert -_hopped(seen, points, tracks)[-1].post_mps[1] == pytest.approx(events[low][2], rel=0.15)
    # a higher bounce would have been seen, so this one stayed where it fell
    assert _hopped(seen[:2], points, tracks)[-1].post_mps[1] == 0.0


def test_what_rolls_or_is_carried_between_two_contacts_did_not_hop() -> None:
    tracks, points, events = _ball()
    breaks = _as_if_at_rest(events[:3])
    flat = np.stack([points[:, 0], np.full(len(points), PX_PER_M * 1.2)], axis=1)
    assert _hopped(breaks, flat, tracks) == breaks
    unsure = [replace(b, confidence=0.4) for b in breaks]
    assert _hopped(unsure, points, tracks) == unsure
    gone = make_tracks(tracks.times_s, make_track("ball-1", points, 30.0, np.zeros(len(points), bool)))
    assert _hopped(breaks, points, gone) == breaks


def test_short_bounces_have_the_speeds_of_both_sides() -> None:
    tracks, _, events = _ball()
    velocity = planar_velocity(tracks).velocities[0]
    short = [e for e in events if 0.6 < e[1] < 2.5]
    assert len(short) >= 3
    for time_s, before, after in short:
        near = min(velocity.breaks, key=lambda b: abs(b.time_s - time_s))
        assert near.pre_mps[1] == pytest.approx(before, abs=0.12)
        assert -near.post_mps[1] == pytest.approx(after, abs=0.12)


def test_one_bounce_between_two_contacts_tells_gravity() -> None:
    """Its samples last less long than a hand's gesture may look like a fall; the time between its contacts does not."""
    tracks, points, events = _ball(duration_s=1.2, height_m=0.3)
    first, second = events[0][0], events[1][0]
    seen = (tracks.times_s > first - 0.12) & (tracks.times_s < second + 0.12)
    velocity = planar_velocity(make_tracks(tracks.times_s, make_track("ball-1", points, 30.0, seen))).velocities[0]
    assert velocity.scale_source == "gravity"
    assert velocity.metres_per_px == pytest.approx(1 / PX_PER_M, rel=0.1)


@pytest.mark.parametrize(("width_m", "source"), [(2.5, "gravity"), (8.0, "gravity"), (40.0, "assumed")])
def test_one_flight_alone_does_not_make_a_picture_a_field_wide(width_m: float, source: str) -> None:
    times_s = np.arange(0, 1.2, 1 / RATE)
    px_per_m = 640 / width_m
    thrown = px_per_m * np.stack([0.3 + 0.2 * times_s, 2.0 - 5.9 * times_s + 0.5 * 9.81 * times_s**2], axis=1)
    thrown += 100 + np.random.default_rng(5).normal(0, 0.3, thrown.shape)
    velocity = planar_velocity(make_tracks(times_s, make_track("ball-1", thrown, 30.0))).velocities[0]
    assert velocity.scale_source == source
    assert velocity.free == (source == "gravity")
    # who says how large a pixel is need not be told that fields are rare
    tracks = make_tracks(times_s, make_track("ball-1", thrown, 30.0))
    assert planar_velocity(tracks, metres_per_px=1 / px_per_m).velocities[0].free
