"""Breaks of velocity become impacts: contact, partner, impulse, energy."""

from __future__ import annotations

import numpy as np
import pytest

from pavas_core.errors import PhysicsError
from pavas_core.estimation.planar.velocity import planar_velocity
from pavas_core.physics.combine import combine_physics
from pavas_core.physics.types import (
    Break,
    Mass,
    MassSet,
    MovingObject,
    ObjectSet,
    Scene,
    TrackSet,
    Velocity,
    VelocitySet,
)
from pavas_core.physics.validate import check_scene
from tests.planar_tracks import bounces, make_track, make_tracks, sampled

TIMES_S = np.arange(0, 2, 1 / 30)
MIDDLES_S = (TIMES_S[1:] + TIMES_S[:-1]) / 2


def _tracks(*centres: tuple[float, float]) -> TrackSet:
    """Bodies 40 pixels wide that stay around their centres."""
    return make_tracks(
        TIMES_S,
        *(
            make_track(f"ball-{i}", np.tile(np.array(c, float), (len(TIMES_S), 1)), 40.0)
            for i, c in enumerate(centres, 1)
        ),
    )


def _break(time_s: float, pre: tuple[float, float], post: tuple[float, float], confidence: float = 0.9) -> Break:
    return Break(time_s, 0.004, (320.0, 180.0), (*pre, 0.0), (*post, 0.0), 0.05, confidence)


def _velocity(object_id: str, *breaks: Break, free: bool = True) -> Velocity:
    vector = np.zeros((len(MIDDLES_S), 3), np.float32)
    for one in sorted(breaks, key=lambda b: b.time_s):
        vector[one.time_s < MIDDLES_S] = one.post_mps
    if breaks:
        vector[breaks[0].time_s > MIDDLES_S] = breaks[0].pre_mps
    return Velocity(
        object_id, MIDDLES_S, np.linalg.norm(vector, axis=1), vector, None, breaks, 0.005, "gravity", 0.05, 0.2, free
    )


def _scene(tracks: TrackSet, *velocities: Velocity, masses: tuple[float, ...] = (0.5, 0.25)) -> Scene:
    objects = tuple(MovingObject(v.object_id, "ball") for v in velocities)
    kilograms = {v.object_id: Mass(m, m, m, "manual") for v, m in zip(velocities, masses, strict=False)}
    return combine_physics(
        ObjectSet(objects, tracks.width, tracks.height, tracks.duration_s),
        tracks,
        MassSet(kilograms, {"ball-1": "rubber"}),
        VelocitySet(velocities),
    )


def test_a_bounce_keeps_its_speeds_energy_and_impulse() -> None:
    scene = _scene(_tracks((320, 180)), _velocity("ball-1", _break(1.0, (1.0, 4.0), (1.0, -3.0))))
    (impact,) = check_scene(scene).impacts
    assert (impact.id, impact.contact, impact.partner, impact.surface) == ("ball-1@1", "bounce", None, "unknown")
    assert impact.normal == (0.0, -1.0, 0.0)
    assert (impact.pre_normal_mps, impact.post_normal_mps) == pytest.approx((4.0, 3.0))
    assert impact.impulse_ns == pytest.approx(0.5 * 7.0)
    assert impact.energy_loss_j == pytest.approx(0.25 * (17 - 10))
    assert impact.position == pytest.approx((0.5, 0.5))
    assert scene.bodies[0].object.material == "rubber"


def test_a_kick_takes_from_the_unseen_foot_what_an_equal_bounce_loses() -> None:
    scene = _scene(_tracks((320, 180)), _velocity("ball-1", _break(1.0, (0.0, 2.0), (0.0, -6.0))))
    (kick,) = scene.impacts
    assert kick.impulse_ns == pytest.approx(0.5 * 8.0)
    # the foot sees the ball come and go as the ball would see a floor: at 0.7 of its approach, with the same impulse
    bounce = _break(1.0, (0.0, 8.0 / 1.7), (0.0, -0.7 * 8.0 / 1.7))
    (equal,) = _scene(_tracks((320, 180)), _velocity("ball-1", bounce)).impacts
    assert kick.energy_loss_j == pytest.approx(equal.energy_loss_j)


