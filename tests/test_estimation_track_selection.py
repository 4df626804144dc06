"""Which trails become objects: marks, limbs, shadows, shots, switches from one thing to another."""

from __future__ import annotations

import cv2
import numpy as np

from pavas_core.estimation.tracking.bodies import Body
from pavas_core.estimation.tracking.flow import FlowField
from pavas_core.estimation.tracking.foreground import Canvas, Detection, find_regions, long_background, short_background
from pavas_core.estimation.tracking.gathering import gather
from pavas_core.estimation.tracking.joining import cut, cut_where_swapped, join
from pavas_core.estimation.tracking.linking import Observation, Trail
from pavas_core.estimation.tracking.motion import detect_motion
from pavas_core.estimation.tracking.selection import considered
from pavas_core.video.clip import clip_from_frames
from tests.planar_tracks import bounces, sampled
from tests.test_estimation_track_motion import RATE, noisy, paint_ball, texture

RED, GREEN = (200, 40, 40), (40, 150, 60)


def sighting(frame: int, x: float, y: float, area: float, colour=RED, trail: int = 0, **more) -> Observation:
    """A square region seen whole."""
    side = max(1, round(np.sqrt(area)))
    origin = (round(x - side / 2), round(y - side / 2))
    box = (float(origin[0]), float(origin[1]), float(origin[0] + side), float(origin[1] + side))
    given = {
        "frame": frame, "world": (x, y), "centroid": (x, y), "box": box, "area": area,
        "colour": np.array(colour, float), "border": False, "origin": origin, "shape": (side, side),
        "bits": np.packbits(np.ones((side, side), bool)), "flow": None, "shadow": 0.0, "roundness": 0.95,
        "aspect": 1.1, "fast": 1.0, "contrast": 80.0, "parent": -1, "trail": trail,
    }  # fmt: skip
    return Observation(**{**given, **more})


def trail(number: int, seen: list[Observation]) -> Trail:
    return Trail(number, seen)


def rolling(number: int = 0, side: float = 40.0, **more) -> Trail:
    return trail(number, [sighting(i, 40 + 8 * i, 200, side**2, flow=(8.0, 0.0), **more) for i in range(30)])


def chosen(trails: list[Trail], frame_rate: float) -> list[Body]:
    return sorted(considered(trails, frame_rate)[0], key=lambda b: b.first.frame)


def test_a_trail_that_goes_over_to_another_thing_is_cut() -> None:
    foot = [sighting(i, 20 + 5 * i, 100, 1600, GREEN) for i in range(12)]
    ball = [sighting(i, 80 + 20 * (i - 12), 100, 500, RED) for i in range(12, 24)]
    parts = cut(Body(foot + ball))
    assert [(p.first.frame, p.last.frame) for p in parts] == [(0, 11), (12, 23)]
    assert len(cut(Body(foot))) == 1


def test_a_trail_that_goes_over_to_a_shadow_of_its_size_is_cut() -> None:
    ball = [sighting(i, 20 + 9 * i, 100, 400, (96, 56, 65)) for i in range(12)]
    shadow = [sighting(i, 20 + 9 * i, 140, 380, (150, 155, 156), shadow=1.0) for i in range(12, 20)]
    assert [(p.first.frame, p.last.frame) for p in cut(Body(ball + shadow))] == [(0, 11), (12, 19)]
    # Dark things are no shadows for a while: they keep their colour.
    dark = [sighting(i, 20 + 9 * i, 100, 400, (96, 56, 65), shadow=float(i > 11)) for i in range(20)]
    assert len(cut(Body(dark))) == 1


def test_a_trail_that_goes_over_to_another_colour_is_cut() -> None:
    parts = cut(Body([sighting(i, 20 + 5 * i, 100, 400, RED if i < 12 else (40, 200, 200)) for i in range(24)]))
    assert [(p.first.frame, p.last.frame) for p in parts] == [(0, 11), (12, 23)]


