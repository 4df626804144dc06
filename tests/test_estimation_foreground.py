"""Outlines of things in unsteady light, and of round things with a dark side."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pavas_core.estimation.tracking.foreground import Canvas, Detection, find_regions, long_background, short_background

RATE, WIDTH, HEIGHT, RADIUS = 25.0, 200, 150, 16


def _canvas(drift: float, shadow: bool = False, level: float = 170.0, dark: float = 1.0) -> Canvas:
    """A ball, its lower half ``dark`` times as bright as the wall, crosses a wall whose light drifts."""
    rng = np.random.default_rng(3)
    wall = (
        np.full((HEIGHT, WIDTH, 3), level) + cv2.GaussianBlur(rng.normal(0, 30, (HEIGHT, WIDTH)), (0, 0), 6)[..., None]
    )
    images = []
    for i in range(60):
        image = wall.copy()
        x, y = 20 + 3 * i, 70
        if shadow:
            shade = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.circle(shade, (x + 20, y + 14), RADIUS, 1, -1)
            image[shade > 0] *= 0.7
        ball = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.circle(ball, (x, y), RADIUS, 1, -1)
        below = np.arange(HEIGHT)[:, None] > y
        image[(ball > 0) & ~below] = (245, 235, 225)
        image[(ball > 0) & below] = wall[(ball > 0) & below] * dark
        image *= 1.0 + drift * np.sin(2 * np.pi * i / 45)
        images.append(np.clip(image + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8))
    return Canvas(images, [None] * len(images), RATE, False)


def _largest(canvas: Canvas, index: int) -> Detection:
    return find_regions(canvas, index, long_background(canvas), short_background(canvas, index))[0]


def test_light_that_drifts_does_not_hide_what_moves() -> None:
    steady, drifting = (np.median(long_background(_canvas(drift)).threshold) for drift in (0.0, 0.12))
    assert drifting < steady + 8


@pytest.mark.parametrize("shadow", [False, True])
def test_the_dark_side_of_a_ball_belongs_to_it_and_its_shadow_does_not(shadow: bool) -> None:
    found = _largest(_canvas(0.0, shadow, dark=0.72), 30)
    ball = np.pi * RADIUS**2
    if shadow:
        assert found.mask.sum() < 1.25 * ball
    else:
        assert 0.9 * ball < found.mask.sum() < 1.15 * ball
        assert np.hypot(found.centroid[0] - 110.5, found.centroid[1] - 70.5) < 1.5


def _boards() -> np.ndarray:
    """A wall of grey boards, float [H, W, 3]."""
    rng = np.random.default_rng(5)
    stripes = cv2.GaussianBlur(rng.normal(0, 1, (1, WIDTH)), (0, 0), 1.2)
    return np.repeat(np.repeat(170.0 + 40.0 * stripes / np.abs(stripes).max(), HEIGHT, axis=0)[..., None], 3, axis=2)


@pytest.mark.parametrize("solid", [True, False])
def test_a_blurred_tool_hides_what_is_behind_it_and_mere_light_does_not(solid: bool) -> None:
    rng = np.random.default_rng(4)
    wall, images = _boards(), []
    for i in range(60):
        cover = np.zeros((HEIGHT, WIDTH))
        cv2.ellipse(cover, (10 + 3 * i, 75), (20, 45), 0, 0, 360, 1.0, -1)
        cover = cv2.GaussianBlur(cover, (0, 0), 7)[..., None]
        image = (1 - cover) * wall + cover * (100.0 if solid else 100.0 / 170.0 * wall)
        images.append(np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8))
    canvas = Canvas(images, [None] * len(images), RATE, False)
    found = find_regions(canvas, 30, long_background(canvas), short_background(canvas, 30))
    covered = sum(d.mask.sum() for d in found if d.parent < 0 and d.shadow < 0.5)
    assert covered > 2000 if solid else covered < 200


def test_a_ball_has_no_hole_where_it_has_the_colour_of_the_wall() -> None:
    rng = np.random.default_rng(6)
    images = []
    for i in range(60):
        image = np.full((HEIGHT, WIDTH, 3), (150.0, 140.0, 120.0))
        cv2.circle(image, (20 + 3 * i, 70), RADIUS, (230.0, 60.0, 50.0), -1, cv2.LINE_AA)
        cv2.circle(image, (20 + 3 * i, 70), RADIUS // 2, (150.0, 140.0, 120.0), -1, cv2.LINE_AA)
        images.append(np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8))
    found = _largest(Canvas(images, [None] * len(images), RATE, False), 30)
    assert 0.9 < found.mask.sum() / (np.pi * RADIUS**2) < 1.2
    assert found.roundness > 0.97


@pytest.mark.parametrize("thing", [True, False])
def test_a_spot_that_shows_the_wall_in_another_light_is_marked(thing: bool) -> None:
    rng = np.random.default_rng(8)
    wall, images = _boards(), []
    for i in range(60):
        image = wall.copy()
        spot = slice(60, 72), slice(10 + 2 * i, 25 + 2 * i)
        image[spot] = 0.6 * (170.0 if thing else image[spot])
        images.append(np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8))
    assert _largest(Canvas(images, [None] * len(images), RATE, False), 30).lit is not thing


@pytest.mark.parametrize("above", [-2, -1, 0, 1, 2])
def test_a_plain_ball_on_the_edge_of_the_ground_is_no_spot_of_light(above: int) -> None:
    rng = np.random.default_rng(9)
    wall = np.repeat(np.repeat(rng.uniform(60, 110, (HEIGHT // 8, WIDTH // 8)), 8, 0), 8, 1)[:HEIGHT, :WIDTH]
    ground = HEIGHT * 3 // 4
    wall = np.pad(wall, ((0, HEIGHT - len(wall)), (0, WIDTH - wall.shape[1])), mode="edge")
    wall[ground:] = 30.0
    images = []
    for i in range(60):
        image = np.repeat(wall[..., None], 3, axis=2)
        cv2.circle(image, (20 + 3 * i, ground - 12 - above), 12, (60.0, 160.0, 240.0), -1, cv2.LINE_AA)
        image = cv2.GaussianBlur(image, (0, 0), 0.8)
        images.append(np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255).astype(np.uint8))
    assert not _largest(Canvas(images, [None] * len(images), RATE, False), 30).lit