def test_two_bodies_that_meet_make_one_collision() -> None:
    tracks = _tracks((300, 180), (340, 180))
    first = _velocity("ball-1", _break(1.0, (2.0, 0.0), (0.5, 0.0)))
    second = _velocity("ball-2", _break(1.01, (0.0, 0.0), (3.0, 0.0), confidence=0.35))
    (impact,) = _scene(tracks, first, second).impacts
    assert (impact.contact, impact.object_id, impact.partner) == ("collision", "ball-1", "ball-2")
    assert (impact.pre_normal_mps, impact.post_normal_mps) == pytest.approx((2.0, 2.5))
    reduced = 0.5 * 0.25 / 0.75
    assert impact.impulse_ns == pytest.approx(reduced * 4.5)
    # they part faster than they met, so one of them was driven: the approach was 4.5 / 1.7 m/s
    assert impact.energy_loss_j == pytest.approx(reduced / 2 * (1 - 0.7**2) * (4.5 / 1.7) ** 2)
    assert 1.0 <= impact.time_s <= 1.01


@pytest.mark.parametrize(("frames", "impacts"), [(1.8, 1), (2.4, 2)])
def test_one_of_two_that_meet_may_be_seen_to_do_so_two_frames_late(frames: float, impacts: int) -> None:
    tracks = _tracks((300, 180), (340, 180))
    first = _velocity("ball-1", _break(1.0, (2.0, 0.0), (0.5, 0.0)))
    second = _velocity("ball-2", _break(1.0 + frames / 30, (0.0, 0.0), (3.0, 0.0), confidence=0.8))
    assert len(_scene(tracks, first, second).impacts) == impacts


def test_breaks_at_one_time_far_apart_are_two_impacts() -> None:
    tracks = _tracks((100, 180), (540, 180))
    first = _velocity("ball-1", _break(1.0, (0.0, 2.0), (0.0, -1.0)))
    second = _velocity("ball-2", _break(1.0, (0.0, 5.0), (0.0, -4.0)))
    assert [i.partner for i in _scene(tracks, first, second).impacts] == [None, None]


def test_what_is_beside_the_other_for_one_frame_only_has_met_it() -> None:
    """A hand that strikes a ball is lifted before the frame that is nearest to the contact."""
    hand = np.where(np.arange(len(TIMES_S))[:, None] == 29, [300.0, 140.0], [300.0, 40.0])
    tracks = make_tracks(TIMES_S, _tracks((300, 180)).tracks[0], make_track("ball-2", hand, 40.0))
    first = _velocity("ball-1", _break(1.0, (0.0, -1.0), (0.0, 4.0)))
    second = _velocity("ball-2", _break(0.99, (0.0, 3.0), (0.0, 1.0)))
    (impact,) = _scene(tracks, first, second).impacts
    assert impact.contact == "collision"


def test_a_jerk_of_the_picture_hits_nothing() -> None:
    tracks = _tracks((100, 180), (540, 180))
    change = _break(1.0, (0.0, 0.0), (3.0, 1.0))
    assert _scene(tracks, _velocity("ball-1", change), _velocity("ball-2", change)).impacts == ()


def test_two_that_are_let_go_together_land_together() -> None:
    tracks = _tracks((100, 180), (540, 180))
    change = _break(1.0, (0.0, 3.0), (0.0, -2.0))
    for free, impacts in ((True, 2), (False, 0)):
        bodies = [_velocity(f"ball-{i}", change, free=free) for i in (1, 2)]
        assert len(_scene(tracks, *bodies).impacts) == impacts


@pytest.mark.parametrize("x", [140, 320])
def test_two_that_land_at_once_beside_a_third_that_does_not_are_no_jerk(x: int) -> None:
    tracks = _tracks((100, 180), (540, 180), (x, 180))
    change = _break(1.0, (0.0, 3.0), (0.0, -2.0))
    bodies = _velocity("ball-1", change), _velocity("ball-2", change), _velocity("ball-3")
    scene = _scene(tracks, *bodies, masses=(0.5, 0.25, 0.25))
    assert [impact.object_id for impact in scene.impacts] == ["ball-1", "ball-2"]


def test_what_has_a_speed_and_no_track_keeps_nothing_from_sounding() -> None:
    tracks = _tracks((100, 180))
    scene = _scene(tracks, _velocity("ball-1", _break(1.0, (0.0, 3.0), (0.0, -2.0))), _velocity("ball-2"))
    assert [impact.object_id for impact in scene.impacts] == ["ball-1"]