def test_a_torn_ball_that_a_foot_juggles_is_a_thing_of_its_own() -> None:
    """However its outline is torn, it flies; what is as torn and near but does not fly belongs to the leg."""
    flown = np.arange(60) % 12 - 5.5
    leg = trail(0, [sighting(i, 200, 225 + 35 * np.sin(i / 2), 6400, GREEN) for i in range(60)])
    for heights, count in ((150 + 1.1 * flown**2, 2), (183 - 1.1 * flown**2, 1)):
        torn = trail(1, [sighting(i, 200, y, 900, roundness=0.7) for i, y in enumerate(heights)])
        assert len(chosen([leg, torn], RATE)) == count


def test_what_passes_behind_a_pole_is_one_object() -> None:
    """It comes out on one side while it still goes in on the other."""
    hidden = np.clip((np.arange(60) - 20) / 12, 0, 1)  # share of it that has passed the pole
    going = [sighting(i, 40 + 3 * i - 30 * h, 200, 1600 * (1 - h)) for i, h in enumerate(hidden) if h < 0.9]
    coming = [sighting(i, 70 + 3 * i - 30 * h, 200, 1600 * h, trail=1) for i, h in enumerate(hidden) if h > 0.1]
    (found,) = chosen([trail(0, going), trail(1, coming)], RATE)
    assert (found.first.frame, found.last.frame, len(found.frames)) == (0, 59, 60)
    # Two things at once, both whole, stay two.
    other = [sighting(i, 400 - 3 * i, 200, 1600, trail=1) for i in range(20, 60)]
    assert len(chosen([trail(0, [sighting(i, 40 + 3 * i, 200, 1600) for i in range(40)]), trail(1, other)], RATE)) == 2


def test_a_trail_that_leaves_its_ball_for_a_hand_is_cut_where_the_ball_goes_on_as_another() -> None:
    way = [200 + 100 * abs(np.sin(0.15 * i)) for i in range(60)]
    mixed = [sighting(i, 300, way[i] if i < 30 else 150, 900 if i < 30 else 300) for i in range(60)]
    later = [sighting(i, 300, way[i], 900, trail=1) for i in range(30, 60)]
    parts = cut_where_swapped([Body(mixed), Body(later)])
    assert [(p.first.frame, p.last.frame) for p in parts] == [(0, 29), (30, 59), (30, 59)]
    earlier = [sighting(i, 300, way[i], 900, trail=1) for i in range(30)]
    mixed = [sighting(i, 300, way[i] if i >= 30 else 150, 900 if i >= 30 else 300) for i in range(60)]
    assert len(cut_where_swapped([Body(mixed), Body(earlier)])) == 3
    # Nothing is cut for what is unlike it.
    assert len(cut_where_swapped([Body(mixed), Body([sighting(i, 300, way[i], 90) for i in range(30)])])) == 2


def test_a_ball_that_lies_at_a_foot_until_it_is_kicked_is_no_part_of_the_leg() -> None:
    leg = trail(0, [sighting(i, 200 + 30 * np.sin(i / 3), 200, 10000, GREEN, roundness=0.4) for i in range(60)])
    ways = np.maximum(np.arange(60) - 47, 0) * 20.0
    ball = [sighting(i, 220 + ways[i], 230, 400, trail=1) for i in range(60)]
    assert any(body.round for body in chosen([leg, trail(1, ball)], RATE))
    assert not any(body.round for body in chosen([leg, trail(1, ball[:51])], RATE))


def test_of_three_trails_of_one_thing_the_middle_one_is_not_passed_over() -> None:
    """A bounce parts two of them; by their ways alone the first and the last would go together better."""
    path, _ = bounces(height_m=0.77, restitution=0.8, floor_m=1.5, duration_s=4.0, drift_mps=0.1)
    places = sampled(path, np.arange(87) / 24, 300.0)
    seen = [sighting(i, float(x), float(y), 574) for i, (x, y) in enumerate(places)]
    (whole,) = join([Body(seen[:11]), Body(seen[11:26]), Body(seen[26:])], 24.0)
    assert len(whole.frames) == 87


def test_a_mark_that_moves_with_what_is_around_it_is_no_object() -> None:
    ball = rolling()
    mark = [
        sighting(i, 45 + 8 * i, 195, 90, (20, 20, 20), 1, parent=0, flow=(8.0, 0.0), around=(7.8, 0.2))
        for i in range(30)
    ]
    assert len(chosen([ball, trail(1, mark)], RATE)) == 1


