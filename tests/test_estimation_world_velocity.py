"""Velocity in space: what the aims say on rooms with known geometry, and each part on its own."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.world_scenes import CLEAN, HEIGHT, JITTER, WIDTH, make_scene
from benchmarks.world_velocity import Errors
from pavas_core.errors import Cancelled, PhysicsError
from pavas_core.estimation.space.foreign_geometry import from_da3, from_moge
from pavas_core.estimation.space.reconstruction import View, focal_of, from_point_maps, points_from_depth
from pavas_core.estimation.space.world_background import Surroundings, similarity
from pavas_core.estimation.space.world_velocity import noise_floor_mps, observe, world_velocity
from pavas_core.runtime import Runtime

_CACHE: dict = {}


def scene(kind, camera, noise, seed=11):
    key = kind, camera, noise, seed
    if key not in _CACHE:
        made = make_scene(*key, seconds=1.2)
        _CACHE[key] = made, observe(made.reconstruction, made.tracks)
    return _CACHE[key]


@pytest.mark.parametrize(
    ("kind", "camera", "noise", "contact", "steady"),
    [
        ("drop", "still", CLEAN, 0.12, None),
        ("throw", "dolly", JITTER, 0.25, None),
        ("push", "handheld", JITTER, 0.25, None),
        ("cross", "handheld", CLEAN, None, 0.05),
        ("approach", "dolly", JITTER, None, 0.12),
    ],
)
def test_speeds_are_true_where_equation_3_is_not(kind, camera, noise, contact, steady):
    made, observed = scene(kind, camera, noise)
    robust, literal = Errors(), Errors()
    robust.add(made, world_velocity(observed, made.tracks))
    literal.add(made, world_velocity(observed, made.tracks, method="equation 3"))
    if contact is not None:
        assert robust.found == len(made.contacts) > 0
        assert np.median(robust.contacts) < contact
    if steady is not None:
        assert np.median(robust.steady) < steady
        assert np.median(literal.steady) > 2 * np.median(robust.steady)
    assert robust.still == [True]
    assert literal.still == [False]


def test_known_size_and_gravity_fix_a_wrong_scale():
    made, observed = scene("drop", "still", CLEAN)
    views = [replace(view, points=view.points * np.float32(1.7)) for view in made.reconstruction.views]
    wrong = observe(replace(made.reconstruction, views=views), made.tracks)
    truth = world_velocity(observed, made.tracks, scale="reconstruction").velocities[0]
    for options, source in (
        ({"scale": "reconstruction"}, "camera"),
        ({"scale": "gravity"}, "gravity"),
        ({"scale": "auto"}, "gravity"),
        ({"known_size_m": {"mover-1": truth.size_m}}, "known_size"),
    ):
        found = world_velocity(wrong, made.tracks, **options).velocities[0]
        assert found.scale_source == source
        ratio = np.linalg.norm(found.breaks[0].pre_mps) / np.linalg.norm(truth.breaks[0].pre_mps)
        assert ratio == pytest.approx(1.7 if source == "camera" else 1.0, rel=0.08)


def test_slow_motion_scales_speed_and_gravity():
    made, observed = scene("drop", "still", CLEAN)
    real = world_velocity(observed, made.tracks, scale="reconstruction").velocities[0]
    slowed = world_velocity(observed, made.tracks, scale="reconstruction", time_scale=0.5).velocities[0]
    assert np.linalg.norm(slowed.breaks[0].pre_mps) == pytest.approx(
        2 * np.linalg.norm(real.breaks[0].pre_mps), rel=0.1
    )


def test_noise_floor_and_scale_are_said():
    made, observed = scene("approach", "dolly", JITTER)
    found = world_velocity(observed, made.tracks)
    across, along = re.search(r"noise floor \S+ m/s \((\S+) across, (\S+) along", found.notes[0]).groups()
    assert 0 < float(across) < float(along)
    assert "standard error" in found.notes[0]
    assert "stands still" in found.notes[1]
    error = np.abs(found.velocities[0].speed_mps - made.speed_mps)
    assert noise_floor_mps(found.velocities[0]) > 0
    assert np.nanmedian(error / found.velocities[0].sigma_mps) < 3.0


def test_a_still_camera_is_told_from_a_moving_one():
    assert scene("drop", "still", CLEAN)[1].still_camera
    assert not scene("throw", "dolly", JITTER)[1].still_camera


def test_gravity_is_not_made_up():
    made, observed = scene("cross", "handheld", CLEAN)
    with pytest.raises(PhysicsError, match="Nothing flies"):
        world_velocity(observed, made.tracks, scale="gravity")


@pytest.mark.parametrize(
    ("options", "told"),
    [({"scale": "feet"}, "no scale"), ({"method": "guess"}, "no method"), ({"known_size_m": {"x": 1.0}}, "no track")],
)
def test_wrong_wishes_are_told(options, told):
    made, observed = scene("cross", "handheld", CLEAN)
    with pytest.raises(PhysicsError, match=told):
        world_velocity(observed, made.tracks, **options)


def test_other_pictures_than_the_tracked_ones_are_refused():
    made, _ = scene("cross", "handheld", CLEAN)
    short = replace(made.reconstruction, times_s=made.reconstruction.times_s[:-3])
    with pytest.raises(PhysicsError, match="same clip"):
        observe(short, made.tracks)
    blank = [
        replace(view, points=np.full_like(view.points, np.nan), focal_px=None) for view in made.reconstruction.views
    ]
    with pytest.raises(PhysicsError, match="no usable point"):
        observe(replace(made.reconstruction, views=blank), made.tracks)


def test_cancelling_stops_at_the_next_picture():
    made, _ = scene("cross", "handheld", CLEAN)
    steps = []

    def stop():
        steps.append(1)
        if len(steps) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        observe(made.reconstruction, made.tracks, runtime=Runtime(check_cancelled=stop))
    assert len(steps) == 3


def test_similarity_is_exact_and_unbiased_by_noise():
    rng = np.random.default_rng(1)
    a = rng.normal(0, 1, (400, 3))
    rotation = np.linalg.qr(rng.normal(0, 1, (3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    scale, found, shift = similarity(a, 1.3 * a @ rotation.T + [1, 2, 3], np.ones(400))
    assert scale == pytest.approx(1.3)
    np.testing.assert_allclose(found, rotation, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)
    scale, _, _ = similarity(a + rng.normal(0, 0.3, a.shape), a + rng.normal(0, 0.3, a.shape), np.ones(400))
    assert scale == pytest.approx(1.0, abs=0.03)


def test_what_moves_does_not_hold_the_world():
    """A quarter of the surroundings that drifts unmasked does not drag the rest along."""
    y, x = np.mgrid[:60, :80]
    depth = 3.0 + 0.02 * x + 0.5 * np.sin(y / 7.0)
    flat = points_from_depth(depth[None], 70.0)[0]
    surroundings = Surroundings()
    for index in range(12):
        points = flat.copy()
        points[:30, :40] += np.float32(0.04 * index) * np.array([1, 0, 0], np.float32)
        jitter = 1 + 0.01 * np.sin(2.1 * index)
        view = View(index / 30, (points * np.float32(jitter)).astype(np.float32))
        surroundings.see(view, np.zeros((60, 80), bool))
    alignment = surroundings.align(still=True)
    assert alignment.held.all()
    moved = alignment.apply(np.array([flat[50, 60] * (1 + 0.01 * np.sin(2.1 * i)) for i in range(12)], float))
    assert np.ptp(moved, axis=0).max() < 0.02  # of the 0.44 m that it drifts


def test_without_pictures_and_with_a_moving_camera_the_poses_stand():
    made, _ = scene("cross", "handheld", CLEAN)
    views = [replace(view, picture=None) for view in made.reconstruction.views]
    observed = observe(replace(made.reconstruction, views=views), made.tracks)
    assert not observed.alignment.held.any()
    found = world_velocity(observed, made.tracks)
    assert "own poses were used" in found.notes[0]


def test_moge_geometry_feeds_the_same_estimator():
    torch = pytest.importorskip("torch")
    made, _ = scene("throw", "dolly", JITTER)
    views = list(made.reconstruction.views)
    points = torch.tensor(np.stack([view.points for view in views]))
    mask = torch.isfinite(points).all(dim=-1)
    image = torch.tensor(np.stack([view.picture for view in views])).float()[..., None].expand(-1, -1, -1, 3) / 255
    given = from_moge({"points": points, "mask": mask, "image": image, "normal": points}, made.tracks)
    found = world_velocity(observe(given, made.tracks), made.tracks, scale="reconstruction").velocities[0]
    for contact, one in zip(made.contacts, found.breaks, strict=True):
        assert np.linalg.norm(one.pre_mps) == pytest.approx(contact.pre_mps, rel=0.25)
    with pytest.raises(PhysicsError, match="holds no points"):
        from_moge({"depth": points[..., 2]}, made.tracks)
    with pytest.raises(PhysicsError, match="every picture"):
        from_moge({"points": points[:5]}, made.tracks)


def test_depth_anything_needs_an_angle_and_may_bring_it():
    torch = pytest.importorskip("torch")
    made, _ = scene("drop", "still", CLEAN)
    views = list(made.reconstruction.views)
    focal = views[0].focal_px
    depth = torch.tensor(np.stack([view.points[..., 2] for view in views]))
    with pytest.raises(PhysicsError, match="fov_x_degrees"):
        from_da3({"depth": depth}, made.tracks)
    inner = torch.tensor([[2 * focal, 0, WIDTH], [0, 2 * focal, HEIGHT], [0, 0, 1]]).expand(1, len(views), 3, 3)
    outer = torch.eye(4)[:3].expand(1, len(views), 3, 4)
    both = from_da3({"depth": 0.3 * depth, "intrinsics": inner, "extrinsics": outer}, made.tracks)
    alone = from_da3({"depth": 0.3 * depth}, made.tracks, fov_x_deg=float(np.rad2deg(2 * np.arctan(WIDTH / 2 / focal))))
    for given in (both, alone):
        assert focal_of(next(iter(given.views)).points) == pytest.approx(focal, rel=1e-3)
        found = world_velocity(observe(given, made.tracks), made.tracks).velocities[0]
        assert found.scale_source == "gravity"
        assert np.linalg.norm(found.breaks[0].pre_mps) == pytest.approx(made.contacts[0].pre_mps, rel=0.12)


def test_large_maps_are_thinned_out():
    made, _ = scene("drop", "still", CLEAN)
    points = np.zeros((len(made.tracks.times_s), 90, 1600, 3), np.float32)
    given = from_moge({"points": points}, made.tracks)
    assert next(iter(given.views)).points.shape == (22, 400, 3)
    assert given.placement.width == 400


def test_numbers_of_maps_and_times_must_agree():
    with pytest.raises(PhysicsError, match="3 point maps for 2"):
        from_point_maps(np.zeros((3, 4, 4, 3)), [0.0, 0.1], (4, 4), source="X", scale_sigma=0.1)
