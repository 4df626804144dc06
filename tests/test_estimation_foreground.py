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