def test_a_spot_seen_for_longer_than_its_ball_is_not_taken_for_it() -> None:
    ball = [sighting(i, 40 + 8 * i, 200, 1600, flow=(8.0, 0.0)) for i in range(8, 30)]
    spot = [sighting(i, 45 + 8 * i, 195, 90, (20, 20, 20), 1, flow=(8.0, 0.0)) for i in range(30)]
    found = chosen([trail(0, ball), trail(1, spot)], RATE)
    assert [round(b.side) for b in found] == [40]


def test_a_patch_that_goes_where_the_whole_body_goes_is_no_object() -> None:
    whole = rolling(roundness=0.7)
    # Seen apart from the rest, whose outline is ragged.
    patch = [sighting(i, 46 + 8 * i, 193 + np.sin(i), 150, (20, 20, 20), 1, flow=(8.0, 0.0)) for i in range(30)]
    found = chosen([whole, trail(1, patch)], RATE)
    assert [round(body.area) for body in found] == [1600]


def test_light_that_wanders_over_a_wall_is_no_object() -> None:
    assert len(chosen([rolling()], RATE)) == 1
    assert chosen([rolling(lit=True)], RATE) == []


def test_a_ball_in_front_of_a_person_who_stands_is_an_object() -> None:
    person = [sighting(i, 160 + 3 * np.sin(i / 3), 120, 9000, GREEN, roundness=0.4, aspect=3.0) for i in range(60)]
    height = 60 * np.abs(np.sin(np.arange(60) / 8))
    ball = [
        sighting(i, 160, 160 - height[i], 400, RED, 1, parent=0, flow=(0.0, -6.0), around=(0.2, 0.1)) for i in range(60)
    ]
    found = chosen([trail(0, person), trail(1, ball)], RATE)
    assert any(body.round and abs(body.area - 400) < 40 for body in found)


def test_flow_around_a_part_tells_whether_the_whole_moves_along() -> None:
    wall = texture(31)
    block = texture(32, 90, 90)
    whole = Detection(100, 70, np.ones((90, 90), bool), (145, 115), 8100, np.zeros(3), 50, 1, 0, False, 0.8, 1.0)
    part = Detection(130, 100, np.ones((20, 20), bool), (140, 110), 400, np.zeros(3), 50, 1, 0, False, 0.9, 1.0, 0)
    for step, expected in ((3, 3.0), (0, 0.0)):
        field = FlowField()
        for i in range(2):
            image = wall.copy()
            image[70:160, 100 + step * i : 190 + step * i] = block
            field.step(image)
        around = field.around(part, whole)
        assert around is not None
        assert abs(around[0] - expected) < 0.5


def test_a_dark_body_is_kept_and_a_shadow_is_not() -> None:
    ball = rolling()
    stone = [sighting(i, 300 - 7 * i, 60, 500, (60, 60, 60), 1, shadow=0.75, flow=(-7.0, 0.0)) for i in range(30)]
    shade = [sighting(i, 44 + 8 * i, 230, 900, (80, 80, 80), 2, shadow=1.0, flow=(8.0, 0.0)) for i in range(30)]
    found = chosen([ball, trail(1, stone), trail(2, shade)], RATE)
    assert sorted(body.first.trail for body in found) == [0, 1]


def test_what_is_never_seen_but_by_its_template_is_no_object() -> None:
    drifting = [sighting(i, 300 - 7 * i, 60, 1200, GREEN, 1, flow=(-7.0, 0.0), by_template=True) for i in range(30)]
    found = chosen([rolling(), trail(1, drifting)], RATE)
    assert [body.first.trail for body in found] == [0]


def test_a_short_hard_stroke_counts_beside_a_far_going_ball() -> None:
    stroke = [
        sighting(i, 100 + 4 * i, 60, 1000, GREEN, 1, roundness=0.5, aspect=3.0, flow=(4.0, 0.0)) for i in range(16)
    ]
    speck = [sighting(i, 250 + 0.9 * i, 30, 16, GREEN, 2, roundness=0.5, aspect=2.5) for i in range(30)]
    found = chosen([rolling(), trail(1, stroke), trail(2, speck)], RATE)
    assert sorted(body.first.trail for body in found) == [0, 1]