def test_one_thing_tracked_twice_sounds_once() -> None:
    tracks = _tracks((300, 180), (304, 182))
    change = _break(1.0, (0.0, 3.0), (0.0, -2.0))
    assert len(_scene(tracks, _velocity("ball-1", change), _velocity("ball-2", change)).impacts) == 1


def test_two_that_fly_and_land_side_by_side_sound_both() -> None:
    tracks = _tracks((300, 180), (335, 190))
    change = _break(1.0, (0.0, 3.0), (0.0, -2.0))
    for free, impacts in ((True, 2), (False, 1)):
        scene = _scene(tracks, _velocity("ball-1", change, free=free), _velocity("ball-2", change))
        assert len(scene.impacts) == impacts


def test_resting_and_doubtful_breaks_make_no_impact() -> None:
    tracks = _tracks((320, 180))
    weak = _break(0.5, (0.0, 0.1), (0.0, -0.05))
    doubtful = _break(1.0, (0.0, 3.0), (0.0, -2.0), confidence=0.4)
    assert _scene(tracks, _velocity("ball-1", weak, doubtful)).impacts == ()


def test_breaks_that_crowd_together_are_one_contact() -> None:
    crowd = [_break(1.0, (0.0, 3.0), (0.0, -2.0)), _break(1.03, (0.0, 1.0), (0.0, -1.0))]
    (impact,) = _scene(_tracks((320, 180)), _velocity("ball-1", *crowd)).impacts
    assert impact.time_s == 1.0


def test_landing_catch_and_strike_are_told_apart() -> None:
    tracks = _tracks((320, 180))
    landing = _velocity("ball-1", _break(1.0, (0.0, 3.0), (0.0, 0.0)))
    caught = _velocity("ball-1", _break(1.0, (3.0, 0.5), (0.0, 0.0)))
    held = _velocity("ball-1", _break(1.0, (0.0, 3.0), (0.0, -0.5)), free=False)
    assert [_scene(tracks, v).impacts[0].contact for v in (landing, caught, held)] == ["landing", "catch", "strike"]


def test_a_kicked_body_at_rest_has_the_foot_for_partner() -> None:
    tracks = _tracks((320, 180), (285, 180))
    ball = _velocity("ball-1", _break(1.0, (0.0, 0.0), (6.0, 0.0), confidence=0.4))
    vector = np.zeros((len(MIDDLES_S), 3), np.float32)
    vector[:, 0] = 4.0
    foot = Velocity("ball-2", MIDDLES_S, vector[:, 0], vector, None, (), 0.005, "gravity", 0.05, 0.2)
    (impact,) = _scene(tracks, ball, foot, masses=(0.4, 4.0)).impacts
    assert impact.partner == "ball-2"
    assert impact.pre_normal_mps == pytest.approx(4.0)
    assert impact.impulse_ns == pytest.approx(0.4 * 6.0)
    # Momentum: the foot is slowed by 6 m/s x 0.4 / 4.
    assert impact.post_normal_mps == pytest.approx(6.0 - 3.4)
    # As by a ball of 0.4 kg that comes at 6 / 1.7 m/s and leaves with 0.7 of it.
    assert impact.energy_loss_j == pytest.approx(0.2 * (6 / 1.7) ** 2 * (1 - 0.7**2))
    still = Velocity("ball-2", MIDDLES_S, 0 * vector[:, 0], 0 * vector, None, (), 0.005, "gravity", 0.05, 0.2)
    assert _scene(tracks, ball, still, masses=(0.4, 4.0)).impacts == ()


def test_of_a_ball_and_a_foot_seen_to_jerk_alike_the_ball_is_heard() -> None:
    tracks = _tracks((300, 180), (304, 182))
    foot = _velocity("ball-1", _break(1.0, (0.0, 1.0), (0.0, -1.0), confidence=0.95), free=False)
    ball = _velocity("ball-2", _break(1.02, (0.0, 3.0), (0.0, -3.5), confidence=0.8))
    (impact,) = _scene(tracks, foot, ball).impacts
    assert impact.object_id == "ball-2"
    assert impact.impulse_ns == pytest.approx(0.25 * 6.5)
    trembles = _velocity("ball-2", _break(1.02, (0.0, 0.2), (0.0, -0.3), confidence=0.8))
    (impact,) = _scene(tracks, foot, trembles).impacts
    assert impact.object_id == "ball-1"


