"""Velocity, scale and breaks of bodies whose true motion is known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pavas_core.errors import PhysicsError
from pavas_core.estimation.planar.velocity import planar_velocity
from pavas_core.physics.types import MovingObject, ObjectSet, TrackSet
from tests.planar_tracks import bounces, make_track, make_tracks, sampled

PX_PER_M = 240.0


def _bouncing(rate: float, seed: int, **noise) -> tuple[TrackSet, list[tuple[float, float, float]]]:
    path, events = bounces(height_m=1.1, restitution=0.75, floor_m=1.5, duration_s=2.4, drift_mps=0.3)
    times_s = np.arange(0, 2.4, 1 / rate)
    points = sampled(path, times_s, PX_PER_M, exposure_s=0.4 / rate)
    rng = np.random.default_rng(seed)
    points += rng.normal(0, noise.get("sigma_px", 0.4), points.shape)
    visible = np.ones(len(times_s), bool)
    visible[rng.random(len(times_s)) < noise.get("lost", 0.0)] = False
    return make_tracks(times_s, make_track("ball-1", points, 30.0, visible)), events


@pytest.mark.parametrize("rate", [15.0, 24.0, 30.0, 60.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_bounces_are_found_with_the_speeds_of_either_side(rate: float, seed: int) -> None:
    tracks, events = _bouncing(rate, seed, lost=0.03)
    velocity = planar_velocity(tracks).velocities[0]
    assert velocity.free
    assert velocity.scale_source == "gravity"
    assert 1 / velocity.metres_per_px == pytest.approx(PX_PER_M, rel=0.05)
    strong = [e for e in events if e[1] > 1.5]
    for time_s, before, after in strong:
        near = min(velocity.breaks, key=lambda b: abs(b.time_s - time_s))
        assert abs(near.time_s - time_s) < 0.25 / rate + 0.004
        assert near.pre_mps[1] == pytest.approx(before, rel=0.1)
        assert -near.post_mps[1] == pytest.approx(after, rel=0.1)
        assert near.confidence > 0.5
    extra = [b for b in velocity.breaks if b.confidence >= 0.5 and min(abs(b.time_s - e[0]) for e in events) > 0.04]
    assert not extra


def test_speed_between_bounces_is_that_of_the_flight() -> None:
    tracks, events = _bouncing(30.0, 3)
    velocity = planar_velocity(tracks, metres_per_px=1 / PX_PER_M).velocities[0]
    first, second = events[0], events[1]
    inside = (velocity.times_s > first[0] + 0.02) & (velocity.times_s < second[0] - 0.02)
    true = np.hypot(0.3, -first[2] + 9.81 * (velocity.times_s[inside] - first[0]))
    error = np.abs(velocity.speed_mps[inside] - true)
    assert np.median(error) < 0.08
    assert error.max() < 0.4
    assert velocity.scale_source == "metres_per_pixel"


def test_a_ball_struck_down_a_moment_before_it_bounces_falls_meanwhile() -> None:
    """Dribbled: three pictures between hand and floor, whose noise hides that gravity acts."""
    rate, floor, struck_s, speed = 30.0, 1.5, 1.19, 4.0
    path, _ = bounces(height_m=1.1, restitution=0.9, floor_m=floor, duration_s=2.4)
    times_s = np.arange(0, 2.4, 1 / rate)
    at_y = float(path(np.array([struck_s]))[0, 1])
    fall_s = (-speed + np.sqrt(speed**2 + 2 * 9.81 * (floor - at_y))) / 9.81
    before = speed + 9.81 * fall_s
    y = path(times_s)[:, 1]
    u = times_s - struck_s
    down = (u >= 0) & (u < fall_s)
    y[down] = at_y + speed * u[down] + 0.5 * 9.81 * u[down] ** 2
    up = u - fall_s
    y[up >= 0] = floor - 0.75 * before * up[up >= 0] + 0.5 * 9.81 * up[up >= 0] ** 2
    inside = np.flatnonzero(down)
    assert len(inside) == 3
    y[inside[1]] = (y[inside[0]] + y[inside[2]]) / 2
    keep = y <= floor + 1e-6
    points = np.stack([np.full(len(y), 1.0), y], axis=1) * PX_PER_M + np.random.default_rng(0).normal(
        0, 0.3, (len(y), 2)
    )
    last = int(np.flatnonzero(~keep)[0]) if not keep.all() else len(y)
    tracks = make_tracks(times_s[:last], make_track("ball-1", points[:last], 30.0))
    velocity = planar_velocity(tracks, metres_per_px=1 / PX_PER_M).velocities[0]
    near = min(velocity.breaks, key=lambda b: abs(b.time_s - struck_s - fall_s))
    assert near.pre_mps[1] == pytest.approx(before, rel=0.04)


def test_what_falls_at_another_rate_than_a_known_scale_allows_is_swung() -> None:
    tracks, _ = _bouncing(30.0, 1)
    assert planar_velocity(tracks, metres_per_px=1 / PX_PER_M).velocities[0].free
    assert not planar_velocity(tracks, metres_per_px=2 / PX_PER_M).velocities[0].free


def test_a_contact_hidden_for_three_frames_is_placed_by_the_flights_around_it() -> None:
    path, events = bounces(height_m=1.1, restitution=0.75, floor_m=1.5, duration_s=2.0)
    times_s = np.arange(0, 2.0, 1 / 30)
    points = sampled(path, times_s, PX_PER_M) + np.random.default_rng(4).normal(0, 0.3, (len(times_s), 2))
    visible = np.abs(times_s - events[0][0]) > 0.05
    velocity = planar_velocity(make_tracks(times_s, make_track("ball-1", points, 30.0, visible))).velocities[0]
    near = min(velocity.breaks, key=lambda b: abs(b.time_s - events[0][0]))
    assert abs(near.time_s - events[0][0]) < 0.01
    assert near.pre_mps[1] == pytest.approx(events[0][1], rel=0.05)


def test_slow_motion_gives_the_speeds_of_the_world() -> None:
    path, events = bounces(height_m=1.1, restitution=0.75, floor_m=1.5, duration_s=1.2)
    times_s = np.arange(0, 1.2, 1 / 120)
    points = sampled(path, times_s, PX_PER_M) + np.random.default_rng(5).normal(0, 0.3, (len(times_s), 2))
    slowed = make_tracks(4 * times_s, make_track("ball-1", points, 30.0))
    velocity = planar_velocity(slowed, time_scale=0.25).velocities[0]
    assert 1 / velocity.metres_per_px == pytest.approx(PX_PER_M, rel=0.05)
    near = min(velocity.breaks, key=lambda b: abs(b.time_s - 4 * events[0][0]))
    assert near.time_s == pytest.approx(4 * events[0][0], abs=0.02)
    assert near.pre_mps[1] == pytest.approx(events[0][1], rel=0.05)


def test_camera_motion_does_not_show() -> None:
    times_s = np.arange(0, 2, 1 / 30)
    points = np.stack([200 + 100 * times_s, np.full_like(times_s, 150)], axis=1)
    shift = np.stack([30 * np.sin(3 * times_s), 12 * np.cos(2 * times_s) - 12], axis=1)
    camera = np.zeros((len(times_s), 2, 3))
    camera[:, 0, 0] = camera[:, 1, 1] = 1
    camera[:, :, 2] = shift
    tracks = make_tracks(times_s, make_track("ball-1", points - shift, 30.0), camera=camera)
    velocity = planar_velocity(tracks, metres_per_px=0.01).velocities[0]
    np.testing.assert_allclose(velocity.vector_mps[:, 0], 1.0, atol=0.02)
    np.testing.assert_allclose(velocity.vector_mps[:, 1], 0.0, atol=0.02)
    assert not velocity.breaks


@pytest.mark.parametrize("motion", ["pendulum", "toss", "roll", "wave"])
def test_smooth_motion_is_no_contact(motion: str) -> None:
    times_s = np.arange(0, 2.5, 1 / 30)
    x, y = {
        "pendulum": (300 + 120 * np.sin(5 * times_s), 120 + 25 * np.cos(10 * times_s)),
        "toss": (100 + 60 * times_s, 300 - 500 * times_s + 240 * times_s**2),
        "roll": (100 + 90 * times_s, np.full_like(times_s, 300)),
        "wave": (300 + 80 * np.sin(9 * times_s), 200 + 20 * np.sin(4 * times_s)),
    }[motion]
    points = np.stack([x, y], axis=1) + np.random.default_rng(6).normal(0, 0.4, (len(times_s), 2))
    velocity = planar_velocity(make_tracks(times_s, make_track("ball-1", points, 30.0))).velocities[0]
    assert not [b for b in velocity.breaks if b.confidence >= 0.5]


def test_a_hammer_is_heard_where_its_flow_stops() -> None:
    times_s = np.arange(0, 3, 1 / 30)
    middles_s = (times_s[1:] + times_s[:-1]) / 2
    phase = middles_s % 1.0
    # Lift for half a second, swing for 0.2 s, then rest on what was struck.
    down = np.where(phase < 0.5, -0.5, np.where(phase < 0.7, 8.0 * (phase - 0.5), 0.0)) * 640
    flow = np.stack([0.1 * down, down], axis=1)
    points = np.stack([np.full_like(times_s, 300), np.full_like(times_s, 200)], axis=1)
    track = make_track("object-1", points, 120.0, truncated=np.ones(len(times_s), bool), flow=flow)
    velocity = planar_velocity(make_tracks(times_s, track)).velocities[0]
    hits = [b.time_s for b in velocity.breaks if b.confidence >= 0.5]
    np.testing.assert_allclose(hits, [0.7, 1.7, 2.7], atol=0.04)
    assert not velocity.free
    assert velocity.scale_source == "assumed"


@pytest.mark.parametrize("centre_share", [0.7, 0.05], ids=["whole tool", "limb"])
def test_a_tool_in_full_view_strikes_with_all_of_itself(centre_share: float) -> None:
    times_s = np.arange(0, 3, 1 / 30)
    phase = times_s % 1.0
    # Lift, swing, rest on what was struck.
    lift, swing = np.sin(np.pi / 2 * phase / 0.6) ** 2, 1 - ((phase - 0.6) / 0.2) ** 2
    angle = -1.4 * np.select([phase < 0.6, phase < 0.8], [lift, swing], 0.0)
    head = 200 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = 250 + centre_share * head + np.random.default_rng(3).normal(0, 5.0, (90, 2))
    tracks = make_tracks(times_s, make_track("object-1", points, 90.0, flow=30 * np.diff(head, axis=0)))
    velocity = planar_velocity(tracks).velocities[0]
    assert not velocity.free
    hits = [b.time_s for b in velocity.breaks if b.confidence >= 0.5]
    np.testing.assert_allclose(hits, [0.8, 1.8, 2.8] if centre_share > 0.5 else [], atol=0.04)


def test_known_size_and_its_refusals() -> None:
    times_s = np.arange(0, 1, 1 / 30)
    points = np.stack([100 + 220 * times_s, np.full_like(times_s, 200)], axis=1)
    tracks = make_tracks(times_s, make_track("ball-1", points, 22.0))
    objects = ObjectSet((MovingObject("ball-1", "ball"),), 640, 360, 1.0)
    velocity = planar_velocity(tracks, objects, known_size_m={"ball": 0.22}).velocities[0]
    assert velocity.scale_source == "known_size"
    assert float(np.nanmedian(velocity.speed_mps)) == pytest.approx(2.2, rel=0.02)
    assert velocity.size_m == pytest.approx(0.22, rel=1e-6)
    with pytest.raises(PhysicsError, match="cup"):
        planar_velocity(tracks, objects, known_size_m={"cup": 0.1})
    with pytest.raises(PhysicsError, match="ball"):
        planar_velocity(tracks, objects, known_size_m={"ball": -0.1})
    with pytest.raises(PhysicsError, match="metres_per_px"):
        planar_velocity(tracks, metres_per_px=float("nan"))
    with pytest.raises(PhysicsError, match="time_scale"):
        planar_velocity(tracks, time_scale=0.0)


def test_nothing_to_see_gives_no_speed() -> None:
    times_s = np.arange(0, 1, 1 / 30)
    points = np.full((len(times_s), 2), np.nan)
    tracks = make_tracks(times_s, make_track("ball-1", points, 30.0, np.zeros(len(times_s), bool)))
    velocity = planar_velocity(tracks).velocities[0]
    assert np.isnan(velocity.speed_mps).all()
    assert not velocity.breaks
    assert planar_velocity(make_tracks(times_s)).velocities == ()


def _shared_media(name: str) -> Path:
    folder = Path(os.environ.get("PAVAS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    path = folder / "media" / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


def test_filmed_toss_gives_its_scale_and_no_contact() -> None:
    from pavas_core.estimation.masses import default_masses
    from pavas_core.estimation.tracking.motion import detect_motion
    from pavas_core.physics.combine import combine_physics
    from pavas_core.video.clip import open_clip

    objects = detect_motion(open_clip(_shared_media("ball_toss_scale.mov")))
    assert objects.tracks is not None
    velocities = planar_velocity(objects.tracks, objects)
    scene = combine_physics(objects, objects.tracks, default_masses(objects, velocities), velocities)
    ball = next(v for v in velocities.velocities if v.free)
    assert 1 / ball.metres_per_px == pytest.approx(398.7, rel=0.06)
    assert scene.impacts == ()
