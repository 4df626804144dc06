"""What stops within one frame interval: measured on flow and kept on the track."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.flow import FlowField
from pavas_core.estimation.tracking.motion import detect_motion
from pavas_core.estimation.tracking.stops import Patch, StopFinder, stops_of
from pavas_core.physics.serialise import load_physics, save_physics
from pavas_core.physics.types import TrackSet
from pavas_core.video.clip import clip_from_frames

RATE = 30.0
WIDTH, HEIGHT = 320, 180


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    import cv2

    small = rng.uniform(40, 215, (height // 5 + 1, width // 5 + 1, 3)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)).clip(0, 255).astype(np.uint8)


def pictures(tops: np.ndarray) -> list[np.ndarray]:
    """A textured board whose upper edge is at ``tops`` (rows), before a textured wall."""
    rng = np.random.default_rng(3)
    wall, board = noise(rng, HEIGHT, WIDTH), noise(rng, 60, 90)
    out = []
    for top in tops:
        picture = wall.copy()
        picture[round(top) : round(top) + 60, 120:210] = board
        out.append((picture + rng.normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8))
    return out


def patches(images: list[np.ndarray]) -> list[Patch]:
    flow, finder = FlowField(), StopFinder(WIDTH)
    found = []
    for i, image in enumerate(images):
        flow.step(image)
        found += finder.step(i, i / RATE, flow, camera.IDENTITY)
    return found


DROP = 5.0 + np.array([0, 8, 16, 24, 32, 40, 40, 40, 40], float)


def test_a_board_that_stops_at_once_stops_as_a_whole() -> None:
    found = patches(pictures(DROP))
    largest = max(found, key=lambda p: p.lost)
    assert largest.frame == 5
    assert largest.stopped > 0.8
    assert largest.down > 0.9
    # Its share of the picture, at the speed it had.
    assert largest.lost == pytest.approx(60 * 90 / (WIDTH * HEIGHT) * 8 * RATE / WIDTH, rel=0.4)
    assert np.abs(np.subtract(largest.centre, (165, DROP[5] + 30))).max() < 12


def test_a_board_that_goes_on_or_slows_down_gently_does_not_stop() -> None:
    steady = patches(pictures(5.0 + 8.0 * np.arange(9)))
    slowing = patches(pictures(5.0 + np.cumsum([0, 9, 8.5, 8, 7.5, 7, 6.5, 6, 5.5])))
    assert max(p.stopped for p in steady if p.share > 0.04) < 0.3
    assert max(p.stopped for p in slowing if p.share > 0.04) < 0.3


def test_a_repeated_picture_is_no_stop() -> None:
    images = pictures(5.0 + 8.0 * np.arange(9))
    found = patches([*images[:5], images[4], *images[5:]])
    assert max(p.stopped for p in found if p.share > 0.04) < 0.3


def test_of_the_patches_on_a_body_the_one_that_loses_most_counts() -> None:
    boxes = np.full((6, 4), np.nan)
    boxes[1:4] = 10, 10, 60, 60
    found = stops_of(
        boxes,
        [
            Patch(2, (30.0, 30.0), 0.02, 0.5, 0.01, 0.2),
            Patch(2, (40.0, 30.0), 0.05, 0.9, 0.03, 1.0),
            Patch(3, (200.0, 30.0), 0.05, 0.9, 0.03, 1.0),
            Patch(5, (30.0, 30.0), 0.05, 0.9, 0.03, 1.0),
        ],
    )
    np.testing.assert_allclose(found[2], [0.9, 0.03, 1.0], rtol=1e-6)
    assert np.isnan(np.delete(found, 2, axis=0)).all()


def test_when_the_whole_picture_moves_nothing_stops_by_itself() -> None:
    boxes = np.tile([10.0, 10.0, 60.0, 60.0], (4, 1))
    found = stops_of(boxes, [Patch(2, (30.0, 30.0), 0.03, 0.9, 0.1, 1.0), Patch(2, (160.0, 90.0), 0.95, 1.0, 2.0, 0.0)])
    assert found[2, 0] == 0.0


def test_detection_keeps_the_stop_on_the_track_and_in_files(tmp_path: Path) -> None:
    fall = np.concatenate([np.full(12, 5.0), 5.0 + 7.0 * np.arange(1, 13), np.full(12, 89.0)])
    found = detect_motion(clip_from_frames(np.array(pictures(fall)), RATE))
    assert found.tracks is not None
    track = found.tracks.tracks[0]
    assert track.stops is not None
    assert track.stops.shape == (len(fall), 3)
    assert int(np.nanargmax(track.stops[:, 1])) in (22, 23, 24)
    save_physics(found.tracks, tmp_path / "tracks.json")
    again = load_physics(tmp_path / "tracks.json", TrackSet)
    np.testing.assert_array_equal(again.tracks[0].stops, track.stops)