def test_what_comes_once_and_rests_counts_beside_a_far_going_ball() -> None:
    places = [20.0 + 12 * i for i in range(8)] + [104.0] * 90
    came = [sighting(i, x, 100, 700, GREEN, 1, roundness=0.7, flow=(12.0, 0.0)) for i, x in enumerate(places)]
    assert len(chosen([rolling(), trail(1, came)], RATE)) == 2
    # What was always there, and only trembles, does not.
    still = [sighting(i, 104 + i % 2, 100, 700, GREEN, 1, roundness=0.7) for i in range(98)]
    assert len(chosen([rolling(), trail(1, still)], RATE)) == 1


def test_three_sightings_in_a_line_are_a_shot() -> None:
    shot = [sighting(i, 30 + 90 * i, 100 + 5 * i, 500) for i in range(3)]
    assert len(chosen([trail(0, shot)], 15.0)) == 1
    bent = [sighting(0, 30, 100, 500), sighting(1, 120, 100, 500), sighting(2, 60, 160, 500)]
    assert chosen([trail(0, bent)], 15.0) == []


def test_a_spotted_ball_is_one_object() -> None:
    rng, wall = np.random.default_rng(41), texture(42)
    pictures = []
    for i in range(36):
        image, x, y = wall.copy(), 40 + 6.5 * i, 120 + 40 * np.sin(i / 6)
        paint_ball(image, np.array([(x, y)]), 22, (235, 225, 215))
        for k in range(4):
            turn = 0.15 * i + k * np.pi / 2
            paint_ball(image, np.array([(x + 12 * np.cos(turn), y + 12 * np.sin(turn))]), 5, (25, 25, 60))
        pictures.append(noisy(image, rng))
    assert len(detect_motion(clip_from_frames(np.array(pictures), RATE)).objects) == 1


def test_a_body_in_a_passing_shade_is_still_seen() -> None:
    wall = texture(51)
    ys, xs = np.mgrid[: wall.shape[0], : wall.shape[1]]
    pictures = []
    for i in range(40):
        far = np.hypot(xs - (20 + 7 * i), ys - 110) / 90
        image = (wall * (1 - 0.4 * np.clip(1 - far, 0, 1) ** 2)[..., None]).astype(np.uint8)
        paint_ball(image, np.array([(20 + 7.0 * i, 110.0)]), 16, (30, 60, 200))
        pictures.append(cv2.GaussianBlur(image, (3, 3), 0))
    canvas = Canvas(pictures, [None] * 40, RATE, False)
    found = find_regions(canvas, 20, long_background(canvas), short_background(canvas, 20))
    assert any(np.hypot(d.centroid[0] - 160, d.centroid[1] - 110) < 6 and 400 < d.area < 1400 for d in found)


def test_who_walks_past_a_hammer_is_not_one_with_it_whatever_comes_near_to_both() -> None:
    """Though they are one outline for a moment, and a speck lies between them."""
    walker = Body([sighting(i, 60 + 4 * i, 150, 5000, GREEN) for i in range(100)])
    hammer = Body([sighting(i, 150 + 30 * np.sin(i / 4), 190, 1400) for i in range(15, 100)])
    both = Body([sighting(i, 100 + 10 * i, 170, 2700) for i in range(5)])
    speck = Body([sighting(i, 120 + 2.5 * i, 170, 60) for i in range(40)])
    groups = gather([walker, hammer, both, speck], 30.0)
    assert len(groups) == 2
    assert sorted(round(group.area, -2) for group in groups) == [1400, 5000]
    # What does not go apart is one: an arm that swings on the body of one who stands.
    trunk = Body([sighting(i, 150, 150, 5000, GREEN) for i in range(100)])
    assert len(gather([trunk, hammer, both, speck], 30.0)) == 1


def test_a_body_surrounds_what_is_within_it_and_not_what_it_walks_past() -> None:
    walker = Body([sighting(i, 60 + 4 * i, 150, 10000, GREEN) for i in range(100)])
    beside = Body([sighting(i, 250, 150 + 3 * (i % 10), 900) for i in range(100)])
    within = Body([sighting(i, 60 + 4 * i, 150 + 3 * (i % 10), 900) for i in range(100)])
    assert len(gather([walker, beside], 30.0)) == 2
    assert len(gather([walker, within], 30.0)) == 1
