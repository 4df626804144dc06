"""Outlines completed by what moves in the dense flow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.bodies import Body
from pavas_core.estimation.tracking.outlines import complete
from pavas_core.estimation.tracking.parts import Part, moving_parts
from tests.test_estimation_track_selection import GREEN, sighting

HEIGHT, WIDTH = 200, 320


def leg(frame: int, step: float = 3.0) -> Part:
    """A part of 60 x 100 analysis pixels whose corner goes right with the frames."""
    mask = np.ones((25, 15), np.uint8)
    corner = round((40 + step * frame) / 4), 15
    return Part(frame, 1.2, corner, mask.shape, np.packbits(mask), camera.IDENTITY)


def edge(frame: int, y: float = 80.0, flow: float = 4.0, **more) -> object:
    """A small region at the leg's left edge."""
    return sighting(frame, 50 + 3.0 * frame, y, 144, flow=(flow, 0.0), roundness=0.5, aspect=2.5, **more)


def test_a_piece_gets_the_outline_of_all_that_moves_with_it_and_keeps_it_at_rest() -> None:
    body = Body([edge(min(i, 12)) if i < 20 else edge(i) for i in range(30)])
    body = Body([replace(o, frame=i) for i, o in enumerate(body.observations)])
    (whole,) = complete([body], [leg(i) for i in range(12)])
    assert whole.observations[5].shape == (100, 60)
    assert whole.observations[15].shape[0] == 100
    assert whole.observations[25] == body.observations[25]
    assert whole.observations[5].flow == (4.0, 0.0)
    assert np.allclose(whole.points, body.points)
    assert complete([body], []) == [body]


def test_slower_surroundings_do_not_belong_to_it() -> None:
    slow = [Part(p.frame, 2.4, p.corner, p.shape, p.bits, p.to_frame) for p in (leg(i) for i in range(20))]
    body = Body([edge(i) for i in range(20)])
    assert complete([body], slow) == [body]
    assert complete([Body([edge(i, flow=8.0) for i in range(20)])], slow)[0].observations[5].shape == (100, 60)


def test_a_region_that_is_nearly_the_whole_is_left_alone() -> None:
    seen = [sighting(i, 70 + 3.0 * i, 110, 5000, flow=(4.0, 0.0), roundness=0.5, aspect=2.5) for i in range(20)]
    body = Body(seen)
    assert complete([body], [leg(i) for i in range(20)]) == [body]


def test_two_pieces_of_one_thing_become_one_body() -> None:
    top, bottom = Body([edge(i, 75.0) for i in range(20)]), Body([edge(i, 145.0) for i in range(20)])
    found = complete([top, bottom], [leg(i) for i in range(20)])
    assert len(found) == 1
    assert found[0].observations[4].shape == (100, 60)


def test_a_ball_before_it_stays_a_ball_of_its_own() -> None:
    body = Body([edge(i) for i in range(20)])
    ball = Body([sighting(i, 75 + 3.0 * i, 110, 300, GREEN) for i in range(20)])
    assert complete([body, ball], [leg(i) for i in range(20)]) == [body, ball]


def _flow(speed: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A patch of 80 x 40 pixels that goes right, before a background that shimmers."""
    rng = np.random.default_rng(1)
    field = rng.normal(0, noise, (HEIGHT // 2, WIDTH // 2, 2)).astype(np.float32)
    field[30:50, 60:100] = (speed, 0.0)
    change = np.zeros((HEIGHT, WIDTH), np.uint8)
    left = round(2 * (60 + speed))
    change[60:100, left : left + 80] = 40
    return field, change


def test_parts_are_what_hangs_together_at_some_speed_with_the_outline_of_the_change() -> None:
    field, change = _flow(4.0, 0.02)
    parts = moving_parts(7, field, change, camera.IDENTITY)
    assert {p.level for p in parts} == {0.6, 1.2, 2.4, 4.8}
    for part in parts:
        x0, y0, mask = part.in_frame()
        assert (part.frame, x0, y0, mask.shape) == (7, 128, 60, (40, 80))
        assert mask.all()


def test_levels_within_the_shimmer_tell_nothing() -> None:
    field, change = _flow(4.0, 0.4)
    levels = {p.level for p in moving_parts(0, field, change, camera.IDENTITY)}
    assert 0.6 not in levels
    assert 4.8 in levels


def test_no_part_without_change_nor_where_all_moves() -> None:
    field, change = _flow(4.0, 0.02)
    assert moving_parts(0, None, change, camera.IDENTITY) == []
    assert moving_parts(0, field, None, camera.IDENTITY) == []
    assert moving_parts(0, field, np.zeros_like(change), camera.IDENTITY) == []
    everywhere = np.full_like(field, 3.0)
    assert moving_parts(0, everywhere, np.full_like(change, 9), camera.IDENTITY) == []
    moved = np.array([[1.0, 0.0, 10.0], [0.0, 1.0, -4.0]])
    x0, y0, _ = moving_parts(0, field, change, moved)[0].in_frame()
    assert (x0, y0) == (138, 56)
