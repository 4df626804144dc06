"""What stops within one frame interval: measured on flow, kept on the track, and believed as a witness of contacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pavas_core.estimation.planar import hits
from pavas_core.estimation.planar.arrests import confirmed, denied
from pavas_core.estimation.planar.scorer import Peak
from pavas_core.estimation.planar.velocity import planar_velocity
from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.flow import FlowField
from pavas_core.estimation.tracking.motion import detect_motion
from pavas_core.estimation.tracking.stops import Patch, StopFinder, stops_of
from pavas_core.physics.serialise import load_physics, save_physics
from pavas_core.physics.types import Break, Track, TrackSet, Velocity
from pavas_core.video.clip import clip_from_frames
from tests.planar_tracks import make_track, make_tracks

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


TIMES_S = np.arange(60) / RATE


def stopping(at: int, stopped: float = 0.9, lost: float = 1.0, down: float = 0.9) -> np.ndarray:
    """A body that moves all the time and loses a little, and at frame ``at`` what is given."""
    stops = np.tile(np.float32([0.1, 0.02, 0.0]), (len(TIMES_S), 1))
    stops[[10, 25, 40, 55]] = 0.9, 1.0, 0.9
    stops[at] = stopped, lost, down
    return stops


def tool(stops: np.ndarray | None) -> Track:
    """A thing at the border whose centre says nothing."""
    points = np.stack([np.full(len(TIMES_S), 300.0), 200 + 40 * np.sin(3 * TIMES_S)], axis=1)
    return replace(make_track("object-1", points, 120.0, truncated=np.ones(len(TIMES_S), bool)), stops=stops)


def test_a_strong_stop_confirms_and_denies_nothing() -> None:
    track = tool(stopping(33))
    assert confirmed(track, TIMES_S, 33 / RATE + 0.01)
    assert not denied(track, TIMES_S, 33 / RATE + 0.01)


@pytest.mark.parametrize("lesser", [{"stopped": 0.2}, {"lost": 0.05}])
def test_what_goes_on_or_loses_little_is_denied(lesser: dict[str, float]) -> None:
    track = tool(stopping(33, **lesser))
    assert denied(track, TIMES_S, 33 / RATE)
    assert not confirmed(track, TIMES_S, 33 / RATE)


def test_lifting_and_echoes_are_not_confirmed() -> None:
    assert not confirmed(tool(stopping(33, down=-0.9)), TIMES_S, 33 / RATE)
    assert not confirmed(tool(stopping(29, lost=0.7)), TIMES_S, 29 / RATE + 0.01)


def test_tracks_without_measured_flow_are_neither_confirmed_nor_denied() -> None:
    assert not confirmed(tool(None), TIMES_S, 1.0)
    assert not denied(tool(None), TIMES_S, 1.0)


def velocity(*breaks: Break) -> Velocity:
    count = len(TIMES_S) - 1
    return Velocity(
        "object-1", (TIMES_S[:-1] + TIMES_S[1:]) / 2, np.ones(count, np.float32), np.ones((count, 3), np.float32),
        np.ones(count, np.float32), breaks, 0.002, "assumed", 0.5,
    )  # fmt: skip


def judged(monkeypatch: pytest.MonkeyPatch, track: Track, peak: Peak, *breaks: Break) -> list[float]:
    tracks = make_tracks(TIMES_S, track)
    monkeypatch.setattr(hits, "find_peaks", lambda *_: [[peak]])
    found = hits.judged(tracks, [track.centroids.astype(float)], [False], [velocity(*breaks)], 1.0)[0]
    return [b.time_s for b in found.breaks if b.confidence >= 0.5]


def test_what_the_scorer_hears_faintly_counts_where_a_tool_was_seen_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    faint = Peak(33 / RATE, 0.2, 0.8, 0.1)
    assert judged(monkeypatch, tool(stopping(33)), faint) == [pytest.approx(33 / RATE)]
    assert judged(monkeypatch, tool(stopping(33, stopped=0.1)), faint) == []
    assert judged(monkeypatch, tool(None), faint) == []
    fit = Break(32 / RATE, 0.01, (300.0, 200.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), 0.1, 0.9)
    assert judged(monkeypatch, tool(stopping(33)), faint, fit) == [fit.time_s]


def test_what_only_the_scorer_hears_needs_something_that_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = Peak(33 / RATE, 0.95, 0.8, 0.1)
    whole = np.zeros(len(TIMES_S), bool)
    assert judged(monkeypatch, replace(tool(stopping(33)), truncated=whole), sure) == [pytest.approx(33 / RATE)]
    assert judged(monkeypatch, replace(tool(stopping(33, lost=0.01)), truncated=whole), sure) == []
    assert judged(monkeypatch, replace(tool(None), truncated=whole), sure) == [pytest.approx(33 / RATE)]


def test_what_travels_need_not_stop_where_it_bounces(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.stack([20 + 600 * TIMES_S / TIMES_S[-1], 200 + 40 * np.sin(3 * TIMES_S)], axis=1)
    ball = replace(make_track("ball-1", points, 60.0), stops=stopping(33, lost=0.01))
    assert judged(monkeypatch, ball, Peak(33 / RATE, 0.95, 0.8, 0.1)) == [pytest.approx(33 / RATE)]


def test_planar_velocity_takes_tracks_with_and_without_stops() -> None:
    for stops in (None, stopping(33)):
        found = planar_velocity(make_tracks(TIMES_S, tool(stops)))
        assert len(found.velocities) == 1
