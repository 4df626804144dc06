"""Detection and tracking on small rendered clips whose truth is known."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from pavas_core.errors import Cancelled
from pavas_core.estimation.tracking.camera import CameraTracker, apply
from pavas_core.estimation.tracking.median import median_of
from pavas_core.estimation.tracking.motion import detect_motion, track_motion
from pavas_core.physics.masks import unpack_mask
from pavas_core.physics.types import MovingObject, ObjectSet, TrackSet
from pavas_core.runtime import Runtime
from pavas_core.video.clip import Clip, clip_from_frames

WIDTH, HEIGHT, RATE = 320, 240, 30.0


def texture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A cluttered wall, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(60, 190, (12, 16, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(0, 25, (height, width, 3)), (0, 0), 1.5) * 2
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def paint_ball(image: np.ndarray, path: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    """Draw a disc averaged over the positions of ``path`` [N, 2] (motion blur), pixels addressed by their centres."""
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]]
    cover = np.mean([np.clip(radius + 0.5 - np.hypot(xs - x, ys - y), 0, 1) for x, y in path], axis=0)[..., None]
    image[:] = np.round(image * (1 - cover) + np.array(colour) * cover).astype(np.uint8)


def noisy(image: np.ndarray, rng: np.random.Generator, sigma: float = 2.0) -> np.ndarray:
    return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def flight(times: np.ndarray) -> np.ndarray:
    """A thrown ball, pixels [N, 2]."""
    return np.stack([30 + 190 * times, 200 - 330 * times + 250 * times**2], axis=1)


def thrown(sway: float = 0.0, frames: int = 40, radius: float = 7.0) -> tuple[Clip, np.ndarray]:
    """A ball in flight before a wall, the camera swaying by ``sway`` pixels; its truth [frames, 2]."""
    pictures, truth = thrown_pictures(sway, frames, radius)
    return clip_from_frames(pictures, RATE), truth


def thrown_pictures(sway: float, frames: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [frames, H, W, 3], and the ball's centres."""
    rng = np.random.default_rng(5)
    wall = texture(1, WIDTH + 80, HEIGHT + 80)
    pictures, truth = [], []
    for i in range(frames):
        t = i / RATE
        dx, dy = sway * np.sin(2 * np.pi * 0.7 * t), 0.6 * sway * np.sin(2 * np.pi * 1.1 * t + 1)
        shift = np.array([[1.0, 0.0, -40 + dx], [0.0, 1.0, -40 + dy]])
        image = cv2.warpAffine(wall, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        sway_px = np.array([dx, dy])
        exposure = sway_px + flight(t + np.linspace(-0.4, 0.4, 9) / RATE)
        paint_ball(image, exposure, radius, (240, 235, 225))
        pictures.append(noisy(image, rng))
        truth.append(flight(np.array([t]))[0] + [dx, dy])
    return np.array(pictures), np.array(truth)


def only(tracks: TrackSet | None):
    assert tracks is not None
    assert len(tracks.tracks) == 1
    return tracks.tracks[0]


def error_px(track, truth: np.ndarray) -> np.ndarray:
    """Distance from the truth where the object is whole in the picture."""
    whole = track.visible & ~track.truncated
    return np.hypot(*(track.centroids[whole] - truth[whole]).T)


def test_thrown_ball_is_followed_to_a_fraction_of_a_pixel() -> None:
    clip, truth = thrown()
    found = detect_motion(clip)
    assert [o.id for o in found.objects] == ["ball-1"]
    track = only(found.tracks)
    assert track.visible.sum() >= 36
    assert np.median(error_px(track, truth)) < 0.35
    assert found.tracks is not None
    assert found.tracks.camera is None


def test_flow_of_a_ball_is_its_velocity() -> None:
    clip, truth = thrown()
    track = only(detect_motion(clip).tracks)
    expected = np.diff(truth, axis=0) * RATE
    assert track.flow_px_s is not None
    assert np.nanmedian(np.hypot(*(track.flow_px_s - expected).T)) < 0.1 * np.median(np.hypot(*expected.T))


def test_swaying_camera_is_not_an_object_and_is_measured() -> None:
    clip, truth = thrown(sway=6.0)
    found = detect_motion(clip)
    track = only(found.tracks)
    assert np.median(error_px(track, truth)) < 0.5
    assert found.tracks is not None
    camera = found.tracks.camera
    assert camera is not None
    still = flight(np.arange(len(truth)) / RATE)
    seen = track.visible & ~track.truncated
    steady = np.array([apply(m, c) for m, c in zip(camera, track.centroids.astype(float), strict=True)])[seen]
    offset = np.median(steady - still[seen], axis=0)
    assert np.percentile(np.hypot(*(steady - still[seen] - offset).T), 90) < 1.0


def test_masks_cover_the_ball() -> None:
    clip, truth = thrown(radius=9.0)
    track = only(detect_motion(clip).tracks)
    assert track.masks is not None
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    covered, size = [], []
    for i in np.flatnonzero(track.visible & ~track.truncated):
        mask = unpack_mask(track.masks, int(i))
        disc = np.hypot(xs - truth[i, 0], ys - truth[i, 1]) < 9.0
        covered.append((mask & disc).sum() / disc.sum())
        size.append(mask.sum() / disc.sum())
    assert np.median(covered) > 0.95
    # The picture of a moving ball is a streak: the mask may be as long, no more.
    assert np.median(size) < 2.2


def test_two_balls_that_cross_keep_their_identities() -> None:
    rng = np.random.default_rng(2)
    wall = texture(3)
    pictures, left, right = [], [], []
    for i in range(45):
        image = wall.copy()
        left.append((20 + 6.2 * i, 80 + 0.02 * i * i))
        right.append((300 - 6.2 * i, 120 + 0.5 * i))
        paint_ball(image, np.array(left[-1:]), 9, (250, 240, 240))
        paint_ball(image, np.array(right[-1:]), 8, (20, 20, 120))
        pictures.append(noisy(image, rng))
    found = detect_motion(clip_from_frames(np.array(pictures), RATE))
    assert len(found.objects) == 2
    assert found.tracks is not None
    for truth in (np.array(left), np.array(right)):
        best = min(np.nanmedian(np.hypot(*(t.centroids - truth).T)) for t in found.tracks.tracks)
        assert best < 0.7


def test_short_occlusion_does_not_make_a_second_object() -> None:
    rng = np.random.default_rng(4)
    wall = texture(6)
    pictures = []
    for i in range(45):
        image = wall.copy()
        paint_ball(image, np.array([(15 + 6.5 * i, 120.0)]), 8, (245, 240, 230))
        image[:, 150:180] = (60, 50, 40)
        pictures.append(noisy(image, rng))
    found = detect_motion(clip_from_frames(np.array(pictures), RATE))
    assert len(found.objects) == 1
    track = only(found.tracks)
    assert track.visible[5]
    assert track.visible[40]


@pytest.mark.parametrize("what", ["still", "light", "screen", "pan"])
def test_nothing_that_moves_means_no_objects(what: str) -> None:
    rng = np.random.default_rng(8)
    wall = texture(9, WIDTH + 160, HEIGHT)
    pictures = []
    for i in range(40):
        image = wall[:, :WIDTH].copy()
        if what == "light":
            image = np.clip(image * (1 + 0.15 * np.sin(i / 3)), 0, 255).astype(np.uint8)
        if what == "screen":
            image[60:110, 200:270] = rng.integers(0, 255, 3)
        if what == "pan":
            image = wall[:, 3 * i : 3 * i + WIDTH].copy()
        pictures.append(noisy(image, rng, 3.0))
    found = detect_motion(clip_from_frames(np.array(pictures), RATE))
    assert found.objects == ()


@pytest.mark.parametrize(("width", "height"), [(1000, 20), (1000, 2), (130, 14), (2, 400), (1, 1)])
def test_pictures_of_any_shape_are_looked_at(width: int, height: int) -> None:
    """OpenCV's flow writes beyond pictures that are low and wide."""
    picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pictures = np.array([np.roll(picture, 2 * i, axis=1) for i in range(8)])
    found = detect_motion(clip_from_frames(pictures, RATE))
    assert (found.width, found.height) == (width, height)
    assert found.tracks is not None
    assert len(found.tracks.times_s) == len(pictures)


def test_resting_ball_that_fell_is_still_there() -> None:
    rng = np.random.default_rng(11)
    wall = texture(12)
    pictures = []
    for i in range(60):
        image = wall.copy()
        paint_ball(image, np.array([(160, min(20 + 0.9 * i * i, 200.0))]), 10, (230, 220, 60))
        pictures.append(noisy(image, rng))
    track = only(detect_motion(clip_from_frames(np.array(pictures), RATE)).tracks)
    assert track.visible[40]
    assert abs(float(track.centroids[40, 1]) - 200) < 1.5


def test_given_objects_take_what_moves_in_their_box() -> None:
    clip, truth = thrown()
    x, y = truth[20]
    wanted = MovingObject("apple-1", "apple", box=(x - 8, y - 8, x + 8, y + 8), time_s=20 / RATE)
    absent = MovingObject("pear-1", "pear", box=(300, 0, 319, 10), time_s=20 / RATE)
    tracks = track_motion(clip, ObjectSet((absent, wanted), WIDTH, HEIGHT, clip.duration_s, source="text"))
    assert [t.object_id for t in tracks.tracks] == ["pear-1", "apple-1"]
    assert not tracks.tracks[0].visible.any()
    assert np.median(error_px(tracks.tracks[1], truth)) < 0.5


def test_tracks_that_came_with_the_objects_are_reused() -> None:
    clip, _ = thrown(frames=20)
    found = detect_motion(clip)
    tracks = track_motion(clip, found)
    assert tracks.tracks[0] is found.tracks.tracks[0]  # type: ignore[union-attr]


def test_nothing_is_followed_over_a_cut() -> None:
    pictures, truth = thrown_pictures(0.0, 40, 7.0)
    turned = 255 - pictures[:, ::-1, ::-1]
    tracks = detect_motion(clip_from_frames(np.concatenate([pictures, turned]), RATE)).tracks
    assert tracks is not None
    first, second = tracks.tracks
    assert not first.visible[40:].any()
    assert not second.visible[:40].any()
    assert first.visible.sum() > 30
    assert second.visible.sum() > 30
    assert np.median(error_px(first, np.concatenate([truth, truth]))) < 1.0
    there = np.array([WIDTH - 1, HEIGHT - 1]) - truth
    assert np.median(error_px(second, np.concatenate([there, there]))) < 1.0


def test_a_cut_to_a_single_picture_is_no_trouble() -> None:
    pictures, _ = thrown_pictures(0.0, 30, 7.0)
    tracks = detect_motion(clip_from_frames(np.concatenate([pictures, 255 - pictures[:1]]), RATE)).tracks
    assert not only(tracks).visible[30:].any()


@pytest.mark.parametrize("at", [1, 5, 15])
def test_cancelling_stops_within_a_frame_and_leaves_no_thread(at: int) -> None:
    clip, _ = thrown(frames=20)
    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == at:
            raise Cancelled

    with pytest.raises(Cancelled):
        detect_motion(clip, runtime=Runtime(check_cancelled=stop))
    assert len(asked) == at
    assert not [thread for thread in threading.enumerate() if thread.name == "pavas-ahead"]


def test_progress_only_rises_and_ends_at_all_of_it() -> None:
    clip, _ = thrown(frames=20)
    told = []
    detect_motion(clip, runtime=Runtime(on_progress=lambda stage, done, total: told.append((done, total))))
    assert told == sorted(told)
    assert told[-1] == (40, 40)


def test_same_clip_same_tracks() -> None:
    clip, _ = thrown(sway=4.0, frames=25)
    a, b = detect_motion(clip), detect_motion(clip)
    assert a.tracks is not None
    assert b.tracks is not None
    np.testing.assert_array_equal(a.tracks.tracks[0].centroids, b.tracks.tracks[0].centroids)


def test_camera_is_not_carried_off_by_a_large_body() -> None:
    wall = texture(20)
    block = texture(21, 190, 180)
    follower = CameraTracker()
    for i in range(12):
        image = wall.copy()
        image[40:220, 4 * i : 4 * i + 190] = block
        pose = follower.step(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        assert np.abs(pose - [[1, 0, 0], [0, 1, 0]]).max() < 0.1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 13, 20, 21])
def test_the_median_of_pictures_is_the_median(count: int) -> None:
    rng = np.random.default_rng(count)
    images = [rng.integers(0, 256, (75, 11, 3), dtype=np.uint8) for _ in range(count)]
    np.testing.assert_array_equal(median_of(images), np.sort(images, axis=0)[count // 2])


def test_what_lies_outside_a_picture_does_not_count_for_the_median() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 11, 3), dtype=np.uint8) for _ in range(7)]
    valid: list[np.ndarray | None] = [None] * 7
    valid[2] = valid[5] = np.where(np.arange(40)[:, None] < np.full(11, 20), 255, 0).astype(np.uint8)
    seen = [image for k, image in enumerate(images) if k not in (2, 5)]
    np.testing.assert_array_equal(median_of(images, valid)[:20], np.median(images, axis=0)[:20])
    np.testing.assert_array_equal(median_of(images, valid)[20:], np.median(seen, axis=0)[20:])
