"""The camera's motion on pictures that offer little to hold on to, and what it does to the background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pavas_core.estimation.tracking.camera import CameraTracker, apply, compose, invert
from pavas_core.estimation.tracking.foreground import Canvas, long_background

WIDTH, HEIGHT = 320, 240
CORNERS = np.array([[0, 0], [WIDTH, 0], [0, HEIGHT], [WIDTH, HEIGHT]], float)


def faint_wall(seed: int, contrast: float) -> np.ndarray:
    """An almost plain wall: soft clouds of a few grey levels, uint8 [H + 80, W + 400]."""
    rng = np.random.default_rng(seed)
    clouds = cv2.resize(rng.normal(0, 1, (20, 45)), (WIDTH + 400, HEIGHT + 80), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(0, 1, clouds.shape), (0, 0), 2.5)
    return 120 + contrast * (clouds + 0.6 * fine / fine.std())


def seen(wall: np.ndarray, dx: float, dy: float, rng: np.random.Generator) -> np.ndarray:
    shift = np.array([[1.0, 0.0, -40.0 - dx], [0.0, 1.0, -40.0 - dy]])
    picture = cv2.warpAffine(wall, shift, (WIDTH, HEIGHT)) + rng.normal(0, 2.0, (HEIGHT, WIDTH))
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("contrast", [8.0, 20.0])
def test_sway_before_an_almost_plain_wall_is_measured(contrast: float) -> None:
    rng, wall, follower = np.random.default_rng(1), faint_wall(2, contrast), CameraTracker()
    for i in range(25):
        dx, dy = 7.0 * np.sin(0.25 * i), 4.0 * np.sin(0.4 * i)
        pose = follower.step(seen(wall, dx, dy, rng))
        assert np.abs(apply(pose, CORNERS) - CORNERS - [dx, dy]).max() < 1.0


def test_a_still_camera_is_still_whatever_the_noise() -> None:
    rng, wall, follower = np.random.default_rng(3), faint_wall(4, 10.0), CameraTracker()
    for _ in range(10):
        pose = follower.step(seen(wall, 0, 0, rng))
        np.testing.assert_array_equal(pose, [[1, 0, 0], [0, 1, 0]])


def test_a_pan_across_several_pictures_adds_up() -> None:
    rng, wall, follower = np.random.default_rng(5), faint_wall(6, 25.0), CameraTracker()
    for i in range(36):
        pose = follower.step(seen(wall, 8.0 * i, 0.0, rng))
    assert abs(apply(pose, CORNERS.mean(0))[0] - WIDTH / 2 - 280.0) < 6.0


@pytest.mark.parametrize("radius", [8, 14, 20])
@pytest.mark.parametrize("ground", [True, False])
def test_a_body_before_a_plain_wall_is_no_motion_of_the_camera(radius: int, ground: bool) -> None:
    """Nothing but the body has an outline to hold on to, but for the edge of the ground along which it goes."""
    rng, follower = np.random.default_rng(9), CameraTracker()
    for i in range(40):
        picture = np.full((HEIGHT, WIDTH), 150.0)
        picture[200:] = 90.0 if ground else 150.0
        cv2.circle(picture, (40 + 6 * i, 200 - radius), radius, 40.0, -1, cv2.LINE_AA)
        pose = follower.step(np.clip(picture + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8))
        assert np.abs(apply(pose, CORNERS) - CORNERS).max() < 2.5


def test_change_of_light_is_no_motion() -> None:
    rng, wall, follower = np.random.default_rng(7), faint_wall(8, 15.0), CameraTracker()
    for i in range(12):
        picture = seen(wall * (1 - 0.03 * i), 0, 0, rng)
        pose = follower.step(picture)
        assert np.abs(apply(pose, CORNERS) - CORNERS).max() < 0.5


def test_inverse_and_composition_of_maps() -> None:
    affine = np.array([[0.9, -0.2, 5.0], [0.2, 0.9, -3.0]])
    np.testing.assert_allclose(compose(affine, invert(affine)), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_a_background_of_more_than_255_frames_is_known() -> None:
    picture = np.full((24, 32, 3), 90, np.uint8)
    inside = np.full((24, 32), 255, np.uint8)
    for count in (256, 258):
        canvas = Canvas([picture] * count, [inside] * count, 60.0, True)
        known = long_background(canvas).known
        assert known is not None
        assert known.all()