def test_of_a_ball_that_a_bat_drives_on_the_ball_tells_impulse_and_loss() -> None:
    tracks = _tracks((300, 180), (330, 180))
    bat = _velocity("ball-1", _break(1.0, (3.0, 0.0), (2.9, 0.0), confidence=0.95), free=False)
    ball = _velocity("ball-2", _break(1.0, (-5.0, 0.0), (7.0, 0.0), confidence=0.8))
    (impact,) = _scene(tracks, bat, ball, masses=(1.0, 0.25)).impacts
    assert (impact.object_id, impact.partner, impact.contact) == ("ball-2", "ball-1", "collision")
    assert impact.impulse_ns == pytest.approx(0.25 * 12.0)
    assert impact.pre_normal_mps == pytest.approx(8.0)
    assert impact.pre_normal_mps + impact.post_normal_mps == pytest.approx(3.0 / 0.2)
    assert impact.energy_loss_j == pytest.approx(0.125 * (12 / 1.7) ** 2 * (1 - 0.7**2))


def test_what_stops_a_heavy_body_is_not_put_down_to_the_light_one_it_meets() -> None:
    """The light one's own change was not seen: it would have left at 47 m/s."""
    tracks = _tracks((320, 180), (340, 180))
    hit = Break(1.0, 0.004, (330.0, 180.0), (3.0, 0.0, 0.0), (0.2, 0.0, 0.0), 0.05, 0.9)
    still = _velocity("ball-2", free=False)
    light, heavy = (
        _scene(tracks, _velocity("ball-1", hit), still, masses=(0.8, kilograms)).impacts[0] for kilograms in (0.05, 5.0)
    )
    assert light.partner == heavy.partner == "ball-2"
    assert light.post_normal_mps == pytest.approx(2 * light.pre_normal_mps)
    assert light.impulse_ns == pytest.approx(0.8 * 0.05 / 0.85 * 9.0)
    assert heavy.impulse_ns == pytest.approx(0.8 * 2.8)
    assert 0 < light.energy_loss_j < heavy.energy_loss_j


def test_masses_and_velocities_must_be_there() -> None:
    tracks = _tracks((320, 180))
    objects = ObjectSet((MovingObject("ball-1", "ball"),), 640, 360, 2.0)
    velocity = VelocitySet((_velocity("ball-1"),))
    with pytest.raises(PhysicsError, match="mass for ball-1"):
        combine_physics(objects, tracks, MassSet({}), velocity)
    with pytest.raises(PhysicsError, match="velocity for ball-1"):
        combine_physics(objects, tracks, MassSet({"ball-1": Mass(1, 1, 1, "manual")}), VelocitySet(()))
    with pytest.raises(PhysicsError, match="ball-1"):
        combine_physics(objects, tracks, MassSet({"ball-1": Mass(-1, -1, -1, "manual")}), velocity)


def test_from_tracks_to_impacts_the_energy_loss_is_that_of_the_bounces() -> None:
    path, events = bounces(height_m=1.0, restitution=0.7, floor_m=1.4, duration_s=1.6)
    times_s = np.arange(0, 1.6, 1 / 30)
    points = sampled(path, times_s, 240.0, 0.01) + np.random.default_rng(0).normal(0, 0.4, (len(times_s), 2))
    tracks = make_tracks(times_s, make_track("ball-1", points, 30.0))
    objects = ObjectSet((MovingObject("ball-1", "ball"),), 640, 360, tracks.duration_s)
    mass = MassSet({"ball-1": Mass(0.6, 0.6, 0.6, "manual")})
    scene = check_scene(combine_physics(objects, tracks, mass, planar_velocity(tracks, objects)))
    strong = [e for e in events if e[1] > 1.0]
    for time_s, before, after in strong:
        impact = min(scene.impacts, key=lambda i: abs(i.time_s - time_s))
        assert abs(impact.time_s - time_s) < 0.01
        assert impact.energy_loss_j == pytest.approx(0.3 * (before**2 - after**2), rel=0.25)
    losses = [i.energy_loss_j for i in scene.impacts[: len(strong)]]
    assert losses == sorted(losses, reverse=True)
