"""What comes to rest, or rested before it set out, where the background has learned it."""

from __future__ import annotations

import numpy as np
import pytest

from pavas_core.estimation.planar.velocity import planar_velocity
from pavas_core.estimation.tracking.bodies import Body
from pavas_core.estimation.tracking.camera import IDENTITY
from pavas_core.estimation.tracking.motion import detect_motion
from pavas_core.estimation.tracking.resting import with_rests
from pavas_core.video.clip import clip_from_frames
from tests.test_estimation_track_motion import RATE, noisy, texture
from tests.test_estimation_track_selection import GREEN, sighting, trail

PX_PER_M, FLOOR, HALF = 300.0, 190.0, 16
COUNT = 100
FLOOR_FRAME = 11


def falling(frames: np.ndarray) -> np.ndarray:
    """Middle of a box that is let go in the first frame and stays where it falls, pixels."""
    drop = FLOOR - 0.5 * 9.81 * PX_PER_M * ((FLOOR_FRAME - 0.5) / RATE) ** 2
    return np.minimum(drop + 0.5 * 9.81 * PX_PER_M * (frames / RATE) ** 2, FLOOR)


def pictures() -> np.ndarray:
    rng, wall = np.random.default_rng(3), texture(2)
    out = []
    for frame in range(COUNT):
        image = wall.astype(float)
        shown = falling(frame + np.linspace(-0.25, 0.25, 5))
        rows = np.arange(len(image))[:, None]
        cover = np.mean([np.clip(HALF + 0.5 - np.abs(rows - y), 0, 1) for y in shown], axis=0)
        image[:, 140:180] += (np.array([60, 90, 220]) - image[:, 140:180]) * cover[..., None]
        out.append(noisy(image, rng))
    return np.array(out)


@pytest.mark.parametrize("sense", [1, -1])
def test_what_lies_where_it_fell_for_nearly_all_of_a_clip_is_seen_to_land(sense: int) -> None:
    """Backwards, it rests and is thrown up."""
    objects = detect_motion(clip_from_frames(pictures()[::sense].copy(), RATE))
    assert objects.tracks is not None
    (track,) = objects.tracks.tracks
    assert track.visible.sum() > RATE
    velocities = planar_velocity(objects.tracks, objects, metres_per_px=1 / PX_PER_M)
    (found,) = velocities.velocities
    (at,) = found.breaks
    assert sense < 0 or at.confidence > 0.9
    frame = FLOOR_FRAME - 0.5 if sense > 0 else COUNT - 1 - (FLOOR_FRAME - 0.5)
    assert at.time_s == pytest.approx(frame / RATE, abs=0.02)
    fast, slow = (at.pre_mps, at.post_mps)[::sense]
    assert fast[1] == pytest.approx(sense * 9.81 * (FLOOR_FRAME - 0.5) / RATE, rel=0.1)
    assert np.hypot(*slow[:2]) < 0.2


def rests(place_x: float, place_area: float = 900.0, seen_later: bool = False) -> bool:
    """Whether what comes from the left at 12 pixels a frame rests at a place that is last seen as it arrives."""
    coming = [sighting(i, 20 + 12 * i, 150, 900) for i in range(20)]
    place = [sighting(i, place_x, 150, place_area, GREEN, 1) for i in range(80 if seen_later else 20)]
    poses = np.tile(IDENTITY, (80, 1, 1))
    (body,) = with_rests([Body(coming)], [trail(0, coming), trail(1, place)], poses, range(80), RATE)
    assert body.points[:20].tolist() == [list(o.world) for o in coming]
    if len(body.frames) == 20:
        return False
    assert body.frames.tolist() == list(range(20 + round(RATE)))
    assert (body.points[20:] == [place_x, 150]).all()
    return True


def test_only_a_place_on_its_way_that_is_like_it_and_then_empty_is_where_it_rests() -> None:
    assert rests(260.0)
    assert not rests(300.0), "further than it comes"
    assert not rests(200.0), "behind it"
    assert not rests(260.0, place_area=300.0), "a smaller thing"
    assert not rests(260.0, seen_later=True), "it is still seen to be another thing"


def test_what_leaves_the_picture_does_not_rest() -> None:
    coming = [sighting(i, 20 + 12 * i, 150, 900, border=i > 17) for i in range(20)]
    place = [sighting(i, 260, 150, 900, GREEN, 1) for i in range(20)]
    poses = np.tile(IDENTITY, (80, 1, 1))
    (body,) = with_rests([Body(coming)], [trail(0, coming), trail(1, place)], poses, range(80), RATE)
    assert len(body.frames) == 20
