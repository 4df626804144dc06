"""Bodies at rest that are hit, bodies that the border cuts off, blows of what moves far between two frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pavas_core.estimation.planar.blows import find_blows
from pavas_core.estimation.planar.centres import whole_centres
from pavas_core.estimation.planar.velocity import fitted_velocity
from pavas_core.physics.types import Break, Track
from tests.planar_tracks import bounces, make_track, make_tracks


def _sure(track: Track, times_s: np.ndarray) -> list[Break]:
    velocity = fitted_velocity(make_tracks(times_s, track), metres_per_px=0.005).velocities[0]
    return [b for b in velocity.breaks if b.confidence >= 0.5]


def _noise(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (count, 2))


@pytest.mark.parametrize("rate", [12.0, 30.0])
def test_a_ball_at_rest_that_sets_off_at_once_was_kicked(rate: float) -> None:
    times_s = np.arange(0, 2, 1 / rate)
    x = 120 + 320 * np.maximum(times_s - 0.81, 0) - 40 * np.maximum(times_s - 0.81, 0) ** 2
    points = np.stack([x, np.full_like(x, 200)], axis=1) + _noise(len(x), 1)
    (kick,) = _sure(make_track("ball-1", points, 40.0), times_s)
    assert kick.time_s == pytest.approx(0.81, abs=0.02)
    assert kick.post_mps[0] == pytest.approx(1.6, rel=0.07)


def test_a_thing_that_is_set_going_over_a_fifth_of_a_second_was_pushed() -> None:
    times_s = np.arange(0, 2, 1 / 30)
    since = np.maximum(times_s - 0.81, 0)
    x = 120 + np.where(since < 0.2, 800 * since**2, 32 + 320 * (since - 0.2))
    points = np.stack([x, np.full_like(x, 200)], axis=1) + _noise(len(x), 2)
    assert not _sure(make_track("ball-1", points, 40.0), times_s)


def test_a_rolling_ball_turned_back_by_a_wall() -> None:
    times_s = np.arange(0, 2, 1 / 25)
    x = 500 - np.abs(times_s - 1.01) * np.where(times_s < 1.01, 200, 90)
    points = np.stack([x, np.full_like(x, 200)], axis=1) + _noise(len(x), 3)
    (hit,) = _sure(make_track("ball-1", points, 40.0), times_s)
    assert hit.time_s == pytest.approx(1.01, abs=0.01)
    assert (hit.pre_mps[0], hit.post_mps[0]) == pytest.approx((1.0, -0.45), abs=0.05)


def test_a_thing_whose_outline_changes_may_be_in_a_hand() -> None:
    times_s = np.arange(0, 2, 1 / 25)
    x = 500 - np.abs(times_s - 1.01) * np.where(times_s < 1.01, 200, 90)
    points = np.stack([x, np.full_like(x, 200)], axis=1) + _noise(len(x), 3)
    track = make_track("object-1", points, 40.0)
    area = track.area_px * np.random.default_rng(6).uniform(0.75, 1.25, len(x)).astype(np.float32)
    assert not _sure(replace(track, area_px=area), times_s)


def _cut(track: Track, width: int, height: int) -> Track:
    """What the picture shows of a disc."""
    boxes = np.clip(track.boxes, 0, [width, height, width, height]).astype(np.float32)
    truncated = (boxes != track.boxes).any(axis=1)
    seen = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) > 2
    centroids = (boxes[:, :2] + boxes[:, 2:]) / 2
    return replace(track, boxes=boxes, centroids=centroids, truncated=truncated, visible=track.visible & seen)


def test_a_body_at_the_border_keeps_its_centre() -> None:
    times_s = np.arange(0, 1, 1 / 30)
    points = np.stack([660 - 160 * times_s, np.full_like(times_s, 200)], axis=1)
    track = _cut(make_track("ball-1", points, 60.0), 640, 360)
    centres, mended = whole_centres(track, 640, 360)
    assert mended.sum() > 5
    np.testing.assert_allclose(centres[mended], points[mended], atol=1.0)
    assert not mended[~track.truncated].any()


def test_an_outline_that_changes_tells_no_centre_at_the_border() -> None:
    times_s = np.arange(0, 1, 1 / 30)
    points = np.stack([660 - 160 * times_s, np.full_like(times_s, 200)], axis=1)
    track = make_track("object-1", points, 60.0)
    grown = np.random.default_rng(7).uniform(-15, 15, len(times_s))[:, None] * np.array([-1, -1, 1, 1])
    track = _cut(replace(track, boxes=(track.boxes + grown).astype(np.float32)), 640, 360)
    centres, mended = whole_centres(track, 640, 360)
    assert not mended.any()
    np.testing.assert_array_equal(centres, track.centroids)


def test_a_bounce_half_out_of_the_picture_is_found() -> None:
    times_s = np.arange(0, 1.2, 1 / 25)
    x = 650 - 120 * times_s
    y = 300 - np.where(times_s < 0.31, 900 * (0.31 - times_s), 330 * (times_s - 0.31))
    points = np.stack([x, np.maximum(y, 40)], axis=1) + _noise(len(x), 4)
    track = _cut(make_track("ball-1", points, 80.0), 640, 360)
    at = int(np.argmin(np.abs(times_s - 0.31)))
    assert track.truncated[: at + 1].all()
    breaks = _sure(track, times_s)
    assert min(abs(b.time_s - 0.31) for b in breaks) < 0.02


def test_a_swing_that_slows_down_steadily_is_no_blow() -> None:
    times_s = np.arange(0, 3, 1 / 25)
    middles_s = (times_s[1:] + times_s[:-1]) / 2
    swing = 0.7 * 640 * np.cos(2 * np.pi * middles_s / 0.64)
    flow = np.stack([swing, 0.1 * np.abs(swing)], axis=1)
    assert not find_blows(times_s, flow, 640)


def test_a_blow_too_fast_for_the_flow_is_seen_by_the_outline() -> None:
    times_s = np.arange(0, 2, 1 / 30)
    since = times_s - 1.01
    y = 300 + np.where(since < 0, np.minimum(1600 * since + 1500 * since**2, 0), -90 * np.maximum(since, 0))
    y = np.where(since < -0.35, y[np.argmin(np.abs(since + 0.35))], y)
    points = np.stack([np.full_like(y, 300), y], axis=1) + _noise(len(y), 5)
    slow = 0.35 * np.diff(points, axis=0) * 30
    track = make_track("object-1", points, 80.0, flow=slow)
    area = track.area_px * np.random.default_rng(8).uniform(0.8, 1.2, len(y)).astype(np.float32)
    breaks = _sure(replace(track, area_px=area), times_s)
    near = min(breaks, key=lambda b: abs(b.time_s - 1.01))
    assert near.time_s == pytest.approx(1.01, abs=0.03)
    assert near.pre_mps[1] > 0.7 * 8.0


@pytest.mark.parametrize("shift_px", [(4.0, 1.0), (1.0, 4.0), (3.0, 3.0)])
def test_pictures_blurred_over_both_sides_of_a_bounce_make_no_second_one(shift_px: tuple[float, float]) -> None:
    times_s = np.arange(0, 1.4, 1 / 30)
    path, events = bounces(height_m=1.2, restitution=0.65, floor_m=1.4, duration_s=1.4)
    points = 200 * path(times_s) + 0.6 * _noise(len(times_s), 9)
    near = np.argsort(np.abs(times_s - events[0][0]))[:2]
    points[near, 1] -= np.array(shift_px)
    found = [b for b in _sure(make_track("ball-1", points, 40.0), times_s) if abs(b.time_s - events[0][0]) < 0.1]
    assert len(found) == 1
    assert found[0].pre_mps[1] == pytest.approx(events[0][1], rel=0.05)
    assert -found[0].post_mps[1] == pytest.approx(events[0][2], rel=0.08)
